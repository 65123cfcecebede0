/* SPDX-License-Identifier: Apache-2.0 */
/* The check of the services, against peers on loopback that are well, away, silent, or of another opinion. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/config.h"
#include "agent/reach.h"
#include "aws/credentials.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/json.h"
#include "common/macro.h"
#include "tests/unit/aws/fake.h"

struct bench {
	sd_event *event;
	struct config config;
	struct aws_credentials *credentials;
	struct fake_http server;
	const char *refusal; /* of the operation; NULL: answered */
	int64_t date_off_s;
	char body[256], auth[256];
	bool done;
	json_t *list;
};

static void serve(void *userdata, const struct fake_query *q, struct fake_answer *a)
{
	struct bench *b = userdata;
	time_t t = time(NULL) + b->date_off_s;

	(void) snprintf(a->header[0], 128, "Date");
	(void) strftime(a->header[1], 128, "%a, %d %b %Y %H:%M:%S GMT", gmtime(&t));
	if (strcmp(q->method, "POST") != 0) {
		a->status = 404; /* somebody is there, which is all that is asked */
		return;
	}
	(void) snprintf(b->body, sizeof(b->body), "%s", q->body);
	(void) snprintf(b->auth, sizeof(b->auth), "%s", fake_header(q, "Authorization"));
	if (b->refusal) {
		a->status = 400;
		(void) snprintf(a->body, sizeof(a->body), "{\"__type\":\"%s\",\"message\":\"no\"}",
				b->refusal);
		return;
	}
	(void) snprintf(a->body, sizeof(a->body),
			"{\"endpoint\":\"%s/\",\"telemetryEndpoint\":\"ws%s/t\"}", b->server.url,
			b->server.url + 4);
}

static void make_keys(struct bench *b, const char *id)
{
	struct aws_credentials_params p = { .event = b->event,
					    .access_key_id = id,
					    .secret_access_key = "secret" };

	b->credentials = aws_credentials_free(b->credentials);
	assert_int_equal(aws_credentials_new(&p, &b->credentials, NULL), 0);
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	assert_true(sd_event_new(&b->event) >= 0);
	fake_http_start(&b->server, serve, b);
	b->config = (struct config){ .region = (char *) "us-west-2",
				     .backend_host = b->server.url,
				     .dynamic_port_first = 61000,
				     .dynamic_port_last = 65535 };
	make_keys(b, "AKID");
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	json_decref(b->list);
	(void) aws_credentials_free(b->credentials);
	(void) sd_event_unref(b->event);
	fake_http_stop(&b->server);
	free(b);
	return 0;
}

static void on_list(void *userdata, json_t *list)
{
	struct bench *b = userdata;

	b->list = list;
	b->done = true;
}

static void look(struct bench *b, int64_t deadline_ms)
{
	struct reach_params p = { .loop = b->event,
				  .config = &b->config,
				  .credentials = b->credentials,
				  .cluster = "lab",
				  .container_instance_arn = "arn:ci",
				  .deadline_ms = deadline_ms };
	struct reach *r = NULL;

	json_decref(b->list);
	b->list = NULL;
	b->done = false;
	assert_int_equal(reach_start(&p, on_list, b, &r, NULL), 0);
	assert_non_null(r);
	assert_true(loop_until(b->event, &b->done, 20000));
	assert_non_null(b->list);
}

static const json_t *row(const struct bench *b, const char *check)
{
	const json_t *o;
	size_t i;

	json_array_foreach(b->list, i, o)
		if (strcmp(json_get_string(o, "check", ""), check) == 0)
			return o;
	return NULL;
}

static void says(const struct bench *b, const char *check, const char *level, const char *found,
		 const char *advice)
{
	const json_t *o = row(b, check);

	assert_non_null(o);
	assert_string_equal(json_get_string(o, "level", ""), level);
	assert_int_equal(json_is_true(json_object_get(o, "ok")), strcmp(level, "bad") != 0);
	if (!strstr(json_get_string(o, "found", ""), found))
		fail_msg("%s: '%s' is not in '%s'", check, found, json_get_string(o, "found", ""));
	if (!strstr(json_get_string(o, "advice", ""), advice))
		fail_msg("%s: '%s' is not in '%s'", check, advice,
			 json_get_string(o, "advice", ""));
	assert_int_equal(*json_get_string(o, "advice", "") == '\0', strcmp(level, "ok") == 0);
}

static void all_is_well(void **state)
{
	struct bench *b = *state;

	look(b, 0);
	says(b, "proxies", "ok", "none", "");
	says(b, "credentials", "ok", "settings", "");
	says(b, "ECS endpoint", "ok", ": 127.0.0.1, resolved after ", "");
	says(b, "clock", "ok", "within ", "");
	says(b, "ECS API", "ok", "DiscoverPollEndpoint is answered for cluster lab", "");
	says(b, "ACS session", "ok", b->server.url, "");
	says(b, "TCS session", "ok", "/t: 127.0.0.1, ", "");
	assert_null(row(b, "ECR"));
	assert_null(row(b, "CloudWatch Logs"));
	assert_string_equal(b->body, "{\"cluster\":\"lab\",\"containerInstance\":\"arn:ci\"}");
	assert_non_null(strstr(b->auth, "Credential=AKID/"));
}

static void services_that_the_settings_name_are_asked(void **state)
{
	struct bench *b = *state;

	b->config.endpoint_url_ecr = b->server.url;
	b->config.endpoint_url_logs = (char *) "http://127.0.0.1:1";
	look(b, 0);
	says(b, "ECR", "ok", b->server.url, "");
	says(b, "CloudWatch Logs", "bad", "http://127.0.0.1:1: ", "security group");
}

static void a_dead_port_is_told_from_a_name(void **state)
{
	struct bench *b = *state;

	b->config.backend_host = (char *) "http://127.0.0.1:1";
	look(b, 0);
	says(b, "ECS endpoint", "bad", "http://127.0.0.1:1: ", "ECS_BACKEND_HOST");
	assert_null(row(b, "ECS API"));
	assert_null(row(b, "clock"));
	/* Too long for a name: that is known without asking a server. */
	b->config.backend_host =
		(char *) "http://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
			 "aaaaaaaaaaaaaaaa.invalid";
	look(b, 0);
	says(b, "ECS endpoint", "bad", "resolve", "/etc/resolv.conf");
}

static void not_even_tls_is_spoken_there(void **state)
{
	struct bench *b = *state;
	char url[80];

	(void) snprintf(url, sizeof(url), "https%s", b->server.url + 4);
	b->config.backend_host = url;
	look(b, 0);
	says(b, "ECS endpoint", "bad", url, "SSL_CERT_FILE");
}

static void refused_keys_are_named(void **state)
{
	struct bench *b = *state;

	b->refusal = "UnrecognizedClientException";
	look(b, 0);
	says(b, "credentials", "bad", "settings: refused: UnrecognizedClientException", "renew");
	says(b, "ECS API", "bad", "UnrecognizedClientException", "see credentials");
	b->refusal = "AccessDeniedException";
	look(b, 0);
	says(b, "credentials", "ok", "settings", "");
	says(b, "ECS API", "bad", "AccessDenied", "AmazonEC2ContainerServiceforEC2Role");
	b->refusal = "ClusterNotFoundException";
	look(b, 0);
	says(b, "ECS API", "bad", "ClusterNotFound", "ECS_CLUSTER");
}

static void no_keys_matter_where_signatures_do(void **state)
{
	struct bench *b = *state;

	make_keys(b, "");
	look(b, 0);
	says(b, "credentials", "ok", "none, requests go out unsigned", "");
	assert_string_equal(b->auth, "");
	b->refusal = "MissingAuthenticationTokenException";
	look(b, 0);
	says(b, "credentials", "bad", "none, requests go out unsigned: refused: Missing",
	     "instance role");
}

static void the_clock_is_compared_with_the_service(void **state)
{
	struct bench *b = *state;

	b->date_off_s = 120;
	look(b, 0);
	says(b, "clock", "warn", "s behind the service's", "five minutes");
	b->date_off_s = -3600;
	look(b, 0);
	says(b, "clock", "warn", "36", "signs with the service's time");
	says(b, "clock", "warn", "s ahead of the service's", "chronyd");
}

static void hang(int fd, void *userdata)
{
	char c;

	(void) userdata;
	while (read(fd, &c, 1) > 0)
		;
}

static void silence_has_an_end(void **state)
{
	struct bench *b = *state;
	struct fake_tcp silent = {};
	int64_t before = clock_mono_ms();

	fake_tcp_start(&silent, hang, NULL);
	b->config.backend_host = silent.url;
	look(b, 300);
	says(b, "ECS endpoint", "bad", "no answer within 0 s", "drops packets");
	assert_true(clock_mono_ms() - before < 5000);
	fake_tcp_stop(&silent);
}

static void it_can_be_given_up(void **state)
{
	struct bench *b = *state;
	struct reach_params p = { .loop = b->event,
				  .config = &b->config,
				  .credentials = b->credentials,
				  .cluster = "lab" };
	struct reach *r = NULL;

	assert_int_equal(reach_start(&p, on_list, b, &r, NULL), 0);
	assert_null(reach_cancel(r));
	assert_false(loop_until(b->event, &b->done, 100));
}

static void without_a_region_the_rest_is_told(void **state)
{
	struct bench *b = *state;

	b->config.region = NULL;
	look(b, 0);
	says(b, "ECS endpoint", "bad", "no region", "AWS_DEFAULT_REGION");
	says(b, "credentials", "ok", "settings", "");
	assert_non_null(row(b, "dynamic ports"));
}

static void passwords_of_proxies_are_left_out(void **state _unused_)
{
	struct config c = { .https_proxy = (char *) "http://user:p@ss@proxy:3128/",
			    .http_proxy = (char *) "proxy:80",
			    .no_proxy = (char *) "10.0.0.0/8" };
	json_auto_t *o = reach_proxies(&c);

	assert_string_equal(
		json_get_string(o, "found", ""),
		"HTTPS_PROXY http://proxy:3128/, HTTP_PROXY proxy:80, but not for 10.0.0.0/8");
}

static void put(const char *root, const char *name, const char *text)
{
	_cleanup_(freep) char *path = path_join("%s/proc/sys/net/ipv4/%s", root, name);
	FILE *f;

	assert_non_null(path);
	*strrchr(path, '/') = '\0';
	assert_int_equal(fs_mkdir_p(path, 0755, NULL), 0);
	path[strlen(path)] = '/';
	f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void dynamic_ports_keep_clear_of_the_kernels(void **state _unused_)
{
	static const struct {
		uint16_t first, last;
		const char *kept, *level, *found;
	} cases[] = {
		{ 61000, 65535, "\n", "ok",
		  "61000-65535, beside 32768-60999 of outgoing connections" },
		{ 60000, 61099, "\n", "warn",
		  "60000-61099: outgoing connections, which get 32768-60999, may hold 1000 of "
		  "them" },
		{ 60000, 61099, "80,60000-60999\n", "ok",
		  "60000-61099, beside 32768-60999 of outgoing connections" },
		{ 61000, 61099, "\n", "warn", "61000-61099: 99 of them are not reserved" },
		{ 61005, 61005, "\n", "bad", "61005-61005: 0 of them are not reserved" },
	};
	char root[] = "/tmp/ecs-reach-XXXXXX";
	uint16_t reserved[] = { 22, 61005 };

	assert_non_null(mkdtemp(root));
	put(root, "ip_local_port_range", "32768\t60999\n");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct config c = { .dynamic_port_first = cases[i].first,
				    .dynamic_port_last = cases[i].last,
				    .reserved_ports = { reserved, ARRAY_SIZE(reserved) } };
		json_t *o;

		put(root, "ip_local_reserved_ports", cases[i].kept);
		o = reach_ports(&c, root);
		assert_string_equal(json_get_string(o, "found", ""), cases[i].found);
		assert_string_equal(json_get_string(o, "level", ""), cases[i].level);
		json_decref(o);
	}
	assert_int_equal(fs_remove_tree(AT_FDCWD, root, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_is_well, setup, teardown),
		cmocka_unit_test_setup_teardown(services_that_the_settings_name_are_asked, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_dead_port_is_told_from_a_name, setup, teardown),
		cmocka_unit_test_setup_teardown(not_even_tls_is_spoken_there, setup, teardown),
		cmocka_unit_test_setup_teardown(refused_keys_are_named, setup, teardown),
		cmocka_unit_test_setup_teardown(no_keys_matter_where_signatures_do, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_clock_is_compared_with_the_service, setup,
						teardown),
		cmocka_unit_test_setup_teardown(silence_has_an_end, setup, teardown),
		cmocka_unit_test_setup_teardown(it_can_be_given_up, setup, teardown),
		cmocka_unit_test_setup_teardown(without_a_region_the_rest_is_told, setup, teardown),
		cmocka_unit_test(passwords_of_proxies_are_left_out),
		cmocka_unit_test(dynamic_ports_keep_clear_of_the_kernels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
