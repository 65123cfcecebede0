/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/tcs_check.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "controlplane/arn.h"
#include "controlplane/schema.h"

#define REQUIRED true
#define ULONG_MAX_ INT64_MAX

static const struct schema cw_set[] = { { "min", SCHEMA_NUMBER, REQUIRED },
					{ "max", SCHEMA_NUMBER, REQUIRED },
					{ "sum", SCHEMA_NUMBER, REQUIRED },
					{ "sampleCount", SCHEMA_INTEGER, REQUIRED, .min = 1,
					  .max = TCS_MAX_SAMPLES },
					{} };

static const struct schema udouble_set[] = { { "min", SCHEMA_NUMBER, REQUIRED, .max = ULONG_MAX_ },
					     { "max", SCHEMA_NUMBER, REQUIRED, .max = ULONG_MAX_ },
					     { "sum", SCHEMA_NUMBER, REQUIRED, .max = ULONG_MAX_ },
					     { "sampleCount", SCHEMA_INTEGER, REQUIRED, .min = 1,
					       .max = TCS_MAX_SAMPLES },
					     {} };

static const struct schema ulong_set[] = { { "min", SCHEMA_INTEGER, REQUIRED, .max = ULONG_MAX_ },
					   { "max", SCHEMA_INTEGER, REQUIRED, .max = ULONG_MAX_ },
					   { "sum", SCHEMA_INTEGER, REQUIRED, .max = ULONG_MAX_ },
					   { "sampleCount", SCHEMA_INTEGER, REQUIRED, .min = 1,
					     .max = TCS_MAX_SAMPLES },
					   { "overflowMin", SCHEMA_INTEGER, .max = ULONG_MAX_ },
					   { "overflowMax", SCHEMA_INTEGER, .max = ULONG_MAX_ },
					   { "overflowSum", SCHEMA_INTEGER, .max = ULONG_MAX_ },
					   {} };

static const struct schema network_set[] = {
	{ "rxBytes", SCHEMA_OBJECT, REQUIRED, .fields = ulong_set },
	{ "rxDropped", SCHEMA_OBJECT, REQUIRED, .fields = ulong_set },
	{ "rxErrors", SCHEMA_OBJECT, REQUIRED, .fields = ulong_set },
	{ "rxPackets", SCHEMA_OBJECT, REQUIRED, .fields = ulong_set },
	{ "txBytes", SCHEMA_OBJECT, REQUIRED, .fields = ulong_set },
	{ "txDropped", SCHEMA_OBJECT, REQUIRED, .fields = ulong_set },
	{ "txErrors", SCHEMA_OBJECT, REQUIRED, .fields = ulong_set },
	{ "txPackets", SCHEMA_OBJECT, REQUIRED, .fields = ulong_set },
	{ "rxBytesPerSecond", SCHEMA_OBJECT, .fields = udouble_set },
	{ "txBytesPerSecond", SCHEMA_OBJECT, .fields = udouble_set },
	{}
};

static const struct schema storage_set[] = {
	{ "readSizeBytes", SCHEMA_OBJECT, .fields = ulong_set },
	{ "writeSizeBytes", SCHEMA_OBJECT, .fields = ulong_set },
	{}
};

static const struct schema restart_set[] = {
	{ "restartCount", SCHEMA_INTEGER, REQUIRED, .max = INT32_MAX }, {}
};

static const struct schema container_metric[] = {
	{ "containerName", SCHEMA_STRING, REQUIRED, .min = 1, .max = 255 },
	{ "containerArn", SCHEMA_STRING },
	{ "cpuStatsSet", SCHEMA_OBJECT, REQUIRED, .fields = cw_set },
	{ "memoryStatsSet", SCHEMA_OBJECT, REQUIRED, .fields = cw_set },
	{ "networkStatsSet", SCHEMA_OBJECT, .fields = network_set },
	{ "storageStatsSet", SCHEMA_OBJECT, .fields = storage_set },
	{ "restartStatsSet", SCHEMA_OBJECT, .fields = restart_set },
	{}
};

static const struct schema volume_metric[] = { { "volumeId", SCHEMA_STRING, REQUIRED },
					       { "volumeName", SCHEMA_STRING, REQUIRED },
					       { "utilized", SCHEMA_OBJECT, .fields = udouble_set },
					       { "size", SCHEMA_OBJECT, .fields = udouble_set },
					       {} };

static const struct schema task_metric[] = {
	{ "taskArn", SCHEMA_STRING, REQUIRED, .min = 1, .max = 1024 },
	{ "taskDefinitionFamily", SCHEMA_STRING, REQUIRED, .min = 1, .max = 255 },
	{ "taskDefinitionVersion", SCHEMA_STRING, REQUIRED, .min = 1, .max = 32 },
	{ "containerMetrics", SCHEMA_LIST, .fields = container_metric, .max = 1000 },
	{ "volumeMetrics", SCHEMA_LIST, .fields = volume_metric, .max = 1000 },
	{}
};

static const struct schema metrics_metadata[] = { { "cluster", SCHEMA_STRING, REQUIRED },
						  { "containerInstance", SCHEMA_STRING, REQUIRED },
						  { "messageId", SCHEMA_STRING, REQUIRED, .min = 1,
						    .max = 255 },
						  { "idle", SCHEMA_BOOL, REQUIRED },
						  { "fin", SCHEMA_BOOL, REQUIRED },
						  {} };

static const struct schema metrics_request[] = {
	{ "metadata", SCHEMA_OBJECT, REQUIRED, .fields = metrics_metadata },
	{ "taskMetrics", SCHEMA_LIST, .fields = task_metric, .max = TCS_MAX_TASKS },
	{ "timestamp", SCHEMA_NUMBER, REQUIRED, .min = 1, .max = INT32_MAX * 4LL },
	{}
};

static const char *const health_choices[] = { "HEALTHY", "UNHEALTHY", "UNKNOWN", NULL };

static const struct schema container_health[] = {
	{ "containerName", SCHEMA_STRING, REQUIRED, .min = 1, .max = 255 },
	{ "healthStatus", SCHEMA_ENUM, REQUIRED, .choices = health_choices },
	{ "statusSince", SCHEMA_NUMBER, REQUIRED, .min = 1, .max = INT32_MAX * 4LL },
	{ "statusMessage", SCHEMA_STRING },
	{}
};

static const struct schema task_health[] = {
	{ "taskArn", SCHEMA_STRING, REQUIRED, .min = 1, .max = 1024 },
	{ "taskDefinitionFamily", SCHEMA_STRING, REQUIRED, .min = 1, .max = 255 },
	{ "taskDefinitionVersion", SCHEMA_STRING, REQUIRED, .min = 1, .max = 32 },
	{ "containers", SCHEMA_LIST, REQUIRED, .fields = container_health, .max = 1000 },
	{}
};

static const struct schema health_metadata[] = { { "cluster", SCHEMA_STRING, REQUIRED },
						 { "containerInstance", SCHEMA_STRING, REQUIRED },
						 { "messageId", SCHEMA_STRING, REQUIRED, .min = 1,
						   .max = 255 },
						 { "fin", SCHEMA_BOOL, REQUIRED },
						 {} };

static const struct schema health_request[] = {
	{ "metadata", SCHEMA_OBJECT, REQUIRED, .fields = health_metadata },
	{ "tasks", SCHEMA_LIST, REQUIRED, .fields = task_health, .max = TCS_MAX_TASKS },
	{ "timestamp", SCHEMA_NUMBER, REQUIRED, .min = 1, .max = INT32_MAX * 4LL },
	{}
};

static const char *const status_choices[] = { "OK", "IMPAIRED", "INSUFFICIENT_DATA", "INITIALIZING",
					      NULL };

static const struct schema instance_status[] = {
	{ "type", SCHEMA_STRING, REQUIRED, .min = 1, .max = 255 },
	{ "status", SCHEMA_ENUM, REQUIRED, .choices = status_choices },
	{ "statusReason", SCHEMA_STRING },
	{ "lastUpdated", SCHEMA_NUMBER, REQUIRED },
	{ "lastStatusChange", SCHEMA_NUMBER, REQUIRED },
	{}
};

static const struct schema status_metadata[] = { { "cluster", SCHEMA_STRING, REQUIRED },
						 { "containerInstance", SCHEMA_STRING, REQUIRED },
						 { "requestId", SCHEMA_STRING, REQUIRED, .min = 1,
						   .max = 255 },
						 {} };

static const struct schema status_request[] = {
	{ "metadata", SCHEMA_OBJECT, REQUIRED, .fields = status_metadata },
	{ "statuses", SCHEMA_LIST, REQUIRED, .fields = instance_status, .max = 100 },
	{ "timestamp", SCHEMA_NUMBER, REQUIRED, .min = 1, .max = INT32_MAX * 4LL },
	{}
};

static int check_peer(const json_t *message, const struct tcs_peer *peer, struct err *err)
{
	const json_t *metadata = json_object_get(message, "metadata");
	const char *cluster = json_get_string(metadata, "cluster", "");
	const char *instance = json_get_string(metadata, "containerInstance", "");

	if (strcmp(arn_last(cluster), arn_last(peer->cluster)) != 0)
		return err_set(err, EPROTO, "metadata.cluster: '%.128s' is not the socket's '%s'",
			       cluster, peer->cluster);
	if (strcmp(instance, peer->instance_arn) != 0)
		return err_set(err, EPROTO,
			       "metadata.containerInstance: '%.128s' is not the socket's '%s'",
			       instance, peer->instance_arn);
	return 0;
}

/* Is @sum possible for @count values between @min and @max? */
static int check_set(const char *name, const json_t *set, struct err *err)
{
	double min = json_number_value(json_object_get(set, "min"));
	double max = json_number_value(json_object_get(set, "max"));
	double sum = json_number_value(json_object_get(set, "sum"));
	double count = (double) json_get_int(set, "sampleCount", 0);
	double slack = 1e-6 * (fabs(min) + fabs(max)) * count + 1e-6;

	if (!set || json_get_int(set, "overflowSum", 0) > 0 ||
	    json_get_int(set, "overflowMax", 0) > 0)
		return 0;
	if (min > max)
		return err_set(err, EPROTO, "%s: min %.9g is above max %.9g", name, min, max);
	if (sum < min * count - slack || sum > max * count + slack)
		return err_set(err, EPROTO,
			       "%s: sum %.9g is impossible for %.0f samples of %.9g..%.9g", name,
			       sum, count, min, max);
	return 0;
}

static int check_container_sets(const json_t *container, struct err *err)
{
	const json_t *network = json_object_get(container, "networkStatsSet");
	const json_t *storage = json_object_get(container, "storageStatsSet");
	int k = check_set("cpuStatsSet", json_object_get(container, "cpuStatsSet"), err);

	if (k == 0)
		k = check_set("memoryStatsSet", json_object_get(container, "memoryStatsSet"), err);
	for (const struct schema *f = network_set; k == 0 && f->key; f++)
		k = check_set(f->key, json_object_get(network, f->key), err);
	for (const struct schema *f = storage_set; k == 0 && f->key; f++)
		k = check_set(f->key, json_object_get(storage, f->key), err);
	return k;
}

static int check_task_arn(const json_t *task, const struct tcs_peer *peer, struct err *err)
{
	const char *text = json_get_string(task, "taskArn", "");
	struct arn arn;

	if (!arn_parse(text, &arn) || strcmp(arn.type, "task") != 0 ||
	    strcmp(arn.cluster, arn_last(peer->cluster)) != 0)
		return err_set(err, EPROTO, "taskArn: '%.128s' is no task of cluster '%s'", text,
			       peer->cluster);
	return 0;
}

static int check_task_metric(const json_t *task, const struct tcs_peer *peer, struct err *err)
{
	const json_t *containers = json_object_get(task, "containerMetrics"), *container;
	int k = check_task_arn(task, peer, err);
	size_t i;

	if (k < 0)
		return k;
	if (json_array_size(containers) == 0 &&
	    !json_is_array(json_object_get(task, "serviceConnectMetricsWrapper")))
		return err_set(err, EPROTO, "containerMetrics: empty");
	json_array_foreach(containers, i, container) {
		k = check_container_sets(container, err);
		if (k < 0)
			return err_wrap(err, "containerMetrics[%zu]", i);
	}
	return 0;
}

int tcs_check_metrics(const json_t *message, const struct tcs_peer *peer, struct err *err)
{
	const json_t *tasks = json_object_get(message, "taskMetrics"), *task;
	bool idle = json_is_true(json_object_get(json_object_get(message, "metadata"), "idle"));
	int k = schema_check(message, metrics_request, err);
	size_t i;

	if (k == 0)
		k = check_peer(message, peer, err);
	if (k < 0)
		return k;
	if (idle && json_array_size(tasks) > 0)
		return err_set(err, EPROTO,
			       "taskMetrics: must be absent when metadata.idle is true");
	if (idle && !json_is_true(json_object_get(json_object_get(message, "metadata"), "fin")))
		return err_set(err, EPROTO, "metadata.fin: must be true when idle is");
	if (!idle && json_array_size(tasks) == 0)
		return err_set(err, EPROTO, "taskMetrics: empty, but metadata.idle is false");
	json_array_foreach(tasks, i, task) {
		k = check_task_metric(task, peer, err);
		if (k < 0)
			return err_wrap(err, "taskMetrics[%zu]", i);
	}
	return 0;
}

int tcs_check_health(const json_t *message, const struct tcs_peer *peer, struct err *err)
{
	const json_t *task;
	int k = schema_check(message, health_request, err);
	size_t i;

	if (k == 0)
		k = check_peer(message, peer, err);
	json_array_foreach(json_object_get(message, "tasks"), i, task) {
		if (k < 0)
			return k;
		k = check_task_arn(task, peer, err);
		if (k < 0)
			return err_wrap(err, "tasks[%zu]", i);
	}
	return k;
}

int tcs_check_status(const json_t *message, const struct tcs_peer *peer, struct err *err)
{
	int k = schema_check(message, status_request, err);

	return k < 0 ? k : check_peer(message, peer, err);
}
