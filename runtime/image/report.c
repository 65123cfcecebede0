/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/image/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "runtime/image/failure.h"

enum { PROGRESS_INTERVAL_MS = 100, MESSAGE_MAX = 4096 };

/* Takes the reference to @line. */
static void put_line(json_t *line)
{
	_cleanup_(freep) char *text = line ? json_to_text(line) : NULL;

	if (text) {
		(void) printf("%s\n", text);
		(void) fflush(stdout);
	}
	json_decref(line);
}

/* Messages quote names out of archives, which may be anything. */
static json_t *text_value(const char *text)
{
	size_t len = MIN(strlen(text), (size_t) MESSAGE_MAX);
	json_t *value = json_stringn(text, len);
	_cleanup_(freep) char *ascii = value ? NULL : strndup(text, len);

	for (char *p = ascii; p && *p; p++)
		*p = (unsigned char) *p < 0x80 ? *p : '?';
	return value ? value : json_string(ascii ? ascii : "");
}

static void clear_line(struct report *r)
{
	if (r->line_open)
		(void) fputs("\r\033[K", stdout);
	r->line_open = false;
}

void report_resolved(struct report *r, const char *digest)
{
	if (r->json)
		put_line(json_pack("{s:s, s:s*}", "event", "resolved", "digest", digest));
	else if (!r->quiet && r->terminal)
		(void) printf("Digest: %s\n", digest ? digest : "none");
}

static void put_size(char *buf, size_t len, int64_t bytes)
{
	if (bytes < 1000 * 1000)
		(void) snprintf(buf, len, "%.1f kB", (double) bytes / 1e3);
	else if (bytes < 1000 * 1000 * 1000)
		(void) snprintf(buf, len, "%.1f MB", (double) bytes / 1e6);
	else
		(void) snprintf(buf, len, "%.2f GB", (double) bytes / 1e9);
}

void report_progress(struct report *r, int64_t bytes, int64_t total, bool force)
{
	int64_t now = clock_mono_ms();
	char done[32], all[32];

	if (r->quiet || (!r->json && !r->terminal) ||
	    (!force && now - r->shown_ms < PROGRESS_INTERVAL_MS))
		return;
	r->shown_ms = now;
	if (r->json) {
		put_line(json_pack("{s:s, s:I, s:I}", "event", "progress", "bytes",
				   (json_int_t) bytes, "total", (json_int_t) total));
		return;
	}
	put_size(done, sizeof(done), bytes);
	put_size(all, sizeof(all), total);
	(void) printf("\r\033[KPulling: %s of %s (%d %%)", done, all,
		      total > 0 ? (int) (bytes * 100 / total) : 100);
	(void) fflush(stdout);
	r->line_open = true;
}

void report_retry(struct report *r, const char *text)
{
	clear_line(r);
	if (r->json)
		put_line(json_pack("{s:s, s:o}", "event", "retry", "message", text_value(text)));
	else if (!r->quiet)
		(void) fprintf(stderr, "ecs-image: %s\n", text);
}

void report_warning(struct report *r, const char *text)
{
	clear_line(r);
	if (!r->json)
		(void) fprintf(stderr, "ecs-image: warning: %s\n", text);
}

void report_pulled(struct report *r, const struct image *image, bool from_cache,
		   const char *why_cached)
{
	if (r->json) {
		put_line(json_pack("{s:s, s:s, s:s, s:s*, s:b, s:s*}", "event", "done", "reference",
				   image->reference, "id", image->id, "digest", image->digest,
				   "from_cache", from_cache, "message", why_cached));
		return;
	}
	if (why_cached) {
		_cleanup_(freep) char *text = NULL;

		if (asprintf(&text, "%s; using the cached image", why_cached) >= 0)
			report_warning(r, text);
	}
	clear_line(r);
	if (r->quiet)
		(void) printf("%s\n", image->id);
	else
		(void) printf("%s\n", image->reference);
}

void report_failed(struct report *r, enum image_pull_failure kind, const char *message)
{
	clear_line(r);
	if (r->json)
		put_line(json_pack("{s:s, s:s, s:o}", "event", "failed", "kind",
				   image_pull_failure_name(kind), "message", text_value(message)));
	else
		(void) fprintf(stderr, "ecs-image: %s\n", message);
}
