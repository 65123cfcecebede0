/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one list of what a payload may ask for and this build does not do yet. A feature that is
 * built deletes its row. Values that ask for nothing are let through.
 */
#include "agent/engine/payload.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

struct row {
	enum payload_place place;
	const char *key;
	bool (*harmless)(const json_t *v); /* beyond empty values; NULL: none */
	const char *reason; /* why it is not to be expected; NULL: it is not there yet */
};

static bool text_is_one_of(const json_t *v, const char *const *texts)
{
	const char *s = json_string_value(v);

	for (; s && *texts; texts++)
		if (strcmp(s, *texts) == 0)
			return true;
	return false;
}

/* Docker's: {"Name": "no"} or "". */
static bool never_restarts(const json_t *v)
{
	const json_t *name = json_object_get(v, "Name");

	return !name || payload_value_is_empty(name) ||
	       text_is_one_of(name, (const char *const[]){ "no", NULL });
}

static const struct row rows[] = {
	{ PAYLOAD_TASK, "proxyConfiguration", NULL },
	{ PAYLOAD_TASK, "attachments", NULL },
	{ PAYLOAD_TASK, "enableFaultInjection", NULL },

	{ PAYLOAD_CONTAINER, "logsAuthStrategy", NULL },
	{ PAYLOAD_CONTAINER, "firelensConfiguration", NULL },
	{ PAYLOAD_CONTAINER, "managedAgents", NULL },
	{ PAYLOAD_CONTAINER, "credentialSpecs", NULL },

	{ PAYLOAD_CONFIG, "MacAddress", NULL, "the agent chooses the addresses of its bridge" },

	{ PAYLOAD_HOST_CONFIG, "DeviceRequests", NULL, "GPUs come from resourceRequirements" },
	{ PAYLOAD_HOST_CONFIG, "Links", NULL,
	  "it names Docker's containers; links of the container definition does it" },
	{ PAYLOAD_HOST_CONFIG, "PublishAllPorts", NULL, "portMappings names the ports to publish" },
	{ PAYLOAD_HOST_CONFIG, "Cgroup", NULL, "a container's control group is below its task's" },
	{ PAYLOAD_HOST_CONFIG, "StorageOpt", NULL, "writable layers have no quota of their own" },
	{ PAYLOAD_HOST_CONFIG, "RestartPolicy", never_restarts },
	{ PAYLOAD_HOST_CONFIG, "KernelMemory", NULL, "kernels have no such limit any more" },
	{ PAYLOAD_HOST_CONFIG, "CpuRealtimePeriod", NULL,
	  "the task's control group has no real-time budget" },
	{ PAYLOAD_HOST_CONFIG, "CpuRealtimeRuntime", NULL,
	  "the task's control group has no real-time budget" },
};

static bool is_empty(const json_t *v, int depth)
{
	const char *key;
	size_t i;
	json_t *m;

	switch (json_typeof(v)) {
	case JSON_NULL:
	case JSON_FALSE:
		return true;
	case JSON_STRING:
		return json_string_length(v) == 0;
	case JSON_INTEGER:
		return json_integer_value(v) == 0;
	case JSON_REAL:
		return json_real_value(v) == 0;
	case JSON_ARRAY:
		json_array_foreach((json_t *) v, i, m)
			if (depth == 0 || !is_empty(m, depth - 1))
				return false;
		return true;
	case JSON_OBJECT:
		json_object_foreach((json_t *) v, key, m)
			if (depth == 0 || !is_empty(m, depth - 1))
				return false;
		return true;
	default:
		return false;
	}
}

bool payload_value_is_empty(const json_t *v)
{
	return !v || is_empty(v, 4);
}

static const struct row *find(enum payload_place place, const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].place == place && strcasecmp(rows[i].key, key) == 0)
			return &rows[i];
	return NULL;
}

bool payload_key_is_unsupported(enum payload_place place, const char *key)
{
	return find(place, key) != NULL;
}

int payload_check_unsupported(enum payload_place place, const json_t *obj, struct err *err)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *) obj, key, v) {
		const struct row *r = find(place, key);

		if (r && !payload_value_is_empty(v) && !(r->harmless && r->harmless(v)))
			return err_set(err, ENOTSUP, "%s: not supported%s%s", r->key,
				       r->reason ? ": " : " by this build",
				       r->reason ? r->reason : "");
	}
	return 0;
}
