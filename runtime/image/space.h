/* SPDX-License-Identifier: Apache-2.0 */
/*
 * space - whether layers fit on the disk, asked before the first of them is fetched. What a
 * compressed layer unpacks to is only known afterwards: it is taken for at least its compressed
 * size, so that nothing is refused that could fit, and told as an estimate.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/statvfs.h>

#include "common/err.h"
#include "runtime/image/manifest.h"

/* Of the layers that are not there. Starts as {}. */
struct space_need {
	int64_t compressed; /* bytes to fetch */
	int64_t at_least;   /* bytes on the disk */
	int64_t unpacked;   /* the same, likely */
	bool estimated;     /* it is not known */
	int64_t layers;
};

void space_add(struct space_need *n, const struct descriptor *blob);

/* Returns 0, or -ENOSPC with sizes, free bytes and inodes of @dir. */
int space_check(const struct space_need *n, const struct statvfs *v, const char *dir,
		struct err *err);

/* The disk filled up all the same: adds the sizes to what @err says. Returns -ENOSPC. */
int space_explain(const struct space_need *n, const struct statvfs *v, const char *dir,
		  struct err *err);
