/* SPDX-License-Identifier: Apache-2.0 */
/* A settings file of any content: parsed, applied, printed and read back. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/config.h"
#include "common/cleanup.h"
#include "common/fs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(closep) int fd = memfd_create("config", MFD_CLOEXEC);
	_cleanup_(config_freep) struct config *c = NULL;
	_cleanup_(err_done) struct err err = {};
	char path[64], *none[] = { NULL };
	const char *files[] = { path, NULL };
	struct config_sources s = { .files = files,
				    .environ = none,
				    .port_range_file = "/dev/null",
				    .os_release_file = path };
	_cleanup_(fclosep) FILE *f = NULL;

	if (fd < 0 || fs_write_all(fd, data, size) < 0)
		return 0;
	(void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	/* what it says about a refused start is no news here */
	(void) log_open(&(struct log_params){ .stream_level = LOG_NONE,
					      .file_level = LOG_NONE,
					      .stream_fd = STDERR_FILENO },
			NULL);
	if (config_load(&s, &c, &err) < 0)
		return 0;
	f = fopen("/dev/null", "we");
	if (f) {
		config_print(c, f, false);
		config_print(c, f, true);
	}
	return 0;
}
