/* SPDX-License-Identifier: Apache-2.0 */
/* When a container runs: after which others, whose volumes it needs, whether it is restarted. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/payload.h"

enum { EDGES_MAX = 100, IGNORED_CODES_MAX = 256, PERIOD_MAX_S = 86400 };

static int decode_condition(const json_t *value, void *dst, const struct json_field *f,
			    struct err *err)
{
	const char *s = json_string_value(value);

	(void) f;
	/* CREATE is in no task definition: it follows from volumesFrom. */
	for (enum depend_condition c = DEPEND_START; s && c < _DEPEND_MAX; c++) {
		if (strcmp(s, depend_condition_name(c)) == 0) {
			*(enum depend_condition *) dst = c;
			return 0;
		}
	}
	return err_set(err, EPROTO, "'%.32s' is not START, COMPLETE, SUCCESS or HEALTHY",
		       s ? s : "(no string)");
}

static const struct json_field depend_fields[] = {
	{ "containerName", json_decode_string, offsetof(struct depend, name), true },
	{ "condition", decode_condition, offsetof(struct depend, condition), true },
	{}
};

static void depend_done(void *element)
{
	struct depend *d = element;

	free(d->name);
}

const struct json_array payload_depends_on = {
	.size = sizeof(struct depend),
	.fields = depend_fields,
	.done = depend_done,
	.max = EDGES_MAX,
};

static const struct json_field volumes_from_fields[] = {
	{ "sourceContainer", json_decode_string, offsetof(struct volumes_from, source_container),
	  true },
	{ "readOnly", json_decode_bool, offsetof(struct volumes_from, read_only), false },
	{}
};

static void volumes_from_done(void *element)
{
	struct volumes_from *v = element;

	free(v->source_container);
}

const struct json_array payload_volumes_from = {
	.size = sizeof(struct volumes_from),
	.fields = volumes_from_fields,
	.done = volumes_from_done,
	.max = EDGES_MAX,
};

static int decode_exit_code(const json_t *value, void *dst, const struct json_field *f,
			    struct err *err)
{
	static const struct json_field bounds = { .min = INT32_MIN, .max = INT32_MAX };

	(void) f;
	return json_decode_int(value, dst, &bounds, err);
}

static const struct json_array exit_codes = {
	.size = sizeof(int),
	.decode = decode_exit_code,
	.max = IGNORED_CODES_MAX,
};

const struct json_field payload_restart_policy[] = {
	{ "enabled", json_decode_bool, offsetof(struct restart_policy, enabled), false },
	{ "ignoredExitCodes", json_decode_array,
	  offsetof(struct restart_policy, ignored_exit_codes), false, &exit_codes },
	{ "restartAttemptPeriod", json_decode_i64,
	  offsetof(struct restart_policy, attempt_period_s), false, NULL, 0, PERIOD_MAX_S },
	{}
};
