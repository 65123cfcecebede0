/* SPDX-License-Identifier: Apache-2.0 */
/* What the task server answers, from tasks made by hand. */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "agent/engine/endpoints.h"
#include "agent/metadata/metadata.h"
#include "agent/metadata/audit.h"
#include "agent/metadata/pace.h"
#include "common/fs.h"
#include "common/json.h"
#include "common/strv.h"

#define ARN(id) "arn:aws:ecs:r:1:task/lab/" id
#define REFUSED(code, text)                                                                        \
	"{\"code\":\"" code "\",\"message\":\"CredentialsV2Request: " text "\",\"HTTPErrorCode\":"

/* A task on the bridge with two containers, another one, and one in host mode. */
static struct container containers[4];
static struct task tasks[3];
static char audit_dir[] = "/tmp/test-metadata.XXXXXX", audit_file[64];
static struct config config = { .audit_file = audit_file, .log_rollover = LOG_ROLL_NONE };

static void status(void *userdata _unused_, struct agent_status *ret)
{
	*ret = (struct agent_status){ .cluster = "lab",
				      .container_instance_arn = "arn:ci",
				      .availability_zone = "eu-west-1a",
				      .availability_zone_id = "euw1-az1",
				      .vpc_id = "vpc-1" };
}

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
	b = (struct bench){ .view = { .config = &config,
				      .counters = &b.counters,
				      .status = status,
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

static char *headers; /* owned: of the last answer */

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
	q.peer_port = 4242;
	q.user_agent = "curl/8 \"x\"\n\xc3\xa9";
	assert_int_equal(inet_pton(AF_INET, peer, &q.peer), 1);
	free(headers);
	headers = NULL;
	metadata_answer(b->metadata, &q, &r);
	(void) snprintf(body, size, "%s", r.body ? r.body : "(none)");
	free(r.body);
	headers = r.headers;
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

/* A task with an interface of its own is known by its address on the local link. */
static void an_interface_is_shown_whole_in_version_4(void **state)
{
	static struct eni_ipv4 ipv4[] = { { { 0 }, true }, { { 0 }, false } };
	static struct eni_ipv6 ipv6[1];
	static char *dns[] = { (char *) "10.0.0.2", NULL }, *search[] = { (char *) "vpc", NULL };
	static struct port_binding port = { .container_port = 80, .proto = IPPROTO_TCP };
	static const char short_form[] = "\"Networks\":[{\"NetworkMode\":\"awsvpc\",\"IPv4Addresses\":["
					 "\"10.0.1.5\",\"10.0.1.6\"],\"IPv6Addresses\":[\"2001:db8::5\"]";
	struct task_eni eni = { .ec2_id = (char *) "eni-1",
				.mac = { 2, 0, 0, 0, 0, 0xab },
				.ipv4 = ipv4,
				.n_ipv4 = 2,
				.ipv6 = ipv6,
				.n_ipv6 = 1,
				.prefix4 = 23,
				.dns = dns,
				.dns_search = search,
				.private_dns_name = (char *) "ip-10-0-1-5" };
	char body[4096];

	assert_int_equal(inet_pton(AF_INET, "10.0.1.5", &ipv4[0].addr), 1);
	assert_int_equal(inet_pton(AF_INET, "10.0.1.6", &ipv4[1].addr), 1);
	assert_int_equal(inet_pton(AF_INET6, "2001:db8::5", &ipv6[0].addr), 1);
	assert_int_equal(inet_pton(AF_INET, "10.0.0.1", &eni.gateway4), 1);
	tasks[0].eni = &eni;
	tasks[0].network_mode = NETWORK_AWSVPC;
	for (size_t i = 0; i < 2; i++) {
		containers[i].network_mode = NETWORK_AWSVPC;
		containers[i].address.s_addr = htonl(0xa9feac02); /* 169.254.172.2, of both */
		containers[i].ports = &port;
		containers[i].n_ports = 1;
		(void) snprintf(containers[i].id, sizeof(containers[i].id), "id-%zu", i);
		(void) snprintf(containers[i].endpoint_id, sizeof(containers[i].endpoint_id), "e-%zu",
				i);
	}
	assert_int_equal(ask(*state, "169.254.172.2", "/v4/e-1", body, sizeof(body)), 200);
	assert_non_null(strstr(body, short_form));
	assert_non_null(strstr(
		body, ",\"AttachmentIndex\":0,\"MACAddress\":\"02:00:00:00:00:ab\","
		      "\"IPv4SubnetCIDRBlock\":\"10.0.0.0/23\",\"IPv6SubnetCIDRBlock\":\"2001:db8::/64\","
		      "\"DomainNameServers\":[\"10.0.0.2\"],\"DomainNameSearchList\":[\"vpc\"],"
		      "\"PrivateDNSName\":\"ip-10-0-1-5\",\"SubnetGatewayIpv4Address\":\"10.0.0.1/23\"}]"));
	assert_non_null(strstr(body, "\"Ports\":[{\"ContainerPort\":80,\"Protocol\":\"tcp\","
				     "\"HostPort\":80}]"));
	/* Versions 3 and 2 show less; version 2 knows the task by the address alone. */
	assert_int_equal(ask(*state, "169.254.172.2", "/v3/e-0", body, sizeof(body)), 200);
	assert_non_null(strstr(body, short_form));
	assert_null(strstr(body, "MACAddress"));
	assert_int_equal(ask(*state, "169.254.172.2", "/v2/metadata/id-0", body, sizeof(body)), 200);
	assert_non_null(strstr(body, short_form));
	/* Others do not see it, and it does not see them. */
	assert_int_equal(ask(*state, "169.254.172.3", "/v4/e-1", body, sizeof(body)), 404);
	assert_int_equal(ask(*state, "169.254.172.3", "/v2/metadata", body, sizeof(body)), 400);
	assert_int_equal(ask(*state, "10.0.0.4", "/v2/credentials/one-task", body, sizeof(body)), 400);
	assert_int_equal(ask(*state, "169.254.172.2", "/v2/credentials/one-task", body, sizeof(body)),
			 200);
	/* IPv6 alone: its gateway is shown, and its prefix counts. */
	eni.n_ipv4 = 0;
	eni.gateway4.s_addr = 0;
	eni.has_gateway6 = true;
	eni.prefix6 = 56;
	assert_int_equal(inet_pton(AF_INET6, "fe80::1", &eni.gateway6), 1);
	assert_int_equal(ask(*state, "169.254.172.2", "/v4/e-1", body, sizeof(body)), 200);
	assert_null(strstr(body, "IPv4"));
	assert_non_null(strstr(body, "\"IPv6SubnetCIDRBlock\":\"2001:db8::/56\""));
	assert_non_null(strstr(body, "\"SubnetGatewayIpv6Address\":\"fe80::1/56\""));
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

/* ---- paths ---- */

static void unclean_paths_lead_to_clean_ones(void **state)
{
	static const struct {
		const char *path, *location;
	} cases[] = {
		{ "/v2//credentials/x", "Location: /v2/credentials/x\n" },
		{ "//v2/credentials/", "Location: /v2/credentials/\n" },
		{ "/v4/a/../b/./task/", "Location: /v4/b/task/\n" },
		{ "/..", "Location: /\n" },
		{ "/../../v3/x", "Location: /v3/x\n" },
		{ "v3", "Location: /v3\n" },
		{ "//v1/credentials?id=a&b", "Location: /v1/credentials?id=a%26b\n" },
		{ "//x\r\nEvil: 1 \xff", "Location: /x%0D%0AEvil:%201%20%FF\n" },
	};
	char body[64];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(ask(*state, "10.0.0.2", cases[i].path, body, sizeof(body)), 301);
		assert_string_equal(headers, cases[i].location);
		assert_string_equal(body, "");
	}
	assert_int_equal(ask(*state, "10.0.0.2", "/v4/..x/y.", body, sizeof(body)), 404);
}

static void what_is_no_utf8_is_answered_all_the_same(void **state)
{
	char body[256];

	assert_int_equal(ask(*state, "10.0.0.2", "/v4/\xff", body, sizeof(body)), 404);
	assert_non_null(strstr(body, "v3 endpoint ID: ?\""));
}

/* ---- the audit log ---- */

static void empty_audit(void)
{
	assert_int_equal(truncate(audit_file, 0), access(audit_file, F_OK));
}

static char *audit_text(void)
{
	char *text = NULL;

	assert_int_equal(fs_read_file(AT_FDCWD, audit_file, 1 << 20, &text, NULL, NULL), 0);
	return text;
}

static void requests_for_credentials_are_audited_without_ids(void **state)
{
	static const struct {
		const char *peer, *path, *line; /* after the time */
	} cases[] = {
		{ "10.0.0.2", "/v2/credentials/one-task",
		  " 200 10.0.0.2:4242 \"/v2/credentials\" UA " ARN(
			  "one") " GetCredentials 2 lab arn:ci\n" },
		{ "10.0.0.3", "/v1/credentials?id=one-exec",
		  " 200 10.0.0.3:4242 \"/v1/credentials\" UA " ARN(
			  "one") " GetCredentialsExecutionRole 2 lab arn:ci\n" },
		{ "10.0.0.4", "/v2/credentials/one-task",
		  " 400 10.0.0.4:4242 \"/v2/credentials\" UA " ARN(
			  "one") " GetCredentials 2 lab arn:ci\n" },
		{ "10.0.0.4", "/v2/credentials/unknown",
		  " 400 10.0.0.4:4242 \"/v2/credentials\" UA - - 2 lab arn:ci\n" },
		{ "10.0.0.4", "/v2/credentials/two-task",
		  " 503 10.0.0.4:4242 \"/v2/credentials\" UA " ARN(
			  "two") " GetCredentials 2 lab arn:ci\n" },
	};
	static const char agent[] = "\"curl/8 \\\"x\\\"\\x0a\\xc3\\xa9\"";
	char body[512];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(freep) char *text = NULL, *want = NULL;
		const char *ua = strstr(cases[i].line, "UA");

		empty_audit();
		(void) ask(*state, cases[i].peer, cases[i].path, body, sizeof(body));
		text = audit_text();
		assert_true(asprintf(&want, "%.*s%s%s", (int) (ua - cases[i].line), cases[i].line,
				     agent, ua + 2) > 0);
		assert_true(strlen(text) > 20);
		assert_string_equal(text + strlen("2025-05-01T10:00:00Z"), want);
		assert_null(strstr(text, "one-task"));
	}
	empty_audit();
	(void) ask(*state, "10.0.0.2", "/v4/x", body, sizeof(body)); /* not about credentials */
	assert_int_equal(access(audit_file, F_OK), 0);
}

static void an_audit_log_that_cannot_be_written_stops_nobody(void **state _unused_)
{
	const struct rotate_params r = { .path = "/dev/null/nowhere/audit.log",
					 .rollover = LOG_ROLL_SIZE,
					 .max_bytes = 1000,
					 .max_files = 2 };
	const struct audit_entry e = { .status = 200 };
	struct audit *a = audit_new(&r);

	for (int i = 0; i < 3; i++)
		audit_write(a, &e);
	(void) audit_free(a);
	audit_write(NULL, &e);
}

static void an_audit_log_is_rotated(void **state _unused_)
{
	const struct rotate_params r = {
		.path = audit_file, .rollover = LOG_ROLL_SIZE, .max_bytes = 100, .max_files = 2
	};
	const struct audit_entry e = { .status = 200, .path = "/v2/credentials" };
	struct audit *a = audit_new(&r);
	_cleanup_(freep) char *first = path_join("%s.1", audit_file),
			      *third = path_join("%s.3", audit_file);

	for (int i = 0; i < 8; i++)
		audit_write(a, &e);
	(void) audit_free(a);
	assert_int_equal(access(third, F_OK), 0);
	assert_int_equal(access(first, F_OK), -1);
}

/* ---- rates ---- */

static void one_account_does_not_use_up_anothers(void **state _unused_)
{
	static struct pace p;
	struct in_addr one = { htonl(0x0a000002) }, two = { htonl(0x0a000003) };
	int64_t now = 5000000, wait = 0;
	uint64_t key;

	pace_init(&p, 40, 60);
	key = pace_key(&p, one, "/x");
	for (int i = 0; i < 60; i++)
		assert_int_equal(pace_ask(&p, key, now, false), 0);
	assert_int_equal(pace_ask(&p, key, now, false), 25000); /* 1/40 s */
	assert_int_equal(pace_ask(&p, pace_key(&p, one, "/y"), now, false), 0);
	assert_int_equal(pace_ask(&p, pace_key(&p, two, "/x"), now, false), 0);
	assert_int_equal(pace_ask(&p, key, now + 25000, false), 0);
	assert_int_not_equal(pace_ask(&p, key, now + 25000, false), 0);
	/* In line, each next one waits longer; refused ones have cost nothing. */
	for (int i = 1; i <= 10; i++) {
		wait = pace_ask(&p, key, now + 25000, true);
		assert_int_equal(wait, 25000 * i);
	}
}

/* Whoever asks under a million names neither fills memory nor gets more for itself. */
static void many_names_do_not_free_anybodys_account(void **state _unused_)
{
	static struct pace p;
	struct in_addr one = { htonl(0x0a000002) };
	uint64_t busy;
	char path[32];

	pace_init(&p, 40, 60);
	busy = pace_key(&p, one, NULL);
	for (int i = 0; i < 60; i++)
		assert_int_equal(pace_ask(&p, busy, 1, false), 0);
	for (int i = 0; i < 1000000; i++) {
		(void) snprintf(path, sizeof(path), "/%d", i);
		(void) pace_ask(&p, pace_key(&p, one, path), 2, false);
	}
	assert_true(pace_ask(&p, busy, 2, false) > 0);
}

static void rates_are_refused_only_where_that_is_set(void **state)
{
	struct bench *b = *state;
	struct metadata_request q = { .method = "GET",
				      .path = "/v2/credentials/one-task",
				      .peer = { htonl(0x0a000002) },
				      .peer_port = 77,
				      .forwarded_for = "1.2.3.4" };
	struct metadata_params p = { .view = &b->view, .roles = b->roles };
	struct http_reply r = {};
	_cleanup_(freep) char *text = NULL;
	int64_t wait = 0;
	int let = 0;

	for (int i = 0; i < PACE_BURST; i++)
		assert_true(metadata_admits(b->metadata, &q, 1000, &wait, &r));
	assert_false(metadata_admits(b->metadata, &q, 1000, &wait, &r));
	assert_int_equal(wait, 1000000 / PACE_PER_S);
	assert_null(r.body);
	q.path = "/v4/other"; /* the task as a whole */
	assert_false(metadata_admits(b->metadata, &q, 1000, &wait, &r));
	q.peer.s_addr = htonl(0x0a000004);
	assert_true(metadata_admits(b->metadata, &q, 1000, &wait, &r));

	b->metadata = metadata_free(b->metadata);
	config.metadata_rps = 40;
	config.metadata_burst = 60;
	assert_int_equal(metadata_new(&p, &b->metadata, NULL), 0);
	config.metadata_rps = config.metadata_burst = 0;
	empty_audit();
	q.path = "/v2/credentials/one-task";
	while (metadata_admits(b->metadata, &q, 1000, &wait, &r))
		let++;
	assert_int_equal(let, 60);
	assert_int_equal(wait, 0);
	assert_int_equal(r.status, 429);
	assert_string_equal(r.content_type, "text/plain; charset=utf-8");
	assert_string_equal(r.body, "You have reached maximum request limit.");
	assert_string_equal(r.headers, "X-Rate-Limit-Limit: 40.00\nX-Rate-Limit-Duration: 1\n"
				       "X-Rate-Limit-Request-Forwarded-For: 1.2.3.4\n"
				       "X-Rate-Limit-Request-Remote-Addr: 10.0.0.4:77\n");
	text = audit_text();
	assert_string_equal(text + strlen("2025-05-01T10:00:00Z"),
			    " 429 10.0.0.4:77 \"/v2/credentials\" \"-\" -\n");
	free(r.body);
	free(r.headers);
}

static int make_dir(void **state _unused_)
{
	if (!mkdtemp(audit_dir))
		return -1;
	(void) snprintf(audit_file, sizeof(audit_file), "%s/audit.log", audit_dir);
	return 0;
}

static int remove_dir(void **state _unused_)
{
	free(headers);
	return fs_remove_tree(AT_FDCWD, audit_dir, NULL);
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
		TEST(an_interface_is_shown_whole_in_version_4),
		TEST(containers_are_told_where_to_ask),
		TEST(unclean_paths_lead_to_clean_ones),
		TEST(what_is_no_utf8_is_answered_all_the_same),
		TEST(requests_for_credentials_are_audited_without_ids),
		TEST(an_audit_log_that_cannot_be_written_stops_nobody),
		TEST(an_audit_log_is_rotated),
		TEST(one_account_does_not_use_up_anothers),
		TEST(many_names_do_not_free_anybodys_account),
		TEST(rates_are_refused_only_where_that_is_set),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
