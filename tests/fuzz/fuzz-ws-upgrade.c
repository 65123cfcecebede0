/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-ws-upgrade - the answer to a WebSocket upgrade, whole and cut off at every length. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "aws/ws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (size_t n = size > 512 ? size - 512 : 0; n <= size; n++) {
		_cleanup_(freep) char *exact = malloc(n ? n : 1); /* reads beyond it show */
		int64_t length = 0;
		size_t end = 0;

		if (!exact)
			return 0;
		if (n)
			memcpy(exact, data, n);
		if (ws_parse_upgrade(exact, n, "dGhlIHNhbXBsZSBub25jZQ==", &end, &length, NULL) > 0)
			assert(end <= n && length >= -1);
		assert(ws_upgrade_date_ms(exact, n) >= 0);
	}
	return 0;
}
