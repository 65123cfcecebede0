/* SPDX-License-Identifier: Apache-2.0 */
/* Container output, in reads of a size that the first byte chooses: each entry must be JSON. */
#include <assert.h>
#include <string.h>

#include "common/json.h"
#include "runtime/shim/jsonlog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(void *userdata, const char *text, size_t len, bool newline, const char *stream,
		  const struct timespec *ts)
{
	static char out[JSONLOG_ENTRY_MAX];
	size_t n = jsonlog_format(out, text, len, newline, stream, ts), *total = userdata;
	json_t *entry = NULL;

	assert(n < sizeof(out) && out[n - 1] == '\n' && !memchr(out, '\n', n - 1));
	/* The parser knows no U+0000 in strings; everything else must go through. */
	if (!memchr(text, 0, len))
		assert(json_parse(out, n, &entry, NULL) == 0);
	json_decref(entry);
	*total += len + newline;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct jsonlog_stream s;
	struct timespec ts = { .tv_sec = 1, .tv_nsec = 500 };
	size_t step = size > 0 ? data[0] * 64u + 1 : 1, total = 0, at = 0;

	memset(&s, 0, sizeof(s));
	s.name = "stdout";
	do {
		size_t room, n;
		char *to = jsonlog_space(&s, &room);

		assert(room > 0);
		n = size - at < step ? size - at : step;
		n = n < room ? n : room;
		memcpy(to, data + at, n);
		at += n;
		jsonlog_feed(&s, n, at == size, &ts, check, &total);
	} while (at < size);
	assert(total == size);
	return 0;
}
