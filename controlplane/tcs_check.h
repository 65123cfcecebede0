/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcs_check - is a telemetry request what the service would take? Members and types by the model,
 * then what the model cannot say: statistics sets are whole and possible, idle requests are empty,
 * the metadata name the socket's own cluster and instance.
 */
#pragma once

#include <jansson.h>

#include "common/err.h"

enum { TCS_MAX_TASKS = 10, TCS_MAX_SAMPLES = 100000 };

/* Who sends. Borrowed. */
struct tcs_peer {
	const char *cluster; /* name or ARN */
	const char *instance_arn;
};

/* Each returns 0, or -EPROTO with @err naming the member at fault. */
int tcs_check_metrics(const json_t *message, const struct tcs_peer *peer, struct err *err);
int tcs_check_health(const json_t *message, const struct tcs_peer *peer, struct err *err);
int tcs_check_status(const json_t *message, const struct tcs_peer *peer, struct err *err);
