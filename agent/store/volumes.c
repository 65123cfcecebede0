/* SPDX-License-Identifier: Apache-2.0 */
/* What this host's volumes are and whose. A row stands before its directory is made, and goes after. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/store/internal.h"
#include "agent/store/store.h"
#include "common/clock.h"
#include "common/strv.h"

/* Sorted, so that equal maps are equal texts. */
static char *pairs_to_text(const struct json_pair *pairs, size_t n)
{
	_cleanup_(json_decrefp) json_t *o = json_object();

	for (size_t i = 0; o && i < n; i++)
		if (json_object_set_new(o, pairs[i].key, json_string(pairs[i].value)) < 0)
			return NULL;
	return o ? json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
}

struct pairs {
	struct json_pair *items;
	size_t n;
};

static int pairs_from_text(const char *text, struct pairs *ret, struct err *err)
{
	_cleanup_(json_decrefp) json_t *o = NULL;
	const struct json_field f = {};
	int k = json_parse(text, strlen(text), &o, err);

	return k < 0 ? k : json_decode_pairs(o, ret, &f, err);
}

int store_put_volume(struct store *s, const struct store_volume *v, struct err *err)
{
	_cleanup_(freep) char *options = pairs_to_text(v->options, v->n_options);
	_cleanup_(freep) char *labels = pairs_to_text(v->labels, v->n_labels);

	if (!options || !labels)
		return err_set(err, ENOMEM, "write volume '%s'", v->name);
	return db_exec(s->db, err, NULL, "INSERT OR IGNORE INTO volumes VALUES (?, ?, ?, ?, ?, ?)",
		       "ttttti", v->name, v->task_arn,
		       v->driver && *v->driver ? v->driver : "local", options, labels,
		       clock_real_ms());
}

void store_volume_done(struct store_volume *v)
{
	free(v->name);
	free(v->task_arn);
	free(v->driver);
	json_pairs_free(v->options, v->n_options);
	json_pairs_free(v->labels, v->n_labels);
	*v = (struct store_volume){};
}

static int take_volume(sqlite3_stmt *row, void *userdata, struct err *err)
{
	struct store_volume *v = userdata;
	struct pairs options = {}, labels = {};
	const char *arn = db_text_or_null(row, 1);
	int k = pairs_from_text(db_text(row, 3), &options, err);

	if (k == 0)
		k = pairs_from_text(db_text(row, 4), &labels, err);
	*v = (struct store_volume){ .name = strdup(db_text(row, 0)),
				    .task_arn = arn ? strdup(arn) : NULL,
				    .driver = strdup(db_text(row, 2)),
				    .options = options.items,
				    .n_options = options.n,
				    .labels = labels.items,
				    .n_labels = labels.n };
	if (k < 0)
		return err_wrap(err, "volume '%s'", db_text(row, 0));
	return v->name && v->driver && (!arn || v->task_arn)
		       ? 0
		       : err_set(err, ENOMEM, "read volume '%s'", db_text(row, 0));
}

int store_get_volume(struct store *s, const char *name, struct store_volume *ret, struct err *err)
{
	struct store_volume v = {};
	int k = db_query(s->db, err, take_volume, &v,
			 "SELECT name, task_arn, driver, options, labels FROM volumes"
			 " WHERE name = ?",
			 "t", name);

	if (k < 0 || !v.name) {
		store_volume_done(&v);
		return k < 0 ? k : 0;
	}
	*ret = v;
	return 1;
}

int store_delete_volume(struct store *s, const char *name, struct err *err)
{
	return db_exec(s->db, err, NULL, "DELETE FROM volumes WHERE name = ?", "t", name);
}

static int take_name(sqlite3_stmt *row, void *userdata, struct err *err)
{
	return strv_append(userdata, db_text(row, 0)) < 0 ? err_set(err, ENOMEM, "list volumes")
							  : 0;
}

int store_list_volumes(struct store *s, const char *task_arn, char ***ret, struct err *err)
{
	_cleanup_(strv_freep) char **list = NULL;
	int k = task_arn ? db_query(s->db, err, take_name, &list,
				    "SELECT name FROM volumes WHERE task_arn = ?", "t", task_arn)
			 : db_query(s->db, err, take_name, &list,
				    "SELECT name FROM volumes WHERE task_arn IS NOT NULL AND"
				    " task_arn NOT IN (SELECT arn FROM tasks)",
				    "");

	if (k == 0)
		*ret = TAKE_PTR(list);
	return k;
}
