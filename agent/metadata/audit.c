/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/metadata/audit.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/macro.h"

enum { FORM = 2, USER_AGENT_MAX = 256, OPEN_AGAIN_MS = 60 * 1000 };

struct audit {
	char *path; /* owned */
	struct rotate_params params;
	struct rotating file;
	int64_t open_again_ms; /* monotonic, while the file is closed */
	bool told;
};

/* ---- the form of a line ---- */

static const char *or_dash(const char *text)
{
	return text && *text ? text : "-";
}

/* Whoever asks chooses this text: no byte of it ends the line or the quotes. */
static void put_quoted(struct buf *b, const char *text)
{
	(void) buf_puts(b, "\"");
	for (size_t i = 0; text[i] && i < USER_AGENT_MAX; i++) {
		unsigned char c = (unsigned char) text[i];

		if (c == '"' || c == '\\')
			(void) buf_printf(b, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			(void) buf_printf(b, "\\x%02x", c);
		else
			(void) buf_append(b, &text[i], 1);
	}
	(void) buf_puts(b, "\"");
}

void audit_format(const struct audit_entry *e, struct buf *b)
{
	char stamp[CLOCK_RFC3339_MAX], addr[INET_ADDRSTRLEN] = "";

	(void) inet_ntop(AF_INET, &e->peer.sin_addr, addr, sizeof(addr));
	(void) buf_printf(b, "%s %u %s:%u ", clock_format_rfc3339(e->real_ms, 0, stamp), e->status,
			  addr, ntohs(e->peer.sin_port));
	put_quoted(b, or_dash(e->path));
	(void) buf_puts(b, " ");
	put_quoted(b, or_dash(e->user_agent));
	(void) buf_printf(b, " %s", or_dash(e->task_arn));
	if (e->event)
		(void) buf_printf(b, " %s %d %s %s", or_dash(e->event), FORM, or_dash(e->cluster),
				  or_dash(e->instance_arn));
	(void) buf_puts(b, "\n");
}

const char *audit_path(const char *path)
{
	static const struct {
		const char *head, *shown;
	} known[] = {
		{ "/v1/credentials", "/v1/credentials" },
		{ "/v2/credentials/", "/v2/credentials" },
		{ "/v2/metadata", "/v2/metadata" },
		{ "/v2/stats", "/v2/stats" },
		{ "/v3/", "/v3" },
		{ "/v4/", "/v4" },
		{ "/api/", "/api" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strncmp(path, known[i].head, strlen(known[i].head)) == 0)
			return known[i].shown;
	return "/";
}

/* ---- the file ---- */

struct audit *audit_new(const struct rotate_params *p)
{
	struct audit *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->file.fd = -EBADF;
	a->params = *p;
	a->params.path = a->path = strdup(p->path);
	return a->path ? a : audit_free(a);
}

struct audit *audit_free(struct audit *a)
{
	if (!a)
		return NULL;
	rotating_close(&a->file);
	free(a->path);
	free(a);
	return NULL;
}

static void tell(struct audit *a, const char *why)
{
	if (!a->told)
		log_warn("Failed to write the audit log, going on without: %s", why);
	a->told = true;
}

/* Looking for a directory may take long on some file systems, so not for each request. */
static bool is_open(struct audit *a)
{
	_cleanup_(err_done) struct err err = {};
	int64_t now = clock_mono_ms();

	if (a->file.fd >= 0)
		return true;
	if (a->open_again_ms && now < a->open_again_ms)
		return false;
	a->open_again_ms = now + OPEN_AGAIN_MS;
	if (rotating_open(&a->file, &a->params, &err) < 0) {
		tell(a, err_text(&err));
		return false;
	}
	return true;
}

void audit_write(struct audit *a, const struct audit_entry *e)
{
	_cleanup_(buf_done) struct buf line = {};
	int k;

	if (!a || !is_open(a))
		return;
	audit_format(e, &line);
	k = rotating_write(&a->file, buf_str(&line), line.len);
	if (k == 0)
		return;
	tell(a, strerrordesc_np(-k));
	rotating_close(&a->file);
	a->open_again_ms = clock_mono_ms() + OPEN_AGAIN_MS;
}
