/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent ends at each of the moments of agent/engine/crash.h, one after the other, and is started
 * again: each container starts once at most, each change is told at least once and in order, and in
 * the end nothing is left. CRASH_POINT=NAME tries one, CRASH_HITS=N also its 2nd to Nth time. The
 * points are dealt out to PARTS programs, of which this one is number PART.
 */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/engine/crash.h"
#include "agent/engine/internal.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/json.h"
#include "common/spawn.h"
#include "tests/integration/engine/told.h"
#include "tests/integration/engine/world.h"
#include "tests/integration/host.h"

enum { PATIENCE_MS = 60000, CLEANUP_WAIT_MS = 300, LIVES_MAX = 20, RESTARTS = 2, PARTS = 3 };

#define POINT_NAME(name) #name,
static const char *const names[] = { CRASH_POINT_TABLE(POINT_NAME) };

/* What a life tells its parent; it may be gone a moment later. */
static struct {
	int hits, done, late;
} * shared;
static enum crash_point armed = _CRASH_POINT_MAX;
static int armed_hit;
static enum { AGENT = 1, SHIMS = 2 } victims = AGENT;

static void kill_shim(const char *dir, const char *id, const char *run)
{
	_cleanup_(freep) char *path = path_join("%s/%s%s/shim.pid", dir, id, run), *text = NULL;
	size_t len = 0;
	long pid;

	if (fs_read_file(AT_FDCWD, path, 32, &text, &len, NULL) < 0)
		return;
	pid = strtol(text, NULL, 10);
	if (pid > 1 && world_has_our_path((pid_t) pid)) /* the number may be another's by now */
		(void) kill((pid_t) pid, SIGKILL);
}

static void kill_shims(void)
{
	_cleanup_(freep) char *dir = path_join("%s/containers", world.config.run_dir);
	_cleanup_(closedirp) DIR *d = opendir(dir);
	const struct dirent *e;

	while (d && (e = readdir(d))) {
		kill_shim(dir, e->d_name, "");
		kill_shim(dir, e->d_name, "/1"); /* of its restarts */
		kill_shim(dir, e->d_name, "/2");
	}
}

void crash_point_reached(enum crash_point p)
{
	if (p != armed || ++shared->hits != armed_hit)
		return;
	if (victims & SHIMS)
		kill_shims();
	if (victims & AGENT)
		(void) kill(getpid(), SIGKILL);
}

/* ---- the tasks ---- */

static const struct what {
	const char *id, *ends, *helper_ends;
	bool pulls;
	bool shares;                  /* namespaces, which somebody holds */
	bool has_eni;                 /* an interface of its own */
	int restarts;
	const char *volumes, *mounts; /* after the marks */
} tasks[] = {
	{ .id = "stays" },
	{ .id = "exits", .ends = "exit 101" },
	{ .id = "helped", .helper_ends = "exit 3" },
	{ .id = "pulls", .pulls = true },
	{ .id = "shares", .shares = true },
	{ .id = "again", .restarts = RESTARTS },
	{ .id = "owns", .has_eni = true },
	{ .id = "keeps", /* a volume with something mounted on it, and a copy of what the image has */
	  .volumes = "[{\"name\":\"memory\",\"type\":\"docker\",\"dockerVolumeConfiguration\":{"
		     "\"driverOpts\":{\"type\":\"tmpfs\",\"device\":\"tmpfs\",\"o\":\"size=1m\"}}},"
		     "{\"name\":\"copy\",\"host\":{}}]",
	  .mounts = "[{\"sourceVolume\":\"memory\",\"containerPath\":\"/memory\"},"
		    "{\"sourceVolume\":\"copy\",\"containerPath\":\"/etc\"}]" },
};

static int round_number;

static const char *arn_of(const struct what *w)
{
	static char arn[128];

	(void) snprintf(arn, sizeof(arn), ARN("%s%d"), w->id, round_number);
	return arn;
}

static void extend(json_t *list, const char *text)
{
	_cleanup_(json_decrefp) json_t *more = NULL;

	if (text &&
	    (json_parse(text, strlen(text), &more, NULL) < 0 || json_array_extend(list, more) < 0))
		abort();
}

static json_t *container(const struct what *w, const char *name, const char *ends, bool essential)
{
	_cleanup_(freep) char *script = path_join(
		"trap 'exit 0' TERM; m=/marks/%s%d-%s; echo ran >> $m; "
		"[ $(wc -l < $m) -gt %d ] || exit 9; %s",
		w->id, round_number, name, w->restarts, ends ? ends : "sleep 1000 & wait");

	json_t *mounts =
		json_pack("[{s:s,s:s}]", "sourceVolume", "marks", "containerPath", "/marks");

	extend(mounts, w->mounts);
	return json_pack("{s:s,s:s,s:b,s:i,s:[s,s,s],s:o,s:[{s:i}],s:{s:b}}", "name", name, "image",
			 w->pulls ? "127.0.0.1:5555/nobody:1" : IMAGE, "essential", essential,
			 "stopTimeout", 1, "command", "sh", "-c", script, "mountPoints", mounts,
			 "portMappings", "containerPort", 80, "restartPolicy", "enabled",
			 w->restarts > 0);
}

/* A veth stands for it; it has to come back each time. */
static const char eni[] = "[{\"ec2Id\":\"eni-1\",\"macAddress\":\"02:00:5e:00:00:01\","
			  "\"ipv4Addresses\":[{\"privateAddress\":\"198.51.100.7\",\"primary\":true}],"
			  "\"subnetGatewayIpv4Address\":\"198.51.100.1/24\"}]";

static json_t *task(const struct what *w)
{
	json_t *enis = NULL;
	json_t *containers = json_array();
	json_t *volumes =
		json_pack("[{s:s,s:{s:s}}]", "name", "marks", "host", "sourcePath", told_marks);

	(void) json_array_append_new(containers, container(w, "main", w->ends, true));
	if (w->helper_ends)
		(void) json_array_append_new(containers,
					     container(w, "helper", w->helper_ends, false));
	extend(volumes, w->volumes);
	if (w->has_eni && json_parse(eni, strlen(eni), &enis, NULL) < 0)
		abort();
	return json_pack("{s:o*,s:s,s:s,s:s,s:s,s:s,s:s,s:o,s:o}",
			 "elasticNetworkInterfaces", enis, "arn", arn_of(w), "family", "crash",
			 "version", "1", "desiredStatus", "RUNNING", "pidMode",
			 w->shares ? "task" : "", "ipcMode", w->shares ? "task" : "", "volumes",
			 volumes, "containers", containers);
}

static void send_payload(void)
{
	_cleanup_(json_decrefp) json_t *message = json_pack("{s:[]}", "tasks");

	/* Who was told that a task stopped does not send it again: it may be cleaned up by now. */
	for (size_t i = 0; i < ARRAY_SIZE(tasks); i++)
		if (!told_of(arn_of(&tasks[i])).stopped)
			(void) json_array_append_new(json_object_get(message, "tasks"),
						     task(&tasks[i]));
	if (engine_on_payload(world.engine, message, NULL) < 0)
		abort();
}

static int marks_of(const struct what *w, const char *name)
{
	char file[64];

	(void) snprintf(file, sizeof(file), "%s%d-%s", w->id, round_number, name);
	return told_marks_of(file);
}

/* ---- the lives: one brings everything up, the other ends it ---- */

/* Takes connections and says nothing, so a pull that nobody wants any more does not end by itself. */
static void listen_as_registry(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons(5555),
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *) &sa, sizeof(sa)) < 0 || listen(fd, 4096) < 0)
		abort();
	world.config.image_pull_inactivity_ms = 3600000;
}

static bool is_up(const struct what *w)
{
	const struct task *t = engine_find_task(world.engine, arn_of(w));

	if (!t) /* it ended and was cleaned up, faster than the others came up */
		return w->ends || victims & SHIMS;
	if (w->pulls)
		return t->pull_started_ms > 0;
	if (victims & SHIMS && t->known == TASK_STOPPED)
		return true;
	if (w->helper_ends && t->containers[1].known != CONTAINER_STOPPED)
		return false;
	return t->known == (w->ends ? TASK_STOPPED : TASK_RUNNING) &&
	       marks_of(w, "main") > w->restarts;
}

static bool all_up(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(tasks); i++)
		if (!is_up(&tasks[i]))
			return false;
	return true;
}

static bool all_gone(void)
{
	return engine_task_count(world.engine) == 0 && world_is_spotless();
}

static void say_where_all_are(void)
{
	for (size_t i = 0; i < engine_task_count(world.engine); i++) {
		const struct task *t = engine_task_at(world.engine, i);

		for (size_t j = 0; j < t->n_containers; j++)
			print_message("# %s: %s, '%s' is %s, wanted %s, busy %d\n", t->id,
				      task_status_name(t->known), t->containers[j].name,
				      container_status_name(t->containers[j].known),
				      container_status_name(t->containers[j].desired),
				      (int) t->containers[j].run->busy);
	}
	world_print_leftovers();
}

static void turn_until(bool (*so)(void))
{
	int64_t end = clock_mono_ms() + patiently(PATIENCE_MS);

	while (!so() && clock_mono_ms() < end)
		world_turn(5);
	shared->late = !so();
	if (shared->late)
		say_where_all_are();
}

static void bring_up(void)
{
	/* A task that is cleaned up is not known any more, and would be begun anew. */
	world.config.task_cleanup_wait_ms = 3600000;
	send_payload();
	turn_until(all_up);
}

static void bring_down(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(tasks); i++)
		if (engine_stop_task(world.engine, arn_of(&tasks[i]), NULL, NULL, NULL) < 0)
			abort();
	turn_until(all_gone);
}

/* True when it came to its end; false when it died at the armed point. */
static bool live(void (*what)(void), enum crash_point p, int hit)
{
	int status = 0;
	pid_t pid;

	shared->done = shared->late = shared->hits = 0;
	pid = fork();
	if (pid == 0) {
		world.loop = NULL; /* a loop does not survive a fork */
		armed = p;
		armed_hit = hit;
		if (sd_event_new(&world.loop) < 0)
			_exit(1);
		world_start_agent();
		what();
		shared->done = 1;
		_exit(0); /* nothing is put in order: that is what a crash is like, too */
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (shared->late)
		fail_msg("%s: does not come %s after a crash", p < _CRASH_POINT_MAX ? names[p] : "",
			 what == bring_up ? "up" : "down");
	if (shared->done)
		return true;
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	return false;
}

/* Both lives, killed at @p once. @first, when it is a point, ends a life before those. */
static bool live_through(enum crash_point p, int hit, enum crash_point first)
{
	bool died = false;

	if (first < _CRASH_POINT_MAX)
		(void) live(bring_up, first, 1);
	for (int stage = 0; stage < 2; stage++) {
		void (*what)(void) = stage == 0 ? bring_up : bring_down;

		if (!live(what, died ? _CRASH_POINT_MAX : p, hit)) {
			died = true;
			assert_true(live(what, _CRASH_POINT_MAX, 0));
		}
	}
	return died;
}

/* ---- what must hold ---- */

static char *runs; /* the runtime's wrapper notes the id of each container that it runs */

static void make_counting_runtime(void)
{
	_cleanup_(freep) char *text = NULL;

	runs = path_join("%s/runs", world.top);
	world.config.runc = path_join("%s/counting-runc", world.top);
	text = path_join("#!/bin/sh\nfor a; do l=$a; [ \"$a\" = run ] && r=1; done\n"
			 "[ -n \"$r\" ] && echo \"$l\" >> '%s'\nexec runc \"$@\"\n",
			 runs);
	if (!runs || !world.config.runc || !text ||
	    fs_write_file(AT_FDCWD, world.config.runc, text, strlen(text), 0700, NULL) < 0)
		abort();
}

static int repeats_of(const char *id, const char *text)
{
	int n = 0;

	while ((text = strstr(text, id))) {
		text++;
		n++;
	}
	return n;
}

static void only_one_container_was_run_again(void)
{
	_cleanup_(freep) char *text = NULL;
	size_t len = 0;
	int again = 0;

	if (fs_read_file(AT_FDCWD, runs, 1 << 20, &text, &len, NULL) < 0)
		return;
	for (const char *p = text; strlen(p) > 64; p += 65) {
		char id[66] = "";

		memcpy(id, p, 65); /* the newline as well */
		again += repeats_of(id, text) > 1 && !strstr(p + 65, id);
		if (repeats_of(id, text) > 1 + RESTARTS)
			fail_msg("container %.12s was run %d times", id, repeats_of(id, text));
	}
	if (again > 1)
		fail_msg("%d containers were run more than once", again);
}

static void was_told(const struct what *w)
{
	struct told t = told_of(arn_of(w));

	if (!t.in_order || !t.stopped)
		fail_msg("%s: in order: %d, STOPPED was told: %d", arn_of(w), t.in_order,
			 t.stopped);
	assert_true(marks_of(w, "main") <= 1 + w->restarts && marks_of(w, "helper") <= 1);
	if (victims & SHIMS)
		return; /* what becomes of it depends on how far it was */
	if (w->ends)
		assert_int_equal(t.exit_code, 101);
	else if (!w->pulls)
		assert_true(t.running);
	if (!w->pulls)
		assert_int_equal(marks_of(w, "main"), 1 + w->restarts);
}

static void all_is_well(void)
{
	only_one_container_was_run_again();
	for (size_t i = 0; i < ARRAY_SIZE(tasks); i++)
		was_told(&tasks[i]);
	assert_true(world_is_spotless());
	told_clear();
	(void) unlink(runs);
	round_number++;
}

/* ---- the matrix ---- */

/* Half of a start is what some points need before them. */
static const enum crash_point befores[] = { _CRASH_POINT_MAX, CRASH_BUNDLE_MADE,
					    CRASH_SHIM_SPAWNED };

static bool try_point(enum crash_point p, int hit)
{
	bool died = false;

	for (size_t i = 0; i < ARRAY_SIZE(befores) && !died; i++) {
		died = live_through(p, hit, befores[i]);
		all_is_well();
		if (hit > 1)
			break; /* there may be no such one */
	}
	return died;
}

/* @n: its place among those that are tried. */
static bool is_ours(enum crash_point p, size_t n)
{
	const char *only = getenv("CRASH_POINT");

	return only ? strcmp(only, names[p]) == 0 : n % PARTS == PART - 1;
}

static void at_every_point(void **state _unused_)
{
	const char *hits = getenv("CRASH_HITS");
	int most = hits ? (int) strtol(hits, NULL, 10) : 1;
	int64_t begin = clock_mono_ms();
	int deaths = 0;

	for (int p = 0; p < _CRASH_POINT_MAX; p++) {
		if (!is_ours((enum crash_point) p, (size_t) p))
			continue;
		if (!try_point((enum crash_point) p, 1))
			fail_msg("%s: was never reached", names[p]);
		print_message("# %s: %.1f s so far\n", names[p],
			      (double) (clock_mono_ms() - begin) / 1000);
		deaths++;
		for (int hit = 2; hit <= most && try_point((enum crash_point) p, hit); hit++)
			deaths++;
	}
	print_message("# %d deaths, part %d of %d of %d points, %.1f s\n", deaths, PART, PARTS,
		      _CRASH_POINT_MAX, (double) (clock_mono_ms() - begin) / 1000);
}

/* A container whose parent dies is reported and collected, whether the agent sees it or not. */
static void shims_die_as_well(void **state _unused_)
{
	static const enum crash_point points[] = { CRASH_SHIM_SPAWNED,    CRASH_STARTED_HEARD,
						   CRASH_PORTS_PUBLISHED, CRASH_STOP_BEFORE,
						   CRASH_STOP_SENT,       CRASH_EXIT_HEARD,
						   CRASH_RESTORE_ADOPTED };

	for (size_t i = 0; i < ARRAY_SIZE(points); i++)
		for (int who = SHIMS; who <= (AGENT | SHIMS); who++) {
			if (!is_ours(points[i], i))
				continue;
			victims = who;
			(void) live_through(points[i], 1, _CRASH_POINT_MAX);
			all_is_well();
		}
	victims = AGENT;
}

int main(void)
{
	const struct CMUnitTest tests_to_run[] = { cmocka_unit_test(at_every_point),
						   cmocka_unit_test(shims_die_as_well) };
	int failed;

	world_begin();
	told_begin();
	if (spawn_wait((char *[]){ (char *) "ip", (char *) "link", (char *) "add", (char *) "eni",
				   (char *) "address", (char *) "02:00:5e:00:00:01",
				   (char *) "type", (char *) "veth", NULL },
		       NULL) != 0)
		abort();
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		abort();
	make_counting_runtime();
	listen_as_registry();
	world.config.task_cleanup_wait_ms = CLEANUP_WAIT_MS;
	world.config.task_cleanup_jitter_ms = 1;
	failed = cmocka_run_group_tests(tests_to_run, NULL, NULL);
	free(runs);
	free(world.config.runc);
	told_end();
	world_end();
	return failed;
}
