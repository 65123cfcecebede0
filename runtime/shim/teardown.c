/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/shim/teardown.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "common/macro.h"
#include "runtime/cgroup/tree.h"
#include "runtime/shim/launch.h"

#define CGROUP_ROOT "/sys/fs/cgroup"

enum { PATH_ROOM = 4096, BUSY_TRIES = 50 };

static bool is_unified(void)
{
	struct statfs st;

	return statfs(CGROUP_ROOT, &st) == 0 && st.f_type == CGROUP2_SUPER_MAGIC;
}

static bool join(char path[PATH_ROOM], const char *hierarchy, const char *group)
{
	int n = snprintf(path, PATH_ROOM, CGROUP_ROOT "%s%s%s", *hierarchy ? "/" : "", hierarchy,
			 group);

	return n > 0 && n < PATH_ROOM;
}

/*
 * On a hybrid host the unified part has cgroup.kill, and
 * the v1 freezer holds what may not be in it.
 */
int teardown_kill(const struct shim_args *a)
{
	static const char *const v1[] = { "unified", "freezer", "memory" };
	char path[PATH_ROOM];

	if (!a->cgroups_path)
		return -ENOENT;
	if (is_unified())
		return join(path, "", a->cgroups_path) ? cgroup_tree_kill(path) : -ENAMETOOLONG;
	for (size_t i = 0; i < ARRAY_SIZE(v1); i++)
		if (join(path, v1[i], a->cgroups_path))
			(void) cgroup_tree_kill(path);
	return 0;
}

int64_t teardown_oom_kills(const struct shim_args *a)
{
	const char *dir = a->memory_cgroup_dir;
	long long v2, v1;

	if (!dir)
		return 0;
	v2 = cgroup_tree_counter(dir, "memory.events", "oom_kill");
	v1 = v2 > 0 ? 0 : cgroup_tree_counter(dir, "memory.oom_control", "oom_kill");
	return v2 + v1;
}

/* Every hierarchy of v1, or the only one of v2. */
static int remove_groups(const char *group)
{
	char buf[2048] __attribute__((aligned(8))), path[PATH_ROOM];
	int fd, k = 0;
	long n;

	if (is_unified())
		return join(path, "", group) ? cgroup_tree_remove(path) : -ENAMETOOLONG;
	fd = open(CGROUP_ROOT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while ((n = syscall(SYS_getdents64, fd, buf, sizeof(buf))) > 0) {
		for (long at = 0; at < n;) {
			struct dirent64 *e = (struct dirent64 *) (void *) (buf + at);

			at += e->d_reclen;
			if (e->d_type != DT_DIR || e->d_name[0] == '.' ||
			    !join(path, e->d_name, group))
				continue;
			k = cgroup_tree_remove(path) < 0 ? -EBUSY : k;
		}
	}
	(void) close(fd);
	return k;
}

static int remove_state(const struct shim_args *a)
{
	static const char *const files[] = { "state.json", "exec.fifo" };
	char path[PATH_ROOM];
	int n;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		n = snprintf(path, sizeof(path), "%s/%s/%s", a->runc_root, a->id, files[i]);
		if (n >= PATH_ROOM || (unlink(path) < 0 && errno != ENOENT))
			return -EIO;
	}
	(void) snprintf(path, sizeof(path), "%s/%s", a->runc_root, a->id);
	return rmdir(path) < 0 && errno != ENOENT ? -errno : 0;
}

bool teardown_try(const struct shim_args *a)
{
	const char *name = strrchr(a->runc, '/');

	return strcmp(name ? name + 1 : a->runc, "runc") == 0 && a->cgroups_path &&
	       remove_groups(a->cgroups_path) == 0 && remove_state(a) == 0;
}

void teardown_remove(const struct shim_args *a)
{
	for (int i = 0; i < BUSY_TRIES && a->cgroups_path; i++) {
		if (teardown_try(a))
			return;
		(void) nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	launch_delete(a);
}
