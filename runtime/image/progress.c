/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/image/progress.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"

enum {
	ID_LEN = 12,
	BAR_MIN = 8,
	BAR_MAX = 40,
	LINE_MAX_COLUMNS = 400,
};

int64_t progress_rate(struct progress_rate *r, int64_t now_ms, int64_t bytes)
{
	const struct progress_sample *last =
		&r->samples[(r->n + PROGRESS_SAMPLES - 1) % PROGRESS_SAMPLES];
	const struct progress_sample *first;

	if (r->n == 0 || now_ms - last->ms >= PROGRESS_SAMPLE_MS)
		r->samples[r->n++ % PROGRESS_SAMPLES] = (struct progress_sample){ now_ms, bytes };
	first = &r->samples[r->n < PROGRESS_SAMPLES ? 0 : r->n % PROGRESS_SAMPLES];
	/* a layer that starts over takes bytes back */
	if (now_ms <= first->ms || bytes <= first->bytes)
		return 0;
	return (bytes - first->bytes) * 1000 / (now_ms - first->ms);
}

void progress_put_size(char *ret, size_t len, int64_t bytes)
{
	if (bytes < 1000 * 1000)
		(void) snprintf(ret, len, "%.1f kB", (double) bytes / 1e3);
	else if (bytes < 1000 * 1000 * 1000)
		(void) snprintf(ret, len, "%.1f MB", (double) bytes / 1e6);
	else
		(void) snprintf(ret, len, "%.2f GB", (double) bytes / 1e9);
}

/* "[====>     ] " of @width characters with its blank, or nothing where there is no room. */
static void put_bar(struct buf *ret, int64_t bytes, int64_t total, size_t width)
{
	size_t inner = MIN(width, (size_t) BAR_MAX), full;

	if (inner < BAR_MIN)
		return;
	inner -= 3;
	full = total > 0 ? (size_t) ((double) inner * (double) CLAMP(bytes, 0, total) /
				     (double) total)
			 : inner;
	(void) buf_puts(ret, "[");
	for (size_t i = 0; i < inner; i++)
		(void) buf_puts(ret, i < full ? "=" : i == full ? ">" : " ");
	(void) buf_puts(ret, "] ");
}

/* @head, a bar as long as there is room, @tail; cut off at @columns. */
static void put_line(struct buf *ret, const char *head, int64_t bytes, int64_t total,
		     const char *tail, size_t columns)
{
	_cleanup_(buf_done) struct buf line = {};
	size_t taken = strlen(head) + strlen(tail);

	(void) buf_puts(&line, head);
	put_bar(&line, bytes, total, taken < columns ? columns - taken : 0);
	(void) buf_puts(&line, tail);
	(void) buf_append(ret, buf_str(&line), MIN(line.len, columns));
	(void) buf_puts(ret, "\n");
}

static void put_layer(struct buf *ret, const struct progress_layer *l, size_t columns)
{
	char head[ID_LEN + 16], tail[96], done[32], all[32];
	const char *id = strchr(l->digest, ':');

	progress_put_size(done, sizeof(done), l->bytes);
	progress_put_size(all, sizeof(all), l->total);
	(void) snprintf(head, sizeof(head), "%.*s ", ID_LEN, id ? id + 1 : l->digest);
	(void) snprintf(tail, sizeof(tail), "%9s of %9s  %-9s", done, all, l->state);
	put_line(ret, head, l->bytes, l->total, tail, columns);
}

static void put_sum(struct buf *ret, const struct progress *p, int64_t rate, size_t columns)
{
	char head[64], tail[160], done[32], all[32], speed[32], left[32] = "";

	progress_put_size(done, sizeof(done), p->bytes);
	progress_put_size(all, sizeof(all), p->total);
	progress_put_size(speed, sizeof(speed), rate);
	if (rate > 0 && p->total > p->bytes)
		(void) snprintf(left, sizeof(left), "  %lld:%02lld left",
				(long long) ((p->total - p->bytes) / rate / 60),
				(long long) ((p->total - p->bytes) / rate % 60));
	(void) snprintf(head, sizeof(head), "%zu of %zu layers ", p->done, p->n);
	(void) snprintf(tail, sizeof(tail), "%9s of %9s  %3d %%  %s/s%s", done, all,
			p->total > 0 ? (int) (CLAMP(p->bytes, 0, p->total) * 100 / p->total) : 100,
			speed, left);
	put_line(ret, head, p->bytes, p->total, tail, columns);
}

size_t progress_render(const struct progress *p, int64_t bytes_per_s, size_t columns, size_t rows,
		       struct buf *ret)
{
	/* the last column would wrap on some terminals; one row is the cursor's */
	size_t width = MIN(columns > 1 ? columns - 1 : 1, (size_t) LINE_MAX_COLUMNS);
	size_t n = p->n_layers + 2 <= rows ? p->n_layers : 0;

	for (size_t i = 0; i < n; i++)
		put_layer(ret, &p->layers[i], width);
	put_sum(ret, p, bytes_per_s, width);
	return n + 1;
}
