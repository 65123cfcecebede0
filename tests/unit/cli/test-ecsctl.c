/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/host-check.h"
#include "cli/log-reader.h"
#include "cli/table.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/fs.h"
#include "common/json.h"
#include "common/macro.h"

struct sink {
	FILE *f;
	char *text;
	size_t len;
};

static void sink_open(struct sink *s)
{
	*s = (struct sink){};
	s->f = open_memstream(&s->text, &s->len);
	assert_non_null(s->f);
}

static const char *sink_text(struct sink *s)
{
	assert_int_equal(fflush(s->f), 0);
	return s->text;
}

static void sink_close(struct sink *s)
{
	(void) fclose(s->f);
	free(s->text);
}

static void columns_line_up(void **state _unused_)
{
	static const char *const headings[] = { "A", "LONG", "C", NULL };
	struct table t;
	struct sink s;

	sink_open(&s);
	table_init(&t, headings);
	table_put(&t, "wide cell");
	table_put(&t, "\xc3\xa4");
	table_put(&t, "x");
	table_put(&t, "b");
	table_put(&t, NULL);
	table_put(&t, "");
	table_print(&t, s.f);
	assert_string_equal(sink_text(&s), "A          LONG  C\n"
					   "wide cell  \xc3\xa4     x\n"
					   "b\n");
	table_done(&t);
	sink_close(&s);
}

static void control_bytes_cannot_reach_the_terminal(void **state _unused_)
{
	static const char *const headings[] = { "A", NULL };
	struct table t;
	struct sink s;

	sink_open(&s);
	table_init(&t, headings);
	table_put(&t, "a\033[2J\nb\x7f\xc2\x9b");
	table_print(&t, s.f);
	assert_string_equal(sink_text(&s), "A\na\\x1b[2J\\x0ab\\x7f\\xc2\\x9b\n");
	table_done(&t);
	sink_close(&s);
}

static void sizes_and_ages_are_short(void **state _unused_)
{
	static const struct {
		unsigned long long n;
		const char *text;
	} sizes[] = { { 0, "0B" },
		      { 1023, "1023B" },
		      { 1536, "1.50KiB" },
		      { 64ULL << 20, "64.0MiB" },
		      { 300ULL << 30, "300GiB" } };
	static const struct {
		long long ms;
		const char *text;
	} ages[] = { { -5, "0 seconds" },
		     { 1000, "1 second" },
		     { 59999, "59 seconds" },
		     { 60000, "1 minute" },
		     { 90 * 60000LL, "90 minutes" },
		     { 120 * 60000LL, "2 hours" },
		     { 47 * 3600000LL, "47 hours" },
		     { 48 * 3600000LL, "2 days" } };
	char buf[32];

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		assert_string_equal(format_bytes(buf, sizes[i].n), sizes[i].text);
	for (size_t i = 0; i < ARRAY_SIZE(ages); i++)
		assert_string_equal(format_age(buf, ages[i].ms), ages[i].text);
}

/* 2025-05-09T14:47:58.031Z */
#define NOW_MS 1746802078031LL

static const char ps_answer[] = "{\"tasks\":["
				"{\"id\":\"0123456789abcdef\",\"family\":\"web\",\"revision\":"
				"\"7\",\"lastStatus\":\"RUNNING\",\"containers\":["
				"{\"name\":\"web\",\"image\":\"nginx:1\",\"lastStatus\":"
				"\"RUNNING\",\"desiredStatus\":\"RUNNING\","
				"\"startedAt\":\"2025-05-09T14:44:58Z\",\"ports\":["
				"{\"hostPort\":61000,\"containerPort\":80,\"protocol\":\"tcp\"},{"
				"\"hostPort\":0,\"containerPort\":53,\"protocol\":\"udp\"}]},"
				"{\"name\":\"init\",\"image\":\"sh\",\"lastStatus\":\"STOPPED\","
				"\"exitCode\":3,\"finishedAt\":\"2025-05-09T14:45:58Z\","
				"\"error\":\"Oops\"}]},"
				"{\"id\":\"ffff\",\"family\":\"big\",\"revision\":\"1\","
				"\"lastStatus\":\"PENDING\",\"waitingFor\":\"memory (512 MiB)\","
				"\"waitingSince\":\"2025-05-09T14:47:50Z\",\"containers\":[{"
				"\"name\":\"x\",\"image\":\"y\",\"lastStatus\":\"NONE\"}]},"
				"{\"id\":\"dead\",\"family\":\"old\",\"revision\":\"2\","
				"\"lastStatus\":\"STOPPED\",\"containers\":["
				"{\"name\":\"x\",\"image\":\"y\",\"lastStatus\":\"STOPPED\","
				"\"error\":\"CannotPullContainerError\"}]}]}";

static void ps_tells_status_ports_and_waiting(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *answer = json_loads(ps_answer, 0, NULL);
	struct sink s;

	assert_non_null(answer);
	sink_open(&s);
	print_ps(answer, &(struct ps_wish){}, NOW_MS, s.f);
	assert_string_equal(
		sink_text(&s),
		"TASK          DEFINITION  CONTAINER  IMAGE    STATUS                          "
		"PORTS                          WAITING FOR\n"
		"0123456789ab  web:7       web        nginx:1  Up 3 minutes                    "
		"0.0.0.0:61000->80/tcp, 53/udp\n"
		"0123456789ab  web:7       init       sh       Exited (3) 2 minutes ago: Oops\n"
		"ffff          big:1       x          y        Pending                             "
		"                           memory (512 MiB), for 8 seconds\n");
	sink_close(&s);
	sink_open(&s);
	print_ps(answer, &(struct ps_wish){ .all = true }, NOW_MS, s.f);
	assert_non_null(strstr(sink_text(&s), "Failed: CannotPullContainerError"));
	sink_close(&s);
}

static void ps_tells_what_a_container_waits_for(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *answer = json_loads(
		"{\"tasks\":[{\"id\":\"1\",\"family\":\"f\",\"revision\":\"1\",\"containers\":["
		"{\"name\":\"db\",\"image\":\"i\",\"lastStatus\":\"RUNNING\",\"exitCode\":9,"
		"\"finishedAt\":\"2025-05-09T14:47:56Z\"},"
		"{\"name\":\"web\",\"image\":\"i\",\"lastStatus\":\"MANIFEST_PULLED\","
		"\"waitingFor\":\"container 'db' to be HEALTHY\","
		"\"waitingSince\":\"2025-05-09T14:47:50Z\"}]}]}",
		0, NULL);
	struct sink s;

	sink_open(&s);
	print_ps(answer, &(struct ps_wish){}, NOW_MS, s.f);
	assert_string_equal(
		sink_text(&s),
		"TASK  DEFINITION  CONTAINER  IMAGE  STATUS                    PORTS  WAITING FOR\n"
		"1     f:1         db         i      Restarting (9) 2 seconds\n"
		"1     f:1         web        i      Pending                          container "
		"'db' to be HEALTHY, for 8 seconds\n");
	sink_close(&s);
}

static void ps_tells_the_health(void **state _unused_)
{
	static const struct {
		const char *health, *want;
	} cases[] = { { "", "Up 3 minutes" },
		      { ",\"health\":{\"status\":\"HEALTHY\"}", "Up 3 minutes (healthy)" },
		      { ",\"health\":{\"status\":\"UNHEALTHY\"}", "Up 3 minutes (unhealthy)" },
		      { ",\"health\":{\"status\":\"UNKNOWN\"}",
			"Up 3 minutes (health: starting)" } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(freep) char *text = NULL;
		_cleanup_(json_decrefp) json_t *answer = NULL;
		struct sink s;

		assert_true(asprintf(&text,
				     "{\"tasks\":[{\"id\":\"1\",\"containers\":[{\"name\":\"a\","
				     "\"lastStatus\":\"RUNNING\",\"desiredStatus\":\"RUNNING\","
				     "\"startedAt\":\"2025-05-09T14:44:58Z\"%s}]}]}",
				     cases[i].health) > 0);
		answer = json_loads(text, 0, NULL);
		sink_open(&s);
		print_ps(answer, &(struct ps_wish){}, NOW_MS, s.f);
		assert_non_null(strstr(sink_text(&s), cases[i].want));
		assert_int_equal(strchr(sink_text(&s), '(') != NULL, i > 0);
		sink_close(&s);
	}
}

static void ps_without_tasks_is_its_headings(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *answer = json_loads("{\"tasks\":[]}", 0, NULL);
	struct sink s;

	sink_open(&s);
	print_ps(answer, &(struct ps_wish){}, NOW_MS, s.f);
	assert_string_equal(sink_text(&s), "TASK  DEFINITION  CONTAINER  IMAGE  STATUS  PORTS\n");
	sink_close(&s);
}

static void stats_leave_out_what_is_not_known(void **state _unused_)
{
	_cleanup_(json_decrefp) json_t *answer = json_loads(
		"{\"containers\":[{\"task\":\"t\",\"container\":\"c\",\"memoryBytes\":1048576},"
		"{\"task\":\"t\",\"container\":\"d\",\"cpuPercent\":12.34,\"memoryBytes\":1048576,"
		"\"memoryLimitBytes\":4194304,\"rxBytes\":10,\"txBytes\":2048,\"processes\":3}]}",
		0, NULL);
	struct sink s;

	sink_open(&s);
	print_stats(answer, s.f);
	assert_string_equal(
		sink_text(&s),
		"TASK  CONTAINER  CPU    MEMORY                     NET RX/TX      DISK R/W  "
		"PROCESSES\n"
		"t     c          -      1.00MiB                    -              -         0\n"
		"t     d          12.3%  1.00MiB / 4.00MiB (25.0%)  10B / 2.00KiB  -         3\n");
	sink_close(&s);
}

static void targets_are_split_at_the_container(void **state _unused_)
{
	static const struct {
		const char *text, *task, *container;
	} cases[] = {
		{ "abc", "abc", NULL },
		{ "abc/web", "abc", "web" },
		{ "arn:aws:ecs:r:1:task/lab/abc", "arn:aws:ecs:r:1:task/lab/abc", NULL },
		{ "arn:aws:ecs:r:1:task/lab/abc/web", "arn:aws:ecs:r:1:task/lab/abc", "web" },
		{ "", NULL, NULL },
		{ "/web", NULL, NULL },
		{ "abc/", NULL, NULL },
		{ "a/b/c", NULL, NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(freep) char *task = NULL, *container = NULL;
		int r = split_target(cases[i].text, &task, &container);

		if (!cases[i].task) {
			assert_int_equal(r, -EINVAL);
			continue;
		}
		assert_int_equal(r, 0);
		assert_string_equal(task, cases[i].task);
		if (cases[i].container)
			assert_string_equal(container, cases[i].container);
		else
			assert_null(container);
	}
}

static void log_lines_go_where_they_were_written(void **state _unused_)
{
	static const char out_line[] =
		"{\"log\":\"hello\\u0000\\n\",\"stream\":\"stdout\",\"time\":\"T1\"}";
	static const struct log_wish plain = {}, times = { .timestamps = true };
	static const char err_line[] = "{\"log\":\"oops\",\"stream\":\"stderr\",\"time\":\"T2\"}";
	struct sink out, errs;

	sink_open(&out);
	sink_open(&errs);
	assert_int_equal(log_print_line(out_line, strlen(out_line), &times, out.f, errs.f), 0);
	assert_int_equal(log_print_line(err_line, strlen(err_line), &plain, out.f, errs.f), 0);
	assert_int_equal(log_print_line("{\"log\":", 7, &plain, out.f, errs.f), -EBADMSG);
	(void) sink_text(&out);
	assert_int_equal(out.len, 10);
	assert_memory_equal(out.text, "T1 hello\0\n", 10);
	assert_string_equal(sink_text(&errs), "oops");
	sink_close(&out);
	sink_close(&errs);
}

static void only_http_is_an_answer(void **state _unused_)
{
	static const char good[] = "HTTP/1.1 404 Not Found\r\nA: b\r\n\r\nbody";
	static const char *const bad[] = { "", "HTTP/1.1", "HTTP/1.1 2x0 OK\r\n\r\n",
					   "SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 200 OK\r\n" };
	size_t body = 0;
	int code = 0;

	assert_int_equal(client_parse(good, strlen(good), &code, &body, NULL), 0);
	assert_int_equal(code, 404);
	assert_string_equal(good + body, "body");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(client_parse(bad[i], strlen(bad[i]), &code, &body, NULL), -EPROTO);
}

static void an_absent_agent_is_said_with_what_to_do(void **state _unused_)
{
	_cleanup_(err_done) struct err err = {};

	assert_true(client_connect("/nonexistent/agent.sock", &err) < 0);
	assert_string_equal(
		err.msg,
		"cannot reach the agent at /nonexistent/agent.sock: No such file or directory: "
		"is ecs-agent running? systemctl status ecs");
}

static void names_are_escaped_in_paths(void **state _unused_)
{
	_cleanup_(buf_done) struct buf b = {};

	client_put_component(&b, "arn:a/b c?\r\n%");
	assert_string_equal(buf_str(&b), "arn:a/b%20c%3F%0D%0A%25");
}

/* ---- the doctor looks at a host that lacks things ---- */

static void put_file(const char *root, const char *path, const char *text)
{
	_cleanup_(freep) char *whole = path_join("%s/%s", root, path);
	_cleanup_(freep) char *dir = strdup(whole);
	FILE *f;

	*strrchr(dir, '/') = '\0';
	assert_int_equal(fs_mkdir_p(dir, 0755, NULL), 0);
	f = fopen(whole, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void check_says(const json_t *list, const char *check, bool ok, const char *found)
{
	const json_t *o;
	size_t n;

	json_array_foreach(list, n, o) {
		if (strcmp(json_get_string(o, "check", ""), check) != 0)
			continue;
		assert_int_equal(json_is_true(json_object_get(o, "ok")), ok);
		assert_string_equal(json_get_string(o, "found", ""), found);
		assert_int_equal(*json_get_string(o, "advice", "") == '\0', ok);
		return;
	}
	fail_msg("nothing is said of %s", check);
}

static void the_doctor_names_what_a_host_lacks(void **state _unused_)
{
	char root[] = "/tmp/ecs-host-XXXXXX";
	_cleanup_(json_decrefp) json_t *bad = NULL, *good = NULL;
	struct host_paths p = { .root = root, .data_dir = root, .runc = "/bin/true" };

	assert_non_null(mkdtemp(root));
	put_file(root, "proc/filesystems", "nodev\tsysfs\n\text4\n\tmyoverlay\n");
	put_file(root, "proc/cgroups",
		 "#subsys_name\thierarchy\tnum_cgroups\tenabled\n"
		 "cpu\t2\t3\t1\nmemory\t0\t3\t0\npids\t4\t3\t1\n");
	bad = host_check(&p);
	assert_non_null(bad);
	check_says(bad, "overlayfs", false, "not in /proc/filesystems");
	check_says(bad, "cgroups", false, "version 1, without memory");
	check_says(bad, "seccomp", false, "missing");
	check_says(bad, "namespaces", false, "uts is missing");
	check_says(bad, "runc", false, "/bin/true: no answer");

	put_file(root, "proc/filesystems", "nodev\tsysfs\nnodev\toverlay\n");
	put_file(root, "sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory hugetlb pids\n");
	put_file(root, "proc/sys/kernel/seccomp/actions_avail", "kill_process errno allow\n");
	good = host_check(&p);
	check_says(good, "overlayfs", true, "there");
	check_says(good, "cgroups", true, "version 2");
	check_says(good, "seccomp", true, "there");
	assert_int_equal(fs_remove_tree(AT_FDCWD, root, NULL), 0);
}

static void old_versions_will_not_do(void **state _unused_)
{
	char version[64];

	assert_true(host_check_runc_text("runc version 1.1.5+ds1\ncommit: x\n", version, 64));
	assert_string_equal(version, "1.1.5+ds1");
	assert_true(host_check_runc_text("runc version 1.10.0\n", version, 64));
	assert_true(host_check_runc_text("runc version 1.2\n", version, 64));
	assert_false(host_check_runc_text("runc version 1.1.4\n", version, 64));
	assert_false(host_check_runc_text("runc version 1.0.3\n", version, 64));
	assert_false(host_check_runc_text("crun 1.8\n", version, 64));
	assert_true(host_check_kernel_text("6.1.0-13-cloud-amd64"));
	assert_true(host_check_kernel_text("5.4.0"));
	assert_true(host_check_kernel_text("5.10-rc1"));
	assert_false(host_check_kernel_text("4.19.0-9"));
	assert_false(host_check_kernel_text("linux"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns_line_up),
		cmocka_unit_test(control_bytes_cannot_reach_the_terminal),
		cmocka_unit_test(sizes_and_ages_are_short),
		cmocka_unit_test(ps_tells_status_ports_and_waiting),
		cmocka_unit_test(ps_tells_what_a_container_waits_for),
		cmocka_unit_test(ps_tells_the_health),
		cmocka_unit_test(ps_without_tasks_is_its_headings),
		cmocka_unit_test(stats_leave_out_what_is_not_known),
		cmocka_unit_test(targets_are_split_at_the_container),
		cmocka_unit_test(log_lines_go_where_they_were_written),
		cmocka_unit_test(the_doctor_names_what_a_host_lacks),
		cmocka_unit_test(old_versions_will_not_do),
		cmocka_unit_test(only_http_is_an_answer),
		cmocka_unit_test(an_absent_agent_is_said_with_what_to_do),
		cmocka_unit_test(names_are_escaped_in_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
