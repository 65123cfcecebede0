/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "agent/config-internal.h"
#include "common/buf.h"
#include "common/fs.h"

static char dir[] = "/tmp/test-config.XXXXXX";

static const char *file(const char *name, const char *text)
{
	static char path[2][128];
	static int next;
	char *p = path[next++ % 2];

	(void) snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	assert_int_equal(fs_write_file_volatile(AT_FDCWD, p, text, strlen(text), 0600, NULL), 0);
	return p;
}

static int load(const char *text, char *const *environ_, struct config **ret, struct err *err)
{
	const char *files[] = { text ? file("ecs.config", text) : NULL, NULL };
	static char *none[] = { NULL };
	char port_range[128], os_release[128];
	struct config_sources s = {
		.files = files,
		.environ = environ_ ? environ_ : none,
		.port_range_file = port_range,
		.os_release_file = os_release,
	};

	(void) snprintf(port_range, sizeof(port_range), "%s/port-range", dir);
	(void) snprintf(os_release, sizeof(os_release), "%s/os-release", dir);
	return config_load(&s, ret, err);
}

/* All notes, a line each, with the directory cut off. */
static char *notes(const struct config *c)
{
	struct buf b = {};

	for (size_t i = 0; i < c->n_notes; i++) {
		const char *t = c->notes[i].text;

		if (strncmp(t, dir, strlen(dir)) == 0)
			t += strlen(dir) + 1;
		buf_printf(&b, "%s%s", i ? "\n" : "", t);
	}
	return b.data ? b.data : strdup("");
}

static void assert_notes(const char *text, const char *expected)
{
	_cleanup_(config_freep) struct config *c = NULL;
	_cleanup_(err_done) struct err err = {};
	_cleanup_(freep) char *n = NULL;

	if (load(text, NULL, &c, &err) < 0)
		fail_msg("%s", err_text(&err));
	n = notes(c);
	assert_string_equal(n, expected);
}

static void defaults_are_those_of_a_drop_in_agent(void **state _unused_)
{
	_cleanup_(config_freep) struct config *c = NULL;

	assert_int_equal(load(NULL, NULL, &c, NULL), 0);
	assert_string_equal(c->cluster, "default");
	assert_true(c->cluster_is_default);
	assert_null(c->region);
	assert_int_equal(c->reserved_ports.n, 5);
	assert_int_equal(c->reserved_ports.ports[4], 51679);
	assert_int_equal(c->stop_timeout_ms, 30000);
	assert_int_equal(c->task_cleanup_wait_ms, 3 * 3600 * 1000);
	assert_int_equal(c->cgroup_cpu_period_usec, 100000);
	assert_int_equal(c->dynamic_port_first, 61000);
	assert_int_equal(c->dynamic_port_last, 65535);
	assert_string_equal(c->data_dir, "/var/lib/ecs/data");
	assert_string_equal(c->image_dir, "/var/lib/ecs/images");
	assert_string_equal(c->run_dir, "/run/ecs");
	assert_string_equal(c->logging_drivers[4], "none");
	assert_null(c->log_file);
	assert_int_equal(c->log_level, LOG_INFO);
	assert_string_equal(c->detailed_os_family, "debian_12");
	assert_string_equal(c->bridge_name, "ecs0");
	assert_int_equal(c->bridge_subnet.s_addr, inet_addr("172.30.0.0"));
	assert_true(c->bridge_six_auto);
	assert_int_equal(c->ip_compatibility, FAMILY_AUTO);
	assert_int_equal(c->bridge_prefix_len, 16);
	assert_true(c->task_cpu_mem_limit);
	assert_true(c->exclude_ipv6_port_binding);
	assert_int_equal(c->introspection_port, 51678);
	assert_int_equal(c->n_notes, 0);
}

static void dynamic_ports_stay_outside_the_ephemeral_range(void **state _unused_)
{
	static const struct {
		const char *range;
		uint16_t first, last;
	} cases[] = {
		{ "32768\t60999\n", 61000, 65535 },
		{ "32768\t65535\n", 10000, 32767 },
		{ "1024\t65535\n", 49153, 65535 }, /* nothing is left: as the reference agent */
		{ "garbage", 61000, 65535 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(config_freep) struct config *c = NULL;

		(void) file("port-range", cases[i].range);
		assert_int_equal(load(NULL, NULL, &c, NULL), 0);
		assert_int_equal(c->dynamic_port_first, cases[i].first);
		assert_int_equal(c->dynamic_port_last, cases[i].last);
	}
	(void) file("port-range", "32768\t60999\n");
}

static void a_file_is_read_as_its_users_write_it(void **state _unused_)
{
	_cleanup_(config_freep) struct config *c = NULL;
	_cleanup_(freep) char *n = NULL;

	assert_int_equal(load("\xef\xbb\xbf# comment\r\n"
			      "\r\n"
			      "  ECS_CLUSTER = web \r\n"
			      "; another\n"
			      "ECS_INSTANCE_ATTRIBUTES={\"stack\":\"a b\",\"n\":\"\\\\x\"}\n"
			      "ECS_CONTAINER_INSTANCE_TAGS='{\"k\":\"v\"}'\n"
			      "AWS_PROFILE=\"a\\\"b\"\n"
			      "export ECS_LOGLEVEL=debug\n"
			      "ECS_ENGINE_AUTH_TYPE=a=b\n"
			      "ECS_ENGINE_AUTH_DATA=\n"
			      "no assignment\n"
			      "1BAD=x\n"
			      "HTTPS_PROXY='open\n"
			      "ECS_CLUSTER=\n",
			      NULL, &c, NULL),
			 0);
	assert_string_equal(c->cluster, "web"); /* an empty value sets nothing */
	assert_int_equal(c->n_instance_attributes, 2);
	assert_string_equal(c->instance_attributes[0].value, "a b");
	assert_string_equal(c->instance_attributes[1].value, "\\x");
	assert_string_equal(c->instance_tags[0].value, "v");
	assert_string_equal(c->profile, "a\"b");
	assert_int_equal(c->log_level, LOG_DEBUG);
	assert_int_equal(c->log_level_file, LOG_DEBUG);
	assert_string_equal(c->engine_auth_type, "a=b");
	assert_null(c->engine_auth_data);
	n = notes(c);
	assert_string_equal(
		n, "ecs.config:8: 'export' is not needed here\n"
		   "ecs.config:11: no '=' in this line, ignoring it\n"
		   "ecs.config:12: what stands before '=' is no variable name, ignoring the line\n"
		   "ecs.config:13: the value ends inside a quote");
}

static void the_environment_wins_over_the_stronger_file_over_the_weaker(void **state _unused_)
{
	const char *env[] = { "ECS_CLUSTER=env", "ECS_LOGLEVEL=nonsense",
			      "ECS_RESERVED_MEMORY=", "http_proxy=http://p:1", NULL };
	_cleanup_(config_freep) struct config *c = NULL;
	const char *weak = file("weak", "ECS_CLUSTER=weak\nECS_RESERVED_MEMORY=7\n"
					"AWS_DEFAULT_REGION=r1\nECS_LOGLEVEL=warn\n");
	const char *strong = file("strong", "ECS_CLUSTER=strong\nAWS_DEFAULT_REGION=r2\n");
	const char *files[] = { weak, "/nonexistent/ecs.config", strong, NULL };
	struct config_sources s = { .files = files, .environ = (char *const *) env };

	assert_int_equal(config_load(&s, &c, NULL), 0);
	assert_string_equal(c->cluster, "env");
	assert_false(c->cluster_is_default);
	assert_string_equal(c->region, "r2");
	assert_int_equal(c->reserved_memory_mib, 7);
	assert_int_equal(c->log_level_file, LOG_WARN); /* what is refused counts as unset */
	assert_string_equal(c->http_proxy, "http://p:1");
	assert_string_equal(c->https_proxy, "http://p:1");
	assert_int_equal(c->n_notes, 1);
	assert_string_equal(
		c->notes[0].text,
		"environment: ECS_LOGLEVEL: 'nonsense' is not one of crit, error, warn, "
		"info, debug, none, ignoring it");
}

static void refused_values_are_named_with_file_line_key_and_bounds(void **state _unused_)
{
	static const struct {
		const char *line, *note;
	} cases[] = {
		{ "ECS_RESERVED_MEMORY=lots",
		  "ECS_RESERVED_MEMORY: 'lots' is not a whole number of 0..16777216, ignoring it" },
		{ "ECS_RESERVED_MEMORY=-1",
		  "ECS_RESERVED_MEMORY: '-1' is outside 0..16777216, ignoring it" },
		{ "ECS_RESERVED_MEMORY=12x",
		  "ECS_RESERVED_MEMORY: '12x' is not a whole number of 0..16777216, ignoring it" },
		{ "ECS_TASK_PIDS_LIMIT=0",
		  "ECS_TASK_PIDS_LIMIT: '0' is outside 1..4194304, ignoring it" },
		{ "ECS_DISABLE_METRICS=yes",
		  "ECS_DISABLE_METRICS: 'yes' is neither true nor false, ignoring it" },
		{ "ECS_CONTAINER_STOP_TIMEOUT=10ms",
		  "ECS_CONTAINER_STOP_TIMEOUT: '10ms' is outside 1s.., using 1s" },
		{ "ECS_POLLING_METRICS_WAIT_DURATION=1h",
		  "ECS_POLLING_METRICS_WAIT_DURATION: '1h' is outside 5s..20s, using 20s" },
		{ "ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION=1ms",
		  "ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION: '1ms' is outside 1s.., ignoring it" },
		{ "ECS_CGROUP_CPU_PERIOD=200ms",
		  "ECS_CGROUP_CPU_PERIOD: '200ms' is outside 8ms..100ms, ignoring it" },
		{ "ECS_RESERVED_PORTS=[22,0]",
		  "ECS_RESERVED_PORTS: '[22,0]': [1] is not a port of 1..65535, ignoring it" },
		{ "ECS_RESERVED_PORTS={}",
		  "ECS_RESERVED_PORTS: '{}' is not a JSON list, ignoring it" },
		{ "ECS_DYNAMIC_HOST_PORT_RANGE=9-8",
		  "ECS_DYNAMIC_HOST_PORT_RANGE: '9-8' is not a range of ports such as 61000-65535, "
		  "ignoring it" },
		{ "ECS_IMAGE_PULL_BEHAVIOR=never",
		  "ECS_IMAGE_PULL_BEHAVIOR: 'never' is not one of default, always, once, "
		  "prefer-cached, ignoring it" },
		{ "ECS_BACKEND_HOST=ftp://x", "ECS_BACKEND_HOST: 'ftp://x' is not a host or an "
					      "http or https URL, ignoring it" },
		{ "ECS_RUN_DIR=run/ecs",
		  "ECS_RUN_DIR: 'run/ecs' is not an absolute path, ignoring it" },
		{ "ECS_BRIDGE_NAME=a/b", "ECS_BRIDGE_NAME: 'a/b' is not an interface name: 1..15 "
					 "of A-Z a-z 0-9 _ -, ignoring it" },
		{ "ECS_BRIDGE_SUBNET=172.30.0.1/16", "ECS_BRIDGE_SUBNET: '172.30.0.1/16' has bits "
						     "set behind its prefix, ignoring it" },
		{ "ECS_BRIDGE_SUBNET=172.30.0.0/8",
		  "ECS_BRIDGE_SUBNET: '172.30.0.0/8' is not an IPv4 network with a prefix of "
		  "/16../28, ignoring it" },
		{ "ECS_BRIDGE_SUBNET_IPV6=fd00::1/64", "ECS_BRIDGE_SUBNET_IPV6: 'fd00::1/64' has "
						       "bits set behind its prefix, ignoring it" },
		{ "ECS_BRIDGE_SUBNET_IPV6=fd00::/128",
		  "ECS_BRIDGE_SUBNET_IPV6: 'fd00::/128' is neither auto nor none nor an IPv6 "
		  "network with a prefix of /48../96, ignoring it" },
		{ "ECS_BRIDGE_SUBNET_IPV6=fe80::/64",
		  "ECS_BRIDGE_SUBNET_IPV6: 'fe80::/64' is not a network that packets are sent to, "
		  "ignoring it" },
		{ "ECS_INSTANCE_IP_COMPATIBILITY=both",
		  "ECS_INSTANCE_IP_COMPATIBILITY: 'both' is not one of auto, ipv4, ipv6, "
		  "ignoring it" },
		{ "ECS_CGROUP_PARENT=/a/../b",
		  "ECS_CGROUP_PARENT: '/a/../b' is not a control group such as /ecs, ignoring it" },
		{ "ECS_LOG_MAX_FILE_SIZE_MB=nan",
		  "ECS_LOG_MAX_FILE_SIZE_MB: 'nan' is not a number of 0..1048576, ignoring it" },
		{ "ECS_LOG_ROLLOVER_TYPE=daily",
		  "ECS_LOG_ROLLOVER_TYPE: 'daily' is not one of size, hourly, none, ignoring it" },
#define RATES(text)                                                                                \
	{                                                                                          \
		"ECS_TASK_METADATA_RPS_LIMIT=" text,                                               \
			"ECS_TASK_METADATA_RPS_LIMIT: '" text                                      \
			"' is not a rate and a burst of 1..1000000 such as 40,60, ignoring it"     \
	}
		RATES("40"),
		RATES("0,60"),
		RATES("40,0"),
		RATES("-1,60"),
		RATES("40,60,80"),
		RATES("40,x"),
		RATES("1000001,60"),
		RATES("40,1000001"),
		RATES("40,99999999999999999999"),
#undef RATES
		{ "ECS_INTROSPECTION_PORT=70000",
		  "ECS_INTROSPECTION_PORT: '70000' is not a port of 1..65535, ignoring it" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char expected[512];

		(void) snprintf(expected, sizeof(expected), "ecs.config:1: %s", cases[i].note);
		assert_notes(cases[i].line, expected);
	}
}

static void some_values_stop_the_start(void **state _unused_)
{
	static const struct {
		const char *line, *complaint;
	} cases[] = {
		{ "ECS_INSTANCE_ATTRIBUTES=[1]",
		  "ECS_INSTANCE_ATTRIBUTES: '[1]' is not a JSON object" },
		{ "ECS_AVAILABLE_LOGGING_DRIVERS=[\"json-file\",\"papyrus\"]",
		  "ECS_AVAILABLE_LOGGING_DRIVERS: Invalid logging drivers: papyrus" },
		{ "ECS_AWSVPC_ADDITIONAL_LOCAL_ROUTES=10.0.0.0/8",
		  "ECS_AWSVPC_ADDITIONAL_LOCAL_ROUTES: '10.0.0.0/8': JSON:" },
		{ "ECS_AWSVPC_ADDITIONAL_LOCAL_ROUTES=[\"10.0.0.0/8\",\"10.0.0.1/24\"]",
		  "ECS_AWSVPC_ADDITIONAL_LOCAL_ROUTES: [1]: '10.0.0.1/24' has bits set behind its "
		  "prefix" },
		{ "ECS_EXTERNAL=true",
		  "Missing required fields: AWSRegion (ECS_EXTERNAL needs AWS_DEFAULT_REGION)" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(config_freep) struct config *c = NULL;
		_cleanup_(err_done) struct err err = {};

		assert_true(load(cases[i].line, NULL, &c, &err) < 0);
		assert_non_null(strstr(err.msg, cases[i].complaint));
		assert_null(c);
	}
}

static void tasks_get_interfaces_unless_the_host_is_external(void **state _unused_)
{
	_cleanup_(config_freep) struct config *c = NULL, *external = NULL;

	assert_int_equal(load("ECS_AWSVPC_ADDITIONAL_LOCAL_ROUTES=[\"10.1.0.0/16\",\"1.2.3.4/32\"]",
			      NULL, &c, NULL),
			 0);
	assert_true(c->task_eni && c->high_density_eni && c->awsvpc_block_imds);
	assert_int_equal(c->local_routes.n, 2);
	assert_int_equal(ntohl(c->local_routes.routes[0].addr.s_addr), 0x0a010000);
	assert_int_equal(c->local_routes.routes[0].prefix_len, 16);
	assert_int_equal(c->local_routes.routes[1].prefix_len, 32);
	assert_int_equal(load("ECS_EXTERNAL=true\nAWS_DEFAULT_REGION=r\nECS_ENABLE_TASK_ENI=true\n",
			      NULL, &external, NULL),
			 0);
	assert_false(external->task_eni);
}

static void unknown_keys_are_told_once_with_the_nearest_one(void **state _unused_)
{
	assert_notes("ECS_CLUSTRE=a\nECS_CLUSTRE=b\n",
		     "ecs.config:1: ECS_CLUSTRE is not a setting of this agent, ignoring it: did "
		     "you mean ECS_CLUSTER?");
	assert_notes("ECS_SOMETHING_ELSE_ALTOGETHER=1\nPATH=/bin\n",
		     "ecs.config:1: ECS_SOMETHING_ELSE_ALTOGETHER is not a setting of this agent, "
		     "ignoring it");
	assert_notes("DOCKER_HOST=unix:///x\n",
		     "ecs.config:1: DOCKER_HOST has no effect: there is no Docker");
}

static void paths_of_the_reference_agents_container_keep_their_meaning(void **state _unused_)
{
	_cleanup_(config_freep) struct config *c = NULL;

	assert_int_equal(
		load("ECS_DATADIR=/data/\nECS_LOGFILE=/log/ecs-agent.log\n", NULL, &c, NULL), 0);
	assert_string_equal(c->data_dir, "/var/lib/ecs/data");
	assert_string_equal(c->log_file, "/var/log/ecs/ecs-agent.log");
	c = config_free(c);
	assert_int_equal(load("ECS_DATADIR=/data/ecs/\nECS_LOGFILE=/logs/a\n", NULL, &c, NULL), 0);
	assert_string_equal(c->data_dir, "/data/ecs");
	assert_string_equal(c->image_dir, "/data/ecs/images");
	assert_string_equal(c->log_file, "/logs/a");
}

static void endpoints_get_a_scheme(void **state _unused_)
{
	_cleanup_(config_freep) struct config *c = NULL;

	assert_int_equal(
		load("ECS_BACKEND_HOST=ecs.example.com/\nAWS_ENDPOINT_URL=http://127.0.0.1:1/\n",
		     NULL, &c, NULL),
		0);
	assert_string_equal(c->backend_host, "https://ecs.example.com");
	assert_string_equal(c->endpoint_url, "http://127.0.0.1:1");
}

static char *printed(const struct config *c, bool json)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	config_print(c, f, json);
	(void) fclose(f);
	return text;
}

static void secrets_are_never_printed_or_noted(void **state _unused_)
{
	_cleanup_(config_freep) struct config *c = NULL;
	_cleanup_(freep) char *plain = NULL, *json = NULL;

	assert_int_equal(
		load("AWS_SECRET_ACCESS_KEY=hunter2\nECS_ENGINE_AUTH_DATA={\"hunter2\":1}\n", NULL,
		     &c, NULL),
		0);
	plain = printed(c, false);
	json = printed(c, true);
	assert_null(strstr(plain, "hunter2"));
	assert_null(strstr(json, "hunter2"));
	assert_non_null(strstr(plain, "AWS_SECRET_ACCESS_KEY=(set)\n"));
	assert_non_null(strstr(plain, "AWS_SESSION_TOKEN=\n"));
}

static void a_key_that_is_set_twice_is_told(void **state _unused_)
{
	_cleanup_(config_freep) struct config *c = NULL;
	_cleanup_(freep) char *n = NULL, *text = NULL;

	assert_int_equal(load("ECS_CLUSTER=one\nAWS_SECRET_ACCESS_KEY=s1\nECS_CLUSTER=two\n"
			      "AWS_SECRET_ACCESS_KEY=s2\nECS_CLUSTER=three\nECS_CLUSTER=\n",
			      NULL, &c, NULL),
			 0);
	assert_string_equal(c->cluster, "three");
	assert_non_null(strstr(config_origin(c, "ECS_CLUSTER"), "/ecs.config:5"));
	assert_null(config_origin(c, "ECS_LOGLEVEL"));
	n = notes(c);
	assert_string_equal(n, "ecs.config:1: ECS_CLUSTER is set once more in line 5, which is the "
			       "one that counts\n"
			       "ecs.config:2: AWS_SECRET_ACCESS_KEY is set once more in line 4, "
			       "which is the one that "
			       "counts\n"
			       "ecs.config:3: ECS_CLUSTER is set once more in line 5, which is the "
			       "one that counts");
	text = printed(c, true);
	assert_non_null(strstr(text, "\"origins\": {"));
	assert_null(strstr(text, "s2"));
}

/* Which tell where a setting stood. */
static void drop_comments(char *text)
{
	char *to = text;

	for (char *line = text, *end; *line; line = end) {
		end = line + strcspn(line, "\n");
		end += *end == '\n';
		if (*line != '#') {
			memmove(to, line, (size_t) (end - line));
			to += end - line;
		}
	}
	*to = '\0';
}

static void what_is_printed_can_be_read_back(void **state _unused_)
{
	_cleanup_(config_freep) struct config *a = NULL, *b = NULL;
	_cleanup_(freep) char *first = NULL, *second = NULL;

	assert_int_equal(load("ECS_INSTANCE_ATTRIBUTES={\"a\":\"b\"}\nECS_CGROUP_CPU_PERIOD=50ms\n"
			      "ECS_TASK_PIDS_LIMIT=10\nECS_LOG_MAX_FILE_SIZE_MB=0.5\n",
			      NULL, &a, NULL),
			 0);
	first = printed(a, false);
	assert_non_null(strstr(first, "/ecs.config:2\nECS_CGROUP_CPU_PERIOD=50ms\n"));
	assert_non_null(strstr(first, "ECS_INSTANCE_ATTRIBUTES={\"a\":\"b\"}\n"));
	assert_int_equal(load(first, NULL, &b, NULL), 0);
	second = printed(b, false);
	drop_comments(first);
	drop_comments(second);
	assert_string_equal(first, second);
	assert_int_equal(b->n_notes, 0);
}

static int set_up(void **state _unused_)
{
	if (!mkdtemp(dir))
		return -1;
	(void) file("os-release", "NAME=\"Debian\"\nID=debian\nVERSION_ID=\"12\"\n");
	(void) file("port-range", "32768\t60999\n");
	return 0;
}

static int tear_down(void **state _unused_)
{
	return fs_remove_tree(AT_FDCWD, dir, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_those_of_a_drop_in_agent),
		cmocka_unit_test(dynamic_ports_stay_outside_the_ephemeral_range),
		cmocka_unit_test(a_file_is_read_as_its_users_write_it),
		cmocka_unit_test(the_environment_wins_over_the_stronger_file_over_the_weaker),
		cmocka_unit_test(refused_values_are_named_with_file_line_key_and_bounds),
		cmocka_unit_test(some_values_stop_the_start),
		cmocka_unit_test(tasks_get_interfaces_unless_the_host_is_external),
		cmocka_unit_test(unknown_keys_are_told_once_with_the_nearest_one),
		cmocka_unit_test(paths_of_the_reference_agents_container_keep_their_meaning),
		cmocka_unit_test(endpoints_get_a_scheme),
		cmocka_unit_test(secrets_are_never_printed_or_noted),
		cmocka_unit_test(a_key_that_is_set_twice_is_told),
		cmocka_unit_test(what_is_printed_can_be_read_back),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
