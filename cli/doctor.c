/* SPDX-License-Identifier: Apache-2.0 */
/* ecsctl doctor: the agent knows what is whose; where none runs, its program looks at its state. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/host-check.h"
#include "cli/table.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/json.h"

static int ask_the_program(const struct invocation *i, bool repair, const struct err *why)
{
	char *argv[] = { (char *) "ecs-agent", (char *) "--doctor", NULL, NULL, NULL };
	int n = 2;

	fprintf(stderr, "ecsctl: %s; looking through the agent's state\n", err_text(why));
	if (repair)
		argv[n++] = (char *) "--repair";
	if (i->json)
		argv[n++] = (char *) "--json";
	(void) execvp(argv[0], argv);
	fprintf(stderr, "ecsctl: cannot run ecs-agent: %s\n", strerror(errno));
	return CTL_FAILED;
}

static void print(const json_t *answer, FILE *f)
{
	static const char *const headings[] = { "KIND", "NAME", "STATE", NULL };
	const json_t *o;
	struct table t;
	size_t n;

	table_init(&t, headings);
	json_array_foreach(json_object_get(answer, "leftovers"), n, o) {
		const char *error = json_get_string(o, "error", NULL);

		table_put(&t, json_get_string(o, "kind", ""));
		table_put(&t, json_get_string(o, "name", ""));
		if (error)
			table_putf(&t, "cannot be removed: %s", error);
		else
			table_put(&t, json_is_true(json_object_get(o, "repaired")) ? "removed"
										   : "left");
	}
	table_print(&t, f);
	table_done(&t);
}

/* ---- the host ---- */

/* What the agent says of it: the line names region, cluster, credentials or endpoint, whichever it waits for. */
static void add_agent(const struct invocation *i, json_t *list, char **ret_data_dir)
{
	_cleanup_(json_decrefp) json_t *status = NULL, *version = NULL;
	_cleanup_(err_done) struct err err = {};
	int k = client_call(i->socket, "GET", "/v1/status", &status, &err);
	bool ok = k == 0 && json_is_true(json_object_get(status, "acsConnected"));

	(void) json_array_append_new(
		list,
		json_pack("{s:s, s:s, s:b, s:s, s:s}", "check", "control plane", "level",
			  ok ? "ok" : "bad", "ok", ok, "found",
			  k == 0 ? json_get_string(status, "status", "") : err_text(&err), "advice",
			  ok       ? ""
			  : k == 0 ? "see ecs.config(5) for region, cluster, credentials and "
				     "proxies; journalctl -u ecs"
				   : "systemctl start ecs; journalctl -u ecs"));
	err_done(&err);
	if (client_call(i->socket, "GET", "/v1/version", &version, &err) == 0)
		*ret_data_dir = strdup(json_get_string(version, "dataDir", "/var/lib/ecs/data"));
}

/* Where no agent runs its program looks, with the settings of its files and of this environment. */
static json_t *services_by_program(struct err *err)
{
	_cleanup_(buf_done) struct buf b = { .max_bytes = 1024 * 1024 };
	FILE *f = popen("exec ecs-agent --check-services --json", "re");
	json_t *list = NULL;
	char chunk[4096];
	size_t n;

	while (f && (n = fread(chunk, 1, sizeof(chunk), f)) > 0)
		if (!buf_append(&b, chunk, n))
			break;
	if (!f || pclose(f) < 0)
		(void) err_set_errno(err, errno, "run ecs-agent --check-services");
	else if (b.len == 0)
		(void) err_set(err, ENOENT, "ecs-agent --check-services gives no answer");
	else if (json_parse(b.data, b.len, &list, err) < 0)
		(void) err_wrap(err, "ecs-agent --check-services");
	return list;
}

/* Endpoints, credentials, proxies, clock: the agent asks them. */
static void add_services(const struct invocation *i, json_t *list)
{
	_cleanup_(json_decrefp) json_t *answer = NULL, *alone = NULL;
	_cleanup_(err_done) struct err err = {};
	int k = client_call(i->socket, "GET", "/v1/doctor/services", &answer, &err);

	if (k == -ENOENT || k == -ECONNREFUSED) {
		err_done(&err);
		alone = services_by_program(&err);
	}
	if (json_array_extend(list, alone ? alone : json_object_get(answer, "checks")) == 0)
		return;
	(void) json_array_append_new(
		list, json_pack("{s:s, s:s, s:b, s:s, s:s}", "check", "services", "level", "bad",
				"ok", 0, "found", err_text(&err), "advice",
				"see journalctl -u ecs, and whether ecs-agent is on $PATH"));
}

static void print_checks(const json_t *list, FILE *f)
{
	static const char *const headings[] = { "CHECK", "STATE", "FOUND", "WHAT TO DO", NULL };
	const json_t *o;
	struct table t;
	size_t n;

	table_init(&t, headings);
	json_array_foreach(list, n, o) {
		table_put(&t, json_get_string(o, "check", ""));
		table_put(&t, !json_is_true(json_object_get(o, "ok"))                ? "BAD"
			      : strcmp(json_get_string(o, "level", ""), "warn") == 0 ? "warn"
										     : "good");
		table_put(&t, json_get_string(o, "found", ""));
		table_put(&t, json_get_string(o, "advice", ""));
	}
	table_print(&t, f);
	table_done(&t);
}

static int check_this_host(const struct invocation *i)
{
	_cleanup_(json_decrefp) json_t *list = NULL, *agent = json_array();
	_cleanup_(freep) char *data_dir = NULL;
	const char *runc = getenv("ECS_RUNC");
	int code = CTL_OK;
	const json_t *o;
	size_t n;

	add_agent(i, agent, &data_dir);
	add_services(i, agent);
	list = host_check(
		&(struct host_paths){ .root = "",
				      .data_dir = data_dir ? data_dir : "/var/lib/ecs/data",
				      .runc = runc && *runc ? runc : "runc" });
	if (!list || json_array_extend(list, agent) < 0)
		return CTL_FAILED;
	json_array_foreach(list, n, o)
		if (!json_is_true(json_object_get(o, "ok")))
			code = CTL_FAILED;
	if (i->json)
		print_json(list);
	else
		print_checks(list, stdout);
	return code;
}

int cmd_doctor(const struct invocation *i)
{
	bool repair = i->argc == 1 && strcmp(i->argv[0], "--repair") == 0;
	_cleanup_(json_decrefp) json_t *answer = NULL;
	_cleanup_(err_done) struct err err = {};
	int k;

	if (i->argc == 1 && strcmp(i->argv[0], "--host") == 0)
		return check_this_host(i);
	if (i->argc > 0 && !repair)
		return usage_error(i, "--host or --repair is all that can be asked for");
	k = client_call(i->socket, repair ? "POST" : "GET", "/v1/doctor", &answer, &err);
	if (k == -ENOENT || k == -ECONNREFUSED)
		return ask_the_program(i, repair, &err);
	if (k != 0) {
		fprintf(stderr, "ecsctl: %s\n", err_text(&err));
		return CTL_FAILED;
	}
	if (i->json) {
		json_dumpf(answer, stdout, JSON_INDENT(2));
		putchar('\n');
	} else if (json_array_size(json_object_get(answer, "leftovers")) > 0)
		print(answer, stdout);
	else
		puts("Nothing is left of tasks that are gone.");
	return json_get_int(answer, "left", 0) > 0 ? CTL_LEFT : CTL_OK;
}
