/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Applies an archive to a directory: nothing may appear beside it, and when it went well the
 * outline and the directory together are the archive again, and the directory looks as it says.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fs.h"
#include "runtime/unpack/apply.h"
#include "runtime/unpack/check.h"
#include "runtime/unpack/outline.h"

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

/* The bytes that come have to be those of the input, in order. */
static int compare(void *userdata, const void *data, size_t len)
{
	struct input *in = userdata;

	if (len > in->left || memcmp(in->data, data, len) != 0)
		abort();
	in->data += len;
	in->left -= len;
	return 0;
}

static void check_neighbours(const char *dir)
{
	_cleanup_(closedirp) DIR *d = opendir(dir);
	const struct dirent *e;

	while (d && (e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
		    strcmp(e->d_name, "root") != 0)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char dir[] = "/tmp/ecs-fuzz-apply-XXXXXX", root[sizeof(dir) + 5];
	_cleanup_(closep) int fd = -EBADF, outline = memfd_create("outline", MFD_CLOEXEC);
	const struct apply_limits limits = { APPLY_LAYER, 1 << 20, 200, outline };
	struct apply_result result = {};
	_cleanup_(err_done) struct err err = {};
	struct input in = { data, size };
	struct stat st;

	if (outline < 0 || !mkdtemp(dir))
		return 0;
	(void) snprintf(root, sizeof(root), "%s/root", dir);
	if (mkdir(root, 0755) == 0)
		fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && apply_archive(fd, &limits, read_input, &in, &result, &err) == 0) {
		struct input again = { data, size }, once_more = again;

		if (fstat(outline, &st) == 0 && st.st_size > 0 &&
		    (outline_replay(outline, fd, compare, &again, &err) < 0 || again.left > 0))
			abort();
		if (check_archive(fd, read_input, &once_more, &err) < 0)
			abort();
		apply_result_done(&result);
	}
	check_neighbours(dir);
	(void) fs_remove_tree(AT_FDCWD, dir, NULL);
	return 0;
}
