/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/credentials.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/db.h"
#include "common/digest.h"
#include "common/json.h"
#include "controlplane/sigv4.h"
#include "controlplane/store.h"

enum { ID_DIGITS = 16, SECRET_DIGITS = 40, TOKEN_DIGITS = 256 };

const char *credentials_role_type(enum credentials_role role)
{
	return role == ROLE_TASK ? "TaskApplication" : "TaskExecution";
}

/*
 * Each set of keys stays good until it expires, also after the next one was issued: whoever has
 * fetched it goes on using it.
 */
static int init_keys(struct store *store, struct err *err)
{
	return db_exec(store_db(store), err, NULL,
		       "CREATE TABLE IF NOT EXISTS role_keys(access_key TEXT PRIMARY KEY,"
		       " task TEXT NOT NULL, secret TEXT NOT NULL, token TEXT NOT NULL,"
		       " expires_ms INTEGER NOT NULL) WITHOUT ROWID",
		       "");
}

int credentials_init(struct store *store, struct err *err)
{
	int k = init_keys(store, err);

	if (k < 0)
		return k;
	return db_exec(store_db(store), err, NULL,
		       "CREATE TABLE IF NOT EXISTS role_credentials(task TEXT NOT NULL,"
		       " role INTEGER NOT NULL, instance TEXT NOT NULL, role_arn TEXT NOT NULL,"
		       " credentials_id TEXT NOT NULL UNIQUE, expires_ms INTEGER NOT NULL,"
		       " doc TEXT NOT NULL, expiration TEXT NOT NULL,"
		       " acked TEXT NOT NULL DEFAULT '', PRIMARY KEY(task, role)) WITHOUT ROWID",
		       "");
}

struct found {
	char id[UUID_TEXT_MAX];
	int64_t expires_ms;
	json_t *doc;
};

static int on_row(sqlite3_stmt *row, void *userdata, struct err *err)
{
	struct found *f = userdata;

	(void) snprintf(f->id, sizeof(f->id), "%s", db_text(row, 0));
	f->expires_ms = db_int(row, 1);
	f->doc = json_loads(db_text(row, 2), 0, NULL);
	return f->doc ? DB_E_DONE : err_set(err, EBADMSG, "damaged credentials in the store");
}

static json_t *make(const char *id, const char *role_arn, const char *expiration)
{
	char key[ID_DIGITS + 1], secret[SECRET_DIGITS + 1], token[TOKEN_DIGITS + 1];
	json_t *doc;

	(void) random_hex(key, ID_DIGITS);
	for (char *c = key; *c; c++)
		if (*c >= 'a' && *c <= 'f')
			*c = (char) (*c - 'a' + 'A');
	doc = json_pack("{s:s, s:s, s:o, s:s, s:o, s:s}", "credentialsId", id, "roleArn", role_arn,
			"accessKeyId", json_sprintf("ASIA%s", key), "secretAccessKey",
			random_hex(secret, SECRET_DIGITS), "sessionToken",
			json_sprintf("local/%s", random_hex(token, TOKEN_DIGITS)), "expiration",
			expiration);
	explicit_bzero(secret, sizeof(secret));
	return doc;
}

static int keep_keys(struct store *store, const char *task_arn, const json_t *doc,
		     int64_t expires_ms, struct err *err)
{
	return db_exec(store_db(store), err, NULL,
		       "INSERT INTO role_keys(access_key, task, secret, token, expires_ms)"
		       " VALUES(?, ?, ?, ?, ?)",
		       "tttti", json_get_string(doc, "accessKeyId", ""), task_arn,
		       json_get_string(doc, "secretAccessKey", ""),
		       json_get_string(doc, "sessionToken", ""), expires_ms);
}

static int issue(struct store *store, const struct credentials_request *r, const char *known_id,
		 json_t **ret, struct err *err)
{
	int64_t expires_ms = r->now_ms + CREDENTIALS_LIFE_SEC * MSEC_PER_SEC;
	char expiration[CLOCK_RFC3339_MAX], id[UUID_TEXT_MAX];
	_cleanup_(freep) char *text = NULL;
	json_auto_t *doc = NULL;
	int k;

	(void) clock_format_rfc3339(expires_ms, 0, expiration);
	doc = make(known_id ? known_id : random_uuid(id), r->role_arn, expiration);
	text = doc ? json_to_text(doc) : NULL;
	if (!text)
		return err_set(err, ENOMEM, "issue credentials");
	k = db_exec(store_db(store), err, NULL,
		    "INSERT OR REPLACE INTO role_credentials(task, role, instance, role_arn,"
		    " credentials_id, expires_ms, doc, expiration) VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
		    "titttitt", r->task_arn, (int64_t) r->role, r->instance_arn, r->role_arn,
		    known_id ? known_id : id, expires_ms, text, expiration);
	if (k == 0)
		k = keep_keys(store, r->task_arn, doc, expires_ms, err);
	if (k < 0)
		return k;
	*ret = json_incref(doc);
	return 0;
}

int credentials_get(struct store *store, const struct credentials_request *r, json_t **ret,
		    struct err *err)
{
	struct found f = {};
	bool known;
	int k;

	k = db_query(store_db(store), err, on_row, &f,
		     "SELECT credentials_id, expires_ms, doc FROM role_credentials"
		     " WHERE task = ? AND role = ? AND role_arn = ?",
		     "tit", r->task_arn, (int64_t) r->role, r->role_arn);
	if (k < 0)
		return k;
	if (f.doc && f.expires_ms - r->now_ms > CREDENTIALS_RENEW_SEC * MSEC_PER_SEC) {
		*ret = f.doc;
		return 0;
	}
	known = f.doc != NULL;
	json_decref(f.doc);
	return issue(store, r, known ? f.id : NULL, ret, err);
}

int credentials_acked(struct store *store, const char *instance_arn, const char *credentials_id,
		      const char *expiration, struct err *err)
{
	return db_exec(store_db(store), err, NULL,
		       "UPDATE role_credentials SET acked = ?"
		       " WHERE credentials_id = ? AND instance = ?",
		       "ttt", expiration, credentials_id, instance_arn);
}

int credentials_unack_all(struct store *store, const char *instance_arn, struct err *err)
{
	return db_exec(store_db(store), err, NULL,
		       "UPDATE role_credentials SET acked = '' WHERE instance = ?", "t",
		       instance_arn);
}

static int on_due(sqlite3_stmt *row, void *userdata, struct err *err)
{
	json_t *one = json_pack("{s:s, s:s, s:I}", "taskArn", db_text(row, 0), "roleArn",
				db_text(row, 1), "role", (json_int_t) db_int(row, 2));

	return json_array_append_new(userdata, one) < 0 ? err_set(err, ENOMEM, "list credentials")
							: 0;
}

int credentials_due(struct store *store, const char *instance_arn, int64_t now_ms, json_t **ret,
		    struct err *err)
{
	json_t *list = json_array();
	int k = db_query(store_db(store), err, on_due, list,
			 "SELECT task, role_arn, role FROM role_credentials"
			 " WHERE instance = ? AND (acked <> expiration OR expires_ms <= ?)",
			 "ti", instance_arn, now_ms + CREDENTIALS_RENEW_SEC * MSEC_PER_SEC);

	if (k < 0) {
		json_decref(list);
		return k;
	}
	*ret = list;
	return 0;
}

struct key_row {
	char *text; /* owned: a line of a key file */
	int64_t expires_ms;
};

static int on_key(sqlite3_stmt *row, void *userdata, struct err *err)
{
	struct key_row *k = userdata;

	if (asprintf(&k->text, "%s %s %s\n", db_text(row, 0), db_text(row, 1), db_text(row, 2)) < 0)
		k->text = NULL;
	k->expires_ms = db_int(row, 3);
	return k->text ? DB_E_DONE : err_set(err, ENOMEM, "read a key");
}

int credentials_keys(struct store *store, const char *access_key, int64_t now_ms,
		     struct sigv4_keys **ret, struct err *err)
{
	struct key_row row = {};
	int k = db_query(store_db(store), err, on_key, &row,
			 "SELECT access_key, secret, token, expires_ms FROM role_keys"
			 " WHERE access_key = ?",
			 "t", access_key);

	if (k < 0 || !row.text)
		return k < 0 ? k : CREDENTIALS_E_UNKNOWN;
	k = row.expires_ms <= now_ms ? CREDENTIALS_E_EXPIRED : sigv4_keys_parse(row.text, ret, err);
	explicit_bzero(row.text, strlen(row.text));
	free(row.text);
	return k;
}

int credentials_purge(struct store *store, struct err *err)
{
	int k = db_exec(store_db(store), err, NULL,
			"DELETE FROM role_keys WHERE NOT EXISTS (SELECT 1 FROM tasks"
			" WHERE arn = role_keys.task AND last <> 'STOPPED')",
			"");

	if (k < 0)
		return k;
	return db_exec(store_db(store), err, NULL,
		       "DELETE FROM role_credentials WHERE NOT EXISTS (SELECT 1 FROM tasks"
		       " WHERE arn = role_credentials.task AND last <> 'STOPPED')",
		       "");
}

int credentials_drop(struct store *store, const char *task_arn, struct err *err)
{
	int k = db_exec(store_db(store), err, NULL, "DELETE FROM role_keys WHERE task = ?", "t",
			task_arn);

	return k < 0 ? k
		     : db_exec(store_db(store), err, NULL,
			       "DELETE FROM role_credentials WHERE task = ?", "t", task_arn);
}
