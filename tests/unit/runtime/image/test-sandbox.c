/* SPDX-License-Identifier: Apache-2.0 */
/* Each in a child of its own: what a confined process must not do ends it, and what it sees is little. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "common/macro.h"
#include "runtime/unpack/sandbox.h"

/* How a child ends that goes behind the filter and calls @number: its signal, or 0. */
static int end_of(enum sandbox_filter filter, long number, const long a[5])
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (sandbox_filter(filter, NULL) < 0)
			_exit(99);
		(void) syscall(number, a[0], a[1], a[2], a[3], a[4]);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		fail_msg("the filter was not loaded: %d", WEXITSTATUS(status));
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

enum { STREAM = 1 << SANDBOX_STREAM, FILES = 1 << SANDBOX_FILES, LOOK = 1 << SANDBOX_LOOK };
enum { NOBODY = 0, EVERYBODY = STREAM | FILES | LOOK };

static void forbidden_calls_kill(void **state _unused_)
{
	static const char *const argv[] = { "/bin/true", NULL };
	static const struct open_how how = { .flags = O_RDONLY };
	static struct stat st;
	const struct {
		const char *name;
		int allowed; /* to these filters */
		long number, a[5];
	} calls[] = {
		{ "socket", NOBODY, SYS_socket, { AF_INET, SOCK_STREAM } },
		{ "unix socket", NOBODY, SYS_socket, { AF_UNIX, SOCK_STREAM } },
		{ "connect", NOBODY, SYS_connect, { 0 } },
		{ "execve", NOBODY, SYS_execve, { (long) argv[0], (long) argv, 0 } },
		{ "execveat", NOBODY, SYS_execveat, { AT_FDCWD, (long) argv[0], (long) argv } },
		{ "clone", NOBODY, SYS_clone, { SIGCHLD } },
		{ "unshare", NOBODY, SYS_unshare, { CLONE_NEWNS } },
		{ "setns", NOBODY, SYS_setns, { 0, 0 } },
		{ "ptrace", NOBODY, SYS_ptrace, { PTRACE_TRACEME } },
		{ "process_vm_readv", NOBODY, SYS_process_vm_readv, { 1 } },
		{ "kill", NOBODY, SYS_kill, { 1, 0 } },
		{ "mount", NOBODY, SYS_mount, { (long) "none", (long) "/", (long) "tmpfs" } },
		{ "umount", NOBODY, SYS_umount2, { (long) "/nowhere", 0 } },
		{ "open_tree", NOBODY, SYS_open_tree, { AT_FDCWD, (long) "/", 0 } },
		{ "pivot_root", NOBODY, SYS_pivot_root, { (long) "/", (long) "/" } },
		{ "chroot", NOBODY, SYS_chroot, { (long) "/" } },
		{ "open_by_handle_at", NOBODY, SYS_open_by_handle_at, { 0 } },
		{ "bpf", NOBODY, SYS_bpf, { 0 } },
		{ "io_uring_setup", NOBODY, SYS_io_uring_setup, { 1 } },
		{ "keyctl", NOBODY, SYS_keyctl, { 0 } },
		{ "init_module", NOBODY, SYS_init_module, { 0 } },
		{ "setuid", NOBODY, SYS_setuid, { 0 } },
		{ "capset", NOBODY, SYS_capset, { 0 } },
		{ "prctl", NOBODY, SYS_prctl, { 0 } },
		{ "ioctl", NOBODY, SYS_ioctl, { 0, 0x5412 } }, /* TIOCSTI: types into a terminal */
		{ "memory to run",
		  NOBODY,
		  SYS_mmap,
		  { 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1 } },
		{ "memory to write and run",
		  NOBODY,
		  SYS_mprotect,
		  { (long) &st & ~4095L, 4096, PROT_READ | PROT_WRITE | PROT_EXEC } },
		{ "openat", FILES | LOOK, SYS_openat, { AT_FDCWD, (long) "/", O_RDONLY } },
		{ "openat2",
		  FILES | LOOK,
		  SYS_openat2,
		  { AT_FDCWD, (long) "/", (long) &how, sizeof(how) } },
		{ "fstat", FILES | LOOK, SYS_fstat, { 0, (long) &st } },
		{ "readlinkat",
		  FILES | LOOK,
		  SYS_readlinkat,
		  { AT_FDCWD, (long) "/", (long) &st, 1 } },
		{ "fgetxattr", LOOK, SYS_fgetxattr, { 0, (long) "user.a", 0, 0 } },
		{ "mkdirat", FILES, SYS_mkdirat, { -1, (long) "x", 0 } },
		{ "mknodat", FILES, SYS_mknodat, { -1, (long) "x", S_IFREG, 0 } },
		{ "unlinkat", FILES, SYS_unlinkat, { -1, (long) "x", 0 } },
		{ "linkat", FILES, SYS_linkat, { -1, (long) "x", -1, (long) "y", 0 } },
		{ "fchown", FILES, SYS_fchown, { -1, 0, 0 } },
		{ "fchmod", FILES, SYS_fchmod, { -1, 0 } },
		{ "fsetxattr", FILES, SYS_fsetxattr, { -1, (long) "user.a", 0, 0, 0 } },
		{ "ftruncate", FILES, SYS_ftruncate, { -1, 0 } },
		{ "getpid", EVERYBODY, SYS_getpid, { 0 } },
		{ "memory",
		  EVERYBODY,
		  SYS_mmap,
		  { 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1 } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		for (int filter = SANDBOX_STREAM; filter <= SANDBOX_LOOK; filter++) {
			int wanted = calls[i].allowed & 1 << filter ? 0 : SIGSYS;
			int got = end_of((enum sandbox_filter) filter, calls[i].number, calls[i].a);

			if (got != wanted)
				fail_msg("%s behind filter %d: signal %d", calls[i].name, filter,
					 got);
		}
}

/* Returns the line of the first thing that is not as it should be, to be the child's status. */
#define EXPECT(what)                                                                               \
	do {                                                                                       \
		if (!(what))                                                                       \
			return __LINE__ % 200 + 1;                                                 \
	} while (0)

static int look_around(const char *dir)
{
	int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), root = -1, fd;
	struct stat st;

	EXPECT(sandbox_unshare(NULL) == 0);
	EXPECT(sandbox_confine(dir_fd, &root, NULL) == 0);
	EXPECT(close(dir_fd) == 0);
	EXPECT(faccessat(root, "mine", F_OK, 0) == 0);
	EXPECT(access("/mine", F_OK) == 0);
	EXPECT(access("/proc", F_OK) < 0 && access("/etc", F_OK) < 0);
	EXPECT(access("../../etc/passwd", F_OK) < 0 && access("/out/etc/passwd", F_OK) < 0);
	/* a device can be made, and is none */
	EXPECT(mknodat(root, "null", S_IFCHR | 0666, makedev(1, 3)) == 0);
	EXPECT(openat(root, "null", O_RDONLY) < 0 && errno == EACCES);
	EXPECT((fd = openat(root, "script", O_WRONLY | O_CREAT, 04755)) >= 0);
	EXPECT(fstat(fd, &st) == 0 && close(fd) == 0);
	EXPECT(execl("/script", "script", NULL) < 0 && errno == EACCES);
	/* what it may as root, it may no longer */
	EXPECT(setuid(1000) < 0 && errno == EPERM);
	EXPECT(socket(AF_INET, SOCK_RAW, 1) < 0 && errno == EPERM);
	return 0;
}

static void the_world_is_one_directory(void **state _unused_)
{
	char dir[] = "/tmp/ecs-test-sandbox-XXXXXX", path[64];
	int status = 0;
	pid_t pid;

	if (geteuid() != 0)
		skip();
	assert_non_null(mkdtemp(dir));
	(void) snprintf(path, sizeof(path), "%s/mine", dir);
	assert_int_equal(close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), 0);
	(void) snprintf(path, sizeof(path), "%s/out", dir);
	assert_int_equal(symlink("/../../..", path), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(look_around(dir));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	(void) fs_remove_tree(AT_FDCWD, dir, NULL);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("see the expectation at line %d modulo 200 (status %x)",
			 WEXITSTATUS(status) - 1, (unsigned int) status);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forbidden_calls_kill),
		cmocka_unit_test(the_world_is_one_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
