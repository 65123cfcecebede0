/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inflate - decompresses a stream of gzip, zstd or plain bytes, told apart by their first bytes,
 * and hashes what comes out.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "common/digest.h"
#include "common/err.h"

typedef ssize_t (*inflate_read_fn)(void *userdata, void *buf, size_t len);
typedef int (*inflate_write_fn)(void *userdata, const void *data, size_t len); /* 0 or -errno */

struct inflate_params {
	inflate_read_fn read;
	inflate_write_fn write;
	void *userdata;
	uint64_t max_bytes; /* of output */
};

struct inflate_result {
	char digest[7 + SHA256_HEX_MAX]; /* "sha256:…" of the output */
	uint64_t bytes_in, bytes_out;
};

enum {
	/* Above INFLATE_FREE_BYTES of output no more than this many times the input is taken. */
	INFLATE_RATIO_MAX = 200,
};
#define INFLATE_FREE_BYTES (4ULL << 30)

/* Reads to the end of the input. Returns 0, or a negative errno (-EPROTO: damaged or cut short,
 * -EFBIG: too large, or blown up suspiciously). */
int inflate_stream(const struct inflate_params *p, struct inflate_result *ret, struct err *err);
