/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/shim/wire.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

enum {
	EVENT_HEAD = offsetof(struct shim_wire_event, message),
	HEALTH_HEAD = offsetof(struct shim_wire_health, output),
};

size_t shim_wire_event_size(const struct shim_wire_event *e)
{
	return EVENT_HEAD + e->message_len;
}

size_t shim_wire_health_size(const struct shim_wire_health *h)
{
	return HEALTH_HEAD + h->output_len;
}

int shim_wire_decode_health(const void *data, size_t len, struct shim_wire_health *ret)
{
	struct shim_wire_health h = {};

	if (len < HEALTH_HEAD)
		return -EPROTO;
	memcpy(&h, data, HEALTH_HEAD);
	if (h.magic != SHIM_WIRE_MAGIC || h.type != SHIM_WIRE_HEALTH ||
	    h.status > SHIM_WIRE_UNHEALTHY || h.exit_code < -1 || h.exit_code > 255)
		return -EPROTO;
	if (h.output_len > sizeof(h.output) || h.output_len > len - HEALTH_HEAD)
		return -EPROTO;
	memcpy(h.output, (const char *) data + HEALTH_HEAD, h.output_len);
	*ret = h;
	return 0;
}

int shim_wire_decode_event(const void *data, size_t len, struct shim_wire_event *ret)
{
	struct shim_wire_event e = {};

	if (len < EVENT_HEAD)
		return -EPROTO;
	memcpy(&e, data, EVENT_HEAD);
	if (e.magic != SHIM_WIRE_MAGIC || e.type < SHIM_WIRE_HELLO || e.type > SHIM_WIRE_EXITED)
		return -EPROTO;
	if (e.message_len >= sizeof(e.message) || e.message_len > len - EVENT_HEAD)
		return -EPROTO;
	if (e.pid < 0 || e.exit_code < 0 || e.exit_code > 255 || e.oom > 1)
		return -EPROTO;
	memcpy(e.message, (const char *) data + EVENT_HEAD, e.message_len);
	for (size_t i = 0; i < e.message_len; i++)
		if ((unsigned char) e.message[i] < ' ' || e.message[i] == 0x7f)
			e.message[i] = ' ';
	*ret = e;
	return 0;
}

int shim_wire_decode_command(const void *data, size_t len, struct shim_wire_command *ret)
{
	struct shim_wire_command c = {};

	if (len < sizeof(c))
		return -EPROTO;
	memcpy(&c, data, sizeof(c));
	if (c.magic != SHIM_WIRE_MAGIC || c.type < SHIM_WIRE_SIGNAL || c.type > SHIM_WIRE_STOP)
		return -EPROTO;
	if (c.type != SHIM_WIRE_KILL_ALL && (c.arg < 1 || c.arg >= NSIG))
		return -EPROTO;
	*ret = c;
	return 0;
}
