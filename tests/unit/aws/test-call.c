/* SPDX-License-Identifier: Apache-2.0 */
/* http and call against a server over loopback; error decoding and endpoints by table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "aws/call.h"
#include "aws/credentials.h"
#include "aws/http.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/macro.h"
#include "tests/unit/aws/fake.h"

struct bench {
	sd_event *event;
	struct http_client *http;
	struct aws_credentials *credentials;
	struct aws_client *client;
	struct fake_http server;
	/* what the server does */
	int fail_first; /* answers with an error */
	int fail_status;
	const char *fail_body;
	const char *error_header;
	const char *answer;
	bool skewed_date;
	char target[128], auth[1024], agent[128], content_type[64], body[256];
	/* what came back */
	bool done;
	int status, err_code, calls_done;
	char error[128], message[256], err_text[256], answer_text[256];
	bool retriable;
};

static void serve(void *userdata, const struct fake_query *q, struct fake_answer *a)
{
	struct bench *b = userdata;

	(void) snprintf(b->target, sizeof(b->target), "%s", fake_header(q, "X-Amz-Target"));
	(void) snprintf(b->auth, sizeof(b->auth), "%s", fake_header(q, "Authorization"));
	(void) snprintf(b->agent, sizeof(b->agent), "%s", fake_header(q, "User-Agent"));
	(void) snprintf(b->content_type, sizeof(b->content_type), "%s",
			fake_header(q, "Content-Type"));
	(void) snprintf(b->body, sizeof(b->body), "%s", q->body);
	if (b->fail_first > 0) {
		b->fail_first--;
		a->status = b->fail_status;
		(void) snprintf(a->body, sizeof(a->body), "%s", b->fail_body);
		if (b->error_header) {
			(void) snprintf(a->header[0], 128, "x-amzn-ErrorType");
			(void) snprintf(a->header[1], 128, "%s", b->error_header);
		} else if (b->skewed_date) {
			time_t t = time(NULL) + 3600;

			(void) snprintf(a->header[0], 128, "Date");
			(void) strftime(a->header[1], 128, "%a, %d %b %Y %H:%M:%S GMT", gmtime(&t));
		}
		return;
	}
	(void) snprintf(a->body, sizeof(a->body), "%s", b->answer);
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct aws_credentials_params cp = { .access_key_id = "AKID",
					     .secret_access_key = "secret" };
	struct aws_client_params p = {
		.service = "ecs",
		.target_prefix = "AmazonEC2ContainerServiceV20141113",
		.region = "us-west-2",
		.user_agent = "tester",
		.retry_base_ms = 1,
	};

	b->answer = "{\"ok\":true}";
	b->fail_status = 500;
	b->fail_body = "{\"__type\":\"ServerException\",\"message\":\"oops\"}";
	assert_true(sd_event_new(&b->event) >= 0);
	fake_http_start(&b->server, serve, b);
	assert_int_equal(http_client_new(b->event, NULL, &b->http, NULL), 0);
	cp.event = b->event;
	assert_int_equal(aws_credentials_new(&cp, &b->credentials, NULL), 0);
	p.http = b->http;
	p.credentials = b->credentials;
	p.endpoint = b->server.url;
	assert_int_equal(aws_client_new(&p, &b->client, NULL), 0);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	(void) aws_client_free(b->client);
	(void) aws_credentials_free(b->credentials);
	(void) http_client_free(b->http);
	(void) sd_event_unref(b->event);
	fake_http_stop(&b->server);
	free(b);
	return 0;
}

static void on_done(void *userdata, const struct aws_result *r, const struct err *err)
{
	struct bench *b = userdata;

	b->done = true;
	b->calls_done++;
	b->status = r->status;
	b->err_code = err->code;
	b->retriable = r->retriable;
	(void) snprintf(b->error, sizeof(b->error), "%s", r->error);
	(void) snprintf(b->message, sizeof(b->message), "%s", r->message);
	(void) snprintf(b->err_text, sizeof(b->err_text), "%s", err->code ? err->msg : "");
	if (r->body) {
		char *text = json_to_text(r->body);

		(void) snprintf(b->answer_text, sizeof(b->answer_text), "%s", text);
		free(text);
	}
}

static void call(struct bench *b, const struct aws_call_options *o)
{
	b->done = false;
	assert_int_equal(aws_call(b->client, "Operation", "{\"a\":1}", o, on_done, b, NULL, NULL),
			 0);
	assert_false(b->done); /* never from inside */
	assert_true(loop_until(b->event, &b->done, 5000));
}

static void a_call_is_signed_and_answered(void **state)
{
	struct bench *b = *state;

	call(b, NULL);
	assert_int_equal(b->err_code, 0);
	assert_int_equal(b->status, 200);
	assert_string_equal(b->answer_text, "{\"ok\":true}");
	assert_string_equal(b->target, "AmazonEC2ContainerServiceV20141113.Operation");
	assert_string_equal(b->content_type, "application/x-amz-json-1.1");
	assert_string_equal(b->agent, "tester");
	assert_string_equal(b->body, "{\"a\":1}");
	assert_non_null(strstr(b->auth, "SignedHeaders=content-type;host;x-amz-date;x-amz-target"));
}

static void server_errors_are_tried_three_times(void **state)
{
	struct bench *b = *state;

	b->fail_first = 2;
	call(b, NULL);
	assert_int_equal(b->err_code, 0);
	assert_int_equal(b->server.requests, 3);

	b->fail_first = 3;
	call(b, NULL);
	assert_int_equal(b->server.requests, 6);
	assert_int_equal(b->status, 500);
	assert_string_equal(b->error, "ServerException");
	assert_string_equal(b->message, "oops");
	assert_true(b->retriable);
	assert_string_equal(b->err_text, "Operation: ServerException: oops (HTTP 500)");
}

static void a_client_error_is_final(void **state)
{
	struct bench *b = *state;

	b->fail_first = 1;
	b->fail_status = 400;
	b->fail_body =
		"{\"__type\":\"com.amazonaws#InvalidParameterException\",\"message\":\"no\"}";
	call(b, NULL);
	assert_int_equal(b->server.requests, 1);
	assert_string_equal(b->error, "InvalidParameterException");
	assert_false(b->retriable);
}

static void throttling_is_worth_another_attempt(void **state)
{
	struct bench *b = *state;

	b->fail_first = 1;
	b->fail_status = 400;
	b->fail_body = "{\"__type\":\"x\"}";
	b->error_header = "ThrottlingException:http://internal/";
	call(b, NULL);
	assert_int_equal(b->err_code, 0);
	assert_int_equal(b->server.requests, 2);
}

static void a_wrong_clock_is_noticed_and_mended(void **state)
{
	struct bench *b = *state;

	b->fail_first = 1;
	b->fail_status = 403;
	b->fail_body = "{\"__type\":\"InvalidSignatureException\",\"message\":\"expired\"}";
	b->skewed_date = true;
	call(b, NULL);
	assert_int_equal(b->err_code, 0);
	assert_int_equal(b->server.requests, 2);
}

/* Of what is learnt nothing may stay once somebody has set the clock. */
static void a_clock_that_was_set_is_believed_again(void **state)
{
	struct bench *b = *state;

	b->fail_status = 403;
	b->fail_body = "{\"__type\":\"InvalidSignatureException\",\"message\":\"expired\"}";
	b->fail_first = 1;
	b->skewed_date = true;
	call(b, NULL);
	assert_in_range(http_now_ms(b->http) - clock_real_ms(), 3590 * 1000, 3610 * 1000);
	b->fail_first = 1;
	b->skewed_date = false; /* the server's own Date */
	call(b, NULL);
	assert_int_equal(b->err_code, 0);
	assert_int_equal(b->server.requests, 4);
	assert_in_range(http_now_ms(b->http) - clock_real_ms() + 1000, 990, 1010);
	assert_false(http_learn_time(b->http, 0));
	assert_false(http_learn_time(b->http, clock_real_ms() + 200 * 1000));
	assert_true(http_learn_time(b->http, clock_real_ms() - 300 * 1000));
}

static void the_retry_bucket_runs_dry(void **state)
{
	struct bench *b = *state;
	int before;

	/* 500 tokens, 5 for each retry, 2 retries a call: after 50 calls there are no more */
	for (int i = 0; i < 50; i++) {
		b->fail_first = 3;
		call(b, NULL);
	}
	before = b->server.requests;
	assert_int_equal(before, 150);
	b->fail_first = 3;
	call(b, NULL);
	assert_int_equal(b->server.requests, before + 1);
}

static int64_t one_ms(unsigned n)
{
	(void) n;
	return 1;
}

static void a_patient_call_does_not_draw_on_the_bucket(void **state)
{
	const struct aws_call_options o = { .max_attempts = 200,
					    .no_bucket = true,
					    .retry_delay_ms = one_ms };
	struct bench *b = *state;

	b->fail_first = 150;
	call(b, &o);
	assert_int_equal(b->err_code, 0);
	assert_int_equal(b->server.requests, 151);
}

static int64_t an_hour(unsigned n)
{
	(void) n;
	return 3600 * 1000;
}

static void waiting_calls_can_be_sent_at_once(void **state)
{
	const struct aws_call_options o = { .no_bucket = true, .retry_delay_ms = an_hour };
	struct bench *b = *state;

	b->fail_first = 1;
	assert_int_equal(aws_call(b->client, "Op", "{}", &o, on_done, b, NULL, NULL), 0);
	assert_false(loop_until(b->event, &b->done, 200));
	aws_client_retry_now(b->client);
	assert_true(loop_until(b->event, &b->done, 5000));
	assert_int_equal(b->err_code, 0);
}

static void nobody_there_is_retriable(void **state)
{
	struct bench *b = *state;

	fake_http_stop(&b->server);
	call(b, NULL);
	assert_int_equal(b->status, 0);
	assert_true(b->retriable);
	assert_int_equal(b->err_code, ECONNREFUSED);
	assert_non_null(strstr(b->err_text, "Operation: "));
	fake_http_start(&b->server, serve, b);
}

static void garbage_in_a_good_answer_is_an_error(void **state)
{
	struct bench *b = *state;

	b->answer = "<html>";
	call(b, NULL);
	assert_int_equal(b->err_code, EPROTO);
	assert_non_null(strstr(b->err_text, "Operation: answer 200: JSON"));
}

static void a_cancelled_call_is_silent(void **state)
{
	struct bench *b = *state;
	struct aws_call *c = NULL;

	assert_int_equal(aws_call(b->client, "Op", "{}", NULL, on_done, b, &c, NULL), 0);
	(void) aws_call_cancel(c);
	assert_false(loop_until(b->event, &b->done, 50));
	assert_int_equal(b->server.requests, 0);
}

static void on_http(void *userdata, const struct http_response *r, const struct err *err)
{
	struct bench *b = userdata;

	b->done = true;
	b->status = r->status;
	b->err_code = err->code;
}

static void an_answer_over_its_cap_is_cut_off(void **state)
{
	struct bench *b = *state;
	struct http_request_params p = { .method = "GET",
					 .url = b->server.url,
					 .max_response_bytes = 5 };

	assert_int_equal(http_request(b->http, &p, on_http, b, NULL, NULL), 0);
	assert_true(loop_until(b->event, &b->done, 5000));
	assert_int_equal(b->status, 0);
	assert_int_equal(b->err_code, EFBIG);
}

static void proxies_are_used(void **state)
{
	struct bench *b = *state;
	struct http_options o = { .http_proxy = b->server.url, .no_proxy = ".internal" };
	struct http_client *c = NULL;
	struct http_request_params p = { .method = "GET", .url = "http://example.invalid/x" };

	assert_int_equal(http_client_new(b->event, &o, &c, NULL), 0);
	assert_int_equal(http_request(c, &p, on_http, b, NULL, NULL), 0);
	assert_true(loop_until(b->event, &b->done, 5000));
	/* the "proxy" is the server itself, reached although the name does not resolve; it is on
	 * loopback, but the rule is about the target */
	assert_int_equal(b->status, 200);
	(void) http_client_free(c);
}

static void error_bodies_are_decoded(void **state)
{
	static const struct {
		const char *header, *body, *name, *message;
	} cases[] = {
		{ "", "{\"__type\":\"a.b#ClientException\",\"message\":\"m\"}", "ClientException",
		  "m" },
		{ "", "{\"__type\":\"ClientException:http://x\",\"Message\":\"M\"}",
		  "ClientException", "M" },
		{ "ServerException:", "{\"__type\":\"ClientException\"}", "ServerException", "" },
		{ "p#Name:u", "", "Name", "" },
		{ "", "{\"code\":\"Throttling\"}", "Throttling", "" },
		{ "", "<html>\n\001", "", "<html>.." },
		{ "", "[]", "", "" },
		{ "", "{\"__type\":5}", "", "" },
	};

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(aws_error_done) struct aws_error e = {};

		aws_error_decode(cases[i].header, cases[i].body, strlen(cases[i].body), &e);
		assert_string_equal(e.name, cases[i].name);
		assert_string_equal(e.message, cases[i].message);
	}
}

static void what_is_retriable_is_a_table(void **state)
{
	static const struct {
		int status;
		const char *name;
		bool retriable;
	} cases[] = {
		{ 0, "", true },
		{ 400, "ThrottlingException", true },
		{ 400, "LimitExceededException", true },
		{ 400, "RequestTimeout", true },
		{ 400, "InvalidParameterException", false },
		{ 403, "AccessDeniedException", false },
		{ 404, "", false },
		{ 429, "", true },
		{ 500, "ServerException", true },
		{ 501, "", false },
		{ 502, "", true },
		{ 503, "", true },
		{ 504, "", true },
	};

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(aws_error_retriable(cases[i].status, cases[i].name),
				 cases[i].retriable);
}

static void endpoints_follow_the_partition(void **state)
{
	static const struct {
		const char *service, *region;
		bool dual;
		const char *override, *want;
	} cases[] = {
		{ "ecs", "us-east-1", false, NULL, "https://ecs.us-east-1.amazonaws.com" },
		{ "ecs", "us-east-1", true, NULL, "https://ecs.us-east-1.api.aws" },
		{ "ecs", "cn-north-1", false, NULL, "https://ecs.cn-north-1.amazonaws.com.cn" },
		{ "ecs", "cn-north-1", true, "",
		  "https://ecs.cn-north-1.api.amazonwebservices.com.cn" },
		{ "ecs", "us-gov-west-1", false, NULL, "https://ecs.us-gov-west-1.amazonaws.com" },
		{ "ecs", "us-iso-east-1", true, NULL, "https://ecs.us-iso-east-1.c2s.ic.gov" },
		{ "ecs", "us-isob-east-1", false, NULL,
		  "https://ecs.us-isob-east-1.sc2s.sgov.gov" },
		{ "ecs", "eu-isoe-west-1", false, NULL,
		  "https://ecs.eu-isoe-west-1.cloud.adc-e.uk" },
		{ "ecs", "us-isof-east-1", false, NULL,
		  "https://ecs.us-isof-east-1.csp.hci.ic.gov" },
		{ "ecs", "us-east-1", false, "127.0.0.1:1", "https://127.0.0.1:1" },
		{ "ecs", "us-east-1", false, "http://127.0.0.1:1/", "http://127.0.0.1:1" },
	};

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(freep) char *got = aws_endpoint(cases[i].service, cases[i].region,
							  cases[i].dual, cases[i].override);

		assert_string_equal(got, cases[i].want);
	}
}

static void the_environment_overrides_endpoints(void **state)
{
	(void) state;
	assert_int_equal(setenv("AWS_ENDPOINT_URL", "http://all", 1), 0);
	assert_int_equal(setenv("AWS_ENDPOINT_URL_ECR", "http://ecr", 1), 0);
	assert_string_equal(aws_endpoint_override("ECR"), "http://ecr");
	assert_string_equal(aws_endpoint_override("LOGS"), "http://all");
	assert_int_equal(unsetenv("AWS_ENDPOINT_URL"), 0);
	assert_null(aws_endpoint_override("LOGS"));
	assert_int_equal(unsetenv("AWS_ENDPOINT_URL_ECR"), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_call_is_signed_and_answered),
		TEST(server_errors_are_tried_three_times),
		TEST(a_client_error_is_final),
		TEST(throttling_is_worth_another_attempt),
		TEST(a_wrong_clock_is_noticed_and_mended),
		TEST(a_clock_that_was_set_is_believed_again),
		TEST(the_retry_bucket_runs_dry),
		TEST(a_patient_call_does_not_draw_on_the_bucket),
		TEST(waiting_calls_can_be_sent_at_once),
		TEST(nobody_there_is_retriable),
		TEST(garbage_in_a_good_answer_is_an_error),
		TEST(a_cancelled_call_is_silent),
		TEST(an_answer_over_its_cap_is_cut_off),
		TEST(proxies_are_used),
		cmocka_unit_test(error_bodies_are_decoded),
		cmocka_unit_test(what_is_retriable_is_a_table),
		cmocka_unit_test(endpoints_follow_the_partition),
		cmocka_unit_test(the_environment_overrides_endpoints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
