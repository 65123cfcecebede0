/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API as a stranger speaks it: lines of "Operation {json}", each followed by a look at the
 * services, run one after the other against a
 * store in memory that holds a cluster, an instance, a task definition and a task. "$TASK" and
 * "$INSTANCE" stand for their ARNs, which are random otherwise.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/json.h"
#include "common/log.h"
#include "controlplane/arn.h"
#include "controlplane/controlplane.h"
#include "controlplane/instance.h"
#include "controlplane/ops.h"
#include "controlplane/service.h"
#include "controlplane/store.h"
#include "controlplane/task.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char instance[ARN_MAX], task[ARN_MAX];

static json_t *run(struct controlplane *cp, const char *name, const char *body, size_t len)
{
	_cleanup_(api_error_done) struct api_error e = {};
	json_t *out = NULL;

	(void) ops_run_text(cp, name, body, len, &out, &e);
	return out;
}

/* What only agents call, without the wire half's checks before it. */
static int register_instance(struct controlplane *cp, const json_t *in, json_t **out,
			     struct api_error *e)
{
	return instance_register(cp, in, out, e);
}

static int submit_task(struct controlplane *cp, const json_t *in, json_t **out, struct api_error *e)
{
	*out = json_object();
	return task_apply_state_change(cp, in, e);
}

static int submit_container(struct controlplane *cp, const json_t *in, json_t **out,
			    struct api_error *e)
{
	*out = json_object();
	return task_apply_container_change(cp, in, e);
}

static const struct operation agent_operations[] = {
	{ "RegisterContainerInstance", register_instance },
	{ "SubmitTaskStateChange", submit_task },
	{ "SubmitContainerStateChange", submit_container },
	{},
};

static void populate(struct controlplane *cp)
{
	static const char resources[] =
		"{\"totalResources\":[{\"name\":\"CPU\",\"type\":\"INTEGER\",\"integerValue\":4096}"
		","
		"{\"name\":\"MEMORY\",\"type\":\"INTEGER\",\"integerValue\":4096},{\"name\":"
		"\"PORTS\",\"type\":\"STRINGSET\",\"stringSetValue\":[\"22\"]}],\"clientToken\":"
		"\"t\"}";
	static const char definition[] =
		"{\"family\":\"f\",\"containerDefinitions\":[{\"name\":\"a\",\"image\":\"i\","
		"\"memory\":64,\"portMappings\":[{\"containerPort\":80}]}]}";
	static const char start[] = "{\"taskDefinition\":\"f\"}";
	_cleanup_(json_decrefp) json_t *out = NULL;

	json_decref(run(cp, "CreateCluster", "{}", 2));
	out = run(cp, "RegisterContainerInstance", resources, strlen(resources));
	(void) snprintf(instance, sizeof(instance), "%s",
			json_get_string(out, "containerInstanceArn", ""));
	(void) instance_set_connected(cp, instance, true, "1", "2", "3", NULL);
	json_decref(run(cp, "RegisterTaskDefinition", definition, strlen(definition)));
	json_decref(out);
	out = run(cp, "RunTask", start, strlen(start));
	(void) snprintf(
		task, sizeof(task), "%s",
		json_get_string(json_array_get(json_object_get(out, "tasks"), 0), "taskArn", ""));
}

static void substitute(struct buf *to, const char *from, size_t len)
{
	while (len > 0) {
		if (len >= 5 && memcmp(from, "$TASK", 5) == 0) {
			(void) buf_puts(to, task);
			from += 5, len -= 5;
		} else if (len >= 9 && memcmp(from, "$INSTANCE", 9) == 0) {
			(void) buf_puts(to, instance);
			from += 9, len -= 9;
		} else {
			(void) buf_append(to, from++, 1);
			len--;
		}
	}
}

static void run_line(struct controlplane *cp, const char *line, size_t len)
{
	const char *blank = memchr(line, ' ', len);
	char name[64] = "";
	struct buf body = { .max_bytes = 1 << 20 };

	if (blank && (size_t) (blank - line) < sizeof(name)) {
		memcpy(name, line, (size_t) (blank - line));
		substitute(&body, blank + 1, len - (size_t) (blank - line) - 1);
		json_decref(run(cp, name, buf_str(&body), body.len));
		(void) services_reconcile(cp);
	}
	buf_done(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct cp_settings settings = { .region = "us-east-1",
						     .account = "123456789012" };
	const char *p = (const char *) data, *end = p + size;
	struct controlplane cp = {};

	(void) log_open(&(struct log_params){ .stream_level = LOG_NONE,
					      .file_level = LOG_NONE,
					      .stream_fd = 2 },
			NULL);
	if (size > 64 << 10)
		return 0;
	if (cp_init(&cp, &settings, NULL) < 0)
		abort();
	ops_add(agent_operations);
	populate(&cp);
	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t) (end - p));
		size_t len = nl ? (size_t) (nl - p) : (size_t) (end - p);

		run_line(&cp, p, len);
		p += len + (nl ? 1 : 0);
	}
	cp_done(&cp);
	return 0;
}
