/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents, one per line: the first is where a walk begins, an entry leads to the one that the last
 * digit of its digest counts. However they lead to each other, the walk ends, at an image or nowhere.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/image/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct shelf {
	const char *start[16];
	size_t len[16];
	int asked;
};

static int get(void *userdata, const struct descriptor *d, struct manifest *ret, struct err *err)
{
	struct shelf *s = userdata;
	char c = d->digest[strlen(d->digest) - 1];
	size_t i = (size_t) (c <= '9' ? c - '0' : c - 'a' + 10);

	if (++s->asked > MANIFEST_DOCUMENTS_MAX || i >= 16)
		abort();
	return s->start[i] ? manifest_decode(d->media_type, s->start[i], s->len[i], ret, err)
			   : err_set(err, ENOENT, "no such document");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(platform_done) struct platform p = {};
	_cleanup_(manifest_done) struct manifest m = {};
	_cleanup_(err_done) struct err err = {};
	const char *at = (const char *) data, *end = at + size;
	struct shelf s = {};

	for (size_t i = 0; i < 16 && at < end; i++) {
		const char *newline = memchr(at, '\n', (size_t) (end - at));

		s.start[i] = at;
		s.len[i] = (size_t) ((newline ? newline : end) - at);
		at = newline ? newline + 1 : end;
	}
	if (!s.start[0] || manifest_decode(NULL, s.start[0], s.len[0], &m, &err) < 0 ||
	    platform_parse("linux/amd64", &p, NULL) < 0)
		return 0;
	if (manifest_follow(&m, &p, get, &s, &err) == 0 && m.is_index)
		abort();
	return 0;
}
