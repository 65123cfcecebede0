/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http/events.h"

#include <string.h>

#include "common/cleanup.h"
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

void events_done(struct events *e)
{
	buf_done(&e->text);
}
