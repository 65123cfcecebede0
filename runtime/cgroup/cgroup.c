/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups are made and set through libcgroup; measured for a task of three controllers that is under
 * half a millisecond. Its cgroup_get_cgroup() reads every file of every controller (1.6 ms), so
 * limits are read back here, file by file. It only knows what is in the mount table, so a tree
 * elsewhere (tests) is written directly. On v2 its version 2.0 cannot make several levels at once,
 * hence parents first.
 */
#include "runtime/cgroup/cgroup.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libcgroup.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "common/strv.h"
#include "runtime/cgroup/delegate.h"
#include "runtime/cgroup/tree.h"

enum { VALUES_MAX = 8, VALUE_TEXT_MAX = 48 };

static struct {
	char *root;       /* owned, like the next two */
	char *configured; /* "/ecs" */
	char *parent;     /* the same, or where systemd put it */
	size_t given;     /* so much of parent's start is not ours to make or to set */
	enum cgroup_mode mode;
	bool by_library;
} self;

#define DEFAULT_ROOT "/sys/fs/cgroup"

static const char *const controllers[] = { "cpu", "memory", "pids" };

/* What is written into a new group. */
struct values {
	struct value {
		const char *controller, *file;
		char text[VALUE_TEXT_MAX];
	} v[VALUES_MAX];
	size_t n;
};

static void add(struct values *vs, const char *controller, const char *file, int64_t value)
{
	struct value *v = &vs->v[vs->n++];

	v->controller = controller;
	v->file = file;
	(void) snprintf(v->text, sizeof(v->text), "%lld", (long long) value);
}

static void add_v1(struct values *vs, const struct cgroup_limits *l)
{
	if (l->cpu_quota_usec > 0) {
		add(vs, "cpu", "cpu.cfs_period_us", l->cpu_period_usec);
		add(vs, "cpu", "cpu.cfs_quota_us", l->cpu_quota_usec);
	}
	if (l->cpu_shares > 0)
		add(vs, "cpu", "cpu.shares", l->cpu_shares);
	if (l->memory_bytes > 0)
		add(vs, "memory", "memory.limit_in_bytes", l->memory_bytes);
	if (l->memory_reservation_bytes > 0)
		add(vs, "memory", "memory.soft_limit_in_bytes", l->memory_reservation_bytes);
	if (l->pids > 0)
		add(vs, "pids", "pids.max", l->pids);
	if (l->memory_swap_bytes > 0)
		add(vs, "memory", "memory.memsw.limit_in_bytes", l->memory_swap_bytes);
}

static void add_v2(struct values *vs, const struct cgroup_limits *l)
{
	if (l->cpu_quota_usec > 0) {
		add(vs, "cpu", "cpu.max", 0);
		(void) snprintf(vs->v[vs->n - 1].text, VALUE_TEXT_MAX, "%lld %lld",
				(long long) l->cpu_quota_usec, (long long) l->cpu_period_usec);
	}
	if (l->cpu_shares > 0)
		add(vs, "cpu", "cpu.weight", 1 + (l->cpu_shares - 2) * 9999 / 262142);
	if (l->memory_bytes > 0)
		add(vs, "memory", "memory.max", l->memory_bytes);
	if (l->memory_reservation_bytes > 0)
		add(vs, "memory", "memory.low", l->memory_reservation_bytes);
	if (l->pids > 0)
		add(vs, "pids", "pids.max", l->pids);
	if (l->memory_swap_bytes > 0)
		add(vs, "memory", "memory.swap.max", l->memory_swap_bytes - l->memory_bytes);
}

static int check_limits(const struct cgroup_limits *l, struct err *err)
{
	if (l->cpu_quota_usec < 0 || (l->cpu_quota_usec > 0 && l->cpu_quota_usec < 1000))
		return err_set(err, EINVAL, "cpu quota: %lld is below 1000 us",
			       (long long) l->cpu_quota_usec);
	if (l->cpu_quota_usec > 0 && (l->cpu_period_usec < 1000 || l->cpu_period_usec > 1000000))
		return err_set(err, EINVAL, "cpu period: %lld is outside 1000..1000000 us",
			       (long long) l->cpu_period_usec);
	if (l->cpu_shares != 0 && (l->cpu_shares < 2 || l->cpu_shares > 262144))
		return err_set(err, EINVAL, "cpu shares: %lld is outside 2..262144",
			       (long long) l->cpu_shares);
	if (l->memory_bytes < 0 || l->memory_reservation_bytes < 0 || l->pids < 0)
		return err_set(err, EINVAL, "memory, pids: negative");
	return 0;
}

/* cpu and cpuacct may be one hierarchy named "cpu,cpuacct"; most hosts have links beside it. */
static char *joined_hierarchy(const char *controller)
{
	_cleanup_(closedirp) DIR *d = opendir(self.root);
	size_t len = strlen(controller);
	struct dirent *e;

	while (d && (e = readdir(d)))
		for (const char *p = e->d_name; *p; p += strcspn(p, ","), p += *p == ',')
			if (strcspn(p, ",") == len && memcmp(p, controller, len) == 0)
				return path_join("%s/%s", self.root, e->d_name);
	return NULL;
}

char *cgroup_controller_dir(const char *controller, const char *path)
{
	_cleanup_(freep) char *hierarchy = NULL;

	if (self.mode == CGROUP_V2)
		return path_join("%s%s", self.root, path);
	hierarchy = path_join("%s/%s", self.root, controller);
	if (hierarchy && access(hierarchy, F_OK) < 0) {
		char *joined = joined_hierarchy(controller);

		if (joined) {
			free(hierarchy);
			hierarchy = joined;
		}
	}
	return hierarchy ? path_join("%s%s", hierarchy, path) : NULL;
}

static int write_value(const char *dir, const char *file, const char *text)
{
	_cleanup_(freep) char *path = path_join("%s/%s", dir, file);
	_cleanup_(closep) int fd = path ? open(path, O_WRONLY | O_CLOEXEC) : -ENOMEM;

	if (fd < 0)
		return path ? -errno : -ENOMEM;
	return fs_write_all(fd, text, strlen(text));
}

static int make_directly(const char *path, const struct values *vs, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(controllers); i++) {
		_cleanup_(freep) char *dir = cgroup_controller_dir(controllers[i], path);

		if (!dir || (mkdir(dir, 0755) < 0 && errno != EEXIST))
			return err_set_errno(err, dir ? errno : ENOMEM, "make cgroup '%s'",
					     dir ? dir : path);
	}
	for (size_t i = 0; i < vs->n; i++) {
		_cleanup_(freep) char *dir = cgroup_controller_dir(vs->v[i].controller, path);
		int k = dir ? write_value(dir, vs->v[i].file, vs->v[i].text) : -ENOMEM;

		if (k < 0)
			return err_set_errno(err, -k, "set %s of cgroup '%s' to %s", vs->v[i].file,
					     path, vs->v[i].text);
	}
	return 0;
}

static void cgroup_freep(struct cgroup **g)
{
	if (*g)
		cgroup_free(g);
}

static int fill_group(struct cgroup *g, const struct values *vs)
{
	struct cgroup_controller *c[ARRAY_SIZE(controllers)];
	int k = 0;

	for (size_t i = 0; i < ARRAY_SIZE(controllers); i++) {
		c[i] = cgroup_add_controller(g, controllers[i]);
		if (!c[i])
			return ECGFAIL;
	}
	for (size_t i = 0; i < vs->n && k == 0; i++)
		for (size_t n = 0; n < ARRAY_SIZE(controllers) && k == 0; n++)
			if (strcmp(vs->v[i].controller, controllers[n]) == 0)
				k = cgroup_add_value_string(c[n], vs->v[i].file, vs->v[i].text);
	return k;
}

static int make_by_library(const char *path, const struct values *vs)
{
	_cleanup_(cgroup_freep) struct cgroup *g = cgroup_new_cgroup(path + 1);
	int k = g ? fill_group(g, vs) : ECGFAIL;

	return k == 0 ? cgroup_create_cgroup(g, 1) : k;
}

static int make_group(const char *path, const struct values *vs, struct err *err)
{
	/* What the library cannot do is tried once more without it: that succeeds, or names file and errno. */
	if (self.by_library && make_by_library(path, vs) == 0)
		return 0;
	return make_directly(path, vs, err);
}

/*
 * The kernel rounds memory down to whole pages; anything
 * else must stand there as it was written.
 */
static bool same_value(const struct value *v, const char *got)
{
	if (strcmp(v->controller, "memory") == 0 && isdigit((unsigned char) *got))
		return strtoll(got, NULL, 10) / sysconf(_SC_PAGESIZE) ==
		       strtoll(v->text, NULL, 10) / sysconf(_SC_PAGESIZE);
	return strcmp(v->text, got) == 0;
}

static int read_back(const char *path, const struct values *vs, struct err *err)
{
	for (size_t i = 0; i < vs->n; i++) {
		const struct value *v = &vs->v[i];
		_cleanup_(freep) char *dir = cgroup_controller_dir(v->controller, path),
				      *file = NULL, *got = NULL;

		file = dir ? path_join("%s/%s", dir, v->file) : NULL;
		if (!file)
			return err_set(err, ENOMEM, "read back cgroup '%s'", path);
		if (fs_read_file(AT_FDCWD, file, 4096, &got, NULL, err) < 0)
			return err_wrap(err, "read back cgroup '%s'", path);
		got[strcspn(got, "\n")] = '\0';
		if (!same_value(v, got))
			return err_set(err, EIO, "%s of cgroup '%s' is %s, not %s", v->file, path,
				       got, v->text);
	}
	return 0;
}

/*
 * Old kernels count a child's memory towards its parent
 * only when told so while there is no child.
 */
static void use_hierarchy(const char *path)
{
	_cleanup_(freep) char *dir = cgroup_controller_dir("memory", path);

	if (dir && self.mode == CGROUP_V1)
		(void) write_value(dir, "memory.use_hierarchy", "1");
}

static int enable_controller(const char *dir, const char *controller)
{
	char text[32];

	(void) snprintf(text, sizeof(text), "+%s", controller);
	return write_value(dir, "cgroup.subtree_control", text);
}

/* On v2 a controller exists in a group only when its parent says so. */
static int enable_controllers(const char *path, struct err *err)
{
	_cleanup_(freep) char *dir = NULL;

	if (self.mode != CGROUP_V2)
		return 0;
	dir = cgroup_controller_dir("cpu", path);
	for (size_t i = 0; dir && i < ARRAY_SIZE(controllers); i++) {
		int k = enable_controller(dir, controllers[i]);

		if (k < 0)
			return err_set_errno(err, -k, "enable controller %s below cgroup '%s'",
					     controllers[i], *path ? path : "/");
	}
	if (dir) /* for statistics only: a kernel may lack it */
		(void) enable_controller(dir, "io");
	return dir ? 0 : err_set(err, ENOMEM, "enable controllers");
}

static int find_mode(struct err *err)
{
	struct statfs st;
	_cleanup_(freep) char *file = path_join("%s/cgroup.controllers", self.root);

	if (!file)
		return err_set(err, ENOMEM, "cgroups");
	if (statfs(self.root, &st) < 0)
		return err_set_errno(err, errno, "cgroups at '%s'", self.root);
	self.mode =
		st.f_type == CGROUP2_SUPER_MAGIC || access(file, F_OK) == 0 ? CGROUP_V2 : CGROUP_V1;
	for (size_t i = 0; i < ARRAY_SIZE(controllers) && self.mode == CGROUP_V1; i++) {
		_cleanup_(freep) char *dir = cgroup_controller_dir(controllers[i], "");

		if (!dir || access(dir, F_OK) < 0)
			return err_set(err, ENOTSUP,
				       "the cgroup controller '%s' is not mounted below '%s'",
				       controllers[i], self.root);
	}
	return 0;
}

static bool is_group_path(const char *p)
{
	return p && p[0] == '/' && p[1] && !strstr(p, "..") && !strstr(p, "//") &&
	       p[strlen(p) - 1] != '/';
}

/* Parents first: "/a", then "/a/b". */
static int make_parents(struct err *err)
{
	_cleanup_(freep) char *p = strdup(self.parent), *top = strndup(self.parent, self.given);
	struct values none = {};
	int k = p && top ? enable_controllers(top, err) : err_set(err, ENOMEM, "cgroups");

	for (char *s = k == 0 && p[self.given] ? p + self.given + 1 : NULL; s && k == 0;) {
		char *slash = strchr(s, '/');

		if (slash)
			*slash = '\0';
		k = make_group(p, &none, err);
		if (k == 0)
			k = enable_controllers(p, err);
		use_hierarchy(p);
		if (slash)
			*slash = '/';
		s = slash ? slash + 1 : NULL;
	}
	return k;
}

/* On v2 under systemd the tree is systemd's, but for what it delegates. */
static int find_delegated(struct err *err)
{
	_cleanup_(freep) char *unit = NULL, *group = NULL, *parent = NULL;
	int k = delegate_unit(self.configured, &unit, &self.given, err);

	if (k == 0 && unit)
		k = delegate_start(self.root, unit, &group, err);
	if (k < 0)
		return err_wrap(err, "get a control group from systemd");
	if (group)
		self.given = strlen(group);
	parent = path_join("%s%s", group ? group : "", self.configured);
	if (!parent)
		return err_set(err, ENOMEM, "cgroups");
	free(self.parent);
	self.parent = TAKE_PTR(parent);
	return 0;
}

static int find_parent(struct err *err)
{
	if (self.mode == CGROUP_V2 && strcmp(self.root, DEFAULT_ROOT) == 0 && delegate_wanted())
		return find_delegated(err);
	self.given = 0;
	if (strdup_to(&self.parent, self.configured) < 0)
		return err_set(err, ENOMEM, "cgroups");
	return 0;
}

static int make_parent(struct err *err)
{
	int k = find_parent(err);

	return k < 0 ? k : make_parents(err);
}

int cgroup_setup(const char *root, const char *parent, struct err *err)
{
	int k;

	if (!is_group_path(parent))
		return err_set(err, EINVAL, "'%s' is no absolute cgroup path",
			       parent ? parent : "");
	if (strdup_to(&self.root, root) < 0 || strdup_to(&self.configured, parent) < 0)
		return err_set(err, ENOMEM, "cgroups");
	k = find_mode(err);
	if (k < 0)
		return k;
	self.by_library = strcmp(root, DEFAULT_ROOT) == 0 && cgroup_init() == 0;
	return make_parent(err);
}

const char *cgroup_parent(void)
{
	return self.parent;
}

/* Somebody may have removed it, or stopped the unit it is in: libcgroup would make it, but no unit. */
static bool parent_is_there(void)
{
	_cleanup_(freep) char *dir = cgroup_controller_dir("memory", self.parent);

	return dir && access(dir, F_OK) == 0;
}

enum cgroup_mode cgroup_mode(void)
{
	return self.mode;
}

static int task_path(const char *task, char **ret, struct err *err)
{
	if (!*task || strchr(task, '/') || *task == '.')
		return err_set(err, EINVAL, "'%s' is no task id", task);
	*ret = path_join("%s/%s", self.parent, task);
	return *ret ? 0 : err_set(err, ENOMEM, "cgroup of task '%s'", task);
}

int cgroup_read_back(const char *path, const struct cgroup_limits *limits, struct err *err)
{
	struct values vs = {};

	if (self.mode == CGROUP_V2)
		add_v2(&vs, limits);
	else
		add_v1(&vs, limits);
	return read_back(path, &vs, err);
}

int cgroup_task_create(const char *task, const struct cgroup_limits *limits, char **ret_path,
		       struct err *err)
{
	_cleanup_(freep) char *path = NULL;
	struct values vs = {};
	int k = check_limits(limits, err);

	if (k == 0)
		k = task_path(task, &path, err);
	if (k < 0)
		return k;
	if (self.mode == CGROUP_V2)
		add_v2(&vs, limits);
	else
		add_v1(&vs, limits);
	k = parent_is_there() ? 0 : make_parent(err);
	if (k == 0)
		k = make_group(path, &vs, err);
	if (k == 0)
		k = enable_controllers(path, err);
	if (k == 0)
		k = read_back(path, &vs, err);
	if (k < 0)
		return k;
	*ret_path = TAKE_PTR(path);
	return 0;
}

/* Calls @fn with each hierarchy's root directory: all directories on v1, the one on v2. */
static int for_each_hierarchy(int (*fn)(const char *hierarchy, void *arg), void *arg)
{
	_cleanup_(closedirp) DIR *d = NULL;
	struct dirent *e;
	int first = 0;

	if (self.mode == CGROUP_V2)
		return fn(self.root, arg);
	d = opendir(self.root);
	while (d && (e = readdir(d))) {
		_cleanup_(freep) char *dir = path_join("%s/%s", self.root, e->d_name);
		int k;

		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		k = dir ? fn(dir, arg) : -ENOMEM;
		first = first ? first : k;
	}
	return d ? first : -errno;
}

static int remove_in(const char *hierarchy, void *arg)
{
	_cleanup_(freep) char *dir = path_join("%s%s", hierarchy, (const char *) arg);

	return dir ? cgroup_tree_remove(dir) : -ENOMEM;
}

int cgroup_task_remove(const char *task, struct err *err)
{
	_cleanup_(freep) char *path = NULL;
	int k = task_path(task, &path, err);

	if (k < 0)
		return k;
	k = for_each_hierarchy(remove_in, path);
	return k < 0 ? err_set_errno(err, -k, "remove cgroup '%s'", path) : 0;
}

/*
 * Where runc puts processes on a hybrid host: cgroup.kill of
 * the unified part, then the v1 freezer's list.
 */
int cgroup_kill(const char *path, struct err *err)
{
	static const char *const hybrid[] = { "unified", "freezer", "memory" };
	int first = 0;

	if (!is_group_path(path))
		return err_set(err, EINVAL, "'%s' is no absolute cgroup path", path ? path : "");
	for (size_t i = 0; i < (self.mode == CGROUP_V2 ? 1 : ARRAY_SIZE(hybrid)); i++) {
		_cleanup_(freep) char *dir =
			self.mode == CGROUP_V2 ? path_join("%s%s", self.root, path)
					       : path_join("%s/%s%s", self.root, hybrid[i], path);
		int k = dir ? cgroup_tree_kill(dir) : -ENOMEM;

		first = first < 0 ? first : MIN(k, 0);
	}
	return first < 0 ? err_set_errno(err, -first, "kill cgroup '%s'", path) : 0;
}

static int list_in(const char *hierarchy, void *arg)
{
	_cleanup_(freep) char *dir = path_join("%s%s", hierarchy, self.parent);
	_cleanup_(closedirp) DIR *d = dir ? opendir(dir) : NULL;
	struct dirent *e;
	char ***names = arg;

	while (d && (e = readdir(d)))
		if (e->d_type == DT_DIR && e->d_name[0] != '.' &&
		    !strv_contains(*names, e->d_name) && strv_append(names, e->d_name) < 0)
			return -ENOMEM;
	return 0;
}

int cgroup_list_tasks(char ***ret, struct err *err)
{
	_cleanup_(strv_freep) char **names = calloc(1, sizeof(*names));
	int k = names ? for_each_hierarchy(list_in, &names) : -ENOMEM;

	if (k < 0)
		return err_set_errno(err, -k, "list task cgroups");
	*ret = TAKE_PTR(names);
	return 0;
}
