/* SPDX-License-Identifier: Apache-2.0 */
/* Health checks by ecs-shim in real containers. Prints TAP. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/json.h"
#include "tests/integration/host.h"
#include "tests/integration/shim/box.h"
#include "tests/integration/shim/tap.h"

enum { WAIT_MS = 30000 };

/* The probe is the container's process with another command, as the engine writes it. */
static void add_probe(struct box *b, const char *script)
{
	_cleanup_(freep) char *from = path_join("%s/config.json", b->bundle),
			      *to = path_join("%s/health.json", b->run_dir), *text = NULL,
			      *out = NULL;
	json_auto_t *spec = NULL;
	json_t *process;

	box_make(b);
	(void) fs_read_file(AT_FDCWD, from, 1 << 20, &text, NULL, NULL);
	(void) json_parse(text, strlen(text), &spec, NULL);
	process = json_object_get(spec, "process");
	(void) json_object_set_new(process, "args", json_pack("[s,s,s]", "/bin/sh", "-c", script));
	(void) json_object_set_new(process, "terminal", json_false());
	out = json_to_text(process);
	(void) fs_write_file_volatile(AT_FDCWD, to, out, strlen(out), 0600, NULL);
}

static void probed(struct box *b, const char *script, const char *probe)
{
	box_init(b, script);
	b->params.health =
		(struct shim_health_rules){ .interval_ms = 100, .timeout_ms = 20000, .retries = 2 };
	add_probe(b, probe);
}

static pid_t init; /* of the container begun last */

static bool begin(struct box *b)
{
	struct shim_event e = {};

	if (shim_spawn(&b->params, &b->shim, NULL) < 0 || !box_wait(b, &e, WAIT_MS))
		return false;
	init = e.pid;
	return e.type == SHIM_STARTED;
}

/* The first event that says @health; false when the end comes before, or the time is over. */
static bool until(struct box *b, enum shim_health health, struct shim_event *e)
{
	int64_t by = clock_mono_ms() + patiently(WAIT_MS);

	while (clock_mono_ms() < by && box_wait(b, e, (int) patiently(WAIT_MS)))
		if (e->type != SHIM_HEALTH || e->health == health)
			return e->type == SHIM_HEALTH;
	return false;
}

static bool until_exited(struct box *b, struct shim_event *e)
{
	while (box_wait(b, e, (int) patiently(WAIT_MS)))
		if (e->type != SHIM_HEALTH)
			return e->type == SHIM_EXITED;
	return false;
}

static void flips(void)
{
	_cleanup_(boxp) struct box b;
	_cleanup_(freep) char *flag = NULL;
	struct shim_event e = {}, again = {};
	int64_t first_since;

	probed(&b, "exec sleep 1000",
	       "echo looked; echo and complained >&2; test -e /tmp/good || exit 7");
	if (!ok(begin(&b), "a container with a health check starts"))
		return;
	flag = path_join("/proc/%d/root/tmp/good", init);
	ok(until(&b, SHIM_HEALTH_STARTING, &e) && e.exit_code == 7 &&
		   strcmp(e.message, "looked\nand complained\n") == 0,
	   "one failure of two leaves it starting; exit code and output are told");
	printf("# %d '%s'\n", e.exit_code, e.message);
	ok(until(&b, SHIM_HEALTH_UNHEALTHY, &e) && e.exit_code == 7 && e.health_since_ms > 0,
	   "the second failure in a row makes it unhealthy");
	first_since = e.health_since_ms;
	(void) fs_write_file_volatile(AT_FDCWD, flag, "", 0, 0644, NULL);
	ok(until(&b, SHIM_HEALTH_HEALTHY, &e) && e.exit_code == 0 &&
		   e.health_since_ms >= first_since,
	   "one success makes it healthy");
	first_since = e.health_since_ms;
	ok(box_wait(&b, &e, WAIT_MS) && e.health == SHIM_HEALTH_HEALTHY &&
		   e.health_since_ms == first_since,
	   "the next success changes nothing but the probe");
	b.shim = shim_free(b.shim);
	(void) unlink(flag);
	(void) usleep(800000); /* nobody listens meanwhile */
	ok(shim_attach(b.run_dir, &b.shim, NULL) == 0 && box_wait(&b, &again, WAIT_MS) &&
		   again.type == SHIM_STARTED && box_wait(&b, &again, WAIT_MS) &&
		   again.type == SHIM_HEALTH,
	   "an agent that comes later hears of the health at once");
	ok(again.health == SHIM_HEALTH_UNHEALTHY || until(&b, SHIM_HEALTH_UNHEALTHY, &again),
	   "and the probes went on without one");
	(void) shim_kill_all(b.shim, NULL);
	ok(until_exited(&b, &e) && e.exit_code == 137 && access(b.memory_dir, F_OK) < 0,
	   "the container ends as ever, its cgroup gone");
}

/* How many processes of the container's cgroup there are. */
static int population(const struct box *b)
{
	_cleanup_(freep) char *path = path_join("%s/cgroup.procs", b->memory_dir), *text = NULL;
	int n = 0;

	if (fs_read_file(AT_FDCWD, path, 65536, &text, NULL, NULL) < 0)
		return 0;
	for (const char *p = text; *p; p++)
		n += *p == '\n';
	return n;
}

static bool until_population(const struct box *b, int n)
{
	for (int64_t i = 0; i < patiently(3000); i++) {
		if (population(b) == n)
			return true;
		(void) usleep(10000);
	}
	return false;
}

/* One that hangs, with children in sessions of their own, in the background and orphaned. */
static void hangs(void)
{
	_cleanup_(boxp) struct box b;
	struct shim_event e = {};
	char want[80];

	probed(&b, "trap 'exit 5' TERM; while :; do sleep 0.05; done",
	       "echo partial; sleep 900 & (sleep 901 &) ; setsid sleep 902 & "
	       "sh -c 'sleep 903; true'; true");
	b.params.health.timeout_ms = patiently(2000); /* in which it says something */
	b.params.health.interval_ms = 2000;
	(void) snprintf(want, sizeof(want), "Health check exceeded timeout (%llds): partial\n",
			(long long) b.params.health.timeout_ms / 1000);
	if (!begin(&b))
		return;
	ok(until(&b, SHIM_HEALTH_STARTING, &e) && e.exit_code == -1 && strcmp(e.message, want) == 0,
	   "a probe that hangs fails at its deadline");
	printf("# %d '%s'\n", e.exit_code, e.message);
	ok(until_population(&b, 2) || until_population(&b, 1), "and is killed with its children");
	ok(until(&b, SHIM_HEALTH_UNHEALTHY, &e), "it makes the container unhealthy");
	(void) shim_stop(b.shim, SIGTERM, NULL);
	ok(until_exited(&b, &e) && e.exit_code == 5, "which still obeys its stop signal");
}

/* The stop neither waits for a probe nor leaves it. */
static void stops_during_probe(void)
{
	_cleanup_(boxp) struct box b;
	struct shim_event e = {};
	int64_t at;

	probed(&b, "trap 'exit 6' TERM; while :; do sleep 0.05; done", "exec sleep 1000");
	b.params.health.timeout_ms = 600000;
	b.params.stop_grace_ms = 60000;
	if (!begin(&b))
		return;
	ok(until_population(&b, 3), "a probe is under way");
	at = clock_mono_ms();
	(void) shim_stop(b.shim, SIGTERM, NULL);
	ok(until_exited(&b, &e) && e.exit_code == 6 && clock_mono_ms() - at < patiently(10000),
	   "a stop does not wait for it");
	ok(access(b.memory_dir, F_OK) < 0, "nor does the cgroup");
	printf("# stop -> SHIM_EXITED during a probe: %lld ms\n",
	       (long long) (clock_mono_ms() - at));
}

/* The container ends by itself while the runtime is about to begin a probe, again and again. */
static void exits_during_probe(void)
{
	int good = 0;

	for (int i = 0; i < 6; i++) {
		_cleanup_(boxp) struct box b;
		struct shim_event e = {};
		char script[64];

		(void) snprintf(script, sizeof(script), "sleep 0.%02d; exit 9", 10 + i);
		probed(&b, script, "exec sleep 1000");
		good += begin(&b) && until_exited(&b, &e) && e.exit_code == 9;
		(void) poll(&(struct pollfd){ .fd = shim_pidfd(b.shim), .events = POLLIN }, 1,
			    (int) patiently(20000));
		good += access(b.memory_dir, F_OK) < 0;
	}
	ok(good == 12, "an exit beside the start of a probe is told, and nothing stays");
}

static void odd_probes(void)
{
	_cleanup_(boxp) struct box b, c, d;
	struct shim_event e = {};

	probed(&b, "exec sleep 1000", "yes | head -c 5000; exit 3");
	ok(begin(&b) && until(&b, SHIM_HEALTH_UNHEALTHY, &e) && e.exit_code == 3 &&
		   strlen(e.message) == 1024,
	   "output is cut at 1024 bytes");
	probed(&c, "exec sleep 1000", "kill -9 $$");
	ok(begin(&c) && until(&c, SHIM_HEALTH_UNHEALTHY, &e) && e.exit_code == 137,
	   "a probe's signal is 128+n");
	probed(&d, "rm /bin/sh; exec sleep 1000", "true");
	ok(begin(&d) && until(&d, SHIM_HEALTH_UNHEALTHY, &e) && e.exit_code == -1 &&
		   strstr(e.message, "/bin/sh"),
	   "a probe that cannot begin says why");
	printf("# %s\n", e.message);
}

static void start_period(void)
{
	_cleanup_(boxp) struct box b;
	struct shim_event e = {};
	int n = 0;

	probed(&b, "exec sleep 1000", "exit 1");
	b.params.health.retries = 1;
	b.params.health.start_period_ms = patiently(2000);
	if (!begin(&b))
		return;
	while (box_wait(&b, &e, WAIT_MS) && e.health == SHIM_HEALTH_STARTING)
		n++;
	ok(n >= 2 && e.health == SHIM_HEALTH_UNHEALTHY,
	   "failures within the start period do not count, later ones do");
}

static long private_kib(pid_t pid)
{
	_cleanup_(freep) char *path = path_join("/proc/%d/smaps_rollup", pid), *text = NULL;
	long clean = 0, dirty = 0;
	char *at;

	if (fs_read_file(AT_FDCWD, path, 8192, &text, NULL, NULL) < 0)
		return -1;
	if ((at = strstr(text, "Private_Clean:")))
		clean = strtol(at + 14, NULL, 10);
	if ((at = strstr(text, "Private_Dirty:")))
		dirty = strtol(at + 14, NULL, 10);
	return clean + dirty;
}

static void memory(void)
{
	_cleanup_(boxp) struct box b, other;
	_cleanup_(freep) char *path = NULL, *text = NULL;
	struct shim_event e = {};
	long kib;

	box_init(&other, "exec sleep 1000"); /* with a second shim the program itself is shared */
	(void) box_start(&other, NULL);
	probed(&b, "exec sleep 1000", "yes | head -c 5000");
	(void) begin(&b);
	for (int i = 0; i < 5; i++)
		(void) box_wait(&b, &e, WAIT_MS);
	path = path_join("%s/shim.pid", b.run_dir);
	(void) fs_read_file(AT_FDCWD, path, 64, &text, NULL, NULL);
	kib = private_kib(text ? (pid_t) strtol(text, NULL, 10) : 0);
	printf("# private memory of a shim that probes: %ld KiB\n", kib);
#ifndef WITH_SANITIZERS
	ok(kib > 0 && kib <= 300, "at most 300 KiB of private memory");
#endif
}

int main(void)
{
	box_setup();
	flips();
	hangs();
	stops_during_probe();
	exits_during_probe();
	odd_probes();
	start_period();
	memory();
	box_teardown();
	return tap_end();
}
