/* SPDX-License-Identifier: Apache-2.0 */
/* internal - what store.c and tasks.c share. */
#pragma once

#include "common/db.h"

struct store {
	struct db *db;     /* owned */
	struct sync *sync; /* owned; NULL: a commit returns from the disk */
	uint64_t mark;     /* of the last commit */
};
