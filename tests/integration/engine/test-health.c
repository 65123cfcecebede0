/* SPDX-License-Identifier: Apache-2.0 */
/* Health checks from the payload to the container's state, with the real runtime. */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fs.h"
#include "common/json.h"
#include "tests/integration/engine/world.h"
#include "tests/integration/host.h"

enum { PATIENCE_MS = 60000 };

static int start_agent(void **state _unused_)
{
	world_start_agent();
	return 0;
}

static int end_agent(void **state _unused_)
{
	bool clean = world_stop_all();

	world_end_agent();
	(void) json_array_clear(world.reports);
	return clean ? 0 : -1;
}

static const struct container *container(const char *arn)
{
	const struct task *t = engine_find_task(world.engine, arn);

	return t ? &t->containers[0] : NULL;
}

static bool becomes(const char *arn, enum health_status want)
{
	int64_t end = clock_mono_ms() + patiently(PATIENCE_MS);

	while (container(arn)->health.status != want && clock_mono_ms() < end)
		(void) sd_event_run(world.loop, 100000);
	return container(arn)->health.status == want;
}

/* A container that sleeps, with a check of @test, every 100 ms, two retries. */
static int run_checked(const char *arn, const char *type, const char *test, const char *more)
{
	_cleanup_(freep) char *members = NULL;

	if (asprintf(&members,
		     ",\"command\":[\"sleep\",\"1000\"]%s,\"dockerConfig\":{\"config\":\"{%s"
		     "\\\"HealthCheck\\\":{\\\"Test\\\":[%s],\\\"Interval\\\":100000000,"
		     "\\\"Timeout\\\":20000000000,\\\"Retries\\\":2}}\"}",
		     type, more, test) < 0)
		return -ENOMEM;
	return world_run(arn, members);
}

#define TRACKED ",\"healthCheckType\":\"docker\""
#define SHELL(script) "\\\"CMD-SHELL\\\",\\\"" script "\\\""

static void touch_inside(const char *arn, const char *name, bool there)
{
	_cleanup_(freep) char *path = path_join("/proc/%d/root/tmp/%s", container(arn)->pid, name);

	if (there)
		assert_int_equal(fs_write_file_volatile(AT_FDCWD, path, "", 0, 0644, NULL), 0);
	else
		assert_int_equal(unlink(path), 0);
}

static void health_follows_the_probes_and_the_agent_may_go(void **state _unused_)
{
	const struct container *c;
	int64_t since;

	assert_int_equal(run_checked(ARN("flip"), TRACKED, SHELL("echo seen; test -e /tmp/up"), ""),
			 0);
	assert_non_null(world_wait(ARN("flip"), "RUNNING", PATIENCE_MS));
	c = container(ARN("flip"));
	assert_int_equal(c->health.status, HEALTH_UNKNOWN);
	assert_true(becomes(ARN("flip"), HEALTH_UNHEALTHY));
	assert_int_equal(c->health.exit_code, 1);
	assert_string_equal(c->health.output, "seen\n");
	assert_int_equal(c->known, CONTAINER_RUNNING); /* the service decides what becomes of it */
	touch_inside(ARN("flip"), "up", true);
	assert_true(becomes(ARN("flip"), HEALTH_HEALTHY));
	since = c->health.since_ms;
	assert_true(since > c->started_ms);
	world_end_agent();
	world_start_agent();
	assert_true(becomes(ARN("flip"), HEALTH_HEALTHY));
	assert_int_equal(container(ARN("flip"))->health.since_ms, since);
	touch_inside(ARN("flip"), "up", false);
	world_end_agent();
	(void) usleep(700000); /* nobody is there to hear of it */
	world_start_agent();
	assert_true(becomes(ARN("flip"), HEALTH_UNHEALTHY));
}

/* As the container's process is confined, so is the probe. */
static void a_probe_is_confined_like_the_container(void **state _unused_)
{
	assert_int_equal(
		run_checked(
			ARN("confined"), TRACKED,
			SHELL("id -u; pwd; echo $HOME; grep -E "
			      "'^(CapEff|CapBnd|NoNewPrivs|Seccomp):' "
			      "/proc/self/status; grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' "
			      "/proc/1/status; cat /proc/self/oom_score_adj; ulimit -n; exit 5"),
			"\\\"User\\\":\\\"33:33\\\",\\\"WorkingDir\\\":\\\"/tmp\\\","
			"\\\"Env\\\":[\\\"HOME=/here\\\"],"),
		0);
	assert_non_null(world_wait(ARN("confined"), "RUNNING", PATIENCE_MS));
	assert_true(becomes(ARN("confined"), HEALTH_UNHEALTHY));
	const char *out = container(ARN("confined"))->health.output;

	assert_memory_equal(out, "33\n/tmp\n/here\n", 14);
	/* its own four lines and init's four are the same */
	const char *own = out + 14, *init = own;

	for (int i = 0; i < 4; i++)
		init = strchr(init, '\n') + 1;
	assert_memory_equal(own, init, (size_t) (init - own));
	assert_non_null(strstr(own, "Seccomp:\t2"));
	assert_non_null(strstr(own, "CapEff:\t0000000000000000"));
	init += init - own;
	assert_memory_equal(init, "0\n", 2);
}

static void a_stop_does_not_wait_for_a_probe(void **state _unused_)
{
	const json_t *r;
	int64_t at;

	assert_int_equal(run_checked(ARN("slow"), TRACKED, SHELL("touch /tmp/on; sleep 900"), ""),
			 0);
	assert_non_null(world_wait(ARN("slow"), "RUNNING", PATIENCE_MS));
	_cleanup_(freep) char *flag =
		path_join("/proc/%d/root/tmp/on", container(ARN("slow"))->pid);

	for (int64_t i = 0; i < patiently(3000) && access(flag, F_OK) < 0; i++)
		world_turn(10);
	assert_int_equal(access(flag, F_OK), 0);
	world.config.stop_timeout_ms = 200;
	at = clock_mono_ms();
	assert_int_equal(engine_stop_task(world.engine, ARN("slow"), NULL, NULL, NULL), 0);
	r = world_wait(ARN("slow"), "STOPPED", PATIENCE_MS);
	assert_non_null(r);
	assert_true(clock_mono_ms() - at < patiently(15000)); /* the probe has 20 s */
	assert_true(world_gets_clean());
	world.config.stop_timeout_ms = 10000;
}

/* A restart in place begins anew: unknown, then what the probes of the new run say. */
static void the_next_run_is_probed_like_the_first(void **state _unused_)
{
	int64_t end = clock_mono_ms() + patiently(PATIENCE_MS), since;
	const struct container *c;
	pid_t first;

	assert_int_equal(run_checked(ARN("again"),
				     TRACKED ",\"restartPolicy\":{\"enabled\":true,"
					     "\"restartAttemptPeriod\":0}",
				     SHELL("true"), ""),
			 0);
	assert_non_null(world_wait(ARN("again"), "RUNNING", PATIENCE_MS));
	c = container(ARN("again"));
	assert_true(becomes(ARN("again"), HEALTH_HEALTHY));
	first = c->pid;
	since = c->health.since_ms;
	assert_int_equal(kill(first, SIGKILL), 0);
	while ((c->pid == first || c->pid == 0) && clock_mono_ms() < end)
		(void) sd_event_run(world.loop, 100000);
	assert_true(c->pid > 0 && c->pid != first);
	assert_true(becomes(ARN("again"), HEALTH_HEALTHY));
	assert_true(c->health.since_ms > since && c->health.since_ms >= c->started_ms);
}

static void docker_type_without_a_check_is_an_error(void **state _unused_)
{
	const json_t *r;

	assert_int_equal(world_run(ARN("nil"), TRACKED ",\"command\":[\"sleep\",\"1000\"]"), 0);
	r = world_wait(ARN("nil"), "STOPPED", PATIENCE_MS);
	assert_string_equal(json_get_string(world_container(r, 0), "reason", ""),
			    "DockerClientConfigError: docker health check is nil while container "
			    "health check type is DOCKER");
}

/* Docker's NONE, and the setting that switches health off. */
static void no_check_is_no_probe(void **state _unused_)
{
	assert_int_equal(run_checked(ARN("none"), TRACKED, "\\\"NONE\\\"", ""), 0);
	assert_non_null(world_wait(ARN("none"), "RUNNING", PATIENCE_MS));
	assert_int_equal(container(ARN("none"))->health.status, HEALTH_NONE);
	world.config.health_check_disabled = true;
	assert_int_equal(run_checked(ARN("off"), TRACKED, SHELL("touch /tmp/on"), ""), 0);
	assert_non_null(world_wait(ARN("off"), "RUNNING", PATIENCE_MS));
	world_turn(500);
	world.config.health_check_disabled = false;
	assert_int_equal(container(ARN("off"))->health.status, HEALTH_NONE);
	_cleanup_(freep) char *flag = path_join("/proc/%d/root/tmp/on", container(ARN("off"))->pid);

	assert_int_not_equal(access(flag, F_OK), 0);
}

#define with_agent(f) cmocka_unit_test_setup_teardown(f, start_agent, end_agent)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		with_agent(health_follows_the_probes_and_the_agent_may_go),
		with_agent(a_probe_is_confined_like_the_container),
		with_agent(a_stop_does_not_wait_for_a_probe),
		with_agent(the_next_run_is_probed_like_the_first),
		with_agent(docker_type_without_a_check_is_an_error),
		with_agent(no_check_is_no_probe),
	};
	int k;

	world_begin();
	k = cmocka_run_group_tests(tests, NULL, NULL);
	world_end();
	return k;
}
