/* SPDX-License-Identifier: Apache-2.0 */
/* ecsctl exec: a process of our own in a container, by the runtime itself; it ends with the container. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "common/cleanup.h"
#include "common/fs.h"
#include "common/json.h"
#include "common/strv.h"

struct exec_words {
	const char *target, *user;
	int terminal; /* -1: where standard input is one */
	char *const *command;
};

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

static int run_runtime(const struct exec_words *w, const char *root, const char *id)
{
	const char *runc = getenv("ECS_RUNC");
	_cleanup_(strv_freep) char **argv = NULL;
	int k = strv_append(&argv, runc && *runc ? runc : "runc");
	bool terminal = w->terminal < 0 ? isatty(STDIN_FILENO) : w->terminal;
	const char *const fixed[] = { "--root", root, "exec" };

	for (size_t n = 0; k == 0 && n < ARRAY_SIZE(fixed); n++)
		k = strv_append(&argv, fixed[n]);
	if (k == 0 && terminal)
		k = strv_append(&argv, "--tty");
	if (k == 0 && w->user && strv_append(&argv, "--user") == 0)
		k = strv_append(&argv, w->user);
	if (k == 0)
		k = strv_append(&argv, id);
	for (char *const *word = w->command; k == 0 && *word; word++)
		k = strv_append(&argv, *word);
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
	return run_runtime(&w, root, json_get_string(c, "id", ""));
}
