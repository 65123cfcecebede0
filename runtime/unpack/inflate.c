/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/unpack/inflate.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "common/cleanup.h"

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

/* One call of inflate(), its output handed on. */
static int gunzip_step(struct stream *s, z_stream *z, int *ret_state, struct err *err)
{
	z->next_out = s->out;
	z->avail_out = BUFFER;
	*ret_state = inflate(z, Z_NO_FLUSH);
	if (*ret_state != Z_OK && *ret_state != Z_STREAM_END && *ret_state != Z_BUF_ERROR)
		return err_set(err, EPROTO, "the layer's gzip stream is damaged: %s",
			       z->msg ? z->msg : "unknown reason");
	return emit(s, s->out, BUFFER - z->avail_out, err);
}

/* A gzip file may be several streams end to end; zeros may follow the last. */
static int gunzip_all(struct stream *s, z_stream *z, struct err *err)
{
	int state = Z_OK, k = 0;

	z->next_in = s->in;
	z->avail_in = (uInt) s->in_len;
	while (k == 0) {
		if (z->avail_in == 0 && !s->eof) {
			k = refill(s, err);
			z->next_in = s->in;
			z->avail_in = (uInt) s->in_len;
			continue;
		}
		if (state == Z_STREAM_END) {
			while (z->avail_in > 0 && *z->next_in == 0)
				z->next_in++, z->avail_in--;
			if (z->avail_in == 0 && s->eof)
				return 0;
			if (z->avail_in == 0)
				continue;
			if (inflateReset(z) != Z_OK)
				return err_set(err, EIO, "reset inflater");
		} else if (z->avail_in == 0) {
			return err_set(err, EPROTO, "the layer's gzip stream is cut short");
		}
		k = gunzip_step(s, z, &state, err);
	}
	return k;
}

static int gunzip(struct stream *s, struct err *err)
{
	z_stream z = {};
	int k;

	if (inflateInit2(&z, 15 + 16) != Z_OK) /* 16: gzip only */
		return err_set(err, ENOMEM, "allocate inflater");
	k = gunzip_all(s, &z, err);
	(void) inflateEnd(&z);
	return k;
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
