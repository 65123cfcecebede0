/* SPDX-License-Identifier: Apache-2.0 */
/* passwd and group files out of an image. */
#include <assert.h>

#include "runtime/rootfs/userdb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *begin = (const char *) data, *end = begin + size;
	struct userdb_user u;
	struct userdb_group g;

	for (const char *at = begin; userdb_next_user(&at, end, &u);) {
		assert(u.name.len > 0 && u.uid <= USERDB_ID_MAX && u.gid <= USERDB_ID_MAX);
		assert(u.home.len == 0 ||
		       (u.home.data >= begin && u.home.data + u.home.len <= end));
	}
	for (const char *at = begin; userdb_next_group(&at, end, &g);) {
		assert(g.name.len > 0 && g.gid <= USERDB_ID_MAX);
		(void) userdb_is_member(&g, g.name);
	}
	return 0;
}
