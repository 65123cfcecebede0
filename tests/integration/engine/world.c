/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/engine/world.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "agent/store/store.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/spawn.h"
#include "common/strv.h"
#include "runtime/cgroup/cgroup.h"
#include "runtime/net/locallink.h"
#include "tests/integration/host.h"

struct world world;

static _Noreturn void skip(const char *why)
{
	printf("1..0 # SKIP %s\n", why);
	exit(77);
}

static void must(int k, const struct err *err, const char *what)
{
	if (k >= 0)
		return;
	printf("Bail out! %s: %s\n", what, err_text(err));
	exit(1);
}

static int shell(const char *fmt, ...) _printf_(1, 2);

static int shell(const char *fmt, ...)
{
	_cleanup_(freep) char *text = NULL;
	char *argv[] = { (char *) "sh", (char *) "-ec", NULL, NULL };
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	argv[2] = text;
	return n < 0 ? -ENOMEM : spawn_wait(argv, NULL);
}

/* A docker-archive of one layer: busybox under many names. */
static void make_image(const char *image_program)
{
	int k = shell(
		"cd '%s' && mkdir -p root/bin root/etc root/tmp root/proc root/sys root/dev && "
		"cp /bin/busybox root/bin/ && for n in $(/bin/busybox --list); do "
		"[ -e root/bin/$n ] || ln -s busybox root/bin/$n; done && "
		"echo root:x:0:0:root:/root:/bin/sh > root/etc/passwd && echo root:x:0: > "
		"root/etc/group && "
		"mkdir layer && tar -C root -cf layer/layer.tar . && "
		"d=$(sha256sum layer/layer.tar | cut -d' ' -f1) && "
		"printf '{\"architecture\":\"%%s\",\"os\":\"linux\",\"config\":{\"Cmd\":[\"sh\"],"
		"\"Env\":[\"PATH=/"
		"bin\"]},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:%%s\"]}}' "
		"\"$(case $(uname -m) in x86_64) echo amd64;; aarch64) echo arm64;; *) uname -m;; "
		"esac)\" "
		"$d > config.json && "
		"printf '[{\"Config\":\"config.json\",\"RepoTags\":[\"" IMAGE
		"\"],\"Layers\":[\"layer/layer.tar\"]}]' "
		"> manifest.json && tar -cf image.tar manifest.json config.json layer && "
		"'%s' --store '%s' --quiet load image.tar",
		world.top, image_program, world.config.image_dir);

	if (k != 0) {
		printf("Bail out! cannot make the image: %d\n", k);
		exit(1);
	}
}

static void set_config(void)
{
	struct config *c = &world.config;
	const char *build = getenv("abs_top_builddir");

	*c = (struct config){
		.cluster = strdup("test"),
		.dynamic_port_first = WORLD_PORT_FIRST,
		.dynamic_port_last = WORLD_PORT_LAST,
		.task_cpu_mem_limit = true,
		.cgroup_cpu_period_usec = 100000,
		.stop_timeout_ms = 10000,
		.start_timeout_ms = 30000,
		.pull_behavior = PULL_PREFER_CACHED,
		.metadata_file = true,
		.image_pulls = 3,
		.image_pull_inactivity_ms = 5000,
		.image_cleanup_interval_ms = 3600000,
		.images_per_cycle = 5,
		.image_high_percent = 100, /* the host's disk is none of our business */
		.image_low_percent = 100,
		.task_cleanup_wait_ms = 3600000,
		.data_dir = path_join("%s/data", world.top),
		.run_dir = path_join("%s/run", world.top),
		.image_dir = path_join("%s/images", world.top),
		.cgroup_parent = path_join("/ecs-engine-test-%d", getpid()),
		.cgroup_root = strdup("/sys/fs/cgroup"),
		.bridge_name = strdup("ecsengtest0"),
		.task_eni = true,
		.awsvpc_block_imds = true,
		.awsvpc_bridge_name = strdup("ecsengtest1"),
		.libexec_dir = strdup(build ? build : "."),
	};
	(void) inet_pton(AF_INET, "10.231.0.0", &c->bridge_subnet);
	c->bridge_prefix_len = 20;
}

void world_begin(void)
{
	const char *quiet = getenv("ENGINE_TEST_VERBOSE") ? NULL : "/dev/null";
	static char top[] = "/tmp/ecs-engine-test-XXXXXX";
	_cleanup_(freep) char *image_program = NULL;
	_cleanup_(err_done) struct err err = {};

	if (geteuid() != 0)
		skip("needs root");
	if (access("/bin/busybox", X_OK) < 0)
		skip("needs busybox (package busybox-static)");
	if (shell("command -v runc >/dev/null") != 0)
		skip("needs runc");
	if (unshare(CLONE_NEWNS | CLONE_NEWNET) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		skip("needs network and mount namespaces");
	if (shell("ip link set lo up") != 0)
		skip("needs ip (package iproute2)");
	world.top = mkdtemp(top);
	if (!world.top || mount("tmpfs", world.top, "tmpfs", 0, "mode=0755") < 0)
		skip("needs a tmpfs");
	set_config();
	if (cgroup_setup(world.config.cgroup_root, world.config.cgroup_parent, &err) < 0)
		skip(err_text(&err));
	(void) log_open(&(struct log_params){ .stream_level = quiet ? LOG_NONE : LOG_DEBUG,
					      .file_level = LOG_NONE,
					      .stream_fd = 2 },
			NULL);
	image_program = path_join("%s/ecs-image", world.config.libexec_dir);
	make_image(image_program);
	world.reports = json_array();
	world.events = json_array();
	must(sd_event_default(&world.loop), NULL, "event loop");
}

/* Ours and runc's, in every hierarchy. */
static void remove_cgroup_parent(void)
{
	_cleanup_(closedirp) DIR *d = opendir(world.config.cgroup_root);
	_cleanup_(freep) char *own =
		path_join("%s%s", world.config.cgroup_root, world.config.cgroup_parent);
	const struct dirent *e;

	stop_cgroup_unit(world.config.cgroup_parent);
	while (d && (e = readdir(d))) {
		_cleanup_(freep) char *dir = path_join("%s/%s%s", world.config.cgroup_root,
						       e->d_name, world.config.cgroup_parent);

		if (e->d_name[0] != '.')
			(void) rmdir(dir);
	}
	(void) rmdir(own);
}

void world_end(void)
{
	world.loop = sd_event_unref(world.loop);
	json_decref(world.reports);
	json_decref(world.events);
	remove_cgroup_parent();
	(void) umount2(world.top, MNT_DETACH);
	(void) rmdir(world.top);
	free(world.config.cluster);
	free(world.config.data_dir);
	free(world.config.run_dir);
	free(world.config.image_dir);
	free(world.config.cgroup_parent);
	free(world.config.cgroup_root);
	free(world.config.bridge_name);
	free(world.config.awsvpc_bridge_name);
	free(world.config.libexec_dir);
}

/* ---- the agent ---- */

static void on_outbox(void *userdata, const char *arn)
{
	int64_t id = 0;
	char *body = NULL;

	(void) userdata;
	if (world.offline)
		return;
	while (engine_outbox_source.head(world.engine, arn, &id, &body, NULL) > 0) {
		json_t *report = NULL;

		if (world.deliver)
			world.deliver(body);
		else if (json_parse(body, strlen(body), &report, NULL) == 0)
			(void) json_array_append_new(world.reports, report);
		free(body);
		if (engine_outbox_source.done(world.engine, arn, id, true, NULL) == 0)
			continue;
		world.undelivered = true; /* it is still there, and comes again a little later */
		break;
	}
}

static void on_event(void *userdata, const json_t *event)
{
	(void) userdata;
	(void) json_array_append(world.events, (json_t *) event);
}

static void kick_task(void *outbox, const char *arn)
{
	on_outbox(outbox, arn);
}

static int start_agent(struct err *ret)
{
	_cleanup_(err_done) struct err err = {};
	_cleanup_(freep) char *netns = path_join("%s/netns", world.config.run_dir);
	const struct config *c = &world.config;
	const struct local_params local = { .bridge = c->awsvpc_bridge_name,
					    .subnet.s_addr = inet_addr("169.254.172.0"),
					    .prefix_len = 22 };
	struct net_params np = { .bridge = c->bridge_name,
				 .subnet = c->bridge_subnet,
				 .prefix_len = c->bridge_prefix_len,
				 .netns_dir = netns,
				 .dynamic_first = c->dynamic_port_first,
				 .dynamic_last = c->dynamic_port_last,
				 .service_port = 51679,
				 .local = &local };
	struct engine_params ep = { .loop = world.loop, .config = c };

	must(fs_mkdir_p(netns, 0700, &err), &err, "netns directory");
	must(store_open(c->data_dir, &world.store, &err), &err, "store");
	must(net_new(&np, &world.net, &err), &err, "net");
	ep.store = world.store;
	ep.net = world.net;
	ep.http = world.http;
	ep.roles = world.roles;
	ep.callbacks.on_outbox = on_outbox;
	ep.callbacks.on_event = on_event;
	ep.callbacks.on_container_running = world.on_running;
	ep.callbacks.on_container_stopped = world.on_stopped;
	must(engine_new(&ep, &world.engine, &err), &err, "engine");
	if (world.resources.cpu > 0)
		engine_set_host_resources(world.engine, &world.resources);
	return engine_restore(world.engine, ret);
}

void world_start_agent(void)
{
	_cleanup_(err_done) struct err err = {};

	must(start_agent(&err), &err, "restore");
	must(engine_outbox_source.each_task(world.engine, kick_task, NULL, &err), &err, "outbox");
}

int world_try_agent(void)
{
	_cleanup_(err_done) struct err err = {};

	return start_agent(&err);
}

void world_end_agent(void)
{
	world.engine = engine_free(world.engine);
	world.net = net_free(world.net);
	world.store = store_close(world.store);
}

/* ---- tasks ---- */

int world_payload(const char *text)
{
	_cleanup_(json_decrefp) json_t *message = NULL;
	_cleanup_(err_done) struct err err = {};

	must(json_parse(text, strlen(text), &message, &err), &err, text);
	return engine_on_payload(world.engine, message, &err);
}

int world_run(const char *arn, const char *members)
{
	_cleanup_(freep) char *text = NULL;

	if (asprintf(&text,
		     "{\"tasks\":[{\"arn\":\"%s\",\"family\":\"t\",\"version\":\"1\","
		     "\"desiredStatus\":"
		     "\"RUNNING\",\"containers\":[{\"name\":\"main\",\"image\":\"" IMAGE
		     "\",\"essential\":true%s}]}]}",
		     arn, members) < 0)
		return -ENOMEM;
	return world_payload(text);
}

void world_kick(void)
{
	world.undelivered = false;
	(void) engine_outbox_source.each_task(world.engine, kick_task, NULL, NULL);
}

void world_turn(int ms)
{
	int64_t end = clock_mono_ms() + ms;

	do
		(void) sd_event_run(world.loop, 1000);
	while (clock_mono_ms() < end);
	if (!world.undelivered)
		return;
	world_kick();
}

const json_t *world_report(const char *arn, const char *status)
{
	size_t i;
	json_t *r;

	json_array_foreach(world.reports, i, r)
		if (strcmp(json_get_string(r, "task", ""), arn) == 0 &&
		    strcmp(json_get_string(r, "status", ""), status) == 0)
			return r;
	return NULL;
}

const json_t *world_wait(const char *arn, const char *status, int timeout_ms)
{
	int64_t end = clock_mono_ms() + patiently(timeout_ms);
	const json_t *r;

	while (!(r = world_report(arn, status)) && clock_mono_ms() < end)
		(void) sd_event_run(world.loop, 100000);
	return r;
}

bool world_wait_output(const char *arn, const char *text)
{
	const struct task *t = engine_find_task(world.engine, arn);
	_cleanup_(freep) char *path = t ? engine_log_path(world.engine, &t->containers[0]) : NULL;
	int64_t end = clock_mono_ms() + patiently(60000);
	bool found = false;

	while (path && !found && clock_mono_ms() < end) {
		_cleanup_(freep) char *log = NULL;
		size_t len = 0;

		world_turn(5);
		found = fs_read_file(AT_FDCWD, path, 1 << 20, &log, &len, NULL) == 0 &&
			strstr(log, text);
	}
	return found;
}

const json_t *world_container(const json_t *report, size_t i)
{
	return json_array_get(json_object_get(report, "containers"), i);
}

/* ---- leftovers ---- */

static size_t entries_below(const char *dir, const char *sub)
{
	_cleanup_(freep) char *path = path_join("%s/%s", dir, sub);
	_cleanup_(closedirp) DIR *d = opendir(path);
	const struct dirent *e;
	size_t n = 0;

	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.';
	return n;
}

bool world_is_clean(void)
{
	_cleanup_(strv_freep) char **groups = NULL;

	(void) cgroup_list_tasks(&groups, NULL);
	return entries_below(world.config.run_dir, "containers") == 0 &&
	       entries_below(world.config.run_dir, "runc") == 0 &&
	       entries_below(world.config.run_dir, "netns") == 0 && strv_length(groups) == 0 &&
	       shell("! grep -q -e '%s/data' -e '%s/run/.*/shm' /proc/self/mountinfo", world.top,
		     world.top) == 0 &&
	       shell("! nft list table inet ecs | grep -q elements") == 0;
}

/* The programs that run a container's life; a dead one that nobody waited for has no arguments. */
bool world_has_our_path(pid_t pid)
{
	_cleanup_(freep) char *path = path_join("/proc/%d/cmdline", (int) pid), *text = NULL;
	size_t len = 0;

	return fs_read_file(AT_FDCWD, path, 1 << 16, &text, &len, NULL) == 0 &&
	       memmem(text, len, world.top, strlen(world.top)) && !strstr(text, "test-");
}

static size_t our_processes(void)
{
	_cleanup_(closedirp) DIR *d = opendir("/proc");
	const struct dirent *e;
	size_t n = 0;

	while (d && (e = readdir(d)))
		n += e->d_name[0] >= '1' && e->d_name[0] <= '9' &&
		     world_has_our_path((pid_t) strtol(e->d_name, NULL, 10));
	return n;
}

bool world_is_spotless(void)
{
	return entries_below(world.config.data_dir, "containers") == 0 &&
	       entries_below(world.config.data_dir, "volumes") == 0 &&
	       entries_below(world.config.data_dir, "metadata") == 0 &&
	       entries_below(world.config.data_dir, "trash") == 0 &&
	       entries_below(world.config.image_dir, "pins") == 0 && our_processes() == 0 &&
	       world_is_clean();
}

void world_print_leftovers(void)
{
	_cleanup_(freep) char *text = NULL;

	(void) fflush(stdout);
	/* not by shell(), whose child has no standard output */
	if (asprintf(&text,
		     "{ cd '%s'; ls -d run/*/* data/containers/* data/volumes/* data/metadata/* "
		     "data/trash/* "
		     "images/pins/* /sys/fs/cgroup/*%s/*/ /sys/fs/cgroup%s/*/ 2>/dev/null; grep -e "
		     "'%s/data' -e '%s/run/.*/shm' /proc/self/mountinfo; nft list table inet ecs | "
		     "grep elements; ps -eo pid,ppid,stat,etimes,wchan,args | grep -F '%s' | grep "
		     "-v "
		     "-e grep; } | sed 's/^/# left: /'",
		     world.top, world.config.cgroup_parent, world.config.cgroup_parent, world.top,
		     world.top, world.top) < 0 ||
	    system(text) < 0)
		printf("# cannot list what is left\n");
	for (size_t i = 0; world.engine && i < engine_task_count(world.engine); i++) {
		const struct task *t = engine_task_at(world.engine, i);

		printf("# left: %s is %s, %s was told\n", t->arn, task_status_name(t->known),
		       task_status_name(t->sent));
	}
	(void) fflush(stdout);
}

bool world_gets_clean(void)
{
	for (int64_t i = 0; i < patiently(1000); i++) {
		if (world_is_clean())
			return true;
		world_turn(20);
	}
	return false;
}

bool world_stop_all(void)
{
	for (size_t i = 0; i < engine_task_count(world.engine); i++)
		(void) engine_stop_task(world.engine, engine_task_at(world.engine, i)->arn, NULL,
					NULL, NULL);
	for (size_t i = 0; i < engine_task_count(world.engine); i++)
		for (int64_t j = 0;
		     j < patiently(500) && engine_task_at(world.engine, i)->known != TASK_STOPPED;
		     j++)
			world_turn(20);
	return world_gets_clean();
}
