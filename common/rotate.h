/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rotate - a file that lines are appended to, and that makes room for a new one by size or by the
 * hour. By size: "name.1", "name.2", …, newer is higher, and the lowest ones go; by the hour:
 * "name.YYYY-MM-DD-HH" (UTC). Says nothing by itself: it is what logs are made of. One thread only.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/err.h"

enum log_rollover { LOG_ROLL_SIZE, LOG_ROLL_HOURLY, LOG_ROLL_NONE };

struct rotate_params {
	const char *path; /* its directory is made, 0755; the file is 0640 */
	enum log_rollover rollover;
	int64_t max_bytes; /* 0: of any size */
	int max_files;     /* kept beside the present one */
};

struct rotating {
	char *path; /* owned */
	int fd;     /* owned; negative: closed */
	enum log_rollover rollover;
	int64_t max_bytes;
	int max_files;
	int64_t bytes, hour; /* of the present file */
};

#define ROTATING_CLOSED                                                                            \
	{                                                                                          \
		.fd = -EBADF                                                                       \
	}

/* Never waits for a reader, should @path be a pipe. 0 or a negative errno; then @f is closed. */
int rotating_open(struct rotating *f, const struct rotate_params *p, struct err *err);
void rotating_close(struct rotating *f);

/* Makes room first when it is time to. 0 or a negative errno: a part may have been written. */
int rotating_write(struct rotating *f, const void *data, size_t len);
