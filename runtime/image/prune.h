/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prune - removes images that no container has, for ecs-image alone.
 * An image is left alone when it is pinned, when its name or id is in @keep, when a container got it
 * within the last minute, and while it is being pulled. Everything that only a removed image needed
 * goes along, as does what pulls that were killed left behind.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "runtime/image/store.h"

enum prune_what {
	PRUNE_DANGLING, /* images without a reference */
	PRUNE_TRACKED,  /* and those that containers had and a registry has */
	PRUNE_ALL,      /* and all the others */
};

enum prune_reason { PRUNE_UNUSED, PRUNE_PRESSURE };

struct prune_params {
	enum prune_what what;
	char *const *keep;  /* references or ids; NULL: none */
	int64_t min_age_ms; /* since the last pull */
	int64_t max_images; /* 0: no bound; not for PRUNE_PRESSURE */
	bool untracked;     /* PRUNE_TRACKED: the others as well, older than … */
	int64_t untracked_min_age_ms;
	/*
	 * Used part of the file system, in percent of bytes or of inodes, above which more images
	 * go, whatever their age and number, until both are at most @low_percent. 100: never.
	 */
	int high_percent, low_percent;
	bool dry_run; /* only say what would go; pressure then stays as it is */
};

struct prune_image {
	const char *id;
	char *const *references;                      /* may be empty */
	int64_t size_bytes, pulled_at_ms, used_at_ms; /* 0: never */
	enum prune_reason reason;
};

/* How full the file system of a store is, as df(1) counts. */
struct store_usage {
	int bytes_percent, inodes_percent; /* rounded up */
	uint64_t free_bytes, total_bytes, free_inodes;
};

int store_usage_get(int fd, struct store_usage *ret);

struct prune_result {
	size_t images;
	int64_t freed_bytes;      /* of file contents */
	struct store_usage usage; /* afterwards */
	bool pressure;            /* still above @high_percent, and nothing is left that may go */
};

/*
 * Returns 0 or a negative errno. Tells @on_image of each image as it goes. An image that comes into
 * use meanwhile stays; one that is gone already is no error.
 */
int prune(struct image_store *s, const struct prune_params *p,
	  void (*on_image)(const struct prune_image *image, void *userdata), void *userdata,
	  struct prune_result *ret, struct err *err);
