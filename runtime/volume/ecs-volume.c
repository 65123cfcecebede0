/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ecs-volume - does for one volume what may take long or never come back: mounts, copies.
 *   ecs-volume mount DIR ARGS-OF-MOUNT…     on DIR/_data; done already is fine
 *   ecs-volume unmount [--lazily] DIR
 *   ecs-volume populate [--durably] ROOT PATH DIR
 * One at a time per volume, by a lock on DIR/lock, but for --lazily. It ends with its parent, and all
 * it started with it. Whatever it says, it says on stderr.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "common/spawn.h"
#include "runtime/volume/ecs-volume.h"
#include "runtime/volume/volume.h"

int run_program(char *const *argv, struct err *err)
{
	pid_t self = getpid(), pid = fork();
	int status;

	if (pid < 0)
		return err_set_errno(err, errno, "fork");
	if (pid == 0) {
		(void) prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == self)
			(void) execvp(argv[0], argv);
		(void) fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_set_errno(err, errno, "wait for '%s'", argv[0]);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

/* Held until we end. It waits for one that is being killed, at most until our own deadline. */
static int lock(const char *dir, struct err *err)
{
	_cleanup_(freep) char *path = path_join("%s/" VOLUME_LOCK, dir);
	int fd;

	if (!path)
		return err_set(err, ENOMEM, "make path");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set_errno(err, errno, "open '%s'", path);
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return err_set_errno(err, errno, "lock '%s'", path);
	return 0;
}

static int usage(void)
{
	(void) fprintf(stderr, "usage: ecs-volume mount DIR ARGS… | unmount [--lazily] DIR | "
			       "populate [--durably] ROOT PATH DIR\n");
	return -EINVAL;
}

static int run(int argc, char **argv, struct err *err)
{
	const char *verb = argc > 1 ? argv[1] : "";
	bool option = argc > 2 && strncmp(argv[2], "--", 2) == 0;
	char **args = argv + 2 + option;
	int n = argc - 2 - option, k;

	if (strcmp(verb, "mount") == 0 && !option && n >= 2) {
		k = lock(args[0], err);
		return k < 0 ? k : volume_attach(args[0], args + 1, err);
	}
	if (strcmp(verb, "unmount") == 0 && n == 1) {
		/* The last resort does not wait for one that hangs in the kernel with the lock. */
		k = option ? 0 : lock(args[0], err);
		return k < 0 ? k : volume_detach(args[0], option, err);
	}
	if (strcmp(verb, "populate") == 0 && n == 3) {
		k = lock(args[2], err);
		return k < 0 ? k : volume_populate(args[0], args[1], args[2], option, err);
	}
	return usage();
}

/* Our parent's end takes our whole session along: what it started must not work on unseen. */
static void on_term(int sig)
{
	(void) sig;
	(void) kill(0, SIGKILL);
}

int main(int argc, char **argv)
{
	_cleanup_(err_done) struct err err = {};

	(void) umask(0);
	if (getsid(0) == getpid())
		(void) signal(SIGTERM, on_term);
	spawn_end_with_parent(SIGTERM);
	if (run(argc, argv, &err) == 0)
		return EXIT_SUCCESS;
	if (err.code)
		(void) fprintf(stderr, "%s\n", err_text(&err));
	return EXIT_FAILURE;
}
