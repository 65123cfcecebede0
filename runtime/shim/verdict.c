/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/shim/verdict.h"

static bool set_status(struct verdict *v, enum shim_wire_health_status status, int64_t now_ms)
{
	if (v->status == status)
		return false;
	v->status = status;
	v->since_ms = now_ms;
	return true;
}

bool verdict_take(struct verdict *v, const struct verdict_rules *r, bool success, int64_t begun_ms,
		  int64_t now_ms)
{
	if (success) {
		v->streak = 0;
		return set_status(v, SHIM_WIRE_HEALTHY, now_ms);
	}
	if (v->status == SHIM_WIRE_STARTING && begun_ms < r->start_period_ms)
		return false;
	v->streak++;
	return v->streak >= r->retries && set_status(v, SHIM_WIRE_UNHEALTHY, now_ms);
}
