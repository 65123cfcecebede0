/* SPDX-License-Identifier: Apache-2.0 */
/* ecsctl exec: a process of our own in a container, by the runtime itself; it ends with the container. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "common/cleanup.h"
#include "common/fs.h"
#include "common/json.h"
#include "common/strv.h"

enum { PROC_FILE_MAX = 4 << 20 };

struct exec_words {
	const char *target, *user;
	int64_t uid, gid; /* what @user says */
	int terminal; /* -1: where standard input is one */
	char *const *command;
};

/* A user or group id in decimal digits, as far as they go; false: none, or greater than any. */
static bool parse_id(const char **text, int64_t *ret)
{
	size_t n = strspn(*text, "0123456789");

	*ret = n > 0 && n <= 10 ? strtoll(*text, NULL, 10) : -1;
	*text += n;
	return *ret >= 0 && *ret <= INT32_MAX; /* runc's bound */
}

static bool parse_user(const char *text, int64_t *ret_uid, int64_t *ret_gid)
{
	*ret_gid = 0;
	if (!parse_id(&text, ret_uid))
		return false;
	return !*text || (*text++ == ':' && parse_id(&text, ret_gid) && !*text);
}

static int parse(const struct invocation *i, struct exec_words *w)
{
	int n = 0;

	for (; n < i->argc && *i->argv[n] == '-'; n++) {
		if (take_option(i, &n, "-t", NULL) || take_option(i, &n, "--tty", NULL))
			w->terminal = 1;
		else if (take_option(i, &n, "-T", NULL) || take_option(i, &n, "--no-tty", NULL))
			w->terminal = 0;
		else if (!take_option(i, &n, "--user", &w->user) || !w->user)
			return usage_error(i, i->argv[n]);
	}
	if (w->user && !parse_user(w->user, &w->uid, &w->gid))
		return usage_error(i, "--user wants numbers up to 2147483647: UID[:GID]");
	if (n + 1 >= i->argc)
		return usage_error(i, "which container, and which command?");
	w->target = i->argv[n];
	w->command = i->argv + n + 1;
	if (strcmp(*w->command, "--") == 0 && !*++w->command)
		return usage_error(i, "which command?");
	return CTL_OK;
}

/* Where the runtime keeps its state, and which one it is. */
static int find_runtime(const struct invocation *i, char **ret_root)
{
	_cleanup_(json_decrefp) json_t *agent = NULL;
	_cleanup_(err_done) struct err err = {};
	int k = client_call(i->socket, "GET", "/v1/version", &agent, &err);

	if (k != 0)
		return report_error(k, &err);
	*ret_root = path_join("%s/runc", json_get_string(agent, "runDir", "/run/ecs"));
	return *ret_root ? CTL_OK : CTL_FAILED;
}

/* ---- the process ---- */

static char *slurp(const char *path, size_t *ret_len)
{
	char *text = NULL;

	return fs_read_file(AT_FDCWD, path, PROC_FILE_MAX, &text, ret_len, NULL) == 0 ? text : NULL;
}

/* The first number behind @name in /proc/PID/status; -1: not there. */
static int64_t status_number(const char *status, const char *name)
{
	const char *at = status ? strstr(status, name) : NULL;

	return at ? strtoll(at + strlen(name), NULL, 10) : -1;
}

/* UID[:GID], else as the container's first process. */
static json_t *user_json(const struct exec_words *w, const char *status)
{
	int64_t uid = w->user ? w->uid : status_number(status, "\nUid:");
	int64_t gid = w->user ? w->gid : status_number(status, "\nGid:");

	return json_pack("{s:I, s:I}", "uid", (json_int_t) uid, "gid", (json_int_t) gid);
}

/* The terminal's size from the first instruction on: the runtime sets it later, too, but the process may have asked. */
static json_t *console_size_json(void)
{
	struct winsize size = {};

	if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0 || !size.ws_row || !size.ws_col)
		return NULL;
	return json_pack("{s:i, s:i}", "height", size.ws_row, "width", size.ws_col);
}

static json_t *environment_json(const char *env, size_t len)
{
	json_t *list = json_array();

	for (size_t n = 0; n < len; n += strlen(env + n) + 1)
		if (env[n]) /* what is not UTF-8 JSON cannot carry: it is left out */
			(void) json_array_append_new(list, json_string(env + n));
	return list;
}

/*
 * Bundles are without their config.json once a container runs, as it may hold secrets; so the process is told whole,
 * through a file that has no name. What stands not in it (capabilities, limits) the runtime has from the start.
 */
static int write_process(const struct exec_words *w, int pid, bool terminal)
{
	_cleanup_(freep) char *status_path = path_join("/proc/%d/status", pid);
	_cleanup_(freep) char *environ_path = path_join("/proc/%d/environ", pid);
	_cleanup_(freep) char *cwd_path = path_join("/proc/%d/cwd", pid);
	_cleanup_(freep) char *status = NULL, *env = NULL, *text = NULL;
	_cleanup_(json_decrefp) json_t *process = NULL;
	json_t *args = json_array();
	char cwd[4096] = "";
	size_t len = 0;
	ssize_t n;
	int fd;

	if (!status_path || !environ_path || !cwd_path)
		return -ENOMEM;
	status = slurp(status_path, NULL);
	env = slurp(environ_path, &len);
	n = readlink(cwd_path, cwd, sizeof(cwd) - 1);
	if (!status || !env || n < 0)
		return -ESRCH;
	for (char *const *word = w->command; *word; word++)
		(void) json_array_append_new(args, json_string(*word));
	process = json_pack("{s:b, s:o*, s:o, s:o, s:o, s:s, s:b}", "terminal", terminal,
			    "consoleSize", terminal ? console_size_json() : NULL, "user",
			    user_json(w, status), "args", args, "env", environment_json(env, len),
			    "cwd", *cwd == '/' && !strstr(cwd, " (deleted)") ? cwd : "/",
			    "noNewPrivileges", status_number(status, "\nNoNewPrivs:") == 1);
	text = process ? json_to_text(process) : NULL;
	fd = text ? memfd_create("process", 0) : -1; /* the runtime inherits it */
	if (fd >= 0 && fs_write_all(fd, text, strlen(text)) == 0 && lseek(fd, 0, SEEK_SET) == 0)
		return fd;
	return -ENOMEM;
}

static int run_runtime(const struct exec_words *w, const char *root, const char *id, int pid)
{
	const char *runc = getenv("ECS_RUNC");
	_cleanup_(strv_freep) char **argv = NULL;
	int k = strv_append(&argv, runc && *runc ? runc : "runc");
	bool terminal = w->terminal < 0 ? isatty(STDIN_FILENO) : w->terminal;
	const char *const fixed[] = { "--root", root, "exec" };
	int fd = write_process(w, pid, terminal);
	_cleanup_(freep) char *file = path_join("/proc/self/fd/%d", fd);

	for (size_t n = 0; k == 0 && n < ARRAY_SIZE(fixed); n++)
		k = strv_append(&argv, fixed[n]);
	if (fd < 0 || !file) {
		fprintf(stderr, "ecsctl: cannot describe the process: %s\n", strerror(-fd));
		return CTL_FAILED;
	}
	if (k == 0)
		k = strv_append(&argv, "--process");
	if (k == 0)
		k = strv_append(&argv, file);
	if (k == 0)
		k = strv_append(&argv, id);
	if (k == 0)
		(void) execvp(argv[0], argv);
	fprintf(stderr, "ecsctl: cannot run %s: %s\n", argv ? argv[0] : "runc",
		strerror(k < 0 ? -k : errno));
	return CTL_FAILED;
}

int cmd_exec(const struct invocation *i)
{
	struct exec_words w = { .terminal = -1 };
	_cleanup_(freep) char *task = NULL, *name = NULL, *root = NULL;
	_cleanup_(json_decrefp) json_t *o = NULL;
	const json_t *c;
	int code = parse(i, &w);

	if (code == CTL_OK && split_target(w.target, &task, &name) < 0)
		code = usage_error(i, w.target);
	if (code == CTL_OK)
		code = fetch_task(i, task, &o);
	if (code == CTL_OK)
		code = find_runtime(i, &root);
	if (code != CTL_OK)
		return code;
	if (pick_container(o, name, &c) < 0)
		return CTL_FAILED;
	if (!json_object_get(c, "pid")) {
		fprintf(stderr, "ecsctl: container %s does not run (%s)\n",
			json_get_string(c, "name", ""), json_get_string(c, "lastStatus", "?"));
		return CTL_FAILED;
	}
	(void) fflush(NULL);
	return run_runtime(&w, root, json_get_string(c, "id", ""), (int) json_get_int(c, "pid", 0));
}
