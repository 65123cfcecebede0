/* SPDX-License-Identifier: Apache-2.0 */
/* load - takes images from files: an OCI layout, an OCI archive, or what "docker save" writes. */
#pragma once

#include "common/err.h"
#include "runtime/image/image.h"
#include "runtime/image/report.h"

struct load_params {
	struct image_store *store;
	const char *path;     /* file or directory; "-": standard input */
	const char *name;     /* of the only image of the file; NULL: as the file says */
	const char *platform; /* NULL: the host's */
	const char *unpacker_program;
	struct report *report;
	/* Called for each image taken; @reference is its id when the file names none. */
	void (*on_loaded)(const char *reference, const char *id, void *userdata);
	void *userdata;
};

/* Returns 0, or a negative errno; images taken before the failure stay. */
int load_images(const struct load_params *p, struct err *err);
