/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/image/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/buf.h"
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

static void clear_lines(struct report *r)
{
	if (r->lines_open > 0)
		(void) printf("\033[%zuA\r\033[J", r->lines_open);
	r->lines_open = 0;
}

void report_init(struct report *r)
{
	const char *term = getenv("TERM");

	/* one that cannot move its cursor gets no lines that are written over */
	r->terminal = isatty(STDOUT_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

void report_resolved(struct report *r, const char *digest)
{
	if (r->json)
		put_line(json_pack("{s:s, s:s*}", "event", "resolved", "digest", digest));
	else if (!r->quiet && r->terminal)
		(void) printf("Digest: %s\n", digest ? digest : "none");
}

static json_t *layers_value(const struct progress *p)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < p->n_layers; i++)
		(void) json_array_append_new(
			list,
			json_pack("{s:s, s:s, s:I, s:I}", "digest", p->layers[i].digest, "state",
				  p->layers[i].state, "bytes", (json_int_t) p->layers[i].bytes,
				  "total", (json_int_t) p->layers[i].total));
	return list;
}

static void draw(struct report *r, const struct progress *p, int64_t rate)
{
	_cleanup_(buf_done) struct buf lines = {};
	struct winsize w = {};
	size_t n;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0 || w.ws_col == 0)
		w = (struct winsize){ .ws_row = 24, .ws_col = 80 };
	n = progress_render(p, rate, w.ws_col, w.ws_row, &lines);
	clear_lines(r);
	(void) fputs(buf_str(&lines), stdout);
	(void) fflush(stdout);
	r->lines_open = n;
}

bool report_wants_progress(const struct report *r, bool force)
{
	return !r->quiet && (r->json || r->terminal) &&
	       (force || clock_mono_ms() - r->shown_ms >= PROGRESS_INTERVAL_MS);
}

void report_progress(struct report *r, const struct progress *p)
{
	int64_t now = clock_mono_ms(), rate = progress_rate(&r->rate, now, p->bytes);

	r->began_ms = r->began_ms ? r->began_ms : now;
	r->shown_ms = now;
	r->fetched = p->bytes;
	if (r->json)
		put_line(json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:o}", "event", "progress",
				   "bytes", (json_int_t) p->bytes, "total", (json_int_t) p->total,
				   "rate", (json_int_t) rate, "layersDone", (json_int_t) p->done,
				   "layers", (json_int_t) p->n, "active", layers_value(p)));
	else
		draw(r, p, rate);
}

/* Terminals are told what all of it took; the lines of the layers go. */
static void sum_up(struct report *r)
{
	int64_t ms = clock_mono_ms() - r->began_ms;
	char size[32], speed[32];

	clear_lines(r);
	if (!r->terminal || r->quiet || r->fetched == 0)
		return;
	progress_put_size(size, sizeof(size), r->fetched);
	progress_put_size(speed, sizeof(speed), ms > 0 ? r->fetched * 1000 / ms : r->fetched);
	(void) printf("Fetched and unpacked %s in %.1f s (%s/s)\n", size, (double) ms / 1e3, speed);
}

void report_retry(struct report *r, const char *text)
{
	clear_lines(r);
	if (r->json)
		put_line(json_pack("{s:s, s:o}", "event", "retry", "message", text_value(text)));
	else if (!r->quiet)
		(void) fprintf(stderr, "ecs-image: %s\n", text);
}

void report_warning(struct report *r, const char *text)
{
	clear_lines(r);
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
	sum_up(r);
	if (r->quiet)
		(void) printf("%s\n", image->id);
	else
		(void) printf("%s\n", image->reference);
}

void report_failed(struct report *r, enum image_pull_failure kind, const char *message)
{
	clear_lines(r);
	if (r->json)
		put_line(json_pack("{s:s, s:s, s:o}", "event", "failed", "kind",
				   image_pull_failure_name(kind), "message", text_value(message)));
	else
		(void) fprintf(stderr, "ecs-image: %s\n", message);
}
