/* SPDX-License-Identifier: Apache-2.0 */
/*
 * While the runtime starts, its shim moves itself to the cgroup in which it is, so that the runtime's own move
 * finds the kernel's grace period over. Seen from a cgroup in which there is nobody else. Prints TAP.
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "tests/integration/shim/box.h"
#include "tests/integration/shim/tap.h"

/* The directory of our cgroup in the hierarchy of /proc/self/cgroup's first line; owned. */
static char *own_group(void)
{
	_cleanup_(freep) char *text = NULL;
	char *name, *path, *dir;
	size_t len = 0;

	if (fs_read_file(AT_FDCWD, "/proc/self/cgroup", 65536, &text, &len, NULL) < 0)
		return NULL;
	text[strcspn(text, "\n")] = '\0';
	name = strchr(text, ':') + 1;
	path = strchr(name, ':');
	*path++ = '\0';
	if (strncmp(name, "name=", 5) == 0)
		name += 5;
	dir = path_join("/sys/fs/cgroup/%s%s", name, strcmp(path, "/") == 0 ? "" : path);
	return dir;
}

static bool move_to(const char *dir)
{
	_cleanup_(freep) char *procs = path_join("%s/cgroup.procs", dir);
	_cleanup_(closep) int fd = open(procs, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, "0", 1) == 1;
}

static bool was_written(int watch)
{
	struct inotify_event e;

	return read(watch, &e, sizeof(e)) == (ssize_t) sizeof(e) && (e.mask & IN_MODIFY);
}

static void moves_to_where_it_is(const char *group)
{
	_cleanup_(freep) char *procs = path_join("%s/cgroup.procs", group);
	_cleanup_(closep) int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	struct shim_event e = {};
	struct box b;

	ok(move_to(group) && inotify_add_watch(watch, procs, IN_MODIFY) >= 0 && !was_written(watch),
	   "a cgroup of our own");
	box_init(&b, "exec sleep 1000");
	if (ok(box_start(&b, NULL) == 0 && box_wait(&b, &e, 20000) && e.type == SHIM_STARTED,
	       "a container starts")) {
		ok(was_written(watch), "its shim has moved to where it is");
		(void) shim_signal(b.shim, SIGKILL, NULL);
		ok(box_wait(&b, &e, 20000) && e.type == SHIM_EXITED, "and it ends");
	}
	box_done(&b);
}

int main(void)
{
	_cleanup_(freep) char *home = NULL, *group = NULL;
	bool left = false;

	box_setup();
	home = own_group();
	group = home ? path_join("%s/ecs-shim-home-%d", home, getpid()) : NULL;
	if (group && mkdir(group, 0755) == 0) {
		moves_to_where_it_is(group);
		ok(move_to(home), "back to the cgroup of before");
		for (int i = 0; !left && i < 3000; i++) { /* the shim is about to end */
			left = rmdir(group) == 0;
			(void) usleep(10000);
		}
	}
	ok(left, "the cgroup is removed again");
	box_teardown();
	return tap_end();
}
