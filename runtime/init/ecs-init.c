/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ecs-init - the first process of a container with initProcessEnabled, at /sbin/docker-init in it.
 * It starts the program as its only child, passes on the signals it gets, to that child alone,
 * reaps whatever orphan becomes its own, and ends with the child's exit code, 128+n for signal n.
 * Linked statically: an image need not have a C library.
 *
 * Signals wait in the mask, so that none is lost between two looks; a blocked signal also reaches
 * the first process of a pid namespace, which the kernel otherwise spares.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, EXIT_CANNOT_RUN = 126, EXIT_NOT_FOUND = 127 };

static const char usage[] =
	"usage: ecs-init [--] PROGRAM [ARGUMENT ...]\n"
	"Runs PROGRAM as a container's first child: passes signals on to it, reaps orphans and\n"
	"ends with its exit code, 128 + N when signal N ended it.\n";

/* Faults of this very process, and the stops by its terminal, are not for the child. */
static sigset_t signals_to_wait_for(void)
{
	static const int own[] = { SIGFPE,  SIGILL, SIGSEGV, SIGBUS, SIGABRT,
				   SIGTRAP, SIGSYS, SIGTTIN, SIGTTOU };
	sigset_t set;

	(void) sigfillset(&set);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		(void) sigdelset(&set, own[i]);
	return set;
}

/* A process group of its own, in front of the terminal if there is one. */
static void take_terminal(void)
{
	(void) setpgid(0, 0);
	(void) tcsetpgrp(STDIN_FILENO, getpgrp());
}

static _Noreturn void run(char **argv, const sigset_t *mask)
{
	int error;

	take_terminal();
	(void) signal(SIGTTIN, SIG_DFL);
	(void) signal(SIGTTOU, SIG_DFL);
	(void) sigprocmask(SIG_SETMASK, mask, NULL);
	(void) execvp(argv[0], argv);
	error = errno;
	(void) fprintf(stderr, "ecs-init: exec '%s': %s\n", argv[0], strerror(error));
	_exit(error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN);
}

/* All that ended by now. The child's exit code, or -1 while it lives. */
static int reap(pid_t child)
{
	int status, code = -1;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == child)
			code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return code;
}

static int serve(pid_t child, const sigset_t *set)
{
	int code = -1;

	while (code < 0) {
		int sig = sigwaitinfo(set, NULL);

		if (sig == SIGCHLD)
			code = reap(child);
		else if (sig > 0)
			(void) kill(child, sig);
	}
	return code;
}

int main(int argc, char **argv)
{
	sigset_t set = signals_to_wait_for(), mask;
	int first = argc > 1 && strcmp(argv[1], "--") == 0 ? 2 : 1;
	pid_t child;

	if (first == 1 && argc > 1 && strcmp(argv[1], "--help") == 0) {
		(void) fputs(usage, stdout);
		return 0;
	}
	if (first >= argc || (first == 1 && argv[1][0] == '-')) {
		(void) fputs(usage, stderr);
		return EXIT_USAGE;
	}
	if (getpid() != 1) /* the pid namespace is another's: orphans come here all the same */
		(void) prctl(PR_SET_CHILD_SUBREAPER, 1);
	(void) sigprocmask(SIG_SETMASK, &set, &mask);
	/* After the mask: by this ecs-shim sees from outside that signals are taken from now on. */
	(void) signal(SIGTTIN, SIG_IGN);
	(void) signal(SIGTTOU, SIG_IGN);
	child = fork();
	if (child == 0)
		run(argv + first, &mask);
	if (child < 0) {
		perror("ecs-init: fork");
		return EXIT_CANNOT_RUN;
	}
	return serve(child, &set);
}
