/* SPDX-License-Identifier: Apache-2.0 */
/* ecsctl doctor: the agent knows what is whose; where none runs, its program looks at its state. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/table.h"
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

int cmd_doctor(const struct invocation *i)
{
	bool repair = i->argc == 1 && strcmp(i->argv[0], "--repair") == 0;
	_cleanup_(json_decrefp) json_t *answer = NULL;
	_cleanup_(err_done) struct err err = {};
	int k;

	if (i->argc > 0 && !repair)
		return usage_error(i, "--repair is all that can be asked for");
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
