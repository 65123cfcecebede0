/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http/events.h"

#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/macro.h"

void events_add(struct events *e, const json_t *event)
{
	_cleanup_(freep) char *line = json_to_text(event);
	size_t need = line ? strlen(line) + 1 : 0;

	if (!line || need > EVENTS_BYTES_MAX)
		return;
	while (e->text.len + need > EVENTS_BYTES_MAX) {
		const char *end = strchr(buf_str(&e->text), '\n');
		size_t n = end ? (size_t) (end - buf_str(&e->text)) + 1 : e->text.len;

		buf_consume(&e->text, n);
		e->dropped += n;
	}
	(void) buf_printf(&e->text, "%s\n", line);
}

size_t events_read(void *events, uint64_t *cursor, char *buf, size_t max)
{
	const struct events *e = events;
	size_t at, n;

	*cursor = MAX(*cursor, e->dropped);
	at = (size_t) (*cursor - e->dropped);
	if (at >= e->text.len)
		return 0;
	n = MIN(max, e->text.len - at);
	memcpy(buf, e->text.data + at, n);
	*cursor += n;
	return n;
}

/* They stand in the order of their times, each as "…\"time\":\"2026-01-31T12:00:00.000Z\"…". */
uint64_t events_since(const struct events *e, int64_t since_ms)
{
	const char *start = buf_str((struct buf *) &e->text), *line = start;
	char since[CLOCK_RFC3339_MAX];

	(void) clock_format_rfc3339(since_ms, 1, since);
	while (*line) {
		const char *end = line + strcspn(line, "\n");
		_cleanup_(json_decrefp) json_t *o =
			json_loadb(line, (size_t) (end - line), 0, NULL);

		if (strcmp(json_get_string(o, "time", "~"), since) >= 0)
			break;
		line = end + (*end == '\n');
	}
	return e->dropped + (uint64_t) (line - start);
}

void events_done(struct events *e)
{
	buf_done(&e->text);
}
