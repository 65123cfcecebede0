/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/store_rows.h"

#include <errno.h>

#include "common/json.h"

char *store_text(const json_t *doc)
{
	/* Thirteen digits: seconds of this century with milliseconds. */
	return json_dumps(doc, JSON_COMPACT | JSON_REAL_PRECISION(13));
}

static int parse_row(sqlite3_stmt *row, json_t **ret, struct err *err)
{
	const char *text = db_text(row, 0);
	json_t *doc = json_loads(text, 0, NULL);

	if (!doc)
		return err_set(err, EBADMSG, "database: damaged document '%.40s'", text);
	*ret = doc;
	return 0;
}

int store_on_doc(sqlite3_stmt *row, void *userdata, struct err *err)
{
	json_t **ret = userdata;
	int k = parse_row(row, ret, err);

	return k < 0 ? k : DB_E_DONE;
}

/* What a query through store_on_doc() comes to. */
int store_found(int k, json_t *doc, json_t **ret)
{
	if (k < 0) {
		json_decref(doc);
		return k;
	}
	if (!doc)
		return STORE_E_NOT_FOUND;
	*ret = doc;
	return 0;
}

int store_on_text(sqlite3_stmt *row, void *userdata, struct err *err)
{
	if (json_array_append_new(userdata, json_string(db_text(row, 0))) < 0)
		return err_set(err, ENOMEM, "list names");
	return 0;
}

int store_listed(int k, json_t *list, json_t **ret)
{
	if (k < 0) {
		json_decref(list);
		return k;
	}
	*ret = list;
	return 0;
}

int store_on_each(sqlite3_stmt *row, void *userdata, struct err *err)
{
	_cleanup_(json_decrefp) json_t *doc = NULL;
	struct store_each *each = userdata;
	int k = parse_row(row, &doc, err);

	return k < 0 ? k : each->fn(doc, each->userdata, err);
}
