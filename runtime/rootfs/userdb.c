/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/rootfs/userdb.h"

#include <errno.h>
#include <string.h>

#include "common/macro.h"

enum { FIELDS_MAX = 7 };

int userdb_parse_id(const char *data, size_t len, uint32_t *ret)
{
	uint64_t v = 0;

	if (len == 0)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (data[i] < '0' || data[i] > '9')
			return -EINVAL;
		v = MIN(v * 10 + (uint64_t) (data[i] - '0'), (uint64_t) USERDB_ID_MAX + 1);
	}
	if (v > USERDB_ID_MAX)
		return -ERANGE;
	*ret = (uint32_t) v;
	return 0;
}

/* Splits one line at colons; missing fields are empty. Returns false for a line without content. */
static bool next_line(const char **at, const char *end, struct userdb_text f[FIELDS_MAX])
{
	const char *nl = memchr(*at, '\n', (size_t) (end - *at)), *stop = nl ? nl : end, *p = *at;

	*at = nl ? nl + 1 : end;
	memset(f, 0, FIELDS_MAX * sizeof(*f));
	for (int i = 0; i < FIELDS_MAX && p <= stop; i++) {
		const char *colon = p < stop ? memchr(p, ':', (size_t) (stop - p)) : NULL;

		f[i].data = p;
		f[i].len = (size_t) ((colon ? colon : stop) - p);
		p = colon ? colon + 1 : stop + 1;
	}
	return f[0].len > 0 && f[0].data[0] != '#';
}

bool userdb_next_user(const char **at, const char *end, struct userdb_user *ret)
{
	struct userdb_text f[FIELDS_MAX];

	while (*at < end) {
		if (!next_line(at, end, f))
			continue;
		if (userdb_parse_id(f[2].data, f[2].len, &ret->uid) < 0 ||
		    userdb_parse_id(f[3].data, f[3].len, &ret->gid) < 0)
			continue;
		ret->name = f[0];
		ret->home = f[5];
		return true;
	}
	return false;
}

bool userdb_next_group(const char **at, const char *end, struct userdb_group *ret)
{
	struct userdb_text f[FIELDS_MAX];

	while (*at < end) {
		if (!next_line(at, end, f) || userdb_parse_id(f[2].data, f[2].len, &ret->gid) < 0)
			continue;
		ret->name = f[0];
		ret->members = f[3];
		return true;
	}
	return false;
}

bool userdb_text_is(struct userdb_text t, const char *s)
{
	return t.len == strlen(s) && memcmp(t.data, s, t.len) == 0;
}

bool userdb_is_member(const struct userdb_group *g, struct userdb_text name)
{
	const char *p = g->members.data, *end;

	if (!p || name.len == 0)
		return false;
	end = p + g->members.len;
	while (p < end) {
		const char *comma = memchr(p, ',', (size_t) (end - p));
		size_t len = (size_t) ((comma ? comma : end) - p);

		if (len == name.len && memcmp(p, name.data, len) == 0)
			return true;
		p += len + 1;
	}
	return false;
}
