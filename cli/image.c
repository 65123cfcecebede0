/* SPDX-License-Identifier: Apache-2.0 */
/* Images are the business of ecs-image; the agent knows where it and the store are. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "common/cleanup.h"
#include "common/json.h"

#define DEFAULT_STORE "/var/lib/ecs/images"

static bool is_command(const char *word)
{
	static const char *const words[] = { "pull",  "load", "ls",     "inspect", "rm",
					     "prune", "du",   "verify", "save" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcmp(words[i], word) == 0)
			return true;
	return false;
}

static int run_image(const struct invocation *i, const char *libexec, const char *store)
{
	char **argv = calloc((size_t) i->argc + 6, sizeof(*argv));
	char program[PATH_MAX];
	int n = 0;

	if (!argv ||
	    (size_t) snprintf(program, sizeof(program), "%s/ecs-image", libexec) >= sizeof(program))
		return CTL_FAILED;
	argv[n++] = program;
	if (store) {
		argv[n++] = (char *) "--store";
		argv[n++] = (char *) store;
	}
	if (i->json)
		argv[n++] = (char *) "--json";
	for (int j = 0; j < i->argc; j++)
		argv[n++] = i->argv[j];
	(void) execv(program, argv);
	fprintf(stderr, "ecsctl: cannot run %s: %s\n", program, strerror(errno));
	free(argv);
	return CTL_FAILED;
}

int cmd_image(const struct invocation *i)
{
	_cleanup_(json_decrefp) json_t *answer = NULL;
	_cleanup_(err_done) struct err err = {};
	bool named = false, known = false;
	const char *store;

	for (int n = 0; n < i->argc; n++) {
		named |= strncmp(i->argv[n], "--store", 7) == 0;
		known |= is_command(i->argv[n]);
	}
	if (!known)
		return usage_error(i, "pull, load, save, ls, inspect, rm, prune, du or verify?");
	/* The store outlives the agent, so do these commands. */
	if (client_call(i->socket, "GET", "/v1/version", &answer, &err) != 0 && !named) {
		store = getenv("ECS_IMAGE_DIR");
		store = store && *store ? store : DEFAULT_STORE;
		fprintf(stderr, "ecsctl: %s; taking the store at %s\n", err_text(&err), store);
	} else
		store = json_get_string(answer, "imageDir", DEFAULT_STORE);
	return run_image(i, json_get_string(answer, "libexecDir", PKGLIBEXECDIR),
			 named ? NULL : store);
}
