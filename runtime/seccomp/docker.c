/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/seccomp/docker.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/strv.h"
#include "runtime/seccomp/docker-parts.h"

enum { NAME_MAX_LEN = 64, ERRNO_MAX = 4095, LAST_ARG = 5 };

static const struct action {
	const char *name;
	bool has_errno;
} actions[] = {
	{ "SCMP_ACT_ALLOW", false },       { "SCMP_ACT_ERRNO", true },
	{ "SCMP_ACT_KILL", false },        { "SCMP_ACT_KILL_PROCESS", false },
	{ "SCMP_ACT_KILL_THREAD", false }, { "SCMP_ACT_TRAP", false },
	{ "SCMP_ACT_TRACE", true },        { "SCMP_ACT_LOG", false },
};

/* ---- actions ---- */

/* @key and @errno_key of @from, checked, in @to; the former must be there. */
static int copy_action(const json_t *from, const char *key, const char *errno_key, json_t *to,
		       struct err *err)
{
	const struct action *action = NULL;
	const char *name;
	json_int_t number;
	int k = profile_text(from, key, &name, err);

	if (k == 0)
		k = profile_number(from, errno_key, ERRNO_MAX, &number, err);
	if (k < 0)
		return k;
	if (!name)
		return err_set(err, EPROTO, "%s: missing", key);
	if (strcmp(name, "SCMP_ACT_NOTIFY") == 0)
		return err_set(err, ENOTSUP,
			       "%s: 'SCMP_ACT_NOTIFY': there is nobody here to be notified", key);
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
		if (strcmp(name, actions[i].name) == 0)
			action = &actions[i];
	if (!action)
		return err_set(err, EPROTO, "%s: '%.64s' is no action", key, name);
	if (number >= 0 && !action->has_errno)
		return err_set(err, EPROTO, "%s: '%s' returns none", errno_key, name);
	k = json_object_set_new(to, key, json_string(name));
	if (number >= 0)
		k |= json_object_set_new(to, errno_key, json_integer(number));
	return k < 0 ? err_set(err, ENOMEM, "%s", key) : 0;
}

/* ---- architectures ---- */

static int append_arch(json_t *to, const json_t *value, struct err *err)
{
	const char *name = json_string_value(value), *known;
	uint32_t token;

	known = profile_arch(name, &token);
	if (!known)
		return err_set(err, EPROTO, "'%.64s' is no architecture ('SCMP_ARCH_…')",
			       name ? name : "");
	return json_array_append_new(to, json_string(known)) < 0
		       ? err_set(err, ENOMEM, "architecture")
		       : 0;
}

static int append_arches(json_t *to, const json_t *from, const char *key, struct err *err)
{
	json_t *list, *value;
	size_t i;
	int k = profile_list(from, key, SECCOMP_ARCHES_MAX, &list, err);

	json_array_foreach(list, i, value) {
		if (k == 0 && (k = append_arch(to, value, err)) < 0)
			(void) err_wrap(err, "%s[%zu]", key, i);
	}
	return k;
}

/* The entry of this host's architecture with those whose programs it runs, too. */
static int append_mapping(const struct profile_conditions *c, json_t *to, json_t *entry,
			  struct err *err)
{
	static const char *const known[] = { "architecture", "subArchitectures", NULL };
	json_auto_t *found = json_array();
	uint32_t token = 0;
	int k = profile_check_keys(entry, known, err);

	if (k == 0 && (k = append_arch(found, json_object_get(entry, "architecture"), err)) < 0)
		(void) err_wrap(err, "architecture");
	if (k == 0)
		k = append_arches(found, entry, "subArchitectures", err);
	if (k < 0)
		return k;
	(void) profile_arch(json_string_value(json_array_get(found, 0)), &token);
	if (token == c->host->arch && json_array_extend(to, found) < 0)
		return err_set(err, ENOMEM, "archMap");
	return 0;
}

/* None at all leaves the choice to the runtime, which takes the host's. */
static int convert_arches(const struct profile_conditions *c, const json_t *from, json_t *to,
			  struct err *err)
{
	json_auto_t *list = json_array();
	json_t *map, *entry;
	size_t i;
	int k = append_arches(list, from, "architectures", err);

	if (k == 0)
		k = profile_list(from, "archMap", SECCOMP_ARCHES_MAX, &map, err);
	if (k < 0)
		return k;
	if (json_array_size(list) > 0 && json_array_size(map) > 0)
		return err_set(err, EPROTO, "archMap: stands beside architectures");
	json_array_foreach(map, i, entry) {
		k = append_mapping(c, list, entry, err);
		if (k < 0) {
			(void) err_wrap(err, "archMap[%zu]", i);
			return k;
		}
	}
	if (json_array_size(list) > 0 && json_object_set(to, "architectures", list) < 0)
		return err_set(err, ENOMEM, "architectures");
	return 0;
}

/* ---- rules ---- */

static int convert_arg(json_t *from, json_t *to, struct err *err)
{
	static const char *const known[] = { "index", "value", "valueTwo", "op", NULL };
	static const char *const ops[] = { "SCMP_CMP_NE",        "SCMP_CMP_LT", "SCMP_CMP_LE",
					   "SCMP_CMP_EQ",        "SCMP_CMP_GE", "SCMP_CMP_GT",
					   "SCMP_CMP_MASKED_EQ", NULL };
	json_int_t index, value, two;
	const char *op;
	int k = profile_check_keys(from, known, err);

	if (k == 0)
		k = profile_number(from, "index", LAST_ARG, &index, err);
	if (k == 0)
		k = profile_number(from, "value", INT64_MAX, &value, err);
	if (k == 0)
		k = profile_number(from, "valueTwo", INT64_MAX, &two, err);
	if (k == 0)
		k = profile_text(from, "op", &op, err);
	if (k < 0)
		return k;
	if (!op || !strv_contains((char *const *) ops, op))
		return err_set(err, EPROTO, "op: '%.64s' is no comparison", op ? op : "");
	k = json_array_append_new(to,
				  json_pack("{s:I, s:I, s:I, s:s}", "index", MAX(index, 0), "value",
					    MAX(value, 0), "valueTwo", MAX(two, 0), "op", op));
	return k < 0 ? err_set(err, ENOMEM, "args") : 0;
}

static int convert_args(const json_t *rule, json_t *to, struct err *err)
{
	json_auto_t *args = json_array();
	json_t *list, *arg;
	size_t i;
	int k = profile_list(rule, "args", SECCOMP_ARGS_MAX, &list, err);

	json_array_foreach(list, i, arg) {
		if (k == 0 && (k = convert_arg(arg, args, err)) < 0)
			(void) err_wrap(err, "args[%zu]", i);
	}
	if (k == 0 && json_array_size(args) > 0 && json_object_set(to, "args", args) < 0)
		return err_set(err, ENOMEM, "args");
	return k;
}

static bool is_call_name(const json_t *value)
{
	const char *s = json_string_value(value);

	return s && *s && strlen(s) <= NAME_MAX_LEN &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(s);
}

static int convert_names(const json_t *rule, json_t *to, size_t *n_names, struct err *err)
{
	json_auto_t *names = json_array();
	json_t *list, *value;
	const char *single;
	size_t i;
	int k = profile_list(rule, "names", SECCOMP_NAMES_MAX, &list, err);

	if (k == 0)
		k = profile_text(rule, "name", &single, err);
	if (k < 0)
		return k;
	if (single && json_array_size(list) > 0)
		return err_set(err, EPROTO, "name: stands beside names");
	k = single ? json_array_append_new(names, json_string(single)) : 0;
	if (list)
		k |= json_array_extend(names, list);
	k |= json_object_set(to, "names", names);
	if (k < 0)
		return err_set(err, ENOMEM, "names");
	if (json_array_size(names) == 0)
		return err_set(err, EPROTO, "names: missing");
	json_array_foreach(names, i, value)
		if (!is_call_name(value))
			return err_set(err, EPROTO, "names[%zu]: '%.64s' is no system call", i,
				       json_string_value(value) ? json_string_value(value) : "");
	*n_names += json_array_size(names);
	if (*n_names > SECCOMP_NAMES_MAX)
		return err_set(err, EPROTO, "names: more than %d of all rules", SECCOMP_NAMES_MAX);
	return 0;
}

static int convert_rule(const struct profile_conditions *c, json_t *rule, json_t *to,
			size_t *n_names, struct err *err)
{
	static const char *const known[] = { "names",   "name",     "action",   "errnoRet", "args",
					     "comment", "includes", "excludes", NULL };
	json_auto_t *made = json_object();
	bool included, excluded;
	const char *comment;
	int k = profile_check_keys(rule, known, err);

	if (k == 0)
		k = convert_names(rule, made, n_names, err);
	if (k == 0)
		k = copy_action(rule, "action", "errnoRet", made, err);
	if (k == 0)
		k = convert_args(rule, made, err);
	if (k == 0)
		k = profile_text(rule, "comment", &comment, err);
	if (k == 0)
		k = profile_filter(c, rule, "includes", true, &included, err);
	if (k == 0)
		k = profile_filter(c, rule, "excludes", false, &excluded, err);
	if (k < 0 || !included || excluded)
		return k;
	return json_array_append(to, made) < 0 ? err_set(err, ENOMEM, "rule") : 0;
}

static int convert_rules(const struct profile_conditions *c, const json_t *from, json_t *to,
			 struct err *err)
{
	json_auto_t *rules = json_array();
	json_t *list, *rule;
	size_t i, n_names = 0;
	int k = profile_list(from, "syscalls", SECCOMP_RULES_MAX, &list, err);

	json_array_foreach(list, i, rule) {
		if (k == 0 && (k = convert_rule(c, rule, rules, &n_names, err)) < 0)
			(void) err_wrap(err, "syscalls[%zu]", i);
	}
	if (k == 0 && json_object_set(to, "syscalls", rules) < 0)
		return err_set(err, ENOMEM, "syscalls");
	return k;
}

/* Members of the format that would need what is not here. */
static int check_flags(const json_t *from, struct err *err)
{
	json_t *flags;
	int k = profile_list(from, "flags", SECCOMP_ARCHES_MAX, &flags, err);

	if (k == 0 && json_array_size(flags) > 0)
		return err_set(err, ENOTSUP,
			       "flags: not supported: not every release of the runtime takes them");
	return k;
}

int seccomp_from_docker(const char *text, char *const *caps, const struct seccomp_host *host,
			json_t **ret, struct err *err)
{
	static const char *const known[] = { "defaultAction",
					     "defaultErrnoRet",
					     "architectures",
					     "archMap",
					     "flags",
					     "syscalls",
					     NULL };
	struct profile_conditions c = { .host = host, .caps = caps };

	json_auto_t *from = NULL, *to = json_object();
	size_t len = strlen(text);
	int k;

	if (len > SECCOMP_TEXT_MAX)
		return err_set(err, EPROTO, "%zu bytes, more than %d", len, SECCOMP_TEXT_MAX);
	k = json_parse(text, len, &from, err);
	if (k == 0)
		k = profile_check_keys(from, known, err);
	if (k == 0)
		k = copy_action(from, "defaultAction", "defaultErrnoRet", to, err);
	if (k == 0)
		k = check_flags(from, err);
	if (k == 0)
		k = convert_arches(&c, from, to, err);
	if (k == 0)
		k = convert_rules(&c, from, to, err);
	if (k < 0)
		return k;
	*ret = json_incref(to);
	return 0;
}
