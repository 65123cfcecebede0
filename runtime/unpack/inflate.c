/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/unpack/inflate.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "common/cleanup.h"
#include "runtime/unpack/gunzip.h"

enum { BUFFER = 256 * 1024, ZSTD_WINDOW_LOG_MAX = 27 /* 128 MiB, what zstd -19 --long uses */ };

struct stream {
	const struct inflate_params *p;
	struct inflate_result *result;
	EVP_MD_CTX *hash;
	uint8_t *in, *out; /* BUFFER each */
	size_t in_len;     /* valid bytes of in */
	bool eof;
};

/* Replaces what is in @s->in. */
static int refill(struct stream *s, struct err *err)
{
	ssize_t n = s->p->read(s->p->userdata, s->in, BUFFER);

	if (n < 0)
		return err_set_errno(err, (int) -n, "read layer");
	s->in_len = (size_t) n;
	s->eof = n == 0;
	s->result->bytes_in += (uint64_t) n;
	return 0;
}

/* The first bytes decide on the format, so gather at least four unless the input is shorter. */
static int read_magic(struct stream *s, struct err *err)
{
	while (s->in_len < 4 && !s->eof) {
		ssize_t n = s->p->read(s->p->userdata, s->in + s->in_len, BUFFER - s->in_len);

		if (n < 0)
			return err_set_errno(err, (int) -n, "read layer");
		s->eof = n == 0;
		s->in_len += (size_t) n;
	}
	s->result->bytes_in = s->in_len;
	return 0;
}

static int emit(struct stream *s, const void *data, size_t len, struct err *err)
{
	int k;

	s->result->bytes_out += len;
	if (s->result->bytes_out > s->p->max_bytes)
		return err_set(err, EFBIG, "the layer inflates to more than %llu bytes",
			       (unsigned long long) s->p->max_bytes);
	if (s->result->bytes_out > INFLATE_FREE_BYTES &&
	    s->result->bytes_out / INFLATE_RATIO_MAX > s->result->bytes_in)
		return err_set(err, EFBIG, "the layer inflates to more than %d times its size",
			       INFLATE_RATIO_MAX);
	if (EVP_DigestUpdate(s->hash, data, len) != 1)
		return err_set(err, EIO, "hash layer");
	k = s->p->write(s->p->userdata, data, len);
	return k < 0 ? err_set_errno(err, -k, "hand layer on") : 0;
}

static int copy_plain(struct stream *s, struct err *err)
{
	int k = 0;

	while (k == 0 && s->in_len > 0) {
		k = emit(s, s->in, s->in_len, err);
		if (k == 0)
			k = refill(s, err);
	}
	return k;
}

/* Everything of the current member that can be had from the input at hand. */
static int gunzip_more(struct stream *s, struct gunzip *g, const uint8_t **in, size_t *in_len,
		       struct err *err)
{
	size_t n = BUFFER;
	int state = 0, k = 0;

	while (k == 0 && state == 0 && (*in_len > 0 || n == BUFFER)) {
		state = gunzip_step(g, in, in_len, s->out, BUFFER, &n, err);
		k = state < 0 ? state : emit(s, s->out, n, err);
	}
	return k < 0 ? k : state;
}

/* A gzip file may be several members end to end; zeros may follow the last. */
static int gunzip_all(struct stream *s, struct gunzip *g, struct err *err)
{
	const uint8_t *in = s->in;
	size_t in_len = s->in_len;
	bool between = false;
	int k = 0;

	for (;;) {
		while (between && in_len > 0 && *in == 0)
			in++, in_len--;
		if (in_len > 0) {
			if (between)
				gunzip_reset(g);
			k = gunzip_more(s, g, &in, &in_len, err);
			if (k < 0)
				return k;
			between = k == GUNZIP_E_END;
		} else if (s->eof) {
			return between ? 0
				       : err_set(err, EPROTO,
						 "the layer's gzip stream is cut short");
		} else {
			k = refill(s, err);
			if (k < 0)
				return k;
			in = s->in;
			in_len = s->in_len;
		}
	}
}

static int gunzip(struct stream *s, struct err *err)
{
	_cleanup_(gunzip_freep) struct gunzip *g = gunzip_new();

	return g ? gunzip_all(s, g, err) : err_set(err, ENOMEM, "allocate inflater");
}

static int unzstd_all(struct stream *s, ZSTD_DStream *z, struct err *err)
{
	ZSTD_inBuffer in = { s->in, s->in_len, 0 };
	size_t hint = 1;
	int k = 0;

	while (k == 0) {
		ZSTD_outBuffer out = { s->out, BUFFER, 0 };

		if (in.pos == in.size && !s->eof) {
			k = refill(s, err);
			in = (ZSTD_inBuffer){ s->in, s->in_len, 0 };
			if (s->eof)
				continue;
		}
		if (k == 0 && s->eof && in.pos == in.size && hint == 0)
			return 0;
		if (k == 0) {
			size_t before = in.pos;

			hint = ZSTD_decompressStream(z, &out, &in);
			if (ZSTD_isError(hint))
				return err_set(err, EPROTO,
					       "the layer's zstd stream is damaged: %s",
					       ZSTD_getErrorName(hint));
			if (s->eof && out.pos == 0 && in.pos == before)
				return err_set(err, EPROTO, "the layer's zstd stream is cut short");
			k = emit(s, s->out, out.pos, err);
		}
	}
	return k;
}

static int unzstd(struct stream *s, struct err *err)
{
	ZSTD_DStream *z = ZSTD_createDStream();
	int k;

	if (!z || ZSTD_isError(ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX)))
		k = err_set(err, ENOMEM, "allocate decompressor");
	else
		k = unzstd_all(s, z, err);
	(void) ZSTD_freeDStream(z);
	return k;
}

static int run(struct stream *s, struct err *err)
{
	const uint8_t *m = s->in;
	int k = read_magic(s, err);

	if (k < 0)
		return k;
	if (s->in_len >= 2 && m[0] == 0x1f && m[1] == 0x8b)
		return gunzip(s, err);
	/* a zstd frame, or a skippable one in front of it */
	if (s->in_len >= 4 &&
	    ((m[0] == 0x28 && m[1] == 0xb5 && m[2] == 0x2f && m[3] == 0xfd) ||
	     ((m[0] & 0xf0) == 0x50 && m[1] == 0x2a && m[2] == 0x4d && m[3] == 0x18)))
		return unzstd(s, err);
	if (s->in_len >= 4 && (memcmp(m, "BZh", 3) == 0 || memcmp(m,
								  "\xfd"
								  "7zX",
								  4) == 0))
		return err_set(err, EPROTO, "layers compressed with bzip2 or xz are not supported");
	return copy_plain(s, err);
}

int inflate_stream(const struct inflate_params *p, struct inflate_result *ret, struct err *err)
{
	struct inflate_result result = {};
	struct stream s = { .p = p, .result = &result };
	uint8_t md[SHA256_BYTES];
	int k;

	s.in = malloc(BUFFER);
	s.out = malloc(BUFFER);
	s.hash = EVP_MD_CTX_new();
	if (!s.in || !s.out || !s.hash || EVP_DigestInit_ex(s.hash, EVP_sha256(), NULL) != 1)
		k = err_set(err, ENOMEM, "allocate inflater");
	else
		k = run(&s, err);
	if (k == 0 && EVP_DigestFinal_ex(s.hash, md, NULL) != 1)
		k = err_set(err, EIO, "hash layer");
	if (k == 0) {
		memcpy(result.digest, "sha256:", 7);
		(void) hex_encode(md, sizeof(md), result.digest + 7);
		*ret = result;
	}
	EVP_MD_CTX_free(s.hash);
	free(s.in);
	free(s.out);
	return k;
}
