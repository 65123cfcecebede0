/* SPDX-License-Identifier: Apache-2.0 */
/* The check of a cached image against a small registry on loopback. */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/engine/image-check.h"
#include "aws/http.h"
#include "common/macro.h"
#include "tests/unit/aws/fake.h"

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

enum mode { OPEN, BASIC, BEARER, FAR_REALM, MISSING, MOVED, NO_DIGEST, SLOW };

struct bench {
	sd_event *event;
	struct http_client *http;
	struct image_check *check;
	struct fake_http server;
	char reference[128];
	enum mode mode;
	int tokens;
	bool done;
	int result;
	char digest[128];
};

static void refuse(struct bench *b, struct fake_answer *a)
{
	a->status = 401;
	(void) snprintf(a->header[0], sizeof(a->header[0]), "WWW-Authenticate");
	if (b->mode == BASIC)
		(void) snprintf(a->header[1], sizeof(a->header[1]), "Basic realm=\"r\"");
	else
		(void) snprintf(a->header[1], sizeof(a->header[1]),
				"Bearer realm=\"%s/token\",service=\"a b\"",
				b->mode == FAR_REALM ? "http://169.254.169.254" : b->server.url);
}

static void serve(void *userdata, const struct fake_query *q, struct fake_answer *a)
{
	struct bench *b = userdata;
	const char *want = b->mode == BASIC ? "Basic bWU6c2VjcmV0" : "Bearer t1";

	if (b->mode == SLOW)
		(void) usleep(300000);
	if (strcmp(q->path, "/token") == 0) {
		b->tokens += strcmp(fake_header(q, "Authorization"), "Basic bWU6c2VjcmV0") == 0;
		(void) snprintf(a->body, sizeof(a->body), "{\"token\":\"t1\"}");
		return;
	}
	if (strcmp(q->method, "HEAD") != 0 || strcmp(q->path, "/v2/team/web/manifests/1.2") != 0)
		a->status = 400;
	else if (b->mode == MISSING)
		a->status = 404;
	else if (b->mode == MOVED)
		a->status = 307;
	else if ((b->mode == BASIC || b->mode == BEARER || b->mode == FAR_REALM) &&
		 strcmp(fake_header(q, "Authorization"), want) != 0)
		refuse(b, a);
	else if (b->mode != NO_DIGEST) {
		(void) snprintf(a->header[0], sizeof(a->header[0]), "Docker-Content-Digest");
		(void) snprintf(a->header[1], sizeof(a->header[1]), DIGEST);
	}
}

static int set_up(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	*state = b;
	assert_int_equal(sd_event_new(&b->event), 0);
	assert_int_equal(http_client_new(b->event, NULL, &b->http, NULL), 0);
	fake_http_start(&b->server, serve, b);
	(void) snprintf(b->reference, sizeof(b->reference), "%s/team/web:1.2",
			strstr(b->server.url, "//") + 2);
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	(void) image_check_free(b->check);
	(void) http_client_free(b->http);
	fake_http_stop(&b->server);
	(void) sd_event_unref(b->event);
	free(b);
	return 0;
}

static void on_result(enum image_check_result result, const char *digest, void *userdata)
{
	struct bench *b = userdata;

	assert_false(b->done);
	b->done = true;
	b->result = (int) result;
	(void) snprintf(b->digest, sizeof(b->digest), "%s", digest ? digest : "");
	b->check = image_check_free(b->check); /* as the caller may */
}

static int check(struct bench *b, enum mode mode, const char *user, int64_t timeout_ms)
{
	const struct image_check_params p = { .http = b->http,
					      .reference = b->reference,
					      .username = user,
					      .password = "secret",
					      .timeout_ms = timeout_ms };

	b->mode = mode;
	b->done = false;
	assert_int_equal(image_check_start(&p, on_result, b, &b->check, NULL), 0);
	assert_true(loop_until(b->event, &b->done, 10000));
	return b->result;
}

static void the_digest_of_a_tag_is_told(void **state)
{
	struct bench *b = *state;

	assert_int_equal(check(b, OPEN, NULL, 5000), IMAGE_CHECK_DIGEST);
	assert_string_equal(b->digest, DIGEST);
}

static void challenges_are_answered(void **state)
{
	struct bench *b = *state;

	assert_int_equal(check(b, BASIC, "me", 5000), IMAGE_CHECK_DIGEST);
	assert_int_equal(check(b, BEARER, NULL, 5000), IMAGE_CHECK_DIGEST);
	assert_int_equal(b->tokens, 0);
	assert_int_equal(check(b, BEARER, "me", 5000), IMAGE_CHECK_DIGEST);
	assert_int_equal(b->tokens, 1);
}

static void what_is_unusual_is_left_to_others(void **state)
{
	static const enum mode modes[] = { MISSING, MOVED, NO_DIGEST, BASIC, FAR_REALM };
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		assert_int_equal(check(b, modes[i], NULL, 5000), IMAGE_CHECK_UNUSUAL);
	assert_int_equal(check(b, BASIC, "you", 5000), IMAGE_CHECK_UNUSUAL);
}

static void a_registry_that_stalls_is_given_up(void **state)
{
	struct bench *b = *state;

	assert_int_equal(check(b, SLOW, NULL, 50), IMAGE_CHECK_TIMED_OUT);
}

static void only_tags_are_checked(void **state)
{
	struct bench *b = *state;
	struct image_check_params p = { .http = b->http,
					.reference = "web@" DIGEST,
					.timeout_ms = 1000 };

	assert_int_equal(image_check_start(&p, on_result, b, &b->check, NULL), -EINVAL);
	p.reference = "Not A Reference";
	assert_int_equal(image_check_start(&p, on_result, b, &b->check, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_digest_of_a_tag_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(challenges_are_answered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_unusual_is_left_to_others, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_registry_that_stalls_is_given_up, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(only_tags_are_checked, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
