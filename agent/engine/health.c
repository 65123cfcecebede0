/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/engine/health.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/internal.h"
#include "agent/engine/payload.h"
#include "common/fs.h"
#include "common/log.h"

enum { OUTPUT_MAX = 1024, DEFAULT_RETRIES = 3 };

static const int64_t NSEC_PER_MS = 1000000;
static const int64_t DEFAULT_NS = 30000 * 1000000LL; /* of interval and timeout */

const char *health_config_error(const struct container *c)
{
	return container_health_is_tracked(c) && !c->health_check.given
		       ? "docker health check is nil while container health check type is DOCKER"
		       : NULL;
}

/* ---- merging ---- */

static bool has_test(const struct health_check *h)
{
	return h->test && h->test[0];
}

/* The image's, which nobody checked before; one that makes no sense counts as none. */
static void read_image(const struct container *c, const struct image *image,
		       struct health_check *ret)
{
	_cleanup_(err_done) struct err err = {};

	if (!image->config.healthcheck)
		return;
	if (payload_decode_health_check(image->config.healthcheck, ret, &err) == 0)
		return;
	container_log(LOG_WARN, c, "The health check of the image of '%s' is ignored: %s", c->name,
		      err_text(&err));
	health_check_done(ret);
}

static int64_t first_set(int64_t a, int64_t b, int64_t fallback)
{
	return a > 0 ? a : b > 0 ? b : fallback;
}

static int64_t to_ms(int64_t ns)
{
	return ns / NSEC_PER_MS + (ns % NSEC_PER_MS > 0);
}

static struct shim_health_rules merge_rules(const struct health_check *a,
					    const struct health_check *b)
{
	return (struct shim_health_rules){
		.interval_ms = to_ms(first_set(a->interval_ns, b->interval_ns, DEFAULT_NS)),
		.timeout_ms = to_ms(first_set(a->timeout_ns, b->timeout_ns, DEFAULT_NS)),
		.start_period_ms = to_ms(first_set(a->start_period_ns, b->start_period_ns, 0)),
		.retries = first_set(a->retries, b->retries, DEFAULT_RETRIES),
	};
}

/* The arguments of the probe's process; NULL: no probe. */
static json_t *probe_args(char *const *test)
{
	json_t *args;

	if (!test || !test[0] || strcmp(test[0], "NONE") == 0)
		return NULL;
	if (strcmp(test[0], "CMD-SHELL") == 0)
		return json_pack("[s,s,s]", "/bin/sh", "-c", test[1]);
	args = json_array();
	for (char *const *s = test + 1; *s; s++)
		(void) json_array_append_new(args, json_string(*s));
	return args;
}

/* ---- the probe ---- */

/* The container's own process with another command: its user, environment, capabilities, … */
static int write_probe(const json_t *spec, json_t *args, const char *run_dir, struct err *err)
{
	_cleanup_(json_decrefp) json_t *process = json_copy(json_object_get(spec, "process"));
	_cleanup_(freep) char *path = path_join("%s/health.json", run_dir), *text = NULL;
	int k;

	(void) json_object_set(process, "args", args);
	(void) json_object_set_new(process, "terminal", json_false());
	text = process ? json_to_text(process) : NULL;
	if (!text || !path)
		return err_set(err, ENOMEM, "write health.json");
	/* On the run directory's tmpfs, for as long as the container: its environment is in it. */
	k = fs_write_file_volatile(AT_FDCWD, path, text, strlen(text), 0600, err);
	explicit_bzero(text, strlen(text));
	return k;
}

int health_add_probe(struct container *c, const struct image *image, const json_t *spec,
		     const char *run_dir, struct err *err)
{
	struct health_check of_image = {};
	_cleanup_(json_decrefp) json_t *args = NULL;
	int k = 0;

	c->run->health = (struct shim_health_rules){};
	if (c->run->engine->config->health_check_disabled)
		return 0;
	read_image(c, image, &of_image);
	args = probe_args(has_test(&c->health_check) ? c->health_check.test : of_image.test);
	if (args) {
		c->run->health = merge_rules(&c->health_check, &of_image);
		k = write_probe(spec, args, run_dir, err);
	}
	health_check_done(&of_image);
	return k;
}

/* ---- what becomes of it ---- */

void health_begin(struct container *c)
{
	if (c->run->health.interval_ms == 0)
		return;
	c->health.status = HEALTH_UNKNOWN;
	c->health.since_ms = c->started_ms;
}

/* JSON carries no other bytes. */
static void make_text(char *s)
{
	json_t *v = json_string(s);

	for (; !v && *s; s++)
		*s = (unsigned char) *s < 0x80 ? *s : '?';
	json_decref(v);
}

static void tell_change(const struct container *c)
{
	enum log_level level = c->health.status == HEALTH_UNHEALTHY ? LOG_WARN : LOG_INFO;

	container_log(level, c, "Container '%s' is %s; its last health check ended with %d",
		      c->name, health_status_name(c->health.status), c->health.exit_code);
	engine_tell(c->run->engine, c->task, c, "container-health");
	engine_touch(c->run->engine, c->task);
}

void health_on_event(struct container *c, const struct shim_event *ev)
{
	static const enum health_status statuses[] = {
		[SHIM_HEALTH_STARTING] = HEALTH_UNKNOWN,
		[SHIM_HEALTH_HEALTHY] = HEALTH_HEALTHY,
		[SHIM_HEALTH_UNHEALTHY] = HEALTH_UNHEALTHY,
	};
	enum health_status before = c->health.status;

	c->health.status = statuses[ev->health];
	c->health.since_ms = ev->health_since_ms;
	c->health.exit_code = ev->exit_code;
	free(c->health.output);
	c->health.output = strndup(ev->message, OUTPUT_MAX);
	if (c->health.output)
		make_text(c->health.output);
	if (c->health.status != before)
		tell_change(c);
}
