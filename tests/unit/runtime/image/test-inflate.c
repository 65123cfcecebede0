/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/unpack/inflate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "runtime/unpack/gunzip.h"
#include "tests/unit/test.h"

enum { PLAIN_LEN = 700 * 1000 };

/* What goes in, how much of it at a time, and what came out. */
struct pipe {
	const char *in;
	size_t len, at, piece;
	struct buf out;
};

static ssize_t give(void *userdata, void *buf, size_t len)
{
	struct pipe *p = userdata;
	size_t n = MIN(MIN(len, p->piece), p->len - p->at);

	memcpy(buf, p->in + p->at, n);
	p->at += n;
	return (ssize_t) n;
}

static int take(void *userdata, const void *data, size_t len)
{
	return buf_append(&((struct pipe *) userdata)->out, data, len) ? 0 : -ENOMEM;
}

static int run(struct pipe *p, struct inflate_result *ret, struct err *err)
{
	const struct inflate_params params = {
		.read = give, .write = take, .userdata = p, .max_bytes = 10 << 20
	};

	return inflate_stream(&params, ret, err);
}

/* Something that compresses, but not to nothing. */
static char *make_plain(void)
{
	char *plain = malloc(PLAIN_LEN);
	unsigned int x = 1;

	assert_non_null(plain);
	for (size_t i = 0; i < PLAIN_LEN; i++) {
		x = x * 1103515245 + 12345;
		plain[i] = (char) (i % 5000 < 2500 ? "abcdefgh"[x >> 20 & 7] : (int) (x >> 16));
	}
	return plain;
}

static void add_member(struct buf *b, const char *data, size_t len, int level)
{
	size_t room = len + len / 100 + 1000;
	char *out = malloc(room);
	z_stream z = {};

	assert_int_equal(deflateInit2(&z, level, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (Bytef *) data;
	z.avail_in = (uInt) len;
	z.next_out = (Bytef *) out;
	z.avail_out = (uInt) room;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	assert_true(buf_append(b, out, room - z.avail_out));
	(void) deflateEnd(&z);
	free(out);
}

static void members_come_out_whole_however_they_arrive(void **state _unused_)
{
	static const size_t pieces[] = { 1, 2, 3, 7, 8, 9, 4096, 262143, 262144, 1 << 20 };
	_cleanup_(freep) char *plain = make_plain();
	_cleanup_(buf_done) struct buf gz = {};

	add_member(&gz, plain, 1, 9);
	add_member(&gz, plain + 1, 99999, 0); /* stored */
	add_member(&gz, plain, 0, 6);
	add_member(&gz, plain + 100000, PLAIN_LEN - 100000, 6);
	assert_true(buf_append(&gz, "\0\0\0\0", 4)); /* padding is none of the content */
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		struct pipe p = { .in = gz.data, .len = gz.len, .piece = pieces[i] };
		_cleanup_(err_done) struct err err = {};
		struct inflate_result result;
		char hex[SHA256_HEX_MAX];

		assert_int_equal(run(&p, &result, &err), 0);
		assert_int_equal(p.out.len, PLAIN_LEN);
		assert_memory_equal(p.out.data, plain, PLAIN_LEN);
		assert_int_equal(result.bytes_out, PLAIN_LEN);
		assert_int_equal(result.bytes_in, gz.len);
		assert_string_equal(result.digest + 7, sha256_hex(plain, PLAIN_LEN, hex));
		buf_done(&p.out);
	}
}

static void what_is_cut_short_is_refused(void **state _unused_)
{
	_cleanup_(freep) char *plain = make_plain();
	_cleanup_(buf_done) struct buf gz = {};

	add_member(&gz, plain, 3000, 6);
	add_member(&gz, plain, 3000, 6);
	for (size_t len = 2; len < gz.len; len++) {
		struct pipe p = { .in = gz.data, .len = len, .piece = 1 + len % 97 };
		_cleanup_(err_done) struct err err = {};
		struct inflate_result result;
		int k = run(&p, &result, &err);

		if (len != gz.len / 2) { /* where the first member ends */
			assert_int_equal(k, -EPROTO);
			assert_string_equal(err.msg, "the layer's gzip stream is cut short");
		}
		buf_done(&p.out);
	}
}

static void what_is_damaged_is_refused(void **state _unused_)
{
	_cleanup_(freep) char *plain = make_plain();
	_cleanup_(buf_done) struct buf gz = {};

	add_member(&gz, plain, 20000, 6);
	for (size_t at = 10; at < gz.len; at += 1 + at / 50) {
		struct pipe p = { .in = gz.data, .len = gz.len, .piece = 1000 };
		_cleanup_(err_done) struct err err = {};
		struct inflate_result result;

		gz.data[at] ^= 0x10;
		assert_int_equal(run(&p, &result, &err), -EPROTO);
		assert_non_null(strstr(err.msg, "the layer's gzip stream is "));
		gz.data[at] ^= 0x10;
		buf_done(&p.out);
	}
}

static void rubbish_behind_a_member_is_refused(void **state _unused_)
{
	_cleanup_(buf_done) struct buf gz = {};
	_cleanup_(err_done) struct err err = {};
	struct inflate_result result;
	struct pipe p = { .piece = 5 };

	add_member(&gz, "hello", 5, 6);
	assert_true(buf_append(&gz, "\0\0rubbish that is no header", 28));
	p.in = gz.data;
	p.len = gz.len;
	assert_int_equal(run(&p, &result, &err), -EPROTO);
	buf_done(&p.out);
}

static void zstd_and_plain_bytes_are_told_apart(void **state _unused_)
{
	_cleanup_(freep) char *plain = make_plain();
	size_t room = ZSTD_compressBound(PLAIN_LEN);
	_cleanup_(freep) char *packed = malloc(room);
	size_t len = ZSTD_compress(packed, room, plain, PLAIN_LEN, 1);
	struct pipe p[] = { { .in = packed, .len = len, .piece = 1001 },
			    { .in = plain, .len = PLAIN_LEN, .piece = 1001 } };

	for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
		_cleanup_(err_done) struct err err = {};
		struct inflate_result result;

		assert_int_equal(run(&p[i], &result, &err), 0);
		assert_int_equal(p[i].out.len, PLAIN_LEN);
		assert_memory_equal(p[i].out.data, plain, PLAIN_LEN);
		buf_done(&p[i].out);
	}
}

static void what_inflates_beyond_the_bound_is_refused(void **state _unused_)
{
	_cleanup_(freep) char *zeros = calloc(1, 11 << 20);
	_cleanup_(buf_done) struct buf gz = {};
	_cleanup_(err_done) struct err err = {};
	struct inflate_result result;
	struct pipe p = { .piece = 4096 };

	add_member(&gz, zeros, 11 << 20, 9);
	p.in = gz.data;
	p.len = gz.len;
	assert_int_equal(run(&p, &result, &err), -EFBIG);
	assert_string_equal(err.msg, "the layer inflates to more than 10485760 bytes");
	buf_done(&p.out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_come_out_whole_however_they_arrive),
		cmocka_unit_test(what_is_cut_short_is_refused),
		cmocka_unit_test(what_is_damaged_is_refused),
		cmocka_unit_test(rubbish_behind_a_member_is_refused),
		cmocka_unit_test(zstd_and_plain_bytes_are_told_apart),
		cmocka_unit_test(what_inflates_beyond_the_bound_is_refused),
	};

	print_message("# gzip by %s\n", gunzip_library);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
