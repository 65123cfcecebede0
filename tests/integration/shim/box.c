/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/shim/box.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/digest.h"
#include "common/fs.h"
#include "common/json.h"
#include "common/spawn.h"
#include "runtime/cgroup/cgroup.h"
#include "runtime/rootfs/rootfs.h"
#include "runtime/runc/runc.h"
#include "tests/integration/host.h"

static char top[] = "/tmp/ecs-shim-test-XXXXXX";
static char *parent, *task_path, *layer, *runc, *program;

static _Noreturn void skip(const char *why)
{
	printf("1..0 # SKIP %s\n", why);
	exit(77);
}

static void check(int k, const struct err *err)
{
	if (k >= 0)
		return;
	printf("Bail out! %s\n", err_text(err));
	exit(1);
}

/* busybox and the host's programs, which the tests of the system call filter run. */
static void make_layer(void)
{
	static const char *const dirs[] = { "",     "/bin", "/proc", "/sys",  "/dev", "/tmp",
					    "/etc", "/usr", "/t",    "/root", "/var" };
	static const char *const links[] = { "sh",   "sleep",  "echo", "cat",   "ls",   "printf",
					     "tail", "kill",   "id",   "mount", "grep", "head",
					     "tr",   "touch",  "tty",  "dd",    "yes",  "seq",
					     "true", "setsid", "rm",   "test" };
	_cleanup_(err_done) struct err err = {};
	_cleanup_(freep) char *to = path_join("%s/bin/busybox", layer);
	char *copy[] = { (char *) "/bin/cp", (char *) "/bin/busybox", to, NULL };

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		_cleanup_(freep) char *d = path_join("%s%s", layer, dirs[i]);

		check(fs_mkdir_p(d, 0755, &err), &err);
	}
	check(-spawn_wait(copy, &err), &err);
	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		_cleanup_(freep) char *l = path_join("%s/bin/%s", layer, links[i]);

		check(symlink("busybox", l), &err);
	}
	for (int i = 0; i < 2; i++) {
		_cleanup_(freep) char *l = path_join("%s/%s", layer, i ? "lib64" : "lib");

		check(symlink(i ? "usr/lib64" : "usr/lib", l), &err);
	}
}

void box_setup(void)
{
	_cleanup_(err_done) struct err err = {};
	struct cgroup_limits none = {};
	char version[RUNC_VERSION_MAX];
	const char *build = getenv("abs_top_builddir");

	if (geteuid() != 0)
		skip("needs root");
	if (access("/bin/busybox", X_OK) < 0)
		skip("needs busybox (package busybox-static)");
	if (runc_check(NULL, version, &err) < 0 || runc_find(NULL, &runc, &err) < 0)
		skip(err_text(&err));
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		skip("needs mount namespaces");
	if (!mkdtemp(top) || mount("tmpfs", top, "tmpfs", 0, "mode=0755") < 0)
		skip("needs a tmpfs");
	parent = path_join("/ecs-shim-test-%d", getpid());
	if (cgroup_setup("/sys/fs/cgroup", parent, &err) < 0)
		skip(err_text(&err));
	check(cgroup_task_create("t", &none, &task_path, &err), &err);
	layer = path_join("%s/layer", top);
	program = path_join("%s/ecs-shim", build ? build : ".");
	make_layer();
}

void box_teardown(void)
{
	_cleanup_(err_done) struct err err = {};

	for (int i = 0; i < 3000 && cgroup_task_remove("t", &err) == -EBUSY; i++)
		(void) usleep(10000);
	stop_cgroup_unit(parent);
	for (int i = 0; i < 3; i++) {
		static const char *const made[] = { "cpu", "memory", "pids" };
		_cleanup_(freep) char *d = cgroup_controller_dir(made[i], parent);

		(void) rmdir(d);
	}
	/* What runc made in the other hierarchies. */
	static const char *const others[] = { "cpuacct",  "cpuset",     "devices", "freezer",
					      "blkio",    "systemd",    "unified", "net_cls",
					      "net_prio", "perf_event", "hugetlb", "rdma",
					      "misc" };
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		_cleanup_(freep) char *d = path_join("/sys/fs/cgroup/%s%s", others[i], parent);

		(void) rmdir(d);
	}
	(void) umount2(top, MNT_DETACH);
	(void) rmdir(top);
}

const char *box_top(void)
{
	return top;
}

static char *environment[] = { (char *) "PATH=/bin:/usr/bin", (char *) "HOME=/", NULL };

void box_init(struct box *b, const char *script)
{
	*b = (struct box){};
	(void) random_hex(b->id, 64);
	b->dir = path_join("%s/c/%.12s", top, b->id);
	b->run_dir = path_join("%s/run/%s/%s", top,
			       "a-path-that-is-longer-than-a-socket-address-takes", b->id);
	b->bundle = path_join("%s/bundle", b->dir);
	b->log_path = path_join("%s/%s-json.log", b->dir, b->id);
	b->cgroups_path = path_join("%s/%.12s", task_path, b->id);
	b->memory_dir = cgroup_controller_dir("memory", b->cgroups_path);
	b->args[0] = (char *) "sh";
	b->args[1] = (char *) "-c";
	b->args[2] = (char *) script;
	b->spec = (struct container_spec){
		.args = b->args,
		.env = environment,
		.hostname = "box",
		.cgroups_path = b->cgroups_path,
		.cgroup_v2 = cgroup_mode() == CGROUP_V2,
		.swappiness = -1,
		.cpu_shares = 128,
	};
	b->params = (struct shim_params){
		.program = program,
		.runc = runc,
		.id = b->id,
		.run_dir = b->run_dir,
		.bundle = b->bundle,
		.log = SHIM_LOG_JSON_FILE,
		.log_path = b->log_path,
		.log_max_files = 1,
		.start_timeout_ms = (int) patiently(20000),
		.cgroups_path = b->cgroups_path,
		.memory_cgroup_dir = b->memory_dir,
		.stop_grace_ms = 300,
	};
}

void box_make(struct box *b)
{
	static char *runc_root;
	_cleanup_(err_done) struct err err = {};
	_cleanup_(freep) char *root = NULL, *text = NULL,
			      *config = path_join("%s/config.json", b->bundle);
	json_auto_t *spec = NULL;
	char *layers[] = { layer, b->upper_layer, NULL };

	if (!runc_root)
		runc_root = path_join("%s/runc", top);
	b->params.runc_root = runc_root;
	check(fs_mkdir_p(b->bundle, 0700, &err), &err);
	check(fs_mkdir_p(b->run_dir, 0700, &err), &err);
	check(rootfs_mount(&(struct rootfs_params){ .layers = layers, .dir = b->dir }, &root, &err),
	      &err);
	b->spec.rootfs = root;
	check(spec_build(&b->spec, &spec, &err), &err);
	text = json_to_text(spec);
	check(fs_write_file_volatile(AT_FDCWD, config, text, strlen(text), 0600, &err), &err);
}

int box_start(struct box *b, struct err *err)
{
	box_make(b);
	return shim_spawn(&b->params, &b->shim, err);
}

bool box_wait(struct box *b, struct shim_event *ret, int ms)
{
	_cleanup_(err_done) struct err err = {};
	int64_t by = clock_mono_ms() + patiently(ms);

	while (b->shim && shim_fd(b->shim) >= 0) {
		struct pollfd p = { .fd = shim_fd(b->shim), .events = POLLIN };
		int k = shim_next_event(b->shim, ret, &err);

		if (k != 0)
			return k > 0;
		if (clock_mono_ms() >= by || poll(&p, 1, (int) (by - clock_mono_ms())) == 0)
			return false;
	}
	return false;
}

bool box_run(struct box *b, struct shim_event *ret, int ms)
{
	_cleanup_(err_done) struct err err = {};

	if (box_start(b, &err) < 0) {
		printf("# %s\n", err_text(&err));
		return false;
	}
	if (!box_wait(b, ret, ms) || ret->type != SHIM_STARTED) {
		printf("# did not start: %s\n", ret->message);
		return false;
	}
	return box_wait(b, ret, ms);
}

char *box_log(struct box *b)
{
	_cleanup_(freep) char *text = NULL;
	struct buf out = {};
	size_t len = 0;

	if (fs_read_file(AT_FDCWD, b->log_path, 64 << 20, &text, &len, NULL) < 0)
		return strdup("");
	for (char *p = text, *nl; (nl = strchr(p, '\n')); p = nl + 1) {
		json_auto_t *entry = NULL;

		if (json_parse(p, (size_t) (nl - p), &entry, NULL) < 0)
			return strdup("a line of the log is no JSON");
		(void) buf_puts(&out, json_get_string(entry, "log", ""));
	}
	return out.data ? buf_take(&out) : strdup("");
}

void box_done(struct box *b)
{
	_cleanup_(err_done) struct err err = {};

	if (b->shim)
		(void) shim_kill_all(b->shim, &err);
	b->shim = shim_free(b->shim);
	(void) cgroup_kill(b->cgroups_path, &err);
	(void) rootfs_unmount(b->dir, &err);
	free(b->dir);
	free(b->run_dir);
	free(b->bundle);
	free(b->log_path);
	free(b->cgroups_path);
	free(b->memory_dir);
}
