/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/shim/record.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t) n;
	}
	return 0;
}

int record_write(int dirfd, const char *name, const char *data, size_t len)
{
	char tmp[64];
	int fd, k;

	(void) snprintf(tmp, sizeof(tmp), "%s.tmp", name);
	fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	k = write_all(fd, data, len);
	if (k == 0 && fsync(fd) < 0)
		k = -errno;
	(void) close(fd);
	if (k == 0 && renameat(dirfd, tmp, dirfd, name) < 0)
		k = -errno;
	if (k < 0)
		(void) unlinkat(dirfd, tmp, 0);
	return k;
}

int record_write_started(int dirfd, pid_t pid, uint64_t start_ticks, const char *boot_id,
			 int64_t started_ms)
{
	char text[256];
	int n = snprintf(text, sizeof(text),
			 "{\"pid\":%d,\"startTicks\":%llu,\"bootId\":\"%s\",\"startedAt\":%lld}\n",
			 pid, (unsigned long long) start_ticks, boot_id, (long long) started_ms);

	return record_write(dirfd, "started", text, (size_t) n);
}

int record_write_exit(int dirfd, int exit_code, bool oom, int64_t finished_ms)
{
	char text[256];
	int n = snprintf(text, sizeof(text),
			 "{\"exitCode\":%d,\"signal\":%d,\"oom\":%s,\"finishedAt\":%lld}\n",
			 exit_code, exit_code > 128 ? exit_code - 128 : 0, oom ? "true" : "false",
			 (long long) finished_ms);

	return record_write(dirfd, "exit", text, (size_t) n);
}

ssize_t record_read(int dirfd, const char *name, char *buf, size_t size)
{
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, buf, size - 1);
	if (n < 0)
		n = -errno;
	(void) close(fd);
	if (n > 0 && buf[n - 1] == '\n')
		n--;
	buf[n > 0 ? n : 0] = '\0';
	return n;
}

/* Field number @wanted of /proc/PID/stat, see proc(5); NULL: too short. */
static const char *stat_field(const char *stat, int wanted)
{
	const char *p = strrchr(stat, ')'); /* the name before it may hold anything */

	for (int field = 2; p && field < wanted; field++)
		p = strchr(p + 1, ' ');
	return p;
}

static bool read_stat(pid_t pid, char *stat, size_t size)
{
	char path[32];

	(void) snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	return record_read(AT_FDCWD, path, stat, size) > 0;
}

uint64_t record_start_ticks(pid_t pid)
{
	char stat[1024];
	const char *p = read_stat(pid, stat, sizeof(stat)) ? stat_field(stat, 22) : NULL;

	return p ? strtoull(p, NULL, 10) : 0;
}

bool record_parse_has_execed(const char *stat)
{
	enum { PF_FORKNOEXEC = 0x40 }; /* include/linux/sched.h; execve() clears it */
	const char *p = stat_field(stat, 9);

	return !p || !(strtoull(p, NULL, 10) & PF_FORKNOEXEC);
}

bool record_has_execed(pid_t pid)
{
	char stat[1024];

	return !read_stat(pid, stat, sizeof(stat)) || record_parse_has_execed(stat);
}

bool record_parse_awaits_signals(const char *status)
{
	/* Not its mask: while a process waits for signals, those count as not blocked. */
	const char *p = strstr(status, "\nSigIgn:");

	return !p || strtoull(p + strlen("\nSigIgn:"), NULL, 16) & 1ULL << (SIGTTIN - 1);
}

bool record_awaits_signals(pid_t pid)
{
	char path[32], status[4096];

	(void) snprintf(path, sizeof(path), "/proc/%d/status", pid);
	return record_read(AT_FDCWD, path, status, sizeof(status)) <= 0 ||
	       record_parse_awaits_signals(status);
}

bool record_is_our_child(pid_t pid)
{
	siginfo_t si;

	return waitid(P_PID, (id_t) pid, &si, WEXITED | WNOHANG | WNOWAIT) == 0;
}

pid_t record_parse_pid(const char *text)
{
	char *end = NULL;
	long pid;

	if (*text < '1' || *text > '9')
		return 0;
	errno = 0;
	pid = strtol(text, &end, 10);
	return errno == 0 && *end == '\0' && pid <= 1 << 22 ? (pid_t) pid : 0;
}

/* Copies a JSON string that starts after its quote; what is not plain text becomes a blank. */
static bool copy_json_string(const char *p, const char *end, char *ret, size_t size)
{
	size_t n = 0;

	for (; p < end && *p != '"'; p++) {
		char c = *p;

		if (c == '\\' && ++p < end) {
			c = *p;
			if (c == 'u') {
				char hex[5] = {};
				unsigned long code;

				if (end - p < 5)
					return false;
				memcpy(hex, p + 1, 4);
				code = strtoul(hex, NULL, 16);
				p += 4;
				c = code >= ' ' && code < 0x7f ? (char) code : ' ';
			} else if (c == 'n' || c == 't' || c == 'r' || c == 'b' || c == 'f') {
				c = ' ';
			}
		}
		if (n + 1 < size)
			ret[n++] = (unsigned char) c < ' ' || c == 0x7f ? ' ' : c;
	}
	ret[n] = '\0';
	return p < end && n > 0;
}

static const char *find_in(const char *p, const char *end, const char *what)
{
	return memmem(p, (size_t) (end - p), what, strlen(what));
}

bool record_parse_runc_error(const char *text, size_t len, char *ret, size_t size)
{
	const char *end = text + len;
	bool found = false;

	for (const char *line = text; line < end;) {
		const char *nl = memchr(line, '\n', (size_t) (end - line)), *to = nl ? nl : end;
		const char *msg = find_in(line, to, "\"msg\":\"");

		if (msg && (find_in(line, to, "\"level\":\"error\"") ||
			    find_in(line, to, "\"level\":\"fatal\"")))
			found = copy_json_string(msg + strlen("\"msg\":\""), to, ret, size) ||
				found;
		line = to + 1;
	}
	return found;
}
