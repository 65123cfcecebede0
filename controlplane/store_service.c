/* SPDX-License-Identifier: Apache-2.0 */
/* Services, and the tasks of one. */
#include <errno.h>
#include <stdlib.h>

#include "common/json.h"
#include "controlplane/arn.h"
#include "controlplane/store_rows.h"

int store_service_get(struct store *s, const char *arn, json_t **ret, struct err *err)
{
	json_t *doc = NULL;
	int k = db_query(s->db, err, store_on_doc, &doc, "SELECT doc FROM services WHERE arn = ?",
			 "t", arn);

	return store_found(k, doc, ret);
}

int store_service_put(struct store *s, const json_t *doc, int64_t now_ms, struct err *err)
{
	_cleanup_(freep) char *text = store_text(doc);
	const char *arn = json_get_string(doc, "serviceArn", "");
	struct arn a;

	if (!arn_parse(arn, &a))
		return err_set(err, EINVAL, "'%s' is not the ARN of a service", arn);
	if (!text)
		return err_set(err, ENOMEM, "put service");
	return db_exec(s->db, err, NULL,
		       "INSERT OR REPLACE INTO services(arn, cluster, status, strategy,"
		       " changed_ms, doc) VALUES(?, ?, ?, ?, ?, ?)",
		       "ttttit", arn, a.cluster, json_get_string(doc, "status", ""),
		       json_get_string(doc, "schedulingStrategy", ""), now_ms, text);
}

int store_service_list(struct store *s, const char *cluster, const char *strategy,
		       const char *after, int limit, json_t **ret_arns, struct err *err)
{
	json_t *list = json_array();
	int k = db_query(s->db, err, store_on_text, list,
			 "SELECT arn FROM services WHERE (?1 IS NULL OR cluster = ?1)"
			 " AND status IN ('ACTIVE', 'DRAINING') AND (?2 IS NULL OR strategy = ?2)"
			 " AND arn > ?3 ORDER BY arn LIMIT ?4",
			 "ttti", cluster, strategy, after ? after : "", (int64_t) limit);

	return store_listed(k, list, ret_arns);
}

int store_tasks_of_group(struct store *s, const char *cluster, const char *group, store_doc_fn fn,
			 void *userdata, struct err *err)
{
	struct store_each each = { fn, userdata };

	return db_query(s->db, err, store_on_each, &each,
			"SELECT doc FROM tasks WHERE cluster = ? AND grp = ?"
			" AND last <> 'STOPPED' ORDER BY id",
			"tt", cluster, group);
}

int store_services_purge(struct store *s, int64_t before_ms, struct err *err)
{
	return db_exec(s->db, err, NULL,
		       "DELETE FROM services WHERE status = 'INACTIVE' AND changed_ms < ?", "i",
		       before_ms);
}
