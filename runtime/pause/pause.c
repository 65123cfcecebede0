/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ecs-pause: first process of namespaces that the containers of a task share. It has no work but
 * to be there; the kernel reaps for it what others leave behind.
 */
#include <signal.h>
#include <unistd.h>

int main(void)
{
	(void) signal(SIGCHLD, SIG_IGN);
	for (;;)
		(void) pause();
}
