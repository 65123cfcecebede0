/* SPDX-License-Identifier: Apache-2.0 */
/* HealthCheck of dockerConfig, which an image's configuration has in the same form. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/payload.h"

static const int64_t DURATION_MIN_NS = 1000000;

const struct json_field payload_health_fields[] = {
	{ "Test", json_decode_strv, offsetof(struct health_check, test), false },
	{ "Interval", json_decode_i64, offsetof(struct health_check, interval_ns), false, NULL, 0,
	  INT64_MAX },
	{ "Timeout", json_decode_i64, offsetof(struct health_check, timeout_ns), false, NULL, 0,
	  INT64_MAX },
	{ "StartPeriod", json_decode_i64, offsetof(struct health_check, start_period_ns), false,
	  NULL, 0, INT64_MAX },
	{ "Retries", json_decode_int, offsetof(struct health_check, retries), false, NULL, 0,
	  INT32_MAX },
	{}
};

/* [] asks for the image's. */
static int check_test(char *const *test, struct err *err)
{
	size_t n = 0;

	while (test && test[n])
		n++;
	if (n == 0 || strcmp(test[0], "NONE") == 0)
		return 0;
	if (strcmp(test[0], "CMD-SHELL") == 0)
		return n == 2 ? 0
			      : err_set(err, EPROTO,
					"HealthCheck: Test: CMD-SHELL takes one command, not %zu",
					n - 1);
	if (strcmp(test[0], "CMD") != 0)
		return err_set(err, EPROTO,
			       "HealthCheck: Test: '%.64s' is none of CMD, CMD-SHELL and NONE",
			       test[0]);
	return n > 1 && *test[1] ? 0
				 : err_set(err, EPROTO, "HealthCheck: Test: CMD without a command");
}

int payload_check_health(const struct health_check *h, struct err *err)
{
	const struct {
		const char *name;
		int64_t ns;
	} durations[] = { { "Interval", h->interval_ns },
			  { "Timeout", h->timeout_ns },
			  { "StartPeriod", h->start_period_ns } };

	for (size_t i = 0; i < ARRAY_SIZE(durations); i++)
		if (durations[i].ns > 0 && durations[i].ns < DURATION_MIN_NS)
			return err_set(err, EPROTO, "HealthCheck: %s: %" PRId64 " ns is below 1 ms",
				       durations[i].name, durations[i].ns);
	return check_test(h->test, err);
}

int payload_decode_health_check(const json_t *obj, struct health_check *ret, struct err *err)
{
	int k = json_decode(obj, payload_health_fields, ret, err);

	ret->given = true;
	return k < 0 ? k : payload_check_health(ret, err);
}
