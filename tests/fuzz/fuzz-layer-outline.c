/* SPDX-License-Identifier: Apache-2.0 */
/* An outline as a damaged disk may give it back, over a directory of two files. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/fs.h"
#include "runtime/unpack/outline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[] = "/tmp/ecs-fuzz-outline-XXXXXX";

static void remove_directory(void)
{
	(void) fs_remove_tree(AT_FDCWD, dir, NULL);
}

static int open_directory(void)
{
	int fd = mkdtemp(dir) ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (fd >= 0) {
		(void) atexit(remove_directory);
		(void) fs_write_file_volatile(fd, "f", "1\n", 2, 0600, NULL);
		(void) fs_write_file_volatile(fd, "g", "0123456789", 10, 0600, NULL);
	}
	return fd;
}

static int count(void *userdata, const void *data, size_t len)
{
	size_t *left = userdata;

	(void) data;
	*left -= MIN(len, *left);
	return *left > 0 ? 0 : -EFBIG; /* few bytes may stand for many */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int root = -1;
	_cleanup_(closep) int fd = memfd_create("outline", MFD_CLOEXEC);
	_cleanup_(outline_closep) struct outline_reader *r = NULL;
	_cleanup_(err_done) struct err err = {};
	size_t left = 1 << 20;
	char buf[1000];

	if (root < 0)
		root = open_directory();
	if (root < 0 || fd < 0 || fs_write_all(fd, data, size) < 0)
		return 0;
	(void) outline_replay(fd, root, count, &left, &err);
	err_done(&err);
	if (outline_open(fd, root, false, &r, &err) < 0)
		return 0;
	for (left = 1000; left > 0 && outline_read(r, buf, sizeof(buf), &err) > 0; left--)
		;
	return 0;
}
