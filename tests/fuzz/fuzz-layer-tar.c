/* SPDX-License-Identifier: Apache-2.0 */
/* Reads an archive to its end and cleans every name; nothing is written. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/unpack/apply.h"
#include "runtime/unpack/tar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *data;
	size_t left;
};

static ssize_t read_input(void *userdata, void *buf, size_t len)
{
	struct input *in = userdata;
	size_t n = MIN(MIN(len, in->left), (size_t) 1000);

	memcpy(buf, in->data, n);
	in->data += n;
	in->left -= n;
	return (ssize_t) n;
}

static void check_name(const char *name)
{
	char clean[TAR_PATH_MAX + 1];

	if (apply_clean_path(name, clean, NULL) < 0)
		return;
	if (clean[0] == '/' || strcmp(clean, "..") == 0 || strncmp(clean, "../", 3) == 0 ||
	    strstr(clean, "/../") || strstr(clean, "//"))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	_cleanup_(tar_closep) struct tar *t = NULL;
	_cleanup_(err_done) struct err err = {};
	struct tar_entry e;

	if (tar_open(read_input, &in, &t, &err) < 0)
		return 0;
	while (tar_next(t, &e, &err) == 0) {
		const void *piece;
		size_t len = 1;

		check_name(e.path);
		check_name(e.link);
		while (len > 0 && tar_data(t, &piece, &len, &err) == 0)
			;
	}
	return 0;
}
