/* SPDX-License-Identifier: Apache-2.0 */
/* The metadata service and the credential chain against a small IMDSv2 on loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "aws/credentials.h"
#include "aws/http.h"
#include "aws/imds.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/macro.h"
#include "tests/unit/aws/fake.h"

#define DOCUMENT                                                                                   \
	"{\"region\":\"us-west-2\",\"instanceId\":\"i-1\",\"availabilityZone\":\"us-west-2a\"}"
#define ROLES "/latest/meta-data/iam/security-credentials/"

struct bench {
	sd_event *event;
	struct http_client *http;
	struct imds *imds;
	struct fake_http server;
	char token[32]; /* the one that is accepted */
	int tokens, errors_first;
	const char *role_answer;
	bool no_role;
	bool done;
	char data[1024], err_text[256], key[64];
	int err_code;
	struct imds_identity id;
};

static void serve(void *userdata, const struct fake_query *q, struct fake_answer *a)
{
	struct bench *b = userdata;
	const char *body = NULL;

	if (strcmp(q->path, "/latest/api/token") == 0) {
		if (strcmp(q->method, "PUT") != 0 ||
		    strcmp(fake_header(q, "X-aws-ec2-metadata-token-ttl-seconds"), "21600") != 0)
			a->status = 400;
		(void) snprintf(b->token, sizeof(b->token), "token-%d", ++b->tokens);
		(void) snprintf(a->body, sizeof(a->body), "%s", b->token);
		return;
	}
	if (strcmp(fake_header(q, "X-aws-ec2-metadata-token"), b->token) != 0) {
		a->status = 401;
		return;
	}
	if (b->errors_first > 0) {
		b->errors_first--;
		a->status = 500;
		return;
	}
	if (strcmp(q->path, "/latest/meta-data/instance-id") == 0)
		body = "i-1";
	else if (strcmp(q->path, "/latest/dynamic/instance-identity/document") == 0)
		body = DOCUMENT;
	else if (strcmp(q->path, "/latest/dynamic/instance-identity/signature") == 0)
		body = "c2lnbmF0dXJl";
	else if (strcmp(q->path, ROLES) == 0 && !b->no_role)
		body = "my-role\n";
	else if (strcmp(q->path, ROLES "my-role") == 0)
		body = b->role_answer;
	a->status = body ? 200 : 404;
	(void) snprintf(a->body, sizeof(a->body), "%s", body ? body : "");
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct imds_params p = { .retry_ms = 1, .connect_timeout_ms = 500 };

	assert_true(sd_event_new(&b->event) >= 0);
	fake_http_start(&b->server, serve, b);
	assert_int_equal(http_client_new(b->event, NULL, &b->http, NULL), 0);
	p.http = b->http;
	p.endpoint = b->server.url;
	assert_int_equal(imds_new(&p, &b->imds, NULL), 0);
	b->role_answer = "{\"Code\":\"Success\",\"AccessKeyId\":\"ASIA1\","
			 "\"SecretAccessKey\":\"s\",\"Token\":\"t\","
			 "\"Expiration\":\"2099-01-01T00:00:00Z\"}";
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	(void) imds_free(b->imds);
	(void) http_client_free(b->http);
	(void) sd_event_unref(b->event);
	fake_http_stop(&b->server);
	imds_identity_done(&b->id);
	free(b);
	return 0;
}

static void on_data(void *userdata, const char *data, size_t len, const struct err *err)
{
	struct bench *b = userdata;

	(void) snprintf(b->data, sizeof(b->data), "%.*s", (int) len, data ? data : "");
	(void) snprintf(b->err_text, sizeof(b->err_text), "%s", err->code ? err->msg : "");
	b->err_code = err->code;
	b->done = true;
}

static void get(struct bench *b, const char *path)
{
	b->done = false;
	assert_int_equal(imds_get(b->imds, path, on_data, b, NULL, NULL), 0);
	assert_true(loop_until(b->event, &b->done, 5000));
}

static void another_place_has_a_token_of_its_own(void **state)
{
	struct fake_http other;
	struct bench *b = *state, there = { .token = "" };

	fake_http_start(&other, serve, &there);
	get(b, "latest/meta-data/instance-id");
	assert_int_equal(imds_set_endpoint(b->imds, b->server.url, NULL), 0);
	get(b, "latest/meta-data/instance-id");
	assert_int_equal(b->tokens, 1); /* the same place */
	assert_int_equal(imds_set_endpoint(b->imds, other.url, NULL), 0);
	get(b, "latest/meta-data/instance-id");
	assert_string_equal(b->data, "i-1");
	assert_int_equal(b->tokens, 1);
	assert_int_equal(there.tokens, 1);
	fake_http_stop(&other);
}

static void one_token_serves_many_paths(void **state)
{
	struct bench *b = *state;

	get(b, "latest/meta-data/instance-id");
	get(b, "latest/meta-data/instance-id");
	assert_string_equal(b->data, "i-1");
	assert_int_equal(b->tokens, 1);
}

static void a_refused_token_is_fetched_again(void **state)
{
	struct bench *b = *state;

	get(b, "latest/meta-data/instance-id");
	(void) snprintf(b->token, sizeof(b->token), "rotated");
	get(b, "latest/meta-data/instance-id");
	assert_string_equal(b->data, "i-1");
	assert_int_equal(b->tokens, 2);
}

static void what_is_not_there_is_not_asked_for_twice(void **state)
{
	struct bench *b = *state;

	get(b, "latest/meta-data/outpost-arn");
	assert_int_equal(b->err_code, ENOENT);
	assert_int_equal(b->server.requests, 2);
}

static void errors_are_tried_five_times(void **state)
{
	struct bench *b = *state;

	b->errors_first = 4;
	get(b, "latest/meta-data/instance-id");
	assert_string_equal(b->data, "i-1");
	b->errors_first = 5;
	get(b, "latest/meta-data/instance-id");
	assert_int_equal(b->err_code, EREMOTEIO);
	assert_string_equal(b->err_text,
			    "instance metadata 'latest/meta-data/instance-id': HTTP 500");
}

static void a_host_without_it_fails_fast_and_remembers(void **state)
{
	struct bench *b = *state;
	int64_t start = clock_mono_ms();

	fake_http_stop(&b->server);
	get(b, "latest/meta-data/instance-id");
	assert_int_equal(b->err_code, EHOSTUNREACH);
	get(b, "latest/meta-data/instance-id");
	assert_int_equal(b->err_code, EHOSTUNREACH);
	assert_true(clock_mono_ms() - start < 1000);
	fake_http_start(&b->server, serve, b);
}

/* An EC2 instance whose service is late: the next question goes out, and whoever waits is told of trouble. */
static void a_host_that_has_it_asks_again(void **state)
{
	struct bench *b = *state;
	struct imds_params p = {
		.http = b->http, .endpoint = b->server.url, .expected = true, .retry_ms = 1
	};

	b->imds = imds_free(b->imds);
	assert_int_equal(imds_new(&p, &b->imds, NULL), 0);
	fake_http_stop(&b->server);
	get(b, "latest/meta-data/instance-id");
	assert_int_equal(b->err_code, ECONNREFUSED);
	fake_http_start(&b->server, serve, b);
	assert_int_equal(imds_set_endpoint(b->imds, b->server.url, NULL), 0);
	get(b, "latest/meta-data/instance-id");
	assert_string_equal(b->data, "i-1");
}

static void on_identity(void *userdata, const struct imds_identity *id, const struct err *err)
{
	struct bench *b = userdata;

	b->done = true;
	b->err_code = err->code;
	if (id)
		assert_int_equal(
			imds_identity_decode(id->document, strlen(id->document), &b->id, NULL), 0);
	(void) snprintf(b->data, sizeof(b->data), "%s", id ? id->signature : "");
}

static void the_identity_has_document_and_signature(void **state)
{
	struct bench *b = *state;

	assert_int_equal(imds_get_identity(b->imds, on_identity, b, NULL), 0);
	assert_true(loop_until(b->event, &b->done, 5000));
	assert_string_equal(b->id.region, "us-west-2");
	assert_string_equal(b->id.instance_id, "i-1");
	assert_string_equal(b->id.zone, "us-west-2a");
	assert_string_equal(b->id.instance_type, "");
	assert_string_equal(b->id.document, DOCUMENT);
	assert_string_equal(b->data, "c2lnbmF0dXJl");
}

/* ---- credentials ---- */

static void on_keys(void *userdata, const struct aws_keys *keys, const struct err *err)
{
	struct bench *b = userdata;

	b->done = true;
	b->err_code = err->code;
	(void) snprintf(b->key, sizeof(b->key), "%s", keys ? keys->access_key_id : "(none)");
}

static void ask(struct bench *b, struct aws_credentials *c)
{
	b->done = false;
	assert_int_equal(aws_credentials_get(c, on_keys, b, NULL, NULL), 0);
	assert_true(loop_until(b->event, &b->done, 5000));
}

static void static_keys_win(void **state)
{
	struct bench *b = *state;
	const struct aws_credentials_params p = { .event = b->event,
						  .access_key_id = "AKID",
						  .secret_access_key = "s",
						  .imds = b->imds };
	_cleanup_(aws_credentials_freep) struct aws_credentials *c = NULL;

	assert_int_equal(aws_credentials_new(&p, &c, NULL), 0);
	ask(b, c);
	assert_string_equal(b->key, "AKID");
	assert_null(aws_credentials_current(c)->session_token);
	assert_int_equal(b->server.requests, 0);
}

static void the_instance_role_is_fetched_once(void **state)
{
	struct bench *b = *state;
	const struct aws_credentials_params p = { .event = b->event, .imds = b->imds };
	_cleanup_(aws_credentials_freep) struct aws_credentials *c = NULL;

	assert_int_equal(aws_credentials_new(&p, &c, NULL), 0);
	assert_null(aws_credentials_current(c));
	ask(b, c);
	ask(b, c);
	assert_string_equal(b->key, "ASIA1");
	assert_string_equal(aws_credentials_current(c)->session_token, "t");
	assert_int_equal(b->server.requests, 3);
	aws_credentials_invalidate(c);
	ask(b, c);
	assert_string_equal(b->key, "ASIA1");
	assert_int_equal(b->server.requests, 5);
}

/* It is the clock that may be wrong, a day ahead after a boot, say. */
static void keys_that_just_came_count_whatever_the_clock_says(void **state)
{
	struct bench *b = *state;
	const struct aws_credentials_params p = { .event = b->event, .imds = b->imds };
	_cleanup_(aws_credentials_freep) struct aws_credentials *c = NULL;

	b->role_answer = "{\"Code\":\"Success\",\"AccessKeyId\":\"ASIA2\","
			 "\"SecretAccessKey\":\"s\",\"Token\":\"t\","
			 "\"Expiration\":\"2020-01-01T00:00:00Z\"}";
	assert_int_equal(aws_credentials_new(&p, &c, NULL), 0);
	ask(b, c);
	assert_string_equal(b->key, "ASIA2");
	ask(b, c);
	assert_string_equal(b->key, "ASIA2");
	assert_int_equal(b->server.requests, 3);
}

static void without_any_source_requests_go_unsigned(void **state)
{
	struct bench *b = *state;
	const struct aws_credentials_params p = { .event = b->event, .imds = b->imds };
	_cleanup_(aws_credentials_freep) struct aws_credentials *c = NULL;
	int before;

	b->no_role = true;
	assert_int_equal(aws_credentials_new(&p, &c, NULL), 0);
	ask(b, c);
	assert_string_equal(b->key, "(none)");
	assert_int_equal(b->err_code, 0);

	/* nobody waits for the same answer again, until something suggests to ask */
	before = b->server.requests;
	ask(b, c);
	assert_int_equal(b->server.requests, before);
	b->no_role = false;
	aws_credentials_invalidate(c);
	ask(b, c);
	assert_string_equal(b->key, "ASIA1");
}

static void a_role_that_fails_is_trouble_not_silence(void **state)
{
	struct bench *b = *state;
	const struct aws_credentials_params p = { .event = b->event, .imds = b->imds };
	_cleanup_(aws_credentials_freep) struct aws_credentials *c = NULL;

	b->role_answer = "{\"Code\":\"AssumeRoleUnauthorizedAccess\"}";
	assert_int_equal(aws_credentials_new(&p, &c, NULL), 0);
	ask(b, c);
	assert_string_equal(b->key, "(none)");
	assert_int_equal(b->err_code, EPROTO);
}

static void the_shared_file_is_a_source(void **state)
{
	struct bench *b = *state;
	char path[] = "/tmp/test-imds-XXXXXX";
	int fd = mkstemp(path);
	static const char text[] = "[other]\naws_access_key_id=no\naws_secret_access_key=no\n"
				   "[ default ]\naws_access_key_id = FILE\n"
				   "aws_secret_access_key=s\n";
	const struct aws_credentials_params p = {
		.event = b->event, .imds = b->imds, .shared_file = path, .shared_before_imds = true
	};
	_cleanup_(aws_credentials_freep) struct aws_credentials *c = NULL;

	assert_int_equal(fs_write_all(fd, text, strlen(text)), 0);
	(void) close(fd);
	assert_int_equal(aws_credentials_new(&p, &c, NULL), 0);
	ask(b, c);
	assert_string_equal(b->key, "FILE");
	assert_true(aws_credentials_current(c)->expires_ms - clock_real_ms() <= 60000);
	(void) unlink(path);
}

static void shared_files_are_parsed(void **state)
{
	static const struct {
		const char *text, *profile;
		int k;
		const char *id, *complaint;
	} cases[] = {
		{ "[a]\naws_access_key_id=1\naws_secret_access_key=2\n", "a", 0, "1", NULL },
		{ "[profile a]\n# c\nAWS_ACCESS_KEY_ID = 1 \n aws_secret_access_key = 2", "a", 0,
		  "1", NULL },
		{ "[a]\r\naws_access_key_id=1\r\naws_secret_access_key=2\r\n", "a", 0, "1", NULL },
		{ "[b]\naws_access_key_id=1\n", "a", -ENOENT, NULL, "there is no profile 'a'" },
		{ "[a]\naws_access_key_id=1\n[b]\naws_secret_access_key=2\n", "a", -EPROTO, NULL,
		  "profile 'a' has no aws_secret_access_key" },
		{ "[a]\n", "a", -EPROTO, NULL, "profile 'a' has no aws_access_key_id" },
		{ "", "a", -ENOENT, NULL, "there is no profile 'a'" },
	};

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(aws_keys_done) struct aws_keys k = {};
		_cleanup_(err_done) struct err err = {};

		assert_int_equal(aws_keys_parse_shared(cases[i].text, cases[i].profile, &k, &err),
				 cases[i].k);
		if (cases[i].id)
			assert_string_equal(k.access_key_id, cases[i].id);
		if (cases[i].complaint)
			assert_string_equal(err.msg, cases[i].complaint);
	}
}

static void role_answers_are_decoded(void **state)
{
	static const struct {
		const char *text, *complaint;
	} cases[] = {
		{ "{\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"b\"}", NULL },
		{ "{\"SecretAccessKey\":\"b\"}", "role credentials: AccessKeyId: missing" },
		{ "{\"AccessKeyId\":\"a\"}", "role credentials: SecretAccessKey: missing" },
		{ "{\"Code\":\"Failed\"}", "role credentials: Code: Failed" },
	};

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(aws_keys_done) struct aws_keys k = {};
		_cleanup_(err_done) struct err err = {};
		int n = aws_keys_decode_imds(cases[i].text, strlen(cases[i].text), &k, &err);

		assert_int_equal(n, cases[i].complaint ? -EPROTO : 0);
		if (cases[i].complaint)
			assert_string_equal(err.msg, cases[i].complaint);
	}
}

static void keys_are_refreshed_ahead_of_their_end(void **state)
{
	const int64_t minute = 60000;

	(void) state;
	assert_int_equal(aws_keys_refresh_in_ms(0, 60 * minute, 0), 55 * minute);
	assert_int_equal(aws_keys_refresh_in_ms(0, 60 * minute, 5 * minute), 50 * minute);
	assert_int_equal(aws_keys_refresh_in_ms(0, 60 * minute, 99 * minute), 50 * minute);
	assert_int_equal(aws_keys_refresh_in_ms(58 * minute, 60 * minute, 0), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(one_token_serves_many_paths),
		TEST(another_place_has_a_token_of_its_own),
		TEST(a_refused_token_is_fetched_again),
		TEST(what_is_not_there_is_not_asked_for_twice),
		TEST(errors_are_tried_five_times),
		TEST(a_host_without_it_fails_fast_and_remembers),
		TEST(a_host_that_has_it_asks_again),
		TEST(the_identity_has_document_and_signature),
		TEST(static_keys_win),
		TEST(the_instance_role_is_fetched_once),
		TEST(keys_that_just_came_count_whatever_the_clock_says),
		TEST(without_any_source_requests_go_unsigned),
		TEST(a_role_that_fails_is_trouble_not_silence),
		TEST(the_shared_file_is_a_source),
		cmocka_unit_test(shared_files_are_parsed),
		cmocka_unit_test(role_answers_are_decoded),
		cmocka_unit_test(keys_are_refreshed_ahead_of_their_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
