/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net/sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"

static bool has_value(int fd, const char *value)
{
	char now[64];
	ssize_t n = pread(fd, now, sizeof(now) - 1, 0);

	if (n < 0)
		return false;
	now[n] = '\0';
	now[strcspn(now, "\n")] = '\0';
	return !strcmp(now, value);
}

int sysctl_set(const char *path, const char *value, bool optional, struct err *err)
{
	_cleanup_(closep) int dir = -EBADF, reader = -EBADF, writer = -EBADF;

	dir = open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_set_errno(err, errno, "open /proc/sys");
	reader = openat(dir, path, O_RDONLY | O_CLOEXEC);
	if (reader < 0 && errno == ENOENT && optional)
		return 0;
	if (reader >= 0 && has_value(reader, value))
		return 0;
	writer = openat(dir, path, O_WRONLY | O_CLOEXEC);
	if (writer < 0 || write(writer, value, strlen(value)) < 0)
		return err_set_errno(err, errno, "set /proc/sys/%s to %s", path, value);
	return 0;
}

bool sysctl_is(const char *path, const char *value)
{
	_cleanup_(closep) int dir = open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(closep) int fd = dir < 0 ? -EBADF : openat(dir, path, O_RDONLY | O_CLOEXEC);

	return fd >= 0 && has_value(fd, value);
}
