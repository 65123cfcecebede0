/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/fs.h"
#include "common/log.h"

static char dir[64], file[96];

static int setup(void **state)
{
	(void) state;
	(void) snprintf(dir, sizeof(dir), "/tmp/test-log.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	(void) snprintf(file, sizeof(file), "%s/sub/agent.log", dir);
	return 0;
}

static int teardown(void **state)
{
	(void) state;
	log_close();
	return fs_remove_tree(AT_FDCWD, dir, NULL);
}

static void open_log(enum log_format format, int64_t max_bytes, int max_files)
{
	struct log_params p = { .stream_level = LOG_NONE,
				.file_level = LOG_INFO,
				.format = format,
				.file = file,
				.rollover = LOG_ROLL_SIZE,
				.max_file_bytes = max_bytes,
				.max_files = max_files,
				.stream_fd = 2 };

	assert_int_equal(log_open(&p, NULL), 0);
}

static char *content(const char *path)
{
	char *data = NULL;

	assert_int_equal(fs_read_file(AT_FDCWD, path, 1 << 20, &data, NULL, NULL), 0);
	return data;
}

static void control_bytes_and_quotes_cannot_forge_a_line(void **state)
{
	_cleanup_(freep) char *text = NULL;
	struct log_field fields[] = { { "task", "a\"b" }, { "container", NULL }, {} };

	(void) state;
	open_log(LOG_LOGFMT, 0, 1);
	log_emit(LOG_WARN, fields, "bad\nlevel=info msg=\"x\x1b[0m\"");
	log_debug("not asked for");
	text = content(file);
	assert_non_null(strstr(text, "level=warn time=2"));
	assert_non_null(
		strstr(text, " msg=\"bad\\nlevel=info msg=\\\"x\\x1b[0m\\\"\" task=\"a\\\"b\"\n"));
	assert_null(strstr(text, "container="));
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void json_lines_are_json(void **state)
{
	_cleanup_(freep) char *text = NULL;
	json_auto_t *v = NULL;

	(void) state;
	open_log(LOG_JSON, 0, 1);
	log_emit(LOG_ERROR, (struct log_field[]){ { "task", "t1" }, {} }, "it's \"%s\"\n", "so");
	text = content(file);
	v = json_loads(text, 0, NULL);
	assert_non_null(v);
	assert_string_equal(json_string_value(json_object_get(v, "msg")), "it's \"so\"\n");
	assert_string_equal(json_string_value(json_object_get(v, "task")), "t1");
	assert_string_equal(json_string_value(json_object_get(v, "level")), "error");
}

static void full_files_are_rotated_and_old_ones_go(void **state)
{
	_cleanup_(freep) char *first = path_join("%s.1", file), *third = path_join("%s.3", file);
	_cleanup_(freep) char *second = path_join("%s.2", file);

	(void) state;
	open_log(LOG_LOGFMT, 100, 2);
	for (int i = 0; i < 8; i++)
		log_info("a line of some length, number %d, to fill the file", i);
	assert_int_equal(access(first, F_OK), -1); /* newer is higher: the lowest numbers go */
	assert_int_equal(access(second, F_OK), 0);
	assert_int_equal(access(third, F_OK), 0);
}

/* After years the numbers are high, and what is between is long gone. */
static void rotation_goes_on_from_the_newest(void **state)
{
	static const char *const names[] = { "4999", "5000", "5001", "5002", "5003" };
	static const bool kept[] = { false, false, false, true, true };
	_cleanup_(freep) char *backup = path_join("%s.4.bak", file);

	(void) state;
	open_log(LOG_LOGFMT, 60, 2);
	for (size_t i = 0; i < 3; i++) {
		_cleanup_(freep) char *path = path_join("%s.%s", file, names[i]);

		assert_int_equal(fs_write_file_volatile(AT_FDCWD, path, "", 0, 0600, NULL), 0);
	}
	assert_int_equal(fs_write_file_volatile(AT_FDCWD, backup, "", 0, 0600, NULL), 0);
	for (int i = 0; i < 3; i++)
		log_info("a line that fills the file");
	log_close();
	for (size_t i = 0; i < 5; i++) {
		_cleanup_(freep) char *path = path_join("%s.%s", file, names[i]);

		assert_int_equal(access(path, F_OK) == 0, kept[i]);
	}
	assert_int_equal(access(backup, F_OK), 0); /* somebody else's */
}

/* Where journald would listen, but in a mount namespace of our own. -1: no right to have one. */
static int listen_as_journal(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX,
				  .sun_path = "/run/systemd/journal/socket" };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", "/run", "tmpfs", 0, NULL) < 0 ||
	    fs_mkdir_p("/run/systemd/journal", 0755, NULL) < 0 ||
	    bind(fd, (struct sockaddr *) &sa, sizeof(sa)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static const char *received(int fd)
{
	static char text[4096];
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

	assert_true(n > 0);
	text[n] = '\0';
	return text;
}

static void the_journal_gets_what_a_line_is_about(void **state)
{
	const struct log_field fields[] = { { "task", "arn:t", "ECS_TASK_ARN" },
					    { NULL, "web", "ECS_CONTAINER_NAME" },
					    { NULL, "", "ECS_CONTAINER_ID" },
					    { "plain", "x" },
					    {} };
	struct log_params p = { .stream_level = LOG_INFO, .file_level = LOG_NONE };
	int pair[2], fd = listen_as_journal();
	char stream[64];
	struct stat st;
	const char *text;

	(void) state;
	if (fd < 0)
		skip();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(fstat(pair[0], &st), 0);
	(void) snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long) st.st_dev,
			(unsigned long long) st.st_ino);
	(void) setenv("JOURNAL_STREAM", stream, 1);
	p.stream_fd = pair[0];
	assert_int_equal(log_open(&p, NULL), 0);
	log_emit(LOG_WARN, fields, "one\nMESSAGE=two\x1b[0m");
	text = received(fd);
	assert_non_null(strstr(text, "MESSAGE=one\\nMESSAGE=two\\x1b[0m\n"));
	assert_non_null(strstr(text, "PRIORITY=4\n"));
	assert_non_null(strstr(text, "\nECS_TASK_ARN=arn:t\n"));
	assert_non_null(strstr(text, "\nECS_CONTAINER_NAME=web\n"));
	assert_non_null(strstr(text, "\nPLAIN=x\n"));
	assert_null(strstr(text, "ECS_CONTAINER_ID"));
	assert_null(strstr(text, "CODE_FILE"));
	assert_true(recv(pair[1], stream, sizeof(stream), MSG_DONTWAIT) <
		    0); /* not there as well */
	(void) unsetenv("JOURNAL_STREAM");
	close(fd), close(pair[0]), close(pair[1]);
}

static void levels_have_names(void **state)
{
	_cleanup_(err_done) struct err err = {};
	enum log_level level;

	(void) state;
	assert_int_equal(log_level_parse("WARN", &level, &err), 0);
	assert_int_equal(level, LOG_WARN);
	assert_int_equal(log_level_parse("none", &level, &err), 0);
	assert_int_equal(level, LOG_NONE);
	assert_true(log_level_parse("loud", &level, &err) < 0);
	assert_string_equal(err_text(&err),
			    "'loud' is not one of crit, error, warn, info, debug, none");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(control_bytes_and_quotes_cannot_forge_a_line, setup,
						teardown),
		cmocka_unit_test_setup_teardown(json_lines_are_json, setup, teardown),
		cmocka_unit_test_setup_teardown(full_files_are_rotated_and_old_ones_go, setup,
						teardown),
		cmocka_unit_test_setup_teardown(rotation_goes_on_from_the_newest, setup, teardown),
		cmocka_unit_test(levels_have_names),
		cmocka_unit_test(
			the_journal_gets_what_a_line_is_about), /* last: /run is another one after it */
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
