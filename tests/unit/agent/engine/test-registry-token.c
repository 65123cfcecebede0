/* SPDX-License-Identifier: Apache-2.0 */
/* Logins from ECR and Secrets Manager, asked for at a small service on loopback. */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/payload.h"
#include "agent/engine/registry-token.h"
#include "aws/credentials.h"
#include "aws/http.h"
#include "common/clock.h"
#include "common/json.h"
#include "tests/unit/aws/fake.h"

#define TASK "arn:aws:ecs:us-west-2:1:task/c/1"
#define IMAGE "1.dkr.ecr.us-west-2.amazonaws.com/web:1"

struct bench {
	sd_event *event;
	struct http_client *http;
	struct aws_credentials *instance;
	struct role_store *roles;
	struct registry_tokens *tokens;
	struct fake_http server;
	/* what the service answers, and what it was asked */
	int status;
	char answer[2048], target[128], body[512], authorization[512];
	int asked;
	/* what came of it */
	bool done;
	struct registry_login login;
	char error[512];
};

static void serve(void *userdata, const struct fake_query *q, struct fake_answer *a)
{
	struct bench *b = userdata;

	b->asked++;
	(void) snprintf(b->target, sizeof(b->target), "%s", fake_header(q, "X-Amz-Target"));
	(void) snprintf(b->authorization, sizeof(b->authorization), "%s",
			fake_header(q, "Authorization"));
	(void) snprintf(b->body, sizeof(b->body), "%s", q->body);
	a->status = b->status;
	(void) snprintf(a->body, sizeof(a->body), "%s", b->answer);
}

static int set_up(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct aws_credentials_params keys = { .access_key_id = "AKIAINSTANCE",
					       .secret_access_key = "s" };
	struct registry_tokens_params p = { .region = "eu-central-1", .role_wait_ms = 600 };

	*state = b;
	assert_int_equal(sd_event_new(&b->event), 0);
	assert_int_equal(http_client_new(b->event, NULL, &b->http, NULL), 0);
	keys.event = b->event;
	assert_int_equal(aws_credentials_new(&keys, &b->instance, NULL), 0);
	assert_int_equal(role_store_new(&b->roles, NULL), 0);
	fake_http_start(&b->server, serve, b);
	assert_int_equal(setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", b->server.url, 1), 0);
	p.loop = b->event;
	p.http = b->http;
	p.credentials = b->instance;
	p.roles = b->roles;
	assert_int_equal(registry_tokens_new(&p, &b->tokens, NULL), 0);
	b->status = 200;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	(void) registry_tokens_free(b->tokens);
	registry_login_done(&b->login);
	(void) aws_credentials_free(b->instance);
	(void) role_store_free(b->roles);
	(void) http_client_free(b->http);
	fake_http_stop(&b->server);
	(void) sd_event_unref(b->event);
	free(b);
	return 0;
}

static void add_role(struct bench *b, const char *id, const char *key)
{
	json_auto_t *c = json_pack("{s:s, s:s, s:s, s:s, s:s}", "credentialsId", id, "roleArn",
				   "arn:aws:iam::1:role/exec", "accessKeyId", key,
				   "secretAccessKey", "s", "sessionToken", "t");

	assert_int_equal(role_store_put(b->roles, TASK, ROLE_EXECUTION, c, NULL), 0);
}

static void on_login(void *userdata, const struct registry_login *login, const struct err *err)
{
	struct bench *b = userdata;

	b->done = true;
	if (login) {
		b->login.username = strdup(login->username);
		b->login.password = strdup(login->password);
	} else {
		(void) snprintf(b->error, sizeof(b->error), "%s", err_text(err));
	}
}

/* Asks and waits; 1 when it was at hand. */
static int get(struct bench *b, const struct registry_auth *auth, const char *role_id)
{
	char *key = registry_auth_key(auth, b->roles, role_id);
	const struct registry_token_params p = { auth, key, role_id, IMAGE };
	_cleanup_(err_done) struct err err = {};
	struct registry_token *r = NULL;
	int k;

	b->done = false;
	b->error[0] = '\0';
	registry_login_done(&b->login);
	k = registry_token_get(b->tokens, &p, on_login, b, &b->login, &r, &err);
	free(key);
	if (k < 0)
		(void) snprintf(b->error, sizeof(b->error), "%s", err_text(&err));
	if (k == 0)
		assert_true(loop_until(b->event, &b->done, 30000));
	return k;
}

static void answer_ecr(struct bench *b, const char *token, int64_t life_s)
{
	(void) snprintf(
		b->answer, sizeof(b->answer),
		"{\"authorizationData\":[{\"authorizationToken\":\"%s\",\"expiresAt\":%lld.5,"
		"\"proxyEndpoint\":\"https://1.dkr.ecr.us-west-2.amazonaws.com\"}]}",
		token, (long long) (clock_real_ms() / 1000 + life_s));
}

static struct registry_auth ecr(struct bench *b)
{
	return (struct registry_auth){ .type = REGISTRY_AUTH_ECR,
				       .registry_id = (char *) "123456789012",
				       .region = (char *) "us-west-2",
				       .endpoint_override = b->server.url };
}

static void a_token_is_asked_for_once_and_kept(void **state)
{
	struct bench *b = *state;
	struct registry_auth a = ecr(b), other = a;
	char *key = registry_auth_key(&a, b->roles, NULL);

	answer_ecr(b, "QVdTOnB3OjE=", 12 * 3600); /* AWS:pw:1 */
	assert_int_equal(get(b, &a, NULL), 0);
	assert_string_equal(b->login.username, "AWS");
	assert_string_equal(b->login.password, "pw:1");
	assert_string_equal(b->target,
			    "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken");
	assert_string_equal(b->body, "{\"registryIds\":[\"123456789012\"]}");
	assert_non_null(strstr(b->authorization, "Credential=AKIAINSTANCE/"));
	assert_non_null(strstr(b->authorization, "/us-west-2/ecr/aws4_request"));
	assert_int_equal(get(b, &a, NULL), 1);
	assert_string_equal(b->login.password, "pw:1");
	assert_int_equal(b->asked, 1);
	other.registry_id = (char *) "210987654321";
	assert_int_equal(get(b, &other, NULL), 0);
	assert_int_equal(b->asked, 2);
	registry_tokens_forget(b->tokens, key);
	assert_int_equal(get(b, &a, NULL), 0);
	assert_int_equal(b->asked, 3);
	free(key);
}

struct waiter {
	struct bench *bench;
	struct registry_token *token;
	struct waiter *cancels; /* another, when told */
	bool told;
	char password[32], error[256];
};

static void on_told(void *userdata, const struct registry_login *login, const struct err *err)
{
	struct waiter *w = userdata;

	w->told = true;
	w->token = NULL;
	(void) snprintf(w->password, sizeof(w->password), "%s", login ? login->password : "");
	(void) snprintf(w->error, sizeof(w->error), "%s", login ? "" : err_text(err));
	if (w->cancels)
		w->cancels->token = registry_token_cancel(w->cancels->token);
}

static void ask_for(struct bench *b, struct waiter *w, const struct registry_auth *auth)
{
	char *key = registry_auth_key(auth, b->roles, NULL);
	const struct registry_token_params p = { auth, key, NULL, IMAGE };
	struct registry_login login = {};

	w->bench = b;
	assert_int_equal(registry_token_get(b->tokens, &p, on_told, w, &login, &w->token, NULL), 0);
	free(key);
}

static void who_asks_meanwhile_waits_for_the_same_answer(void **state)
{
	struct bench *b = *state;
	struct registry_auth a = ecr(b), other = a;
	struct waiter w[4] = {}, elsewhere = {};

	answer_ecr(b, "QVdTOnB3OjE=", 12 * 3600);
	other.registry_id = (char *) "210987654321";
	for (size_t i = 0; i < ARRAY_SIZE(w); i++)
		ask_for(b, &w[i], &a);
	ask_for(b, &elsewhere, &other);
	w[0].token = registry_token_cancel(w[0].token); /* the one whose question it was */
	w[1].cancels = &w[3];
	w[3].cancels = &w[1];
	assert_true(loop_until(b->event, &w[2].told, 60000));
	assert_true(loop_until(b->event, &elsewhere.told, 60000));
	assert_false(w[0].told);
	assert_true(w[1].told != w[3].told);
	assert_string_equal(w[2].password, "pw:1");
	assert_string_equal(w[w[1].told ? 1 : 3].password, "pw:1");
	assert_int_equal(b->asked, 2);
}

static void a_failure_is_told_to_all_who_wait(void **state)
{
	struct bench *b = *state;
	struct registry_auth a = ecr(b);
	struct waiter w[2] = {}, later = {};

	(void) snprintf(b->answer, sizeof(b->answer), "{}");
	ask_for(b, &w[0], &a);
	ask_for(b, &w[1], &a);
	assert_true(loop_until(b->event, &w[1].told, 60000));
	assert_true(w[0].told);
	assert_string_equal(w[0].error, "ecr auth: AuthorizationData is nil for " IMAGE);
	assert_string_equal(w[1].error, w[0].error);
	assert_int_equal(b->asked, 1);
	ask_for(b, &later, &a);
	assert_true(loop_until(b->event, &later.told, 60000));
	assert_int_equal(b->asked, 2);
}

static void a_token_near_its_end_is_not_kept(void **state)
{
	struct bench *b = *state;
	struct registry_auth a = ecr(b);

	answer_ecr(b, "QVdTOnB3OjE=", 29 * 60);
	assert_int_equal(get(b, &a, NULL), 0);
	assert_non_null(b->login.password);
	assert_int_equal(get(b, &a, NULL), 0);
	assert_int_equal(b->asked, 2);
}

static void each_execution_role_asks_for_itself(void **state)
{
	struct bench *b = *state;
	struct registry_auth a = ecr(b);

	a.use_execution_role = true;
	add_role(b, "id-1", "ASIAONE");
	add_role(b, "id-2", "ASIATWO");
	answer_ecr(b, "QVdTOnB3OjE=", 12 * 3600);
	assert_int_equal(get(b, &a, "id-1"), 0);
	assert_non_null(strstr(b->authorization, "Credential=ASIAONE/"));
	assert_int_equal(get(b, &a, "id-2"), 0);
	assert_non_null(strstr(b->authorization, "Credential=ASIATWO/"));
	assert_int_equal(get(b, &a, "id-1"), 1);
	assert_int_equal(get(b, &a, NULL), -EINVAL);
	assert_string_equal(b->error, "ecr auth: the task has no execution role");
}

static void keys_that_come_late_are_waited_for(void **state)
{
	struct bench *b = *state;
	struct registry_auth a = { .type = REGISTRY_AUTH_ASM, .secret = (char *) "s" };

	assert_int_equal(role_store_put_pending(b->roles, TASK, ROLE_EXECUTION, "id-1", NULL), 0);
	assert_int_equal(get(b, &a, "id-1"), 0);
	assert_string_equal(b->error, "the credentials of the task's execution role have not come");
	assert_int_equal(b->asked, 0);
}

static void a_secret_holds_username_and_password(void **state)
{
	struct bench *b = *state;
	struct registry_auth a = { .type = REGISTRY_AUTH_ASM,
				   .secret = (char *) "arn:aws:secretsmanager:x:1:secret:reg" };

	add_role(b, "id-1", "ASIAONE");
	(void) snprintf(b->answer, sizeof(b->answer), "%s",
			"{\"Name\":\"reg\",\"SecretString\":\"{\\\"username\\\":\\\"joe\\\","
			"\\\"password\\\":\\\"p:w\\\"}\"}");
	assert_int_equal(get(b, &a, "id-1"), 0);
	assert_string_equal(b->login.username, "joe");
	assert_string_equal(b->login.password, "p:w");
	assert_string_equal(b->target, "secretsmanager.GetSecretValue");
	assert_string_equal(b->body, "{\"SecretId\":\"arn:aws:secretsmanager:x:1:secret:reg\"}");
	assert_non_null(strstr(b->authorization, "Credential=ASIAONE/"));
	assert_non_null(strstr(b->authorization, "/eu-central-1/secretsmanager/aws4_request"));
	assert_int_equal(get(b, &a, "id-1"), 0); /* secrets change: each pull reads its own */
	assert_int_equal(b->asked, 2);
}

static void bad_answers_are_named(void **state)
{
	static const struct {
		bool ecr;
		int status;
		const char *answer, *complaint;
	} cases[] = {
		{ true, 200, "{\"authorizationData\":[]}",
		  "ecr auth: AuthorizationData is nil for " IMAGE },
		{ true, 200, "{\"authorizationData\":[{\"authorizationToken\":\"QUJD\"}]}",
		  "ecr auth: the authorization token is malformed" },
		{ true, 200, "{\"authorizationData\":[{\"authorizationToken\":\"%%%%\"}]}",
		  "ecr auth: the authorization token is malformed" },
		{ true, 400,
		  "{\"__type\":\"AccessDeniedException\",\"message\":\"not authorized\"}",
		  "ecr auth: GetAuthorizationToken: AccessDeniedException: not authorized (HTTP "
		  "400)" },
		{ false, 400,
		  "{\"__type\":\"ResourceNotFoundException\",\"Message\":\"no such secret\"}",
		  "asm fetching secret from the service for s: GetSecretValue: "
		  "ResourceNotFoundException: no such secret (HTTP 400)" },
		{ false, 200, "{}", "asm fetching authorization data: empty secrets value" },
		{ false, 200, "{\"SecretString\":\"hunter2\"}",
		  "asm fetching authorization data: unable to unmarshal secret value, invalid "
		  "schema" },
		{ false, 200, "{\"SecretString\":\"{\\\"username\\\":\\\"joe\\\"}\"}",
		  "asm fetching password: AuthorizationData is malformed, empty field" },
		{ false, 200, "{\"SecretString\":\"{\\\"password\\\":\\\"x\\\"}\"}",
		  "asm fetching username: AuthorizationData is malformed, empty field" },
	};
	struct bench *b = *state;

	add_role(b, "id-1", "ASIAONE");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct registry_auth a = { .type = REGISTRY_AUTH_ASM, .secret = (char *) "s" };

		if (cases[i].ecr)
			a = ecr(b);
		b->status = cases[i].status;
		(void) snprintf(b->answer, sizeof(b->answer), "%s", cases[i].answer);
		assert_int_equal(get(b, &a, "id-1"), 0);
		assert_string_equal(b->error, cases[i].complaint);
		assert_null(b->login.password);
	}
}

static void payloads_are_decoded(void **state _unused_)
{
	static const struct {
		const char *json, *complaint;
	} bad[] = {
		{ "{\"type\":\"x\"}", "type: 'x' is neither ecr nor asm" },
		{ "{\"type\":\"ecr\"}", "ecrAuthData: missing" },
		{ "{\"type\":\"asm\",\"asmAuthData\":{}}",
		  "asmAuthData: credentialsParameter: missing" },
		{ "{\"type\":\"asm\",\"asmAuthData\":{\"credentialsParameter\":\"\"}}",
		  "asmAuthData: credentialsParameter: is empty" },
	};
	static const char good[] = "{\"type\":\"ecr\",\"ecrAuthData\":{\"registryId\":\"1\","
				   "\"region\":\"r\",\"endpointOverride\":\"\","
				   "\"useExecutionRole\":true}}";
	json_auto_t *v = json_loads(good, 0, NULL);
	struct registry_auth a = {};

	assert_int_equal(payload_decode_registry(v, &a, NULL, NULL), 0);
	assert_int_equal(a.type, REGISTRY_AUTH_ECR);
	assert_true(a.use_execution_role);
	assert_string_equal(a.registry_id, "1");
	assert_string_equal(a.region, "r");
	registry_auth_done(&a);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		json_auto_t *obj = json_loads(bad[i].json, 0, NULL);
		_cleanup_(err_done) struct err err = {};

		assert_true(payload_decode_registry(obj, &a, NULL, &err) < 0);
		assert_string_equal(err.msg, bad[i].complaint);
		assert_int_equal(a.type, REGISTRY_AUTH_NONE);
		registry_auth_done(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
		T(a_token_is_asked_for_once_and_kept),
		T(a_token_near_its_end_is_not_kept),
		T(each_execution_role_asks_for_itself),
		T(keys_that_come_late_are_waited_for),
		T(who_asks_meanwhile_waits_for_the_same_answer),
		T(a_failure_is_told_to_all_who_wait),
		T(a_secret_holds_username_and_password),
		T(bad_answers_are_named),
		cmocka_unit_test(payloads_are_decoded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
