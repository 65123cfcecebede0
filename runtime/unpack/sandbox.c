/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/unpack/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"

/* The address sanitizer reserves terabytes of address space. */
#ifdef __SANITIZE_ADDRESS__
#define SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED
#endif
#endif

int sandbox_unshare(struct err *err)
{
	if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
		return err_set_errno(err, errno, "unpacker: leave the host's namespaces");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_set_errno(err, errno, "unpacker: make mounts private");
	return 0;
}

static int set_capabilities(uint64_t keep, struct err *err)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {};

	for (int cap = 0; cap <= 63; cap++)
		if (!(keep >> cap & 1) && prctl(PR_CAPBSET_READ, cap) == 1)
			(void) prctl(PR_CAPBSET_DROP, cap);
	for (int i = 0; i < 2; i++)
		data[i].effective = data[i].permitted = (uint32_t) (keep >> (32 * i));
	if (syscall(SYS_capset, &head, data) < 0)
		return err_set_errno(err, errno, "unpacker: drop capabilities");
	return 0;
}

int sandbox_drop_all(struct err *err)
{
	return set_capabilities(0, err);
}

/* The place of @dir_fd by name, in our own mount namespace; only mounts of ours can be bound. */
static int find_place(int dir_fd, char *place, size_t len, struct err *err)
{
	struct stat wanted, found;
	char link[64];
	ssize_t n;

	(void) snprintf(link, sizeof(link), "/proc/self/fd/%d", dir_fd);
	n = readlink(link, place, len - 1);
	if (n < 0)
		return err_set_errno(err, errno, "unpacker: find the layer directory");
	place[n] = '\0';
	if (fstat(dir_fd, &wanted) < 0 || stat(place, &found) < 0)
		return err_set_errno(err, errno, "unpacker: look at the layer directory");
	if (wanted.st_dev != found.st_dev || wanted.st_ino != found.st_ino)
		return err_set(err, ESTALE, "unpacker: the layer directory was moved");
	return 0;
}

/* The mount is detached at once: the descriptor, and then our root, keep it alive. */
static int enter(int dir_fd, struct err *err)
{
	const unsigned long flags = MS_REMOUNT | MS_BIND | MS_NODEV | MS_NOSUID | MS_NOEXEC;
	_cleanup_(closep) int mounted = -EBADF;
	char place[PATH_MAX];
	int k = find_place(dir_fd, place, sizeof(place), err);

	if (k < 0)
		return k;
	if (mount(place, place, NULL, MS_BIND, NULL) < 0)
		return err_set_errno(err, errno, "unpacker: bind the layer directory");
	if (mount(NULL, place, NULL, flags, NULL) < 0)
		return err_set_errno(err, errno, "unpacker: restrict the layer directory");
	mounted = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mounted < 0 || umount2(place, MNT_DETACH) < 0 || fchdir(mounted) < 0 || chroot(".") < 0)
		return err_set_errno(err, errno, "unpacker: enter the layer directory");
	return 0;
}

int sandbox_confine(int dir_fd, int *ret_root_fd, struct err *err)
{
	/* SYS_ADMIN: the kernel wants it for trusted.overlay.*; the filter leaves no other use. */
	static const uint64_t keep = 1ULL << CAP_CHOWN | 1ULL << CAP_DAC_OVERRIDE |
				     1ULL << CAP_FOWNER | 1ULL << CAP_FSETID | 1ULL << CAP_MKNOD |
				     1ULL << CAP_SETFCAP | 1ULL << CAP_SYS_ADMIN;
	int k = enter(dir_fd, err), fd;

	if (k < 0)
		return k;
	fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set_errno(err, errno, "unpacker: open the layer directory");
	*ret_root_fd = fd;
	return set_capabilities(keep, err);
}

static const int stream_calls[] = {
	SCMP_SYS(read),         SCMP_SYS(write),           SCMP_SYS(close),
	SCMP_SYS(exit),         SCMP_SYS(exit_group),      SCMP_SYS(brk),
	SCMP_SYS(munmap),       SCMP_SYS(mremap),          SCMP_SYS(madvise),
	SCMP_SYS(futex),        SCMP_SYS(rt_sigreturn),    SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigaction), SCMP_SYS(getrandom),       SCMP_SYS(clock_gettime),
	SCMP_SYS(getpid),       SCMP_SYS(gettid),          SCMP_SYS(tgkill),
	SCMP_SYS(sched_yield),  SCMP_SYS(restart_syscall), SCMP_SYS(sigaltstack),
};

static const int file_calls[] = {
	SCMP_SYS(openat),     SCMP_SYS(openat2),    SCMP_SYS(mkdirat), SCMP_SYS(mknodat),
	SCMP_SYS(symlinkat),  SCMP_SYS(readlinkat), SCMP_SYS(linkat),  SCMP_SYS(unlinkat),
	SCMP_SYS(fchown),     SCMP_SYS(fchownat),   SCMP_SYS(fchmod),  SCMP_SYS(fsetxattr),
	SCMP_SYS(utimensat),  SCMP_SYS(newfstatat), SCMP_SYS(fstat),   SCMP_SYS(statx),
	SCMP_SYS(getdents64), SCMP_SYS(fcntl),      SCMP_SYS(lseek),   SCMP_SYS(umask),
	SCMP_SYS(pread64),    SCMP_SYS(ftruncate),
};

static const int look_calls[] = {
	SCMP_SYS(openat),  SCMP_SYS(openat2), SCMP_SYS(readlinkat), SCMP_SYS(newfstatat),
	SCMP_SYS(fstat),   SCMP_SYS(statx),   SCMP_SYS(fgetxattr),  SCMP_SYS(flistxattr),
	SCMP_SYS(pread64), SCMP_SYS(lseek),   SCMP_SYS(fcntl),
};

static int allow(scmp_filter_ctx ctx, const int *calls, size_t n)
{
	int k = 0;

	for (size_t i = 0; i < n && k == 0; i++) {
		k = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0);
		if (k == -EDOM) /* this architecture has no such call */
			k = 0;
	}
	return k;
}

/* Memory may be had, but none that is executable. */
static int allow_memory(scmp_filter_ctx ctx)
{
	int k = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
				 SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));

	return k ? k
		 : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
				    SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
}

static void set_limits(void)
{
#ifndef SANITIZED
	const struct rlimit memory = { 1 << 30, 1 << 30 };

	(void) setrlimit(RLIMIT_AS, &memory);
#endif
	const struct rlimit none = {}, files = { 64, 64 };

	(void) setrlimit(RLIMIT_CORE, &none);
	(void) setrlimit(RLIMIT_NPROC, &none);
	(void) setrlimit(RLIMIT_NOFILE, &files);
}

int sandbox_filter(enum sandbox_filter which, struct err *err)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int k;

	if (!ctx)
		return err_set(err, ENOMEM, "unpacker: allocate filter");
	set_limits();
	k = allow(ctx, stream_calls, ARRAY_SIZE(stream_calls));
	if (k == 0)
		k = allow_memory(ctx);
	if (k == 0 && which == SANDBOX_FILES)
		k = allow(ctx, file_calls, ARRAY_SIZE(file_calls));
	if (k == 0 && which == SANDBOX_LOOK)
		k = allow(ctx, look_calls, ARRAY_SIZE(look_calls));
	if (k == 0)
		k = seccomp_load(ctx); /* sets no_new_privs */
	seccomp_release(ctx);
	return k < 0 ? err_set_errno(err, -k, "unpacker: load system call filter") : 0;
}
