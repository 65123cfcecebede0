/* SPDX-License-Identifier: Apache-2.0 */
/* What the task server answers, from tasks made by hand. */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <string.h>

#include "agent/engine/endpoints.h"
#include "agent/metadata/metadata.h"
#include "common/json.h"
#include "common/strv.h"

#define ARN(id) "arn:aws:ecs:r:1:task/lab/" id
#define REFUSED(code, text)                                                                        \
	"{\"code\":\"" code "\",\"message\":\"CredentialsV2Request: " text "\",\"HTTPErrorCode\":"

/* A task on the bridge with two containers, another one, and one in host mode. */
static struct container containers[4];
static struct task tasks[3];

static size_t task_count(void *userdata _unused_)
{
	return ARRAY_SIZE(tasks);
}

static const struct task *task_at(void *userdata _unused_, size_t i)
{
	return &tasks[i];
}

static const struct task *find_task(void *userdata _unused_, const char *arn)
{
	for (size_t i = 0; i < ARRAY_SIZE(tasks); i++)
		if (strcmp(tasks[i].arn, arn) == 0)
			return &tasks[i];
	return NULL;
}

struct bench {
	struct agent_counters counters;
	struct agent_view view;
	struct role_store *roles;
	struct metadata *metadata;
};

static void make_tasks(void)
{
	static const char *const arns[] = { ARN("one"), ARN("two"), ARN("host") };
	static const size_t owner[] = { 0, 0, 1, 2 };

	for (size_t i = 0; i < ARRAY_SIZE(tasks); i++)
		tasks[i] = (struct task){ .arn = (char *) arns[i],
					  .known = TASK_RUNNING,
					  .network_mode = i == 2 ? NETWORK_HOST : NETWORK_BRIDGE };
	for (size_t i = 0; i < ARRAY_SIZE(containers); i++) {
		struct task *t = &tasks[owner[i]];

		containers[i] = (struct container){ .task = t,
						    .name = (char *) "c",
						    .known = CONTAINER_RUNNING,
						    .network_mode = t->network_mode };
		if (i < 3) /* 10.0.0.2, 10.0.0.3, 10.0.0.4 */
			containers[i].address.s_addr = htonl(0x0a000002 + (uint32_t) i);
		if (!t->containers)
			t->containers = &containers[i];
		t->n_containers++;
	}
}

static void put(struct bench *b, const char *arn, enum role_type type, const char *id,
		const char *expiration)
{
	json_auto_t *c = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "credentialsId", id, "roleArn",
				   "arn:role", "accessKeyId", "ASIA1", "secretAccessKey", "secret",
				   "sessionToken", "a/b+c=", "expiration", expiration);

	assert_int_equal(role_store_put(b->roles, arn, type, c, NULL), 0);
}

static int set_up(void **state)
{
	static struct bench b;
	const struct in_addr own[] = { { htonl(INADDR_LOOPBACK) }, { htonl(0x0a000001) } };
	struct metadata_params p = { .view = &b.view, .addrs = own, .n_addrs = 2 };

	make_tasks();
	b = (struct bench){ .view = { .counters = &b.counters,
				      .task_count = task_count,
				      .task_at = task_at,
				      .find_task = find_task } };
	assert_int_equal(role_store_new(&b.roles, NULL), 0);
	p.roles = b.roles;
	assert_int_equal(metadata_new(&p, &b.metadata, NULL), 0);
	put(&b, ARN("one"), ROLE_TASK, "one-task", "2999-01-01T00:00:00Z");
	put(&b, ARN("one"), ROLE_EXECUTION, "one-exec", "2999-01-01T00:00:00Z");
	put(&b, ARN("two"), ROLE_TASK, "two-task", "2001-01-01T00:00:00Z");
	put(&b, ARN("host"), ROLE_TASK, "host-task", "2999-01-01T00:00:00Z");
	*state = &b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	b->metadata = metadata_free(b->metadata);
	b->roles = role_store_free(b->roles);
	return 0;
}

/* Asks from @peer ("10.0.0.2"); @path may end in "?id=…". */
static unsigned ask(struct bench *b, const char *peer, const char *path, char *body, size_t size)
{
	char copy[256];
	struct metadata_request q = { .method = "GET", .path = copy };
	struct http_reply r = {};
	char *query;

	(void) snprintf(copy, sizeof(copy), "%s", path);
	query = strstr(copy, "?id=");
	if (query) {
		*query = '\0';
		q.id = query + 4;
	}
	assert_int_equal(inet_pton(AF_INET, peer, &q.peer), 1);
	metadata_answer(b->metadata, &q, &r);
	(void) snprintf(body, size, "%s", r.body ? r.body : "(none)");
	free(r.body);
	free(r.headers);
	return r.status;
}

static void credentials_are_for_their_task(void **state)
{
	static const struct {
		const char *peer, *path;
		unsigned status;
		const char *body; /* its beginning */
	} cases[] = {
		{ "10.0.0.2", "/v2/credentials/one-task", 200,
		  "{\"RoleArn\":\"arn:role\",\"AccessKeyId\":\"ASIA1\",\"SecretAccessKey\":"
		  "\"secret\",\"Token\":\"a/b+c=\",\"Expiration\":\"2999-01-01T00:00:00Z\"}" },
		{ "10.0.0.3", "/v2/credentials/one-exec", 200, "{\"RoleArn\":\"arn:role\"" },
		{ "10.0.0.2", "/v1/credentials?id=one-task", 200, "{\"RoleArn\":\"arn:role\"" },
		{ "127.0.0.1", "/v2/credentials/host-task", 200, "{\"RoleArn\"" },
		{ "10.0.0.1", "/v2/credentials/host-task", 200, "{\"RoleArn\"" },
		{ "10.0.0.4", "/v2/credentials/one-task", 400,
		  REFUSED("InvalidIdInRequest", "Credentials not found") "400}" },
		{ "10.0.0.9", "/v2/credentials/one-task", 400,
		  REFUSED("InvalidIdInRequest", "Credentials not found") "400}" },
		{ "0.0.0.0", "/v2/credentials/host-task", 400, "{\"code\":\"InvalidIdInRequest\"" },
		{ "127.0.0.1", "/v2/credentials/one-task", 400,
		  "{\"code\":\"InvalidIdInRequest\"" },
		{ "10.0.0.2", "/v2/credentials/host-task", 400,
		  "{\"code\":\"InvalidIdInRequest\"" },
		{ "10.0.0.2", "/v2/credentials/", 400,
		  REFUSED("NoIdInRequest", "No Credential ID in the request") "400}" },
		{ "10.0.0.2", "/v1/credentials", 400,
		  "{\"code\":\"NoIdInRequest\",\"message\":\"CredentialsV1Request: No Credential" },
		{ "10.0.0.2", "/v2/credentials/one-task/x", 404, "404 page not found\n" },
		{ "10.0.0.2", "/", 404, "404 page not found\n" },
	};
	char body[512];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		print_message("%s %s\n", cases[i].peer, cases[i].path);
		assert_int_equal(ask(*state, cases[i].peer, cases[i].path, body, sizeof(body)),
				 cases[i].status);
		assert_memory_equal(body, cases[i].body, strlen(cases[i].body));
	}
}

/* amazon-efs-utils asks from the host's namespace, for the task whose file system it mounts. */
static void the_host_mounts_with_the_tasks_role(void **state)
{
	struct efs_config plain = { .tls = true }, by_role = { .tls = true, .iam = true };
	struct task_volume volumes[] = { { .name = (char *) "a" },
					 { .name = (char *) "b", .efs = &plain } };
	char body[512];

	tasks[0].volumes = volumes;
	tasks[0].n_volumes = 2;
	assert_int_equal(ask(*state, "127.0.0.1", "/v2/credentials/one-task", body, sizeof(body)),
			 400);
	volumes[1].efs = &by_role;
	assert_int_equal(ask(*state, "127.0.0.1", "/v2/credentials/one-task", body, sizeof(body)),
			 200);
	assert_int_equal(ask(*state, "10.0.0.1", "/v2/credentials/one-task", body, sizeof(body)),
			 200);
	assert_int_equal(ask(*state, "127.0.0.1", "/v2/credentials/one-exec", body, sizeof(body)),
			 400);
	assert_int_equal(ask(*state, "127.0.0.1", "/v2/credentials/two-task", body, sizeof(body)),
			 400);
	assert_int_equal(ask(*state, "10.0.0.4", "/v2/credentials/one-task", body, sizeof(body)),
			 400);
	assert_int_equal(ask(*state, "127.0.0.1", "/v2/metadata", body, sizeof(body)), 400);
	tasks[0].volumes = NULL;
	tasks[0].n_volumes = 0;
}

static void expired_and_missing_ones_are_said_to_be(void **state)
{
	struct bench *b = *state;
	char body[512];

	assert_int_equal(ask(b, "10.0.0.4", "/v2/credentials/two-task", body, sizeof(body)), 503);
	assert_string_equal(body,
			    REFUSED("CredentialsExpired", "Credentials expired for ID") "503}");
	assert_int_equal(b->counters.expired_credentials, 1);
	put(b, ARN("two"), ROLE_TASK, "two-task", "2999-01-01T00:00:00Z");
	assert_int_equal(ask(b, "10.0.0.4", "/v2/credentials/two-task", body, sizeof(body)), 200);

	assert_int_equal(role_store_put_pending(b->roles, ARN("two"), ROLE_TASK, "later", NULL), 0);
	assert_int_equal(ask(b, "10.0.0.4", "/v2/credentials/later", body, sizeof(body)), 503);
	assert_string_equal(body, REFUSED("CredentialsUninitialized",
					  "Credentials uninitialized for ID") "503}");
}

static void an_id_never_changes_hands(void **state)
{
	struct bench *b = *state;
	json_auto_t *c = json_pack("{s:s,s:s,s:s}", "credentialsId", "one-task", "accessKeyId",
				   "ASIA2", "secretAccessKey", "other");
	_cleanup_(err_done) struct err err = {};

	assert_int_equal(role_store_put(b->roles, ARN("two"), ROLE_TASK, c, &err), -EPROTO);
	assert_string_equal(err.msg, "credentialsId: it is that of another task or role");
	assert_int_equal(role_store_put(b->roles, ARN("one"), ROLE_EXECUTION, c, NULL), -EPROTO);
	assert_string_equal(role_store_get(b->roles, "one-task")->access_key_id, "ASIA1");
}

/* A stopped container's address may be another's by now. */
static void addresses_of_the_stopped_are_nobodys(void **state)
{
	char body[512];

	containers[0].known = CONTAINER_STOPPED;
	containers[2].address = containers[0].address;
	assert_int_equal(ask(*state, "10.0.0.2", "/v2/credentials/one-task", body, sizeof(body)),
			 400);
	assert_int_equal(ask(*state, "10.0.0.3", "/v2/credentials/one-task", body, sizeof(body)),
			 200);
}

static void containers_are_told_where_to_ask(void **state _unused_)
{
	_cleanup_(strv_freep) char **env = NULL, **own = NULL, **none = NULL;
	struct container *c = &containers[0];

	tasks[0].role_credentials_id = (char *) "one-task";
	(void) snprintf(c->endpoint_id, sizeof(c->endpoint_id), "an-id");
	assert_int_equal(strv_append(&env, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/forged"), 0);
	assert_int_equal(endpoints_add(c, "eu-west-1", &env), 0);
	assert_true(strv_contains(
		env, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/credentials/one-task"));
	assert_false(strv_contains(env, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/forged"));
	assert_true(strv_contains(env, "ECS_CONTAINER_METADATA_URI=http://169.254.170.2/v3/an-id"));
	assert_true(
		strv_contains(env, "ECS_CONTAINER_METADATA_URI_V4=http://169.254.170.2/v4/an-id"));
	assert_true(strv_contains(env, "AWS_REGION=eu-west-1"));
	assert_true(strv_contains(env, "AWS_DEFAULT_REGION=eu-west-1"));

	assert_int_equal(strv_append(&own, "AWS_DEFAULT_REGION=here"), 0);
	assert_int_equal(endpoints_add(c, "eu-west-1", &own), 0);
	assert_true(strv_contains(own, "AWS_DEFAULT_REGION=here"));
	assert_false(strv_contains(own, "AWS_REGION=eu-west-1"));

	c->internal = true;
	assert_int_equal(endpoints_add(c, "eu-west-1", &none), 0);
	assert_null(none);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(credentials_are_for_their_task),
		TEST(the_host_mounts_with_the_tasks_role),
		TEST(expired_and_missing_ones_are_said_to_be),
		TEST(an_id_never_changes_hands),
		TEST(addresses_of_the_stopped_are_nobodys),
		TEST(containers_are_told_where_to_ask),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
