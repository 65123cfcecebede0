/* SPDX-License-Identifier: Apache-2.0 */
/* What an agent and a shim may send each other, and what runc may leave in its log. */
#include <assert.h>
#include <string.h>

#include "runtime/shim/record.h"
#include "runtime/shim/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct shim_wire_command c;
	struct shim_wire_health h;
	struct shim_wire_event e;
	char text[64];

	if (shim_wire_decode_event(data, size, &e) == 0) {
		assert(e.message[e.message_len] == '\0' && strlen(e.message) <= e.message_len);
		assert(shim_wire_event_size(&e) <= size);
	}
	if (shim_wire_decode_health(data, size, &h) == 0)
		assert(h.output_len <= sizeof(h.output) && shim_wire_health_size(&h) <= size);
	(void) shim_wire_decode_command(data, size, &c);
	if (record_parse_runc_error((const char *) data, size, text, sizeof(text)))
		assert(strlen(text) < sizeof(text));
	return 0;
}
