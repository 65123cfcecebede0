/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "runtime/image/challenge.h"
#include "runtime/image/login.h"
#include "runtime/image/reference.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void references_become_canonical(void **state _unused_)
{
	static const struct {
		const char *text, *canonical, *familiar, *host;
	} cases[] = {
		{ "nginx", "docker.io/library/nginx:latest", "nginx", "registry-1.docker.io" },
		{ "nginx:1.27", "docker.io/library/nginx:1.27", "nginx", "registry-1.docker.io" },
		{ "foo/bar", "docker.io/foo/bar:latest", "foo/bar", "registry-1.docker.io" },
		{ "index.docker.io/nginx", "docker.io/library/nginx:latest", "nginx",
		  "registry-1.docker.io" },
		{ "localhost/a", "localhost/a:latest", "localhost/a", "localhost" },
		{ "localhost:5000/a/b:t", "localhost:5000/a/b:t", "localhost:5000/a/b",
		  "localhost:5000" },
		{ "[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a", "[::1]:5000" },
		{ "Reg/a", "Reg/a:latest", "Reg/a", "Reg" },
		{ "r.example.com/a__b/c-d.e:V_1.x", "r.example.com/a__b/c-d.e:V_1.x",
		  "r.example.com/a__b/c-d.e", "r.example.com" },
		{ "nginx@sha256:" HEX, "docker.io/library/nginx@sha256:" HEX, "nginx",
		  "registry-1.docker.io" },
		{ "nginx:1@sha256:" HEX, "docker.io/library/nginx@sha256:" HEX, "nginx",
		  "registry-1.docker.io" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(reference_done) struct reference r = {};
		_cleanup_(err_done) struct err err = {};
		_cleanup_(freep) char *text = NULL, *familiar = NULL;

		if (reference_parse(cases[i].text, &r, &err) < 0)
			fail_msg("%s: %s", cases[i].text, err_text(&err));
		text = reference_text(&r);
		familiar = reference_familiar(&r);
		assert_string_equal(text, cases[i].canonical);
		assert_string_equal(familiar, cases[i].familiar);
		assert_string_equal(reference_api_host(&r), cases[i].host);
	}
}

static void bad_references_are_named(void **state _unused_)
{
	static const struct {
		const char *text, *complaint;
	} cases[] = {
		{ "", "is empty" },
		{ "Nginx", "the repository 'library/Nginx'" },
		{ "a//b", "the repository" },
		{ "a/", "the repository" },
		{ "/a", "the repository" },
		{ "a..b/c", "the registry 'a..b'" },
		{ "-r.example.com/a", "the registry '-r.example.com'" },
		{ "r.example.com:0/a", "the registry 'r.example.com:0'" },
		{ "r.example.com:65536/a", "the registry" },
		{ "r.example.com:/a", "the registry" },
		{ "a___b", "the repository" },
		{ "a-", "the repository" },
		{ "a:", "the tag" },
		{ "a:-x", "the tag" },
		{ "a:b c", "the tag" },
		{ "a@sha256:12", "the digest" },
		{ "a@sha512:" HEX, "the digest" },
		{ "a@sha256:" HEX "0", "the digest" },
		{ HEX, "an image id" },
		{ "../../etc/passwd", "the" },
		{ "a b", "the repository" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct reference r = {};
		_cleanup_(err_done) struct err err = {};

		if (reference_parse(cases[i].text, &r, &err) != -EINVAL)
			fail_msg("'%s' was taken", cases[i].text);
		if (!strstr(err_text(&err), cases[i].complaint))
			fail_msg("'%s': %s", cases[i].text, err_text(&err));
		assert_null(r.domain); /* failure left the result alone */
	}
}

static void names_are_bounded(void **state _unused_)
{
	char text[700];
	struct reference r = {};

	memset(text, 'a', sizeof(text));
	text[255 - strlen("docker.io/library/")] = '\0';
	assert_int_equal(reference_parse(text, &r, NULL), 0);
	reference_done(&r);
	text[255 - strlen("docker.io/library/")] = 'a';
	text[255] = '\0';
	assert_int_equal(reference_parse(text, &r, NULL), -EINVAL);
	text[255] = 'a';
	text[699] = '\0';
	assert_int_equal(reference_parse(text, &r, NULL), -EINVAL);
}

static void only_this_machine_is_loopback(void **state _unused_)
{
	static const char *const yes[] = { "localhost",     "localhost:5000", "127.0.0.1",
					   "127.255.0.9:1", "[::1]",          "[::1]:5000" };
	static const char *const no[] = { "localhost.example.com",
					  "127.0.0.1.example.com",
					  "128.0.0.1",
					  "10.0.0.1:5000",
					  "[::2]",
					  "127.1" };

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
		assert_true(reference_is_loopback(yes[i]));
	for (size_t i = 0; i < ARRAY_SIZE(no); i++)
		assert_false(reference_is_loopback(no[i]));
}

static void challenges_are_understood(void **state _unused_)
{
	static const struct {
		const char *text;
		enum challenge_scheme scheme;
		const char *realm, *service, *scope;
	} cases[] = {
		{ "Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:x:pull\"",
		  CHALLENGE_BEARER, "https://a/t", "s", "repository:x:pull" },
		{ "Basic realm=\"r\"", CHALLENGE_BASIC, "r", NULL, NULL },
		{ "basic realm=r", CHALLENGE_BASIC, "r", NULL, NULL },
		{ "Basic realm=\"r\", Bearer realm=\"https://t\"", CHALLENGE_BEARER, "https://t",
		  NULL, NULL },
		{ "Bearer realm=\"https://t\" , Basic realm=x", CHALLENGE_BEARER, "https://t", NULL,
		  NULL },
		{ "Negotiate YII=, Basic realm=\"a \\\"b\\\"\"", CHALLENGE_BASIC, "a \"b\"", NULL,
		  NULL },
		{ "Digest nonce=1", CHALLENGE_NONE, NULL, NULL, NULL },
		{ "", CHALLENGE_NONE, NULL, NULL, NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(challenge_done) struct challenge c = {};
		_cleanup_(err_done) struct err err = {};

		if (challenge_parse(cases[i].text, &c, &err) < 0)
			fail_msg("%s: %s", cases[i].text, err_text(&err));
		assert_int_equal(c.scheme, cases[i].scheme);
		if (c.scheme == CHALLENGE_NONE)
			continue;
		assert_string_equal(c.realm ? c.realm : "-", cases[i].realm ? cases[i].realm : "-");
		assert_string_equal(c.service ? c.service : "-",
				    cases[i].service ? cases[i].service : "-");
		assert_string_equal(c.scope ? c.scope : "-", cases[i].scope ? cases[i].scope : "-");
	}
}

static void malformed_challenges_are_refused(void **state _unused_)
{
	static const char *const cases[] = { "Bearer service=\"s\"", "Bearer realm=\"open",
					     "Bearer realm=", "=x", "Basic realm=\"a\" \"b\"" };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct challenge c = {};

		if (challenge_parse(cases[i], &c, NULL) != -EPROTO)
			fail_msg("'%s' was taken", cases[i]);
	}
}

static void a_token_service_is_asked_for_one_repository(void **state _unused_)
{
	_cleanup_(reference_done) struct reference ref = {};
	_cleanup_(freep) char *url = NULL, *refused = NULL;
	struct challenge ch = { .scheme = CHALLENGE_BEARER,
				.realm = (char *) "https://auth.example/token?a=b",
				.service = (char *) "my registry" };

	assert_int_equal(reference_parse("registry.example/team/web:1", &ref, NULL), 0);
	assert_int_equal(login_token_url(&ch, &ref, true, &url, NULL), 0);
	assert_string_equal(url, "https://auth.example/token?a=b&service=my%20registry"
				 "&scope=repository%3Ateam%2Fweb%3Apull");
	ch.realm = (char *) "http://auth.example/token";
	assert_int_equal(login_token_url(&ch, &ref, true, &refused, NULL), -EPROTO);
	ch.realm = (char *) "ftp://auth.example/token";
	assert_int_equal(login_token_url(&ch, &ref, false, &refused, NULL), -EPROTO);
}

static void tokens_are_taken_and_others_refused(void **state _unused_)
{
	static const char *const bad[] = { "", "[]", "{\"token\":\"\"}", "{\"token\":7}",
					   "{\"token\":\"a\\r\\nHost: b\"}" };
	_cleanup_(freep) char *a = NULL, *b = NULL, *basic = NULL, *none = NULL;

	assert_int_equal(login_bearer("{\"token\":\"t\"}", 13, &a, NULL), 0);
	assert_string_equal(a, "Bearer t");
	assert_int_equal(login_bearer("{\"access_token\":\"u\"}", 20, &b, NULL), 0);
	assert_string_equal(b, "Bearer u");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_true(login_bearer(bad[i], strlen(bad[i]), &none, NULL) < 0);
	assert_int_equal(login_basic("Aladdin", "open sesame", &basic, NULL), 0);
	assert_string_equal(basic, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(references_become_canonical),
		cmocka_unit_test(bad_references_are_named),
		cmocka_unit_test(names_are_bounded),
		cmocka_unit_test(only_this_machine_is_loopback),
		cmocka_unit_test(challenges_are_understood),
		cmocka_unit_test(malformed_challenges_are_refused),
		cmocka_unit_test(a_token_service_is_asked_for_one_repository),
		cmocka_unit_test(tokens_are_taken_and_others_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
