/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/strv.h"
#include "runtime/net/resolvconf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (int reach = RESOLVCONF_ALL; reach <= RESOLVCONF_BOTH; reach++) {
		struct resolvconf r = {};

		if (resolvconf_parse((const char *) data, size, (enum resolvconf_reach) reach, &r,
				     NULL) < 0)
			abort();
		if (strv_length(r.nameservers) > RESOLVCONF_ENTRIES_MAX ||
		    strv_length(r.search) > RESOLVCONF_ENTRIES_MAX ||
		    strv_length(r.options) > RESOLVCONF_ENTRIES_MAX)
			abort();
		resolvconf_done(&r);
	}
	return 0;
}
