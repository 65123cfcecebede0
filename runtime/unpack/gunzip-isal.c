/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/unpack/gunzip.h"

#include <errno.h>
#include <isa-l/igzip_lib.h>
#include <stdlib.h>

const char gunzip_library[] = "isa-l";

struct gunzip {
	struct inflate_state state;
};

void gunzip_reset(struct gunzip *g)
{
	isal_inflate_init(&g->state);
	g->state.crc_flag = ISAL_GZIP;
}

struct gunzip *gunzip_new(void)
{
	struct gunzip *g = calloc(1, sizeof(*g));

	if (g)
		gunzip_reset(g);
	return g;
}

struct gunzip *gunzip_free(struct gunzip *g)
{
	free(g);
	return NULL;
}

static const char *reason(int code)
{
	switch (code) {
	case ISAL_INVALID_BLOCK:
		return "invalid block";
	case ISAL_INVALID_SYMBOL:
		return "invalid symbol";
	case ISAL_INVALID_LOOKBACK:
		return "invalid distance";
	case ISAL_INVALID_WRAPPER:
		return "invalid header";
	case ISAL_UNSUPPORTED_METHOD:
		return "unknown compression method";
	case ISAL_INCORRECT_CHECKSUM:
		return "incorrect data check";
	default:
		return "unknown reason";
	}
}

int gunzip_step(struct gunzip *g, const uint8_t **in, size_t *in_len, uint8_t *out, size_t out_len,
		size_t *ret_out, struct err *err)
{
	struct inflate_state *s = &g->state;
	int k;

	s->next_in = (uint8_t *) *in;
	s->avail_in = (uint32_t) *in_len;
	s->next_out = out;
	s->avail_out = (uint32_t) out_len;
	k = isal_inflate(s);
	if (k < 0 || k == ISAL_NEED_DICT)
		return err_set(err, EPROTO, "the layer's gzip stream is damaged: %s", reason(k));
	*in = s->next_in;
	*in_len = s->avail_in;
	*ret_out = out_len - s->avail_out;
	return s->block_state == ISAL_BLOCK_FINISH ? GUNZIP_E_END : 0;
}
