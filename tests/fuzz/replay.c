/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay - feeds each file of a fuzz target's corpus to it once; a crash or a sanitizer report
 * fails the test. The corpus is tests/fuzz/corpus/NAME for the program fuzz-NAME, or the files
 * named.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/fs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int feed(const char *path)
{
	_cleanup_(err_done) struct err err = {};
	_cleanup_(freep) char *data = NULL;
	size_t len = 0;

	if (fs_read_file(AT_FDCWD, path, 64u << 20, &data, &len, &err) < 0) {
		printf("not ok - %s: %s\n", path, err_text(&err));
		return 1;
	}
	(void) LLVMFuzzerTestOneInput((const uint8_t *) data, len);
	printf("ok - %s\n", path);
	return 0;
}

static int feed_corpus(const char *dir, int *n)
{
	_cleanup_(closedirp) DIR *d = opendir(dir);
	struct dirent *e;
	int bad = 0;

	while (d && (e = readdir(d))) {
		_cleanup_(freep) char *path = path_join("%s/%s", dir, e->d_name);

		if (e->d_name[0] == '.' || !path)
			continue;
		(*n)++;
		bad |= feed(path);
	}
	return bad;
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/'), *top = getenv("abs_top_srcdir");
	_cleanup_(freep) char *dir = NULL;
	int n = 0, bad = 0;

	if (argc > 1) {
		for (n = 0; n < argc - 1; n++)
			bad |= feed(argv[n + 1]);
	} else {
		name = name ? name + 1 : argv[0];
		name = strncmp(name, "fuzz-", 5) == 0 ? name + 5 : name;
		dir = path_join("%s/tests/fuzz/corpus/%s", top ? top : ".", name);
		bad = dir ? feed_corpus(dir, &n) : 1;
		if (n == 0)
			bad = printf("not ok - no corpus in %s\n", dir) > 0;
	}
	printf("1..%d\n", n ? n : 1);
	return bad;
}
