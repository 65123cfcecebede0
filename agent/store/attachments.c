/* SPDX-License-Identifier: Apache-2.0 */
/* Interfaces that were announced: by MAC, with the time until which the service waits for them. */
#include <errno.h>
#include <string.h>

#include "agent/store/internal.h"
#include "agent/store/store.h"

enum { MAC_TEXT = 13 };

static const char *mac_text(const uint8_t mac[6], char *buf)
{
	(void) snprintf(buf, MAC_TEXT, "%02x%02x%02x%02x%02x%02x", mac[0], mac[1], mac[2], mac[3],
			mac[4], mac[5]);
	return buf;
}

int store_put_attachment(struct store *s, const struct store_attachment *a, struct err *err)
{
	char mac[MAC_TEXT];

	return db_exec(s->db, err, NULL,
		       "INSERT OR REPLACE INTO attachments (mac, arn, task_arn, expires_ms, told)"
		       " VALUES (?, ?, ?, ?, ?)",
		       "tttii", mac_text(a->mac, mac), a->arn, a->task_arn, a->expires_ms,
		       (int64_t) a->told);
}

int store_delete_attachment(struct store *s, const uint8_t mac[6], struct err *err)
{
	char text[MAC_TEXT];

	return db_exec(s->db, err, NULL, "DELETE FROM attachments WHERE mac = ?", "t",
		       mac_text(mac, text));
}

struct each {
	int (*fn)(void *userdata, const struct store_attachment *a, struct err *err);
	void *userdata;
};

static int on_row(sqlite3_stmt *row, void *userdata, struct err *err)
{
	struct each *e = userdata;
	struct store_attachment a = { .arn = (char *) db_text(row, 1),
				      .task_arn = (char *) db_text_or_null(row, 2),
				      .expires_ms = db_int(row, 3),
				      .told = db_int(row, 4) != 0 };

	if (sscanf(db_text(row, 0), "%2hhx%2hhx%2hhx%2hhx%2hhx%2hhx", &a.mac[0], &a.mac[1],
		   &a.mac[2], &a.mac[3], &a.mac[4], &a.mac[5]) != 6)
		return err_set(err, EBADMSG, "attachments: '%s' is no MAC address",
			       db_text(row, 0));
	return e->fn(e->userdata, &a, err);
}

int store_each_attachment(struct store *s,
			  int (*fn)(void *userdata, const struct store_attachment *a,
				    struct err *err),
			  void *userdata, struct err *err)
{
	struct each e = { fn, userdata };

	return db_query(s->db, err, on_row, &e,
			"SELECT mac, arn, task_arn, expires_ms, told FROM attachments", "");
}
