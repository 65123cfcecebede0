/* SPDX-License-Identifier: Apache-2.0 */
/* Which task holds which network interface; what the agent is told of it is kept beside. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "controlplane/store_rows.h"

int store_eni_take(struct store *s, const char *eni, const char *task_arn, const json_t *acs,
		   struct err *err)
{
	_cleanup_(freep) char *text = store_text(acs);

	if (!text)
		return err_set(err, ENOMEM, "take a network interface");
	return db_exec(s->db, err, NULL,
		       "INSERT INTO enis(eni, task, attachment, doc) VALUES(?, ?, ?, ?)", "tttt",
		       eni, task_arn, json_get_string(acs, "attachmentArn", ""), text);
}

int store_eni_is_taken(struct store *s, const char *eni, bool *ret, struct err *err)
{
	json_auto_t *list = json_array();
	int k = db_query(s->db, err, store_on_text, list, "SELECT task FROM enis WHERE eni = ?",
			 "t", eni);

	*ret = json_array_size(list) > 0;
	return k;
}

int store_eni_of_task(struct store *s, const char *task_arn, json_t **ret, struct err *err)
{
	json_t *doc = NULL;
	int k = db_query(s->db, err, store_on_doc, &doc, "SELECT doc FROM enis WHERE task = ?", "t",
			 task_arn);

	return store_found(k, doc, ret);
}

int store_eni_task_of(struct store *s, const char *attachment_arn, char **ret, struct err *err)
{
	json_auto_t *list = json_array();
	int k = db_query(s->db, err, store_on_text, list,
			 "SELECT task FROM enis WHERE attachment = ?", "t", attachment_arn);

	if (k < 0)
		return k;
	if (json_array_size(list) == 0)
		return STORE_E_NOT_FOUND;
	*ret = strdup(json_string_value(json_array_get(list, 0)));
	return *ret ? 0 : err_set(err, ENOMEM, "look for an attachment");
}

int store_eni_tasks(struct store *s, json_t **ret, struct err *err)
{
	json_auto_t *list = json_array();
	int k = db_query(s->db, err, store_on_text, list, "SELECT task FROM enis", "");

	if (k == 0)
		*ret = json_incref(list);
	return k;
}

int store_eni_release(struct store *s, const char *task_arn, struct err *err)
{
	return db_exec(s->db, err, NULL, "DELETE FROM enis WHERE task = ?", "t", task_arn);
}
