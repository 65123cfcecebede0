/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/spawn.h"

static int wait_for(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	assert_int_equal(poll(&p, 1, 10000), 1);
	return spawn_reap(pidfd);
}

static int run_shell(const char *script, const struct spawn_fd *fds, size_t n_fds)
{
	_cleanup_(err_done) struct err err = {};
	_cleanup_(closep) int pidfd = -EBADF;
	char *argv[] = { (char *) "sh", (char *) "-c", (char *) script, NULL };
	struct spawn_params p = { .path = "/bin/sh", .argv = argv, .fds = fds, .n_fds = n_fds };

	assert_int_equal(spawn(&p, NULL, &pidfd, &err), 0);
	return wait_for(pidfd);
}

static void exit_codes_and_signals_are_told(void **state)
{
	(void) state;
	assert_int_equal(run_shell("exit 3", NULL, 0), 3);
	assert_int_equal(run_shell("kill -9 $$", NULL, 0), 137);
}

static void the_child_inherits_only_what_it_is_given(void **state)
{
	/* Not close-on-exec, on purpose. */
	_cleanup_(closep) int leak = open("/dev/null", O_RDONLY);
	int ends[2];
	char buf[256] = {};
	ssize_t n;

	(void) state;
	assert_true(leak >= 0);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(run_shell("ls -m /proc/$$/fd", &(struct spawn_fd){ ends[1], 1 }, 1), 0);
	(void) close(ends[1]);
	n = read(ends[0], buf, sizeof(buf) - 1);
	(void) close(ends[0]);
	assert_true(n > 0);
	assert_string_equal(buf, "0, 1, 2\n");
}

static void descriptors_can_trade_places(void **state)
{
	int a[2], b[2];
	char buf[8] = {};

	(void) state;
	assert_int_equal(pipe2(a, O_CLOEXEC), 0);
	assert_int_equal(pipe2(b, O_CLOEXEC), 0);
	{
		struct spawn_fd fds[] = { { a[1], b[1] }, { b[1], a[1] } };
		char script[64];

		(void) snprintf(script, sizeof(script), "printf A >&%d; printf B >&%d", b[1], a[1]);
		if (a[1] < 10 && b[1] < 10) /* the shell writes to single digits only */
			assert_int_equal(run_shell(script, fds, 2), 0);
		else
			skip();
	}
	assert_int_equal(read(a[0], buf, 1), 1);
	assert_int_equal(read(b[0], buf + 1, 1), 1);
	assert_string_equal(buf, "AB");
	for (int i = 0; i < 2; i++)
		(void) close(a[i]), (void) close(b[i]);
}

static void a_missing_program_is_an_error(void **state)
{
	_cleanup_(err_done) struct err err = {};
	char *argv[] = { (char *) "/nonexistent/program", NULL };
	int pidfd = -1;

	(void) state;
	assert_int_equal(
		spawn(&(struct spawn_params){ .path = argv[0], .argv = argv }, NULL, &pidfd, &err),
		-ENOENT);
	assert_string_equal(err_text(&err),
			    "spawn '/nonexistent/program': No such file or directory");
	assert_int_equal(pidfd, -1);
}

/* This program, as a child that ends with its parent: it says that it lives, and waits. */
static int be_a_child(void)
{
	spawn_end_with_parent(SIGTERM);
	if (getenv("SPAWN_PARENT") || write(STDOUT_FILENO, "x", 1) != 1)
		return EXIT_FAILURE;
	(void) pause();
	return EXIT_SUCCESS;
}

static int start_child(int output, char *const *env, bool ends_with_us)
{
	char *argv[] = { (char *) "/proc/self/exe", (char *) "child", NULL };
	int pidfd = -EBADF;

	assert_int_equal(
		spawn(&(struct spawn_params){ .path = argv[0],
					      .argv = argv,
					      .env = env,
					      .fds = &(struct spawn_fd){ output, STDOUT_FILENO },
					      .n_fds = 1,
					      .ends_with_us = ends_with_us },
		      NULL, &pidfd, NULL),
		0);
	return pidfd;
}

static void a_child_ends_with_its_parent(void **state)
{
	char byte = 0;
	int ends[2], status;
	pid_t pid;

	(void) state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		(void) start_child(ends[1], NULL, true);
		(void) pause();
	}
	(void) close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 1);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(poll(&(struct pollfd){ .fd = ends[0] }, 1, 10000), 1);
	assert_int_equal(read(ends[0], &byte, 1), 0); /* nobody holds the other end */
	(void) close(ends[0]);
}

static void a_child_whose_parent_has_ended_already_ends(void **state)
{
	char *env[] = { (char *) "SPAWN_PARENT=1", NULL };
	_cleanup_(closep) int pidfd = start_child(STDOUT_FILENO, env, false);

	(void) state;
	assert_int_equal(wait_for(pidfd), EXIT_FAILURE);
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "child") == 0)
		return be_a_child();

	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exit_codes_and_signals_are_told),
		cmocka_unit_test(the_child_inherits_only_what_it_is_given),
		cmocka_unit_test(descriptors_can_trade_places),
		cmocka_unit_test(a_missing_program_is_an_error),
		cmocka_unit_test(a_child_ends_with_its_parent),
		cmocka_unit_test(a_child_whose_parent_has_ended_already_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
