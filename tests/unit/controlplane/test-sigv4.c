/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/sigv4.h"

#include <string.h>

#include "common/digest.h"
#include "tests/unit/test.h"

#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define NOON_MS 1735732800000LL /* 2025-01-01T12:00:00Z */

static char *const host_date[] = { (char *) "host", (char *) "x-amz-date", NULL };

/* The scope of the published "aws-sig-v4-test-suite". */
static struct sigv4_auth suite_scope(char *const *names)
{
	return (struct sigv4_auth){ .access_key = (char *) "AKIDEXAMPLE",
				    .date = (char *) "20150830",
				    .region = (char *) "us-east-1",
				    .service = (char *) "service",
				    .signed_headers = (char **) names };
}

static void published_vectors_hold(void **state _unused_)
{
	static const struct {
		const char *name, *method, *path, *query, *signature;
	} cases[] = {
		{ "get-vanilla", "GET", "/", "",
		  "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
		{ "post-vanilla", "POST", "/", "",
		  "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b" },
		{ "get-vanilla-query-order-key-case", "GET", "/", "Param2=value2&Param1=value1",
		  "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500" },
		{ "get-unreserved", "GET",
		  "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "",
		  "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f" },
		{ "get-utf8", "GET", "/\xe1\x88\xb4", "",
		  "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85" },
		{ "get-vanilla-utf8-query", "GET", "/", "\xe1\x88\xb4=bar",
		  "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04" },
		{ "get-relative", "GET", "/example/..", "",
		  "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
		{ "get-slash", "GET", "//", "",
		  "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
	};
	static const struct sigv4_header headers[] = { { "Host", "example.amazonaws.com" },
						       { "X-Amz-Date", "20150830T123600Z" } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct sigv4_auth a = suite_scope(host_date);
		const struct sigv4_request r = { .method = cases[i].method,
						 .path = cases[i].path,
						 .query = cases[i].query,
						 .headers = headers,
						 .n_headers = 2 };
		char hex[SHA256_HEX_MAX];

		print_message("%s\n", cases[i].name);
		assert_int_equal(sigv4_compute(&a, &r, SECRET, hex, NULL), 0);
		assert_string_equal(hex, cases[i].signature);
	}
}

static void published_header_vectors_hold(void **state _unused_)
{
	static char *const my[] = { (char *) "host", (char *) "my-header1", (char *) "x-amz-date",
				    NULL };
	static char *const trim[] = { (char *) "host", (char *) "my-header1", (char *) "my-header2",
				      (char *) "x-amz-date", NULL };
	static const struct sigv4_header twice[] = { { "Host", "example.amazonaws.com" },
						     { "My-Header1", "value2" },
						     { "My-Header1", "value2" },
						     { "My-Header1", "value1" },
						     { "X-Amz-Date", "20150830T123600Z" } };
	static const struct sigv4_header blanks[] = { { "Host", "example.amazonaws.com" },
						      { "My-Header1", " value1" },
						      { "My-Header2", " \"a   b   c\"" },
						      { "X-Amz-Date", "20150830T123600Z" } };
	struct sigv4_auth a = suite_scope(my);
	struct sigv4_request r = { .method = "GET", .path = "/", .headers = twice, .n_headers = 5 };
	char hex[SHA256_HEX_MAX];

	assert_int_equal(sigv4_compute(&a, &r, SECRET, hex, NULL), 0);
	assert_string_equal(hex,
			    "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea");
	a = suite_scope(trim);
	r.headers = blanks;
	r.n_headers = 4;
	assert_int_equal(sigv4_compute(&a, &r, SECRET, hex, NULL), 0);
	assert_string_equal(hex,
			    "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736");
}

static struct sigv4_keys *keys(void)
{
	struct sigv4_keys *k = NULL;
	_cleanup_(err_done) struct err err = {};

	assert_int_equal(sigv4_keys_parse("# comment\nAKIDEXAMPLE " SECRET
					  "\n\nASIAEXAMPLE secret/two TOKEN== # temporary\n",
					  &k, &err),
			 0);
	return k;
}

#define UPGRADE_QUERY                                                                              \
	"agentHash=12345678&agentVersion=1.0&clusterArn=default&containerInstanceArn="             \
	"arn%3Aaws%3Aecs%3Aus-west-2%3A123456789012%3Acontainer-instance%2Fdefault%2Fabc"          \
	"&dockerVersion=DockerVersion%3A+25.0.8&protocolVersion=2&seqNum=1&sendCredentials=true"

/* The signature was made by another implementation, over "%20" where the wire has "+". */
static void a_signed_upgrade_is_accepted(void **state _unused_)
{
	_cleanup_(sigv4_keys_freep) struct sigv4_keys *k = keys();
	_cleanup_(err_done) struct err err = {};
	const struct sigv4_header headers[] = {
		{ "Host", "localhost:8080" },
		{ "X-Amz-Date", "20250101T120000Z" },
		{ "Authorization",
		  "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20250101/us-west-2/ecs/aws4_request, "
		  "SignedHeaders=host;x-amz-date, Signature="
		  "a703c0f48057e311edd27ab4ccafc880d029e5edd7b9fe362f3eddf99e871101" },
	};
	struct sigv4_request r = { .method = "GET",
				   .path = "/acs/ws",
				   .query = UPGRADE_QUERY,
				   .headers = headers,
				   .n_headers = 3 };

	assert_int_equal(sigv4_verify(k, &r, NOON_MS + 299000, &err), SIGV4_OK);
	assert_int_equal(sigv4_verify(k, &r, NOON_MS + 301000, &err), SIGV4_E_EXPIRED);
	assert_int_equal(sigv4_verify(k, &r, NOON_MS - 301000, &err), SIGV4_E_EXPIRED);
	r.path = "/tcs/ws";
	assert_int_equal(sigv4_verify(k, &r, NOON_MS, &err), SIGV4_E_MISMATCH);
	/* Without keys nothing can be recomputed, and old dates are not held against anybody. */
	assert_int_equal(sigv4_verify(NULL, &r, NOON_MS * 2, &err), SIGV4_OK);
}

static void a_signed_post_with_a_changed_body_is_refused(void **state _unused_)
{
	_cleanup_(sigv4_keys_freep) struct sigv4_keys *k = keys();
	_cleanup_(err_done) struct err err = {};
	const struct sigv4_header headers[] = {
		{ "host", "localhost:8080" },
		{ "Content-Type", "application/x-amz-json-1.1" },
		{ "X-Amz-Target", "AmazonEC2ContainerServiceV20141113.ListTasks" },
		{ "X-Amz-Date", "20250101T120000Z" },
		{ "Authorization",
		  "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20250101/us-west-2/ecs/aws4_request, "
		  "SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature="
		  "886f8371e773add3b6621e59493e51706f8d7f9422e7c4aea2779a5feca65822" },
	};
	struct sigv4_request r = { .method = "POST",
				   .path = "/",
				   .headers = headers,
				   .n_headers = 5,
				   .payload = "{\"cluster\":\"x\"}",
				   .payload_len = 15 };

	assert_int_equal(sigv4_verify(k, &r, NOON_MS, &err), SIGV4_OK);
	r.payload = "{\"cluster\":\"y\"}";
	assert_int_equal(sigv4_verify(k, &r, NOON_MS, &err), SIGV4_E_MISMATCH);
	assert_string_equal(sigv4_error_name(SIGV4_E_MISMATCH), "InvalidSignatureException");
}

static void a_frame_with_a_session_token_is_checked(void **state _unused_)
{
	_cleanup_(sigv4_keys_freep) struct sigv4_keys *k = keys();
	_cleanup_(err_done) struct err err = {};
	struct sigv4_header headers[] = {
		{ "Authorization",
		  "AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE/20250101/us-west-2/ecs/aws4_request, "
		  "SignedHeaders=host;x-amz-date;x-amz-security-token, Signature="
		  "94de7286959da885b8079d0afb99d172722649f5cc5e4f760606c7103998c061" },
		{ "Host", "localhost:8080" },
		{ "X-Amz-Date", "20250101T120000Z" },
		{ "X-Amz-Security-Token", "TOKEN==" },
	};
	const struct sigv4_request r = { .method = "GET",
					 .path = "/tcs/ws",
					 .query = "cluster=default&agentVersion=1.0",
					 .headers = headers,
					 .n_headers = 4,
					 .payload = "{\"type\":\"X\",\"message\":{}}",
					 .payload_len = 25,
					 .length_unsigned = true };

	assert_int_equal(sigv4_verify(k, &r, NOON_MS, &err), SIGV4_OK);
	headers[3].value = "TOKEN=";
	assert_int_equal(sigv4_verify(k, &r, NOON_MS, &err), SIGV4_E_BAD_TOKEN);
}

static void what_is_not_an_authorization_is_named(void **state _unused_)
{
#define SIG "Signature=0123456789012345678901234567890123456789012345678901234567890123"
	static const struct {
		const char *header, *complaint;
	} cases[] = {
		{ "Basic dXNlcg==", "Authorization: the scheme must be AWS4-HMAC-SHA256" },
		{ "AWS4-HMAC-SHA256 Credential=A/20250101/r/ecs/aws4_request, " SIG,
		  "Authorization: SignedHeaders is missing" },
		{ "AWS4-HMAC-SHA256 Credential=A/2025/r/ecs/aws4_request, SignedHeaders=host, " SIG,
		  "Authorization: Credential: date must be YYYYMMDD" },
		{ "AWS4-HMAC-SHA256 Credential=A/20250101/r/ecs/aws4, SignedHeaders=host, " SIG,
		  "Authorization: Credential: must end in aws4_request" },
		{ "AWS4-HMAC-SHA256 Credential=A/20250101/r/aws4_request, SignedHeaders=host, " SIG,
		  "Authorization: Credential: must be KEY/DATE/REGION/SERVICE/aws4_request" },
		{ "AWS4-HMAC-SHA256 Credential=A/20250101/r/ecs/aws4_request, "
		  "SignedHeaders=b;a, " SIG,
		  "Authorization: SignedHeaders: 'a' is out of order" },
		{ "AWS4-HMAC-SHA256 Credential=A/20250101/r/ecs/aws4_request, "
		  "SignedHeaders=Host, " SIG,
		  "Authorization: SignedHeaders: 'Host' is not in lower case" },
		{ "AWS4-HMAC-SHA256 Credential=A/20250101/r/ecs/aws4_request, SignedHeaders=host, "
		  "Signature=abc",
		  "Authorization: Signature: must be 64 lower-case hexadecimal digits" },
		{ "AWS4-HMAC-SHA256 Credential=A/20250101/r/ecs/aws4_request, SignedHeaders=host, "
		  "SignedHeaders=host, " SIG,
		  "Authorization: 'SignedHeaders' is unknown or repeated" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(err_done) struct err err = {};
		struct sigv4_auth a = {};

		assert_int_equal(sigv4_parse_authorization(cases[i].header, &a, &err), -EPROTO);
		assert_string_equal(err.msg, cases[i].complaint);
	}
}

static void a_signed_content_length_is_refused_in_frames(void **state _unused_)
{
	_cleanup_(err_done) struct err err = {};
	const struct sigv4_header headers[] = {
		{ "Authorization", "AWS4-HMAC-SHA256 Credential=A/20250101/r/ecs/aws4_request, "
				   "SignedHeaders=content-length;host;x-amz-date, " SIG },
		{ "Host", "h" },
		{ "X-Amz-Date", "20250101T120000Z" },
		{ "Content-Length", "2" },
	};
	struct sigv4_request r = {
		.method = "GET", .path = "/", .headers = headers, .n_headers = 4
	};

	assert_int_equal(sigv4_verify(NULL, &r, 0, &err), SIGV4_OK);
	r.length_unsigned = true;
	assert_int_equal(sigv4_verify(NULL, &r, 0, &err), SIGV4_E_MISMATCH);
	assert_string_equal(err.msg, "content-length must not be signed.");
}

static void no_authorization_is_fine_only_without_keys(void **state _unused_)
{
	_cleanup_(sigv4_keys_freep) struct sigv4_keys *k = keys();
	const struct sigv4_request r = { .method = "POST", .path = "/" };

	assert_int_equal(sigv4_verify(NULL, &r, 0, NULL), SIGV4_OK);
	assert_int_equal(sigv4_verify(k, &r, 0, NULL), SIGV4_E_MISSING);
	assert_string_equal(sigv4_error_name(SIGV4_E_MISSING),
			    "MissingAuthenticationTokenException");
}

static void bad_key_files_are_refused_by_line(void **state _unused_)
{
	static const struct {
		const char *text, *complaint;
	} cases[] = {
		{ "A\n", "line 1: the secret is missing" },
		{ "\nA B C D\n", "line 2: must be KEY SECRET [TOKEN]" },
		{ "A B\nA C\n", "line 2: key 'A' is there twice" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(err_done) struct err err = {};
		struct sigv4_keys *k = NULL;

		assert_int_equal(sigv4_keys_parse(cases[i].text, &k, &err), -EINVAL);
		assert_string_equal(err.msg, cases[i].complaint);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_vectors_hold),
		cmocka_unit_test(published_header_vectors_hold),
		cmocka_unit_test(a_signed_upgrade_is_accepted),
		cmocka_unit_test(a_signed_post_with_a_changed_body_is_refused),
		cmocka_unit_test(a_frame_with_a_session_token_is_checked),
		cmocka_unit_test(what_is_not_an_authorization_is_named),
		cmocka_unit_test(a_signed_content_length_is_refused_in_frames),
		cmocka_unit_test(no_authorization_is_fine_only_without_keys),
		cmocka_unit_test(bad_key_files_are_refused_by_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
