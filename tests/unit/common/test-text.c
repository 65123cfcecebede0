/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include <string.h>

#include "common/buf.h"
#include "common/digest.h"
#include "common/strv.h"

static void buffers_grow_and_stay_terminated(void **state)
{
	_cleanup_(buf_done) struct buf b = {};

	(void) state;
	assert_string_equal(buf_str(&b), "");
	for (int i = 0; i < 1000; i++)
		assert_true(buf_printf(&b, "%d,", i));
	assert_int_equal(b.len, strlen(buf_str(&b)));
	buf_consume(&b, 4);
	assert_memory_equal(buf_str(&b), "2,3,", 4);
}

static void a_bound_stops_the_buffer_for_good(void **state)
{
	_cleanup_(buf_done) struct buf b = { .max_bytes = 5 };

	(void) state;
	assert_true(buf_puts(&b, "1234"));
	assert_false(buf_puts(&b, "56"));
	assert_false(buf_puts(
		&b,
		"5")); /* a run of appends is checked once, so none may succeed after a failure */
	assert_string_equal(buf_str(&b), "1234");
	assert_null(buf_take(&b));
}

static void vectors_own_their_strings(void **state)
{
	_cleanup_(strv_freep) char **v = NULL, **copy = NULL;
	bool oom = true;

	(void) state;
	assert_int_equal(strv_length(v), 0);
	assert_int_equal(strv_append(&v, "a"), 0);
	assert_int_equal(strv_append(&v, "b"), 0);
	copy = strv_copy(v, &oom);
	assert_false(oom);
	assert_int_equal(strv_length(copy), 2);
	assert_true(strv_contains(copy, "b"));
	assert_false(strv_contains(copy, "c"));
	assert_ptr_not_equal(copy[0], v[0]);
}

static void sha256_and_hmac_match_published_vectors(void **state)
{
	char hex[SHA256_HEX_MAX];
	uint8_t mac[SHA256_BYTES];

	(void) state;
	/* FIPS 180-2, appendix B.1 */
	assert_string_equal(sha256_hex("abc", 3, hex),
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	/* RFC 4231, test case 2 */
	hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, mac);
	assert_string_equal(hex_encode(mac, sizeof(mac), hex),
			    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

static void random_identifiers_have_their_form(void **state)
{
	char uuid[UUID_TEXT_MAX], other[UUID_TEXT_MAX], hex[65];

	(void) state;
	random_uuid(uuid);
	assert_int_equal(strlen(uuid), 36);
	assert_int_equal(uuid[14], '4');
	assert_non_null(strchr("89ab", uuid[19]));
	assert_string_not_equal(uuid, random_uuid(other));
	assert_int_equal(strlen(random_hex(hex, 64)), 64);
	assert_int_equal(strspn(hex, "0123456789abcdef"), 64);
	assert_int_equal(strlen(random_hex(hex, 7)), 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buffers_grow_and_stay_terminated),
		cmocka_unit_test(a_bound_stops_the_buffer_for_good),
		cmocka_unit_test(vectors_own_their_strings),
		cmocka_unit_test(sha256_and_hmac_match_published_vectors),
		cmocka_unit_test(random_identifiers_have_their_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
