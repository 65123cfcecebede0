/* SPDX-License-Identifier: Apache-2.0 */
/* ecsctl run: a task definition on this host, without a control plane. The agent converts and checks it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/follow.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/fs.h"
#include "common/json.h"

enum { DEFINITION_MAX = 1024 * 1024 };

struct run_words {
	const char *file, *name, *family, *container;
	bool detach, remove;
	json_t *environment; /* owned: [{name, value}] */
	json_t *ignored;     /* owned: names of members */
	char *const *command;
};

/* ---- the words ---- */

static int take_env(const struct invocation *i, struct run_words *w, const char *value)
{
	size_t n = value ? strcspn(value, "=") : 0;
	const char *ours = value && !value[n] ? getenv(value) : NULL;

	/* "NAME" alone passes on the caller's, as Docker does. */
	if (n == 0 || (!value[n] && !ours))
		return usage_error(i,
				   "--env wants NAME=VALUE, or the name of a variable that is set");
	return json_array_append_new(w->environment,
				     json_pack("{s:s%, s:s}", "name", value, n, "value",
					       ours ? ours : value + n + 1)) < 0
		       ? CTL_FAILED
		       : CTL_OK;
}

static bool take_text(const struct invocation *i, int *n, struct run_words *w)
{
	const struct {
		const char *option;
		const char **to;
	} texts[] = { { "--name", &w->name },
		      { "--family", &w->family },
		      { "--container", &w->container } };

	for (size_t j = 0; j < ARRAY_SIZE(texts); j++)
		if (take_option(i, n, texts[j].option, texts[j].to))
			return *texts[j].to != NULL;
	return false;
}

static int take_word(const struct invocation *i, int *n, struct run_words *w)
{
	const char *value = NULL;

	if (take_option(i, n, "-d", NULL) || take_option(i, n, "--detach", NULL))
		w->detach = true;
	else if (take_option(i, n, "--rm", NULL))
		w->remove = true;
	else if (take_option(i, n, "--env", &value) || take_option(i, n, "-e", &value))
		return take_env(i, w, value);
	else if (take_option(i, n, "--ignore", &value) && value)
		return json_array_append_new(w->ignored, json_string(value)) < 0 ? CTL_FAILED
										 : CTL_OK;
	else if (take_text(i, n, w))
		return CTL_OK;
	else if (!w->file && (*i->argv[*n] != '-' || !i->argv[*n][1]))
		w->file = i->argv[*n];
	else
		return usage_error(i, i->argv[MIN(*n, i->argc - 1)]);
	return CTL_OK;
}

static int parse(const struct invocation *i, struct run_words *w)
{
	int code = CTL_OK;

	for (int n = 0; code == CTL_OK && n < i->argc; n++) {
		if (strcmp(i->argv[n], "--") == 0) {
			w->command = i->argv + n + 1;
			break;
		}
		code = take_word(i, &n, w);
	}
	if (code == CTL_OK && w->command && !*w->command)
		return usage_error(i, "which command? nothing stands behind --");
	return code != CTL_OK || w->file ? code : usage_error(i, "which file? - is standard input");
}

/* ---- the definition ---- */

static int read_input(const char *file, char **ret, size_t *ret_len, struct err *err)
{
	_cleanup_(buf_done) struct buf b = { .max_bytes = DEFINITION_MAX };
	char chunk[16384];
	ssize_t n;

	if (strcmp(file, "-") != 0)
		return fs_read_file(AT_FDCWD, file, DEFINITION_MAX, ret, ret_len, err);
	while ((n = read(STDIN_FILENO, chunk, sizeof(chunk))) > 0)
		if (!buf_append(&b, chunk, (size_t) n))
			return err_set(err, EFBIG, "longer than %d bytes", DEFINITION_MAX);
	if (n < 0)
		return err_set_errno(err, errno, "read");
	*ret = strndup(buf_str(&b), b.len);
	*ret_len = b.len;
	return *ret ? 0 : err_set(err, ENOMEM, "allocate definition");
}

/* As register-task-definition takes it, or as describe-task-definition prints it. */
static int read_definition(const char *file, json_t **ret)
{
	_cleanup_(json_decrefp) json_t *o = NULL;
	_cleanup_(err_done) struct err err = {};
	_cleanup_(freep) char *text = NULL;
	json_t *inner;
	size_t len = 0;
	int k = read_input(file, &text, &len, &err);

	if (k == 0)
		k = json_parse(text, len, &o, &err);
	if (k < 0) {
		fprintf(stderr, "ecsctl: %s: %s\n",
			strcmp(file, "-") == 0 ? "standard input" : file, err_text(&err));
		return CTL_FAILED;
	}
	inner = json_object_get(o, "taskDefinition");
	*ret = json_incref(json_is_object(inner) ? inner : o);
	return CTL_OK;
}

static void leave_out(json_t *definition, const json_t *ignored)
{
	const json_t *name;
	json_t *c;
	size_t i, j;

	json_array_foreach(ignored, i, name) {
		const char *key = json_string_value(name);
		bool found = json_object_del(definition, key) == 0;

		json_array_foreach(json_object_get(definition, "containerDefinitions"), j, c)
			found = json_object_del(c, key) == 0 || found;
		if (!found)
			fprintf(stderr, "ecsctl: --ignore %s: the definition has no such member\n",
				key);
	}
}

/* The name of the container that options are for; NULL: said that there are several. */
static const char *chosen_container(const struct run_words *w, const json_t *definition)
{
	const json_t *all = json_object_get(definition, "containerDefinitions");

	if (w->container)
		return w->container;
	if (json_array_size(all) == 1)
		return json_get_string(json_array_get(all, 0), "name", "");
	fprintf(stderr,
		"ecsctl: the definition has %zu containers: say by --container which one --env and "
		"the "
		"command are for\n",
		json_array_size(all));
	return NULL;
}

static json_t *make_override(const struct run_words *w, const char *name)
{
	json_t *o = json_pack("{s:s}", "name", name), *words;

	if (json_array_size(w->environment) > 0)
		(void) json_object_set(o, "environment", w->environment);
	if (!w->command)
		return o;
	words = json_array();
	for (char *const *word = w->command; *word; word++)
		(void) json_array_append_new(words, json_string(*word));
	(void) json_object_set_new(o, "command", words);
	return o;
}

static int make_request(const struct run_words *w, json_t *definition, json_t **ret)
{
	json_t *o = json_pack("{s:O, s:b, s:s*, s:s*}", "taskDefinition", definition, "remove",
			      w->remove, "name", w->name, "family", w->family);
	const char *container = NULL;

	if (w->container || w->command || json_array_size(w->environment) > 0) {
		container = chosen_container(w, definition);
		if (!container) {
			json_decref(o);
			return CTL_USAGE;
		}
		(void) json_object_set_new(
			o, "overrides",
			json_pack("{s:[o]}", "containerOverrides", make_override(w, container)));
	}
	*ret = o;
	return o ? CTL_OK : CTL_FAILED;
}

/* ---- the whole ---- */

static int start(const struct invocation *i, const struct run_words *w, json_t **ret)
{
	_cleanup_(json_decrefp) json_t *definition = NULL, *request = NULL;
	_cleanup_(err_done) struct err err = {};
	const json_t *note;
	size_t n;
	int k, code = read_definition(w->file, &definition);

	if (code != CTL_OK)
		return code;
	leave_out(definition, w->ignored);
	code = make_request(w, definition, &request);
	if (code != CTL_OK)
		return code;
	k = client_send(i->socket, "POST", "/v1/run", request, ret, &err);
	if (k != 0)
		return report_error(k, &err);
	json_array_foreach(json_object_get(*ret, "notes"), n, note)
		fprintf(stderr, "ecsctl: note: %s\n", json_string_value(note));
	return CTL_OK;
}

int cmd_run(const struct invocation *i)
{
	_cleanup_(json_decrefp) json_t *environment = json_array(), *ignored = json_array(),
				       *answer = NULL;
	struct run_words w = { .environment = environment, .ignored = ignored };
	int code = parse(i, &w);

	if (code == CTL_OK)
		code = start(i, &w, &answer);
	if (code != CTL_OK)
		return code == CTL_FAILED && !w.detach ? FOLLOW_NOT_STARTED : code;
	if (!w.detach)
		return follow_task(i, json_get_string(answer, "arn", ""), w.remove);
	if (i->json)
		print_json(answer);
	else
		puts(json_get_string(answer, "id", ""));
	return CTL_OK;
}
