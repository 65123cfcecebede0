/* SPDX-License-Identifier: Apache-2.0 */
/* api - a control plane with an empty store in memory, for tests that speak the API to it. */
#pragma once

#include "tests/unit/test.h"

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/log.h"
#include "controlplane/arn.h"
#include "controlplane/controlplane.h"
#include "controlplane/instance.h"
#include "controlplane/ops.h"
#include "controlplane/store.h"
#include "controlplane/task.h"

static struct controlplane cp;

static inline int api_setup(void **state)
{
	static const struct cp_settings settings = { .region = "us-east-1",
						     .account = "123456789012" };

	(void) state;
	(void) log_open(&(struct log_params){ .stream_level = LOG_WARN,
					      .file_level = LOG_NONE,
					      .stream_fd = 2 },
			NULL);
	return cp_init(&cp, &settings, NULL);
}

static inline int api_teardown(void **state)
{
	(void) state;
	cp_done(&cp);
	return 0;
}

/* Runs an operation that must succeed. The caller owns the answer. */
static inline json_t *api_ok(const char *operation, const char *body)
{
	_cleanup_(api_error_done) struct api_error e = {};
	json_t *out = NULL;

	if (ops_run_text(&cp, operation, body, strlen(body), &out, &e) < 0)
		fail_msg("%s %s: %s: %s", operation, body, e.type, e.message);
	return out;
}

/* Runs an operation that must fail with @type and a message that holds @text. */
static inline void api_fails(const char *operation, const char *body, const char *type,
			     const char *text)
{
	_cleanup_(api_error_done) struct api_error e = {};
	json_t *out = NULL;

	if (ops_run_text(&cp, operation, body, strlen(body), &out, &e) == 0) {
		json_decref(out);
		fail_msg("%s %s: succeeded", operation, body);
	}
	assert_string_equal(e.type, type);
	if (!strstr(e.message, text))
		fail_msg("%s: '%s' does not hold '%s'", body, e.message, text);
}

/* Registers an instance of cluster "default" with an agent connected; its ARN into @arn. */
static inline void api_instance(const char *more, char *arn)
{
	_cleanup_(api_error_done) struct api_error e = {};
	_cleanup_(json_decrefp) json_t *in = NULL, *extra = json_loads(more, 0, NULL);
	_cleanup_(json_decrefp) json_t *doc = NULL;

	in = json_pack("{s:[{s:s,s:s,s:i},{s:s,s:s,s:i},{s:s,s:s,s:[s,s]},{s:s,s:s,s:[]}]}",
		       "totalResources", "name", "CPU", "type", "INTEGER", "integerValue", 2048,
		       "name", "MEMORY", "type", "INTEGER", "integerValue", 1000, "name", "PORTS",
		       "type", "STRINGSET", "stringSetValue", "22", "51678", "name", "PORTS_UDP",
		       "type", "STRINGSET", "stringSetValue");
	assert_non_null(extra);
	assert_int_equal(json_object_update(in, extra), 0);
	if (instance_register(&cp, in, &doc, &e) < 0)
		fail_msg("register: %s", e.message);
	(void) snprintf(arn, ARN_MAX, "%s", json_get_string(doc, "containerInstanceArn", ""));
	assert_int_equal(instance_set_connected(&cp, arn, true, "1.0.0", "00000000", NULL, NULL),
			 0);
}

/* Reports a state change of task @arn; @more are further members, "{}" for none. */
static inline void api_report(const char *arn, const char *status, const char *more)
{
	_cleanup_(api_error_done) struct api_error e = {};
	_cleanup_(json_decrefp) json_t *in = json_loads(more, 0, NULL);

	assert_non_null(in);
	(void) json_object_set_new(in, "task", json_string(arn));
	(void) json_object_set_new(in, "status", json_string(status));
	if (task_apply_state_change(&cp, in, &e) < 0)
		fail_msg("report %s: %s", status, e.message);
}

/* Looks into an answer: path("tasks", 0, "containers", 1, "name") with -1 ends as api_at(j,"si…"). */
static inline const json_t *api_at(const json_t *v, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	for (; *format; format++)
		v = *format == 's' ? json_object_get(v, va_arg(ap, const char *))
				   : json_array_get(v, (size_t) va_arg(ap, int));
	va_end(ap);
	return v;
}

#define api_text(v, ...) json_string_value(api_at(v, __VA_ARGS__))
#define api_integer(v, ...) ((int) json_integer_value(api_at(v, __VA_ARGS__)))
