/* SPDX-License-Identifier: Apache-2.0 */
/* protection - GetTaskProtection and UpdateTaskProtection. */
#pragma once

#include "common/err.h"
#include "controlplane/ops.h"

struct store;

/* Until when (wall clock) the task is protected; 0 when it is not. */
int protection_until(struct store *store, const char *task_arn, int64_t *ret_ms, struct err *err);
