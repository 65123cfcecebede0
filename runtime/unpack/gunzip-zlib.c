/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/unpack/gunzip.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

const char gunzip_library[] = "zlib";

struct gunzip {
	z_stream z;
};

void gunzip_reset(struct gunzip *g)
{
	(void) inflateReset(&g->z);
}

struct gunzip *gunzip_new(void)
{
	struct gunzip *g = calloc(1, sizeof(*g));

	if (g && inflateInit2(&g->z, 15 + 16) != Z_OK) { /* 16: gzip only */
		free(g);
		return NULL;
	}
	return g;
}

struct gunzip *gunzip_free(struct gunzip *g)
{
	if (g)
		(void) inflateEnd(&g->z);
	free(g);
	return NULL;
}

int gunzip_step(struct gunzip *g, const uint8_t **in, size_t *in_len, uint8_t *out, size_t out_len,
		size_t *ret_out, struct err *err)
{
	z_stream *z = &g->z;
	int k;

	z->next_in = (Bytef *) *in;
	z->avail_in = (uInt) *in_len;
	z->next_out = out;
	z->avail_out = (uInt) out_len;
	k = inflate(z, Z_NO_FLUSH);
	if (k != Z_OK && k != Z_STREAM_END && k != Z_BUF_ERROR)
		return err_set(err, EPROTO, "the layer's gzip stream is damaged: %s",
			       z->msg ? z->msg : "unknown reason");
	*in = z->next_in;
	*in_len = z->avail_in;
	*ret_out = out_len - z->avail_out;
	return k == Z_STREAM_END ? GUNZIP_E_END : 0;
}
