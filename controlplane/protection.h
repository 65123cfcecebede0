/* SPDX-License-Identifier: Apache-2.0 */
/* protection - GetTaskProtection and UpdateTaskProtection, in a table of their own. */
#pragma once

#include "common/err.h"
#include "controlplane/ops.h"

struct store;

/* Adds the table to the store. */
int protection_init(struct store *store, struct err *err);
