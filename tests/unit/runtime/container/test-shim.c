/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/json.h"
#include "runtime/shim/args.h"
#include "runtime/shim/jsonlog.h"
#include "runtime/shim/logfile.h"
#include "runtime/shim/record.h"
#include "runtime/shim/shim.h"
#include "runtime/shim/verdict.h"
#include "runtime/shim/wire.h"
#include "tests/unit/runtime/container/unit.h"

static const struct timespec noon = { .tv_sec = 1746093600, .tv_nsec = 123456789 };

static void times_are_written_as_go_does(void **state _unused_)
{
	static const struct {
		struct timespec ts;
		const char *want;
	} cases[] = {
		{ { 0, 0 }, "1970-01-01T00:00:00Z" },
		{ { 1746093600, 123456789 }, "2025-05-01T10:00:00.123456789Z" },
		{ { 1746093600, 120000000 }, "2025-05-01T10:00:00.12Z" },
		{ { 951782399, 1 }, "2000-02-28T23:59:59.000000001Z" },
		{ { 951782400, 0 }, "2000-02-29T00:00:00Z" },
		{ { 4107542399, 0 }, "2100-02-28T23:59:59Z" },
		{ { 4107542400, 0 }, "2100-03-01T00:00:00Z" },
		{ { 1735689599, 999999999 }, "2024-12-31T23:59:59.999999999Z" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char buf[JSONLOG_TIME_MAX];

		assert_int_equal(jsonlog_format_time(&cases[i].ts, buf), strlen(cases[i].want));
		assert_string_equal(buf, cases[i].want);
	}
}

static void text_is_escaped_as_docker_does(void **state _unused_)
{
	static const struct {
		const char *text;
		const char *want;
	} cases[] = {
		{ "plain", "plain" },
		{ "a\"b\\c", "a\\\"b\\\\c" },
		{ "<&>", "\\u003c\\u0026\\u003e" },
		{ "\t\r\x1b\x7f", "\\u0009\\r\\u001b\x7f" },
		{ "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x99\x82",
		  "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x99\x82" },
		{ "\xff\xfe", "\\ufffd\\ufffd" },
		{ "\xc3", "\\ufffd" },                                  /* cut short */
		{ "\xc0\xaf", "\\ufffd\\ufffd" },                       /* overlong */
		{ "\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd" },            /* surrogate */
		{ "\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd" }, /* above U+10FFFF */
		{ "\xe2\x80\xa8\xe2\x80\xa9", "\\u2028\\u2029" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(freep) char *want =
			path_join("{\"log\":\"%s\\n\",\"stream\":\"stdout\",\"time\":\"2025-05-"
				  "01T10:00:00.123456789Z\"}\n",
				  cases[i].want);
		char out[JSONLOG_ENTRY_MAX];
		size_t n = jsonlog_format(out, cases[i].text, strlen(cases[i].text), true, "stdout",
					  &noon);

		assert_int_equal(n, strlen(want));
		assert_memory_equal(out, want, n);
	}
}

static void note(void *userdata, const char *text, size_t len, bool newline, const char *stream,
		 const struct timespec *ts)
{
	(void) stream;
	(void) buf_printf(userdata, "[%zu:%.8s%s@%d]", len,
			  len > 0 ? (char[9]){ text[0], len > 1 ? text[1] : 0 } : "",
			  newline ? "$" : "", (int) ts->tv_sec);
}

static void feed(struct jsonlog_stream *s, struct buf *b, const char *data, size_t len, bool eof,
		 int now)
{
	while (len > 0 || eof) {
		size_t room;
		char *to = jsonlog_space(s, &room);
		size_t n = MIN(room, len);

		assert_true(room > 0);
		memcpy(to, data, n);
		data += n;
		len -= n;
		jsonlog_feed(s, n, eof && len == 0, &(struct timespec){ .tv_sec = now }, note, b);
		if (len == 0)
			return;
	}
}

static void output_is_cut_into_lines(void **state _unused_)
{
	_cleanup_(buf_done) struct buf b = {};
	struct jsonlog_stream s = { .name = "stdout" };

	feed(&s, &b, "ab\ncd", 5, false, 1);
	feed(&s, &b, "ef\n\nx", 5, false, 2);
	feed(&s, &b, "", 0, true, 3);
	assert_string_equal(buf_str(&b), "[2:ab$@1][4:cd$@2][0:$@2][1:x@3]");
}

static void a_long_line_is_split_and_keeps_its_time(void **state _unused_)
{
	_cleanup_(buf_done) struct buf b = {};
	_cleanup_(freep) char *line = malloc(40000);
	struct jsonlog_stream s = { .name = "stdout" };

	memset(line, 'a', 40000);
	feed(&s, &b, line, 20000, false, 1);
	feed(&s, &b, line, 20000, false, 2);
	feed(&s, &b, "\nz\n", 3, true, 3);
	assert_string_equal(buf_str(&b), "[16384:aa@1][16384:aa@1][7232:aa$@1][1:z$@3]");
}

static void a_line_is_not_split_inside_a_character(void **state _unused_)
{
	_cleanup_(buf_done) struct buf b = {};
	_cleanup_(freep) char *line = malloc(JSONLOG_LINE_MAX + 3);
	struct jsonlog_stream s = { .name = "stdout" };

	memset(line, 'a', JSONLOG_LINE_MAX);
	memcpy(line + JSONLOG_LINE_MAX - 2, "\xe2\x82\xac\n", 4);
	feed(&s, &b, line, JSONLOG_LINE_MAX + 2, false, 1);
	assert_string_equal(buf_str(&b), "[16382:aa@1][3:\xe2\x82$@1]");
}

static void put(struct logfile *f, const char *text)
{
	logfile_put(f, text, strlen(text), true, "stdout", &noon);
	logfile_flush(f);
}

static struct logfile *open_log(const char *dir, int64_t max_bytes, int max_files)
{
	struct logfile *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->path = path_join("%s/log", dir);
	f->max_bytes = max_bytes;
	f->max_files = max_files;
	assert_int_equal(logfile_open(f), 0);
	return f;
}

static void close_log(struct logfile *f)
{
	(void) close(f->fd);
	free((char *) f->path);
	free(f);
}

static void files_rotate_and_the_oldest_goes(void **state)
{
	struct logfile *f = open_log(*state, 200, 3); /* an entry has 76 bytes: two fit */
	_cleanup_(freep) char *now = NULL, *one = NULL, *two = NULL, *three = NULL, *fresh = NULL;
	char line[] = "line 0";

	for (int i = 0; i < 9; i++, line[5]++)
		put(f, line);
	now = get_file(*state, "log");
	one = get_file(*state, "log.1");
	two = get_file(*state, "log.2");
	three = get_file(*state, "log.3");
	fresh = get_file(*state, "log.new");
	assert_true(strstr(now, "line 8") && !strstr(now, "line 7"));
	assert_true(strstr(one, "line 6") && strstr(one, "line 7"));
	assert_true(strstr(two, "line 4") && strstr(two, "line 5"));
	assert_null(three);
	assert_null(fresh);
	close_log(f);
}

static void one_file_starts_over(void **state)
{
	struct logfile *f = open_log(*state, 100, 1);
	_cleanup_(freep) char *now = NULL, *one = NULL;

	put(f, "first");
	put(f, "second");
	now = get_file(*state, "log");
	one = get_file(*state, "log.1");
	assert_true(strstr(now, "second") && !strstr(now, "first"));
	assert_null(one);
	close_log(f);
}

static void a_half_written_entry_is_cut_off(void **state)
{
	_cleanup_(freep) char *text = NULL;
	struct logfile *f;

	put_file(*state, "log", "{\"log\":\"whole\"}\n{\"log\":\"ha");
	f = open_log(*state, 0, 1);
	put(f, "next");
	text = get_file(*state, "log");
	assert_int_equal(strncmp(text, "{\"log\":\"whole\"}\n{\"log\":\"next\\n\"", 31), 0);
	close_log(f);
}

static void what_does_not_fit_is_counted_and_told(void **state)
{
	struct logfile *f = open_log(*state, 0, 1);
	struct rlimit old, small = { .rlim_cur = 100 };
	_cleanup_(freep) char *text = NULL;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small.rlim_max = old.rlim_max;
	(void) sigaction(SIGXFSZ, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0); /* stands for a full disk */
	put(f, "fits");
	put(f, "does not");
	put(f, "neither");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	put(f, "again");
	text = get_file(*state, "log");
	assert_non_null(strstr(text, "fits\\n"));
	assert_null(strstr(text, "does not"));
	assert_non_null(strstr(text, "ecs-shim: 2 log entries (157 bytes) are missing here"));
	assert_non_null(strstr(text, "again\\n"));
	close_log(f);
}

static void arguments_are_checked(void **state _unused_)
{
	char *good[] = { (char *) "ecs-shim",        (char *) "id=a",
			 (char *) "runc=/r",         (char *) "runc-root=/rr",
			 (char *) "run-dir=/d",      (char *) "bundle=/b",
			 (char *) "log-max-bytes=7", NULL };
	char *unknown[] = { (char *) "ecs-shim", (char *) "what=1", NULL };
	char *negative[] = { (char *) "ecs-shim", (char *) "log-max-bytes=-1", NULL };
	struct shim_args a = {};

	assert_null(shim_args_parse(7, good, &a));
	assert_string_equal(a.run_dir, "/d");
	assert_int_equal(a.log_max_bytes, 7);
	assert_string_equal(shim_args_parse(2, unknown, &a), "what=1");
	assert_string_equal(shim_args_parse(2, negative, &a), "log-max-bytes=-1");
	assert_string_equal(shim_args_parse(5, good, &a), "bundle");
}

static void messages_survive_the_wire(void **state _unused_)
{
	struct shim_wire_event e = { .magic = SHIM_WIRE_MAGIC,
				     .type = SHIM_WIRE_FAILED,
				     .pid = 7,
				     .message_len = 5,
				     .message = "a\nb\x7f"
						"c" },
			       got = {};
	struct shim_wire_command c = { .magic = SHIM_WIRE_MAGIC,
				       .type = SHIM_WIRE_SIGNAL,
				       .arg = 15 },
				 back = {};

	assert_int_equal(shim_wire_decode_event(&e, shim_wire_event_size(&e), &got), 0);
	assert_string_equal(got.message, "a b c");
	assert_int_equal(shim_wire_decode_event(&e, shim_wire_event_size(&e) - 1, &got), -EPROTO);
	e.message_len = SHIM_WIRE_MESSAGE_MAX;
	assert_int_equal(shim_wire_decode_event(&e, sizeof(e), &got), -EPROTO);
	assert_int_equal(shim_wire_decode_command(&c, sizeof(c), &back), 0);
	c.arg = 0;
	assert_int_equal(shim_wire_decode_command(&c, sizeof(c), &back), -EPROTO);
	c.arg = 9999;
	assert_int_equal(shim_wire_decode_command(&c, sizeof(c), &back), -EPROTO);
}

static void health_survives_the_wire(void **state _unused_)
{
	struct shim_wire_health h = { .magic = SHIM_WIRE_MAGIC,
				      .type = SHIM_WIRE_HEALTH,
				      .status = SHIM_WIRE_UNHEALTHY,
				      .exit_code = -1,
				      .since_ms = 1746802078031,
				      .output_len = 5 },
				got = {};
	struct shim_wire_event e;

	memcpy(h.output, "a\nb\0c", 5);
	assert_int_equal(shim_wire_decode_health(&h, shim_wire_health_size(&h), &got), 0);
	assert_int_equal(got.exit_code, -1);
	assert_memory_equal(got.output, "a\nb\0c", 5);
	assert_int_equal(shim_wire_decode_health(&h, shim_wire_health_size(&h) - 1, &got), -EPROTO);
	assert_int_equal(shim_wire_decode_event(&h, sizeof(h), &e), -EPROTO);
	h.output_len = SHIM_WIRE_HEALTH_OUTPUT_MAX;
	assert_int_equal(shim_wire_decode_health(&h, sizeof(h), &got), 0);
	h.output_len++;
	assert_int_equal(shim_wire_decode_health(&h, sizeof(h), &got), -EPROTO);
	h.output_len = 0;
	h.status = SHIM_WIRE_UNHEALTHY + 1;
	assert_int_equal(shim_wire_decode_health(&h, sizeof(h), &got), -EPROTO);
}

/* Rows of probes: '+' a success, '-' a failure; what the status is after each. */
static void a_verdict_follows_the_probes(void **state _unused_)
{
	static const struct {
		int64_t retries, start_period_ms;
		const char *probes, *want; /* s: starting, h: healthy, u: unhealthy */
	} cases[] = {
		{ 3, 0, "---+---+", "ssuhhhuh" }, { 1, 0, "-+-", "uhu" },
		{ 2, 0, "-+-+-+", "shhhhh" },  /* not in a row */
		{ 2, 3000, "-----", "sssuu" }, /* those begun at 1 and 2 s do not count */
		{ 1, 3000, "-+-", "shu" },     /* after a success all count */
		{ 1, 100000, "--+", "ssh" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct verdict_rules r = { cases[i].start_period_ms, cases[i].retries };
		struct verdict v = { .since_ms = 5 };

		for (size_t n = 0; cases[i].probes[n]; n++) {
			int64_t now = 1000 * (int64_t) (n + 1);
			struct verdict before = v;
			bool change = verdict_take(&v, &r, cases[i].probes[n] == '+', now, now);

			assert_int_equal("shu"[v.status], cases[i].want[n]);
			assert_int_equal(change, v.status != before.status);
			assert_int_equal(v.since_ms, change ? now : before.since_ms);
		}
	}
}

static void runcs_last_error_is_found(void **state _unused_)
{
	static const struct {
		const char *log, *want; /* NULL: none */
	} cases[] = {
		{ "{\"level\":\"error\",\"msg\":\"exec: \\\"nope\\\": not "
		  "found\",\"time\":\"x\"}\n",
		  "exec: \"nope\": not found" },
		{ "{\"level\":\"error\",\"msg\":\"one\"}\n{\"level\":\"warning\",\"msg\":\"w\"}\n",
		  "one" },
		{ "{\"level\":\"error\",\"msg\":\"one\"}\n{\"level\":\"fatal\",\"msg\":"
		  "\"two\\nlines\"}",
		  "two lines" },
		{ "{\"level\":\"error\",\"msg\":\"a\\u003cb\\u0007\"}\n", "a<b " },
		{ "{\"level\":\"error\",\"msg\":\"cut", NULL },
		{ "{\"level\":\"error\",\"msg\":\"\\u00", NULL },
		{ "{\"level\":\"info\",\"msg\":\"fine\"}\n", NULL },
		{ "", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char got[128] = "";

		assert_int_equal(record_parse_runc_error(cases[i].log, strlen(cases[i].log), got,
							 sizeof(got)),
				 cases[i].want != NULL);
		if (cases[i].want)
			assert_string_equal(got, cases[i].want);
	}
}

static void process_ids_are_parsed_strictly(void **state _unused_)
{
	assert_int_equal(record_parse_pid("123"), 123);
	assert_int_equal(record_parse_pid("0"), 0);
	assert_int_equal(record_parse_pid("-5"), 0);
	assert_int_equal(record_parse_pid("12x"), 0);
	assert_int_equal(record_parse_pid("99999999999999999999"), 0);
	assert_int_equal(record_parse_pid(""), 0);
}

/* Attaches to a directory that no shim serves and reads all events. */
static void expect_events(const char *dir, const char *want)
{
	_cleanup_(shim_freep) struct shim *s = NULL;
	_cleanup_(buf_done) struct buf got = {};
	struct shim_event e;
	int k = shim_attach(dir, &s, NULL);

	if (k == SHIM_E_ABSENT)
		(void) buf_puts(&got, "absent");
	while (k == 0 && shim_next_event(s, &e, NULL) > 0)
		(void) buf_printf(&got, "%d:%d:%d:%d:%s ", e.type, e.pid, e.exit_code, e.oom,
				  e.message);
	assert_string_equal(buf_str(&got), want);
	assert_true(k != 0 || shim_fd(s) < 0);
}

static void the_record_tells_what_happened(void **state)
{
	expect_events(*state, "absent");
	put_file(*state, "shim.pid", ""); /* made by the agent, the shim never ran */
	expect_events(*state, "absent");
	put_file(*state, "shim.pid", "999999999\n");
	expect_events(*state, "3:0:0:0: "); /* begun, nothing known */
	put_file(*state, "started",
		 "{\"pid\":4194000,\"startTicks\":1,\"bootId\":\"other\",\"startedAt\":5}\n");
	expect_events(*state, "0:4194000:0:0: 3:0:0:0: ");
	put_file(*state, "exit", "{\"exitCode\":137,\"signal\":9,\"oom\":true,\"finishedAt\":6}\n");
	expect_events(*state, "0:4194000:0:0: 2:0:137:1: ");
	put_file(*state, "exit", "{\"exitCode\":99999");
	put_file(*state, "error", "no such thing\n");
	expect_events(*state, "0:4194000:0:0: 1:0:0:0:no such thing ");
}

static void a_process_is_known_by_start_and_boot(void **state)
{
	char boot[RECORD_BOOT_ID_MAX] = "", want[64];

	(void) record_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", boot, sizeof(boot));
	assert_int_equal(
		record_write_started(AT_FDCWD, getpid(), record_start_ticks(getpid()), boot, 5), 0);
	assert_int_equal(rename("started", "started"), 0);
	(void) snprintf(want, sizeof(want), "0:%d:0:0: 3:%d:0:0: ", getpid(), getpid());
	put_file(*state, "shim.pid", "1\n");
	expect_events(*state, want);
}

static void an_init_that_awaits_signals_is_seen(void **state _unused_)
{
	assert_false(
		record_parse_awaits_signals("Name:\tx\nSigBlk:\t01\nSigIgn:\t0000000000000001\n"));
	assert_true(
		record_parse_awaits_signals("Name:\tx\nSigBlk:\t00\nSigIgn:\t0000000000300000\n"));
	assert_true(record_parse_awaits_signals("")); /* no telling: do not wait */
}

static void an_exec_is_seen(void **state _unused_)
{
	pid_t pid = fork();

	if (pid == 0)
		(void) pause();
	assert_true(pid > 0);
	assert_false(record_has_execed(pid));
	assert_true(record_has_execed(getpid()));
	(void) kill(pid, SIGKILL);
	(void) waitpid(pid, NULL, 0);
	assert_false(record_parse_has_execed("7 (a) b) S 1 7 7 0 -1 4194368 1 2"));
	assert_true(record_parse_has_execed("7 (a) b) S 1 7 7 0 -1 4194304 1 2"));
	assert_true(record_parse_has_execed("7 (a"));
}

static int make_cwd(void **state)
{
	return make_dir(state) < 0 ? -1 : chdir(*state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_are_written_as_go_does),
		cmocka_unit_test(text_is_escaped_as_docker_does),
		cmocka_unit_test(output_is_cut_into_lines),
		cmocka_unit_test(a_long_line_is_split_and_keeps_its_time),
		cmocka_unit_test(a_line_is_not_split_inside_a_character),
		cmocka_unit_test_setup_teardown(files_rotate_and_the_oldest_goes, make_dir,
						remove_dir),
		cmocka_unit_test_setup_teardown(one_file_starts_over, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(a_half_written_entry_is_cut_off, make_dir,
						remove_dir),
		cmocka_unit_test_setup_teardown(what_does_not_fit_is_counted_and_told, make_dir,
						remove_dir),
		cmocka_unit_test(arguments_are_checked),
		cmocka_unit_test(messages_survive_the_wire),
		cmocka_unit_test(health_survives_the_wire),
		cmocka_unit_test(a_verdict_follows_the_probes),
		cmocka_unit_test(an_init_that_awaits_signals_is_seen),
		cmocka_unit_test(an_exec_is_seen),
		cmocka_unit_test(runcs_last_error_is_found),
		cmocka_unit_test(process_ids_are_parsed_strictly),
		cmocka_unit_test_setup_teardown(the_record_tells_what_happened, make_dir,
						remove_dir),
		cmocka_unit_test_setup_teardown(a_process_is_known_by_start_and_boot, make_cwd,
						remove_dir),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
