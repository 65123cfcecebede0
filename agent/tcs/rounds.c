/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/tcs/rounds.h"

#include <errno.h>
#include <stdlib.h>

#include "common/macro.h"
#include "common/strv.h"

/* 16 digits: times come out as 1746802078.031, not as 1746802078.0309999. */
#define DUMP_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(16))

enum { ENVELOPE_ROOM = 256 }; /* for braces, member names, the timestamp */

json_t *round_time(int64_t real_ms)
{
	return real_ms % 1000 == 0 ? json_integer(real_ms / 1000)
				   : json_real((double) real_ms / 1000.0);
}

static size_t text_size(const json_t *v)
{
	return json_dumpb(v, NULL, 0, DUMP_FLAGS);
}

static char *envelope(const char *type, json_t *message)
{
	json_auto_t *root =
		message ? json_pack("{s:s, s:o}", "type", type, "message", message) : NULL;

	return root ? json_dumps(root, DUMP_FLAGS) : NULL;
}

/* What distinguishes metrics from health. */
struct kind {
	const char *type;
	const char *tasks_key;
	bool has_idle;
};

static const struct kind metrics_kind = { "PublishMetricsRequest", "taskMetrics", true };
static const struct kind health_kind = { "PublishHealthRequest", "tasks", false };

static json_t *metadata(const struct kind *k, const struct round_identity *id, bool idle, bool fin)
{
	json_t *m = json_pack("{s:s, s:s, s:s}", "cluster", id->cluster, "containerInstance",
			      id->container_instance, "messageId", id->message_id);

	if (m && k->has_idle)
		(void) json_object_set_new(m, "idle", json_boolean(idle));
	if (m)
		(void) json_object_set_new(m, "fin", json_boolean(fin));
	return m;
}

/* @tasks: taken over; NULL when idle. */
static int emit(const struct kind *k, const struct round_identity *id, json_t *tasks, bool fin,
		char ***ret, struct err *err)
{
	json_t *m = json_pack("{s:o, s:o}", "metadata", metadata(k, id, !tasks, fin), "timestamp",
			      round_time(id->now_ms));
	_cleanup_(freep) char *text = NULL;

	if (m && tasks)
		(void) json_object_set_new(m, k->tasks_key, tasks);
	else
		json_decref(tasks);
	text = envelope(k->type, m);
	if (!text || strv_append(ret, text) < 0)
		return err_set(err, ENOMEM, "%s", k->type);
	return 0;
}

static int split(const struct kind *k, const struct round_identity *id, const json_t *tasks,
		 char ***ret, size_t *ret_left_out, struct err *err)
{
	size_t base = ENVELOPE_ROOM, size, i, left_out = 0;
	json_auto_t *meta = metadata(k, id, false, false), *batch = json_array();
	const json_t *t;

	base += text_size(meta);
	size = base;
	json_array_foreach((json_t *) tasks, i, t) {
		size_t n = text_size(t) + 1;

		if (base + n > ROUND_BYTES_MAX) {
			left_out++;
			continue;
		}
		if (json_array_size(batch) == ROUND_TASKS_MAX || size + n > ROUND_BYTES_MAX) {
			if (emit(k, id, json_copy(batch), false, ret, err) < 0)
				return -err->code;
			(void) json_array_clear(batch);
			size = base;
		}
		if (json_array_append(batch, (json_t *) t) < 0)
			return err_set(err, ENOMEM, "%s", k->type);
		size += n;
	}
	if (ret_left_out)
		*ret_left_out = left_out;
	if (json_array_size(batch) == 0)
		return 0;
	return emit(k, id, json_copy(batch), true, ret, err);
}

int round_metrics(const struct round_identity *id, const json_t *tasks, bool idle, char ***ret,
		  size_t *ret_left_out, struct err *err)
{
	*ret_left_out = 0;
	if (idle)
		return emit(&metrics_kind, id, NULL, true, ret, err);
	return split(&metrics_kind, id, tasks, ret, ret_left_out, err);
}

int round_health(const struct round_identity *id, const json_t *tasks, char ***ret, struct err *err)
{
	return split(&health_kind, id, tasks, ret, NULL, err);
}

char *round_status(const struct round_identity *id, const struct runtime_status *s)
{
	return envelope("PublishInstanceStatusRequest",
			json_pack("{s:{s:s, s:s, s:s}, s:[{s:s, s:s, s:o, s:o}], s:o}", "metadata",
				  "cluster", id->cluster, "containerInstance",
				  id->container_instance, "requestId", id->message_id, "statuses",
				  "type", "ContainerRuntime", "status", s->status, "lastUpdated",
				  round_time(s->previous_ms), "lastStatusChange",
				  round_time(s->last_change_ms), "timestamp",
				  round_time(id->now_ms)));
}
