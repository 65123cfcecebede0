/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unpack - hands layers to ecs-unpack, the process that touches the bytes of strangers.
 * One server per pull, started when the first layer needs it. For each layer it forks two confined
 * children: one inflates and hashes (no files at all), one reads the tar stream and writes files
 * beneath the one directory it has. They answer on a pipe each, so that the one which parses names
 * cannot lie about the digest.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "runtime/unpack/apply.h"
#include "runtime/unpack/inflate.h"

struct unpacker; /* opaque */

/* @program: ecs-unpack. */
int unpacker_start(const char *program, struct unpacker **ret, struct err *err);
/* The server and its children end when their input does. */
struct unpacker *unpacker_stop(struct unpacker *u);
DEFINE_CLEANUP(struct unpacker *, unpacker_stop)

/* One archive on its way. Starts as UNPACK_JOB_INIT. */
struct unpack_job {
	int input_fd;   /* write the archive here, then close it; non-blocking */
	int inflate_fd; /* poll for input while not negative */
	int apply_fd;
	struct buf inflate_answer, apply_answer;
};

#define UNPACK_JOB_INIT                                                                            \
	{                                                                                          \
		.input_fd = -EBADF, .inflate_fd = -EBADF, .apply_fd = -EBADF                       \
	}

struct unpack_result {
	char digest[7 + SHA256_HEX_MAX]; /* of the uncompressed archive */
	uint64_t bytes;                  /* of file contents */
	char *implied;                   /* owned; NUL-terminated paths, one after the other */
	size_t implied_len;
};

int unpacker_begin(struct unpacker *u, int dir_fd, const struct apply_limits *limits,
		   struct unpack_job *job, struct err *err);

/* Takes in what the children said. Returns whether both are done. */
bool unpack_job_advance(struct unpack_job *job);

/* After unpack_job_advance() said so: the result, or why not. */
int unpack_job_finish(struct unpack_job *job, struct unpack_result *ret, struct err *err);

/* Lets go; children still at work fail at their next read or write. */
void unpack_job_done(struct unpack_job *job);

/*
 * Looks whether the directory @root_fd is in all but contents what the outline at @outline_fd says;
 * in a confined process of its own, and waits for it. Returns 0, -EBADMSG naming what is not.
 */
int unpack_check(const char *program, int root_fd, int outline_fd, struct err *err);

/*
 * What goes over the socket to the server, with five
 * descriptors: input, directory, the two answer pipes, outline.
 */
struct unpack_request {
	uint32_t mode;
	uint32_t outlined; /* the fifth descriptor is where the outline goes */
	uint64_t max_bytes;
	uint64_t max_entries;
};

enum {
	UNPACK_REQUEST_FDS = 5,
	UNPACK_SOCKET_FD = 3,
	UNPACK_CHECK_DIR_FD = 3, /* of "ecs-unpack check", which answers on standard output */
	UNPACK_CHECK_OUTLINE_FD = 4,
};
