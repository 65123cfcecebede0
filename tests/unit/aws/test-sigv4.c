/* SPDX-License-Identifier: Apache-2.0 */
/* The vectors are those AWS publishes as "aws4_testsuite". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "aws/credentials.h"
#include "aws/sigv4.h"
#include "common/clock.h"
#include "common/macro.h"

#define HOST                                                                                       \
	{                                                                                          \
		"Host", "example.amazonaws.com"                                                    \
	}
#define DATE                                                                                       \
	{                                                                                          \
		"X-Amz-Date", "20150830T123600Z"                                                   \
	}

static const struct aws_keys keys = {
	.access_key_id = (char *) "AKIDEXAMPLE",
	.secret_access_key = (char *) "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
};

static int64_t vector_time(void)
{
	int64_t ms = 0;

	assert_int_equal(clock_parse_rfc3339("2015-08-30T12:36:00Z", &ms, NULL), 0);
	return ms;
}

static void published_vectors_are_met(void **state __attribute__((unused)))
{
	static const struct {
		const char *name, *method, *path, *query;
		struct sigv4_header headers[6];
		size_t n_headers;
		const char *payload, *signed_headers, *signature;
	} cases[] = {
#define PLAIN { HOST, DATE }, 2, "", "host;x-amz-date"
		{ "get-vanilla", "GET", "/", "", PLAIN,
		  "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
		{ "get-vanilla-query-order-key-case", "GET", "/", "Param2=value2&Param1=value1",
		  PLAIN, "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500" },
		{ "get-vanilla-query-unreserved", "GET", "/",
		  "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz=-._~"
		  "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
		  PLAIN, "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197" },
		{ "get-vanilla-utf8-query", "GET", "/", "\xe1\x88\xb4=bar", PLAIN,
		  "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04" },
		{ "get-unreserved", "GET",
		  "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "", PLAIN,
		  "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f" },
		{ "get-utf8", "GET", "/\xe1\x88\xb4", "", PLAIN,
		  "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85" },
		{ "get-relative", "GET", "/example/..", "", PLAIN,
		  "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
		{ "get-slash-dot-slash", "GET", "/./", "", PLAIN,
		  "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
		{ "get-slash", "GET", "//", "", PLAIN,
		  "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
		{ "get-space", "GET", "/example space/", "", PLAIN,
		  "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741" },
		{ "get-slash-pointless-dot", "GET", "/./example", "", PLAIN,
		  "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5" },
		{ "get-header-value-trim",
		  "GET",
		  "/",
		  "",
		  { HOST, { "My-Header1", " value1" }, { "My-Header2", " \"a   b   c\"" }, DATE },
		  4,
		  "",
		  "host;my-header1;my-header2;x-amz-date",
		  "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736" },
		{ "get-header-key-duplicate",
		  "GET",
		  "/",
		  "",
		  { HOST,
		    { "My-Header1", "value2" },
		    { "My-Header1", "value2" },
		    { "My-Header1", "value1" },
		    DATE },
		  5,
		  "",
		  "host;my-header1;x-amz-date",
		  "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea" },
		{ "post-vanilla", "POST", "/", "", PLAIN,
		  "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b" },
		{ "post-vanilla-query", "POST", "/", "Param1=value1", PLAIN,
		  "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11" },
		{ "post-x-www-form-urlencoded",
		  "POST",
		  "/",
		  "",
		  { { "Content-Type", "application/x-www-form-urlencoded" }, HOST, DATE },
		  3,
		  "Param1=value1",
		  "content-type;host;x-amz-date",
		  "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(buf_done) struct buf got = {}, want = {};
		struct sigv4_request r = {
			.method = cases[i].method,
			.path = cases[i].path,
			.query = cases[i].query,
			.headers = cases[i].headers,
			.n_headers = cases[i].n_headers,
			.payload = cases[i].payload,
			.payload_len = strlen(cases[i].payload),
			.region = "us-east-1",
			.service = "service",
			.now_ms = vector_time(),
			.encode_path_twice = true,
		};

		(void) buf_printf(&want,
				  "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/"
				  "service/aws4_request, SignedHeaders=%s, Signature=%s",
				  cases[i].signed_headers, cases[i].signature);
		assert_int_equal(sigv4_authorization(&r, &keys, &got, NULL), 0);
		if (strcmp(got.data, want.data) != 0)
			print_message("# vector %s\n", cases[i].name);
		assert_string_equal(got.data, want.data);
	}
}

static void a_canonical_request_is_spelt_out(void **state __attribute__((unused)))
{
	static const struct sigv4_header headers[] = { DATE, HOST };
	_cleanup_(buf_done) struct buf got = {};
	struct sigv4_request r = {
		.method = "GET",
		.path = "/ws",
		.query = "b=DockerVersion%3A+1&a=x%2Fy&c",
		.headers = headers,
		.n_headers = 2,
		.encode_path_twice = true,
	};

	assert_int_equal(sigv4_canonical_request(&r, &got, NULL), 0);
	assert_string_equal(got.data,
			    "GET\n/ws\na=x%2Fy&b=DockerVersion%3A%201&c=\n"
			    "host:example.amazonaws.com\nx-amz-date:20150830T123600Z\n\n"
			    "host;x-amz-date\n"
			    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void a_frame_carries_four_sorted_lines(void **state __attribute__((unused)))
{
	struct aws_keys temporary = keys;
	_cleanup_(buf_done) struct buf got = {};

	temporary.session_token = (char *) "TOKEN";
	assert_int_equal(sigv4_sign_url("GET", "https://tcs.example.com:443/ws?a=b", "{}", 2,
					"us-west-2", "ecs", vector_time(), &temporary, &got, NULL),
			 0);
	assert_memory_equal(got.data,
			    "Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/"
			    "us-west-2/ecs/aws4_request, "
			    "SignedHeaders=host;x-amz-date;x-amz-security-token, Signature=",
			    160 - 12);
	assert_non_null(strstr(got.data, "\r\nHost: tcs.example.com\r\n"
					 "X-Amz-Date: 20150830T123600Z\r\n"
					 "X-Amz-Security-Token: TOKEN\r\n"));
}

static void without_keys_nothing_is_signed(void **state __attribute__((unused)))
{
	_cleanup_(buf_done) struct buf got = {};

	assert_int_equal(sigv4_sign_url("GET", "http://127.0.0.1:8080/ws", "", 0, "r", "ecs",
					vector_time(), NULL, &got, NULL),
			 0);
	assert_string_equal(got.data, "Host: 127.0.0.1:8080\r\nX-Amz-Date: 20150830T123600Z\r\n");
}

static void a_url_without_scheme_is_refused(void **state __attribute__((unused)))
{
	_cleanup_(err_done) struct err err = {};
	_cleanup_(buf_done) struct buf got = {};

	assert_true(sigv4_sign_url("GET", "host/ws", "", 0, "r", "ecs", 0, NULL, &got, &err) < 0);
	assert_string_equal(err.msg, "URL 'host/ws' has no scheme");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_vectors_are_met),
		cmocka_unit_test(a_canonical_request_is_spelt_out),
		cmocka_unit_test(a_frame_carries_four_sorted_lines),
		cmocka_unit_test(without_keys_nothing_is_signed),
		cmocka_unit_test(a_url_without_scheme_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
