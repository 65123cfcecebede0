/* SPDX-License-Identifier: Apache-2.0 */
/* What a task wants of AWS, asked for at a small service on loopback. */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/env-file.h"
#include "agent/engine/inputs.h"
#include "aws/http.h"
#include "aws/s3.h"
#include "common/json.h"
#include "common/strv.h"
#include "tests/unit/aws/fake.h"

#define TASK "arn:aws:ecs:us-west-2:1:task/c/1"
#define SECRET "arn:aws:secretsmanager:us-west-2:1:secret:"

struct bench {
	sd_event *event;
	struct http_client *http;
	struct role_store *roles;
	struct inputs *in;
	struct fake_http server;
	/* the service: how it answers when it does not know better, and what it was asked */
	int status;
	const char *answer;
	json_t *asked;
	/* what came of it */
	bool done;
	int told;
	char error[1024];
};

/* "name" has the value "value of name"; names with "absent" in them do not exist. */
static json_t *parameters(const json_t *body)
{
	json_t *found = json_array(), *invalid = json_array(), *name;
	size_t i;

	json_array_foreach(json_object_get(body, "Names"), i, name) {
		char value[200];

		(void) snprintf(value, sizeof(value), "value of %s", json_string_value(name));
		if (strstr(value, "absent"))
			(void) json_array_append(invalid, name);
		else
			(void) json_array_insert_new(
				found, 0, json_pack("{s:O, s:s}", "Name", name, "Value", value));
	}
	return json_pack("{s:o, s:o}", "Parameters", found, "InvalidParameters", invalid);
}

/* The buckets "far" and "big" are in eu-west-3; everything else of S3 is refused. */
static void serve_s3(const struct fake_query *q, struct fake_answer *a)
{
	bool far = strncmp(q->path, "/far", 4) == 0;

	if (far || strncmp(q->path, "/big", 4) == 0) {
		(void) snprintf(a->header[0], sizeof(a->header[0]), "x-amz-bucket-region");
		(void) snprintf(a->header[1], sizeof(a->header[1]), "eu-west-3");
	}
	if (strcmp(q->path, "/far/a b.env") == 0)
		(void) snprintf(a->body, sizeof(a->body), "A=1\n");
	else if (!far || q->path[4])
		a->status = 403;
	if (a->status == 403)
		(void) snprintf(a->body, sizeof(a->body),
				"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>"
				"not\nyours</Message></Error>");
}

static void serve(void *userdata, const struct fake_query *q, struct fake_answer *a)
{
	struct bench *b = userdata;
	json_auto_t *body = json_loads(q->body, 0, NULL), *answer = NULL;
	char *text;

	a->status = b->status;
	if (strcmp(q->method, "POST") != 0) {
		(void) json_array_append_new(b->asked,
					     json_pack("{s:s, s:s, s:{}}", "target", q->method,
						       "authorization",
						       fake_header(q, "Authorization"), "body"));
		serve_s3(q, a);
		return;
	}
	(void) json_array_append_new(b->asked,
				     json_pack("{s:s, s:s, s:O}", "target",
					       fake_header(q, "X-Amz-Target"), "authorization",
					       fake_header(q, "Authorization"), "body", body));
	if (b->answer) {
		(void) snprintf(a->body, sizeof(a->body), "%s", b->answer);
		return;
	}
	answer = json_object_get(body, "Names")
			 ? parameters(body)
			 : json_pack("{s:s}", "SecretString", "{\"user\":\"joe\",\"port\":5432}");
	text = json_dumps(answer, 0);
	(void) snprintf(a->body, sizeof(a->body), "%s", text);
	free(text);
}

static int set_up(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	*state = b;
	b->status = 200;
	b->asked = json_array();
	assert_int_equal(sd_event_new(&b->event), 0);
	assert_int_equal(http_client_new(b->event, NULL, &b->http, NULL), 0);
	assert_int_equal(role_store_new(&b->roles, NULL), 0);
	fake_http_start(&b->server, serve, b);
	assert_int_equal(setenv("AWS_ENDPOINT_URL", b->server.url, 1), 0);
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	(void) inputs_free(b->in);
	(void) role_store_free(b->roles);
	(void) http_client_free(b->http);
	fake_http_stop(&b->server);
	(void) sd_event_unref(b->event);
	json_decref(b->asked);
	free(b);
	return 0;
}

static void add_role(struct bench *b)
{
	json_auto_t *c = json_pack("{s:s, s:s, s:s, s:s}", "credentialsId", "id-1", "accessKeyId",
				   "ASIAONE", "secretAccessKey", "s", "sessionToken", "t");

	assert_int_equal(role_store_put(b->roles, TASK, ROLE_EXECUTION, c, NULL), 0);
}

static void on_inputs(void *userdata, const struct err *err)
{
	struct bench *b = userdata;

	b->done = true;
	b->told++;
	(void) snprintf(b->error, sizeof(b->error), "%s", err->code ? err_text(err) : "");
}

static void make(struct bench *b, const char *role_id, int64_t deadline_ms)
{
	const struct inputs_params p = { .loop = b->event,
					 .http = b->http,
					 .roles = b->roles,
					 .credentials_id = role_id,
					 .region = "eu-central-1",
					 .role_wait_ms = 600,
					 .deadline_ms = deadline_ms,
					 .fn = on_inputs,
					 .userdata = b };

	b->in = inputs_free(b->in);
	b->done = false;
	b->told = 0;
	assert_int_equal(inputs_new(&p, &b->in, NULL), 0);
}

static void want(struct bench *b, enum input_kind kind, const char *region, const char *what)
{
	assert_int_equal(inputs_want(b->in, kind, region, what, NULL), 0);
}

/* Starts and waits until it is over. */
static void run(struct bench *b)
{
	assert_int_equal(inputs_start(b->in, NULL), 0);
	assert_true(loop_until(b->event, &b->done, 60000));
	assert_int_equal(b->told, 1);
}

static const json_t *question(const struct bench *b, const char *target, const char *scope,
			      size_t nth)
{
	json_t *q;
	size_t i;

	json_array_foreach(b->asked, i, q)
		if (strcmp(json_get_string(q, "target", ""), target) == 0 &&
		    strstr(json_get_string(q, "authorization", ""), scope) && nth-- == 0)
			return json_object_get(q, "body");
	return NULL;
}

static void parameters_come_by_tens_from_their_regions(void **state)
{
	struct bench *b = *state;
	const char *other = "arn:aws:ssm:ap-south-1:1:parameter/far";
	char name[32];

	add_role(b);
	make(b, "id-1", 0);
	for (int i = 0; i < 12; i++) {
		(void) snprintf(name, sizeof(name), "p%d", i);
		want(b, INPUT_SSM, "us-west-2", name);
		want(b, INPUT_SSM, "us-west-2", name); /* twice is once */
	}
	want(b, INPUT_SSM, NULL, other);
	want(b, INPUT_SSM, "", "near");
	run(b);
	assert_string_equal(b->error, "");
	assert_int_equal(json_array_size(b->asked), 4);
	assert_int_equal(
		json_array_size(json_object_get(
			question(b, "AmazonSSM.GetParameters", "/us-west-2/ssm/", 0), "Names")) +
			json_array_size(json_object_get(
				question(b, "AmazonSSM.GetParameters", "/us-west-2/ssm/", 1),
				"Names")),
		12);
	assert_true(json_is_true(
		json_object_get(question(b, "AmazonSSM.GetParameters", "Credential=ASIAONE/", 0),
				"WithDecryption")));
	assert_non_null(question(b, "AmazonSSM.GetParameters", "/ap-south-1/ssm/", 0));
	assert_non_null(question(b, "AmazonSSM.GetParameters", "/eu-central-1/ssm/", 0));
	assert_string_equal(inputs_get(b->in, INPUT_SSM, "us-west-2", "p11"), "value of p11");
	assert_string_equal(inputs_get(b->in, INPUT_SSM, NULL, "near"), "value of near");
	assert_string_equal(inputs_get(b->in, INPUT_SSM, NULL, other),
			    "value of arn:aws:ssm:ap-south-1:1:parameter/far");
	assert_null(inputs_get(b->in, INPUT_ASM, "us-west-2", "p11"));
	assert_null(inputs_get(b->in, INPUT_SSM, "us-west-2", "p12"));
}

static void a_parameter_is_known_by_name_arn_and_selector(void **state)
{
	static const char *const wanted[] = { "db",
					      "db:3",
					      "/a/b",
					      "arn:aws:ssm:us-west-2:1:parameter/db",
					      "arn:aws:ssm:us-west-2:1:parameter/a/b",
					      "arn:aws:ssm:us-west-2:2:parameter/shared" };
	static const char *const values[] = { "one", "three", "path", "one", "path", "theirs" };
	struct bench *b = *state;

	b->answer = "{\"Parameters\":[{\"Name\":\"db\",\"Selector\":\":3\",\"Value\":\"three\"},"
		    "{\"Name\":\"db\",\"Value\":\"one\"},{\"Name\":\"/a/b\",\"Value\":\"path\"},"
		    "{\"Name\":\"x\",\"ARN\":\"arn:aws:ssm:us-west-2:2:parameter/shared\","
		    "\"Value\":\"theirs\"}]}";
	add_role(b);
	make(b, "id-1", 0);
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		want(b, INPUT_SSM, "us-west-2", wanted[i]);
	run(b);
	assert_string_equal(b->error, "");
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		assert_string_equal(inputs_get(b->in, INPUT_SSM, "us-west-2", wanted[i]),
				    values[i]);
}

static void members_of_a_secret_share_a_question(void **state)
{
	struct bench *b = *state;
	const json_t *q;

	add_role(b);
	make(b, "id-1", 0);
	want(b, INPUT_ASM, "us-west-2", SECRET "db");
	want(b, INPUT_ASM, "us-west-2", SECRET "db:user::");
	want(b, INPUT_ASM, "us-west-2", SECRET "db:port::");
	want(b, INPUT_ASM, "us-west-2", SECRET "db:port:AWSPREVIOUS:v-1");
	want(b, INPUT_SSM, "us-west-2", "name");
	run(b);
	assert_string_equal(b->error, "");
	assert_int_equal(json_array_size(b->asked), 3);
	assert_string_equal(inputs_get(b->in, INPUT_ASM, NULL, SECRET "db"),
			    "{\"user\":\"joe\",\"port\":5432}");
	assert_string_equal(inputs_get(b->in, INPUT_ASM, NULL, SECRET "db:user::"), "joe");
	assert_string_equal(inputs_get(b->in, INPUT_ASM, NULL, SECRET "db:port::"), "5432");
	assert_string_equal(inputs_get(b->in, INPUT_SSM, "us-west-2", "name"), "value of name");
	for (size_t i = 0; i < 2; i++) {
		q = question(b, "secretsmanager.GetSecretValue", "/us-west-2/secretsmanager/", i);
		assert_string_equal(json_get_string(q, "SecretId", ""), SECRET "db");
		if (!json_object_get(q, "VersionId")) {
			assert_null(json_object_get(q, "VersionStage"));
			continue;
		}
		assert_string_equal(json_get_string(q, "VersionStage", ""), "AWSPREVIOUS");
		assert_string_equal(json_get_string(q, "VersionId", ""), "v-1");
	}
}

#define TRYING(what) "trying to retrieve secret with value " what " resulted in error: "
#define BAD_ARN                                                                                    \
	"an invalid ARN format for the AWS Secrets Manager secret was specified. Specify a "       \
	"valid ARN and try again."

static void what_goes_wrong_is_named(void **state)
{
	static const struct {
		enum input_kind kind;
		const char *first, *second;
		int status;
		const char *answer, *complaint;
	} cases[] = {
		{ INPUT_SSM, "absent-1", "absent-2", 200, NULL,
		  "fetching secret data from SSM Parameter Store in us-west-2: invalid parameters: "
		  "absent-1,absent-2" },
		{ INPUT_SSM, "a", NULL, 400,
		  "{\"__type\":\"AccessDeniedException\",\"message\":\"not authorized\"}",
		  "fetching secret data from SSM Parameter Store in us-west-2: GetParameters: "
		  "AccessDeniedException: not authorized (HTTP 400)" },
		/* What does not parse is not quoted: it may be the value. */
		{ INPUT_SSM, "a", NULL, 200,
		  "{\"Parameters\":[{\"Name\":\"a\",\"Value\":\"hunter\\u0000\"}]}",
		  "fetching secret data from SSM Parameter Store in us-west-2: GetParameters: the "
		  "answer cannot be read" },
		{ INPUT_ASM, SECRET "a", SECRET "b", 400,
		  "{\"__type\":\"ResourceNotFoundException\",\"Message\":\"no such secret\"}",
		  TRYING(SECRET "a") "ResourceNotFoundException: The task can't retrieve the "
				     "secret with ARN '" SECRET "a' from AWS Secrets Manager. "
				     "Check whether the secret exists in the specified "
				     "Region;" TRYING(
					     SECRET
					     "b") "ResourceNotFoundException: The "
						  "task can't retrieve the secret with ARN '" SECRET
						  "b' from "
						  "AWS Secrets Manager. Check whether the secret "
						  "exists in the "
						  "specified Region" },
		{ INPUT_ASM, SECRET "a", NULL, 200, "{\"SecretString\":\"hu\\u0000nter2\"}",
		  TRYING(SECRET "a") "GetSecretValue: the answer cannot be read" },
		{ INPUT_ASM, SECRET "a", NULL, 200, "{\"SecretBinary\":\"aGk=\"}",
		  TRYING(SECRET "a") "the secret has no text (SecretString)" },
		{ INPUT_ASM, SECRET "a:k::", NULL, 200, "{\"SecretString\":\"hunter2\"}",
		  TRYING(SECRET "a:k::") "the secret is no JSON object" },
		{ INPUT_ASM, SECRET "a:gone::", SECRET "a:user::", 200, NULL,
		  TRYING(SECRET "a:gone::") "retrieved secret from Secrets Manager did not contain "
					    "json key gone" },
		{ INPUT_ASM, SECRET "a:b", SECRET "a", 200, NULL, TRYING(SECRET "a:b") BAD_ARN },
		{ INPUT_ASM, "a", NULL, 200, NULL, TRYING("a") BAD_ARN },
	};
	struct bench *b = *state;

	add_role(b);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		b->status = cases[i].status;
		b->answer = cases[i].answer;
		make(b, "id-1", 0);
		want(b, cases[i].kind, "us-west-2", cases[i].first);
		if (cases[i].second)
			want(b, cases[i].kind, "us-west-2", cases[i].second);
		run(b);
		assert_string_equal(b->error, cases[i].complaint);
	}
}

static void a_task_without_a_role_is_told(void **state)
{
	struct bench *b = *state;

	make(b, NULL, 0);
	want(b, INPUT_SSM, NULL, "a");
	run(b);
	assert_string_equal(b->error,
			    "ssm secret resource: unable to find execution role credentials");
	make(b, "id-1", 0); /* known, but its keys never come */
	assert_int_equal(role_store_put_pending(b->roles, TASK, ROLE_EXECUTION, "id-1", NULL), 0);
	want(b, INPUT_ASM, NULL, SECRET "a");
	run(b);
	assert_string_equal(b->error,
			    "ASM secret resource: unable to find execution role credentials");
	assert_int_equal(json_array_size(b->asked), 0);
}

static void keys_that_come_late_are_waited_for(void **state)
{
	struct bench *b = *state;

	assert_int_equal(role_store_put_pending(b->roles, TASK, ROLE_EXECUTION, "id-1", NULL), 0);
	make(b, "id-1", 0);
	want(b, INPUT_SSM, NULL, "a");
	assert_false(inputs_wait_for_role(b->in));
	assert_int_equal(inputs_start(b->in, NULL), 0);
	assert_true(inputs_wait_for_role(b->in));
	add_role(b);
	assert_true(loop_until(b->event, &b->done, 60000));
	assert_false(inputs_wait_for_role(b->in));
	assert_string_equal(b->error, "");
	assert_string_equal(inputs_get(b->in, INPUT_SSM, NULL, "a"), "value of a");
}

static void silence(int fd, void *userdata)
{
	char c;

	(void) userdata;
	while (read(fd, &c, 1) > 0)
		;
}

static void a_service_that_says_nothing_is_given_up(void **state)
{
	struct bench *b = *state;
	struct fake_tcp dumb;

	fake_tcp_start(&dumb, silence, NULL);
	assert_int_equal(setenv("AWS_ENDPOINT_URL", dumb.url, 1), 0);
	add_role(b);
	make(b, "id-1", 1000);
	want(b, INPUT_ASM, "us-west-2", SECRET "a");
	run(b);
	assert_string_equal(b->error,
			    "fetching secret data from AWS Secrets Manager: no answer within 1 s");
	b->in = inputs_free(b->in);
	fake_tcp_stop(&dumb);
}

static void a_file_comes_from_its_buckets_region(void **state)
{
	struct bench *b = *state;

	add_role(b);
	make(b, "id-1", 0);
	want(b, INPUT_FILE, NULL, "arn:aws:s3:::far/a b.env");
	run(b);
	assert_string_equal(b->error, "");
	assert_string_equal(inputs_get(b->in, INPUT_FILE, NULL, "arn:aws:s3:::far/a b.env"),
			    "A=1\n");
	assert_int_equal(json_array_size(b->asked), 2);
	assert_non_null(question(b, "HEAD", "/eu-central-1/s3/aws4_request", 0));
	assert_non_null(question(b, "GET", "/eu-west-3/s3/aws4_request", 0));
	assert_non_null(question(b, "GET", "Credential=ASIAONE/", 0));
}

static void what_is_wrong_with_a_file_is_named(void **state)
{
	static const struct {
		const char *what, *complaint;
	} cases[] = {
		{ "arn:aws:s3:::far/none.env",
		  "unable to download env file with key none.env from bucket far, error: "
		  "AccessDenied: notyours (HTTP 403)" },
		{ "arn:aws:s3:::big/none.env",
		  "unable to download env file with key none.env from bucket big, error: "
		  "AccessDenied: notyours (HTTP 403)" },
		{ "arn:aws:s3:::nobody/a.env",
		  "unable to initialize s3 client for bucket nobody, error: (HTTP 403)" },
		{ "arn:aws:s3:::far",
		  "unable to parse bucket and key from s3 ARN specified in environmentFile "
		  "arn:aws:s3:::far, error: wanted is arn:PARTITION:s3:::BUCKET/KEY" },
		{ "https://far/a.env",
		  "unable to parse bucket and key from s3 ARN specified in environmentFile "
		  "https://far/a.env, error: wanted is arn:PARTITION:s3:::BUCKET/KEY" },
	};
	struct bench *b = *state;

	add_role(b);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		make(b, "id-1", 0);
		want(b, INPUT_FILE, NULL, cases[i].what);
		run(b);
		assert_string_equal(b->error, cases[i].complaint);
	}
	make(b, NULL, 0);
	want(b, INPUT_FILE, NULL, cases[0].what);
	run(b);
	assert_string_equal(b->error,
			    "environment file resource: unable to find execution role credentials");
}

static void buckets_stand_in_the_name_where_they_can(void **state _unused_)
{
	static const struct {
		const char *endpoint, *bucket, *key, *url;
	} cases[] = {
		{ NULL, "conf", NULL, "https://conf.s3.eu-west-3.amazonaws.com/" },
		{ NULL, "conf", "a/b c+d", "https://conf.s3.eu-west-3.amazonaws.com/a/b%20c%2Bd" },
		{ NULL, "with.dots", NULL, "https://s3.eu-west-3.amazonaws.com/with.dots" },
		{ NULL, "a/..?", "k", "https://s3.eu-west-3.amazonaws.com/a%2F..%3F/k" },
		{ "http://127.0.0.1:1", "conf", "k", "http://127.0.0.1:1/conf/k" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct s3_params p = { .bucket = cases[i].bucket,
					     .key = cases[i].key,
					     .region = "eu-west-3",
					     .endpoint = cases[i].endpoint };
		_cleanup_(freep) char *url = s3_url(&p);

		assert_string_equal(url, cases[i].url);
	}
}

static int set_pair(char ***env, const char *key, const char *value)
{
	_cleanup_(freep) char *pair = NULL;

	return asprintf(&pair, "%s=%s", key, value) < 0 ? -ENOMEM : strv_append(env, pair);
}

static void lines_are_taken_as_they_are(void **state _unused_)
{
	static const char *const want[] = { "A=1",  " B = 2 ", "C=\"x=y\"", "D=",
					    "E=$A", "F=end",   NULL };
	_cleanup_(strv_freep) char **env = NULL;
	_cleanup_(err_done) struct err err = {};
	char *wide = calloc(1, ENV_FILE_LINE_MAX + 3);
	size_t n = 0;

	assert_int_equal(env_file_read("A=1\n# X=1\n\nnothing\n=Y\n B = 2 \r\n#\nC=\"x=y\"\nD=\n"
				       "E=$A\nF=end",
				       &env, set_pair, &err),
			 0);
	for (; want[n]; n++)
		assert_string_equal(env[n], want[n]);
	assert_null(env[n]);
	memset(wide, 'x', ENV_FILE_LINE_MAX + 1);
	wide[0] = '\n';
	assert_int_equal(env_file_read(wide, NULL, NULL, &err), 0);
	wide[ENV_FILE_LINE_MAX + 1] = 'x';
	assert_int_equal(env_file_read(wide, NULL, NULL, &err), -EINVAL);
	assert_string_equal(err.msg, "line 2 is longer than 65536 bytes");
	free(wide);
}

static void arns_are_taken_apart(void **state _unused_)
{
	static const struct {
		const char *text, *id, *key, *stage, *version; /* id NULL: refused */
	} cases[] = {
		{ SECRET "a", SECRET "a", NULL, NULL, NULL },
		{ SECRET "a:k:s:v", SECRET "a", "k", "s", "v" },
		{ SECRET "a:::", SECRET "a", NULL, NULL, NULL },
		{ SECRET "a::s:", SECRET "a", NULL, "s", NULL },
		{ SECRET "a:k", NULL, NULL, NULL, NULL },
		{ SECRET "a:k:s", NULL, NULL, NULL, NULL },
		{ SECRET "a:k:s:v:w", NULL, NULL, NULL, NULL },
		{ SECRET, NULL, NULL, NULL, NULL },
		{ SECRET ":k:s:v", NULL, NULL, NULL, NULL },
		{ "arn:aws:ssm:us-west-2:1:parameter/a", NULL, NULL, NULL, NULL },
		{ "", NULL, NULL, NULL, NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(secret_arn_done) struct secret_arn a = {};
		_cleanup_(err_done) struct err err = {};
		int k = secret_arn_parse(cases[i].text, &a, &err);

		assert_int_equal(k, cases[i].id ? 0 : -EINVAL);
		assert_string_equal(a.id ? a.id : "", cases[i].id ? cases[i].id : "");
		assert_string_equal(a.json_key ? a.json_key : "", cases[i].key ? cases[i].key : "");
		assert_string_equal(a.version_stage ? a.version_stage : "",
				    cases[i].stage ? cases[i].stage : "");
		assert_string_equal(a.version_id ? a.version_id : "",
				    cases[i].version ? cases[i].version : "");
	}
}

/* The reference decodes into an interface{} and prints it with %v. */
static void members_are_written_as_the_reference_writes_them(void **state _unused_)
{
	static const struct {
		const char *json, *text;
	} cases[] = {
		{ "\"a b\"", "a b" },
		{ "\"\"", "" },
		{ "5432", "5432" },
		{ "100000", "100000" },
		{ "1000000", "1e+06" },
		{ "123456789", "1.23456789e+08" },
		{ "-0.5", "-0.5" },
		{ "0.0001", "0.0001" },
		{ "0.00001", "1e-05" },
		{ "0.1", "0.1" },
		{ "3.14159265358979", "3.14159265358979" },
		{ "0", "0" },
		{ "true", "true" },
		{ "null", "<nil>" },
		{ "[1,\"x\",[]]", "[1 x []]" },
		{ "{\"b\":1,\"a\":{\"c\":null}}", "map[a:map[c:<nil>] b:1]" },
		{ "99999999999999999999", "1e+20" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char json[200], *text = NULL;

		(void) snprintf(json, sizeof(json), "{\"k\":1,\"k\":%s}", cases[i].json);
		assert_int_equal(secret_json_member(json, "k", &text, NULL), 0);
		assert_string_equal(text, cases[i].text);
		free(text);
	}
}

static void deep_members_are_refused(void **state _unused_)
{
	char json[300] = "{\"k\":", *text = NULL;
	_cleanup_(err_done) struct err err = {};

	memset(json + 5, '[', 100);
	memset(json + 105, ']', 100);
	json[205] = '}';
	json[206] = '\0';
	assert_int_equal(secret_json_member(json, "k", &text, &err), -EINVAL);
	assert_string_equal(err.msg, "json key k: its value cannot be written out");
	assert_null(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
		T(parameters_come_by_tens_from_their_regions),
		T(a_parameter_is_known_by_name_arn_and_selector),
		T(members_of_a_secret_share_a_question),
		T(what_goes_wrong_is_named),
		T(a_task_without_a_role_is_told),
		T(keys_that_come_late_are_waited_for),
		T(a_service_that_says_nothing_is_given_up),
		T(a_file_comes_from_its_buckets_region),
		T(what_is_wrong_with_a_file_is_named),
		cmocka_unit_test(buckets_stand_in_the_name_where_they_can),
		cmocka_unit_test(lines_are_taken_as_they_are),
		cmocka_unit_test(arns_are_taken_apart),
		cmocka_unit_test(members_are_written_as_the_reference_writes_them),
		cmocka_unit_test(deep_members_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
