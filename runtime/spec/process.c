/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "runtime/spec/caps.h"
#include "runtime/spec/parts.h"

enum { ID_MAX = 0x7fffffff };

static const char *const rlimit_names[] = {
	"as",   "core",   "cpu",   "data", "fsize",  "locks",  "memlock",    "msgqueue",
	"nice", "nofile", "nproc", "rss",  "rtprio", "rttime", "sigpending", "stack",
};

/* jansson has no unsigned integers; 2^63-1 limits nothing that exists. */
static json_int_t clamp(uint64_t limit)
{
	return (json_int_t) MIN(limit, (uint64_t) INT64_MAX);
}

static int build_rlimits(const struct container_spec *s, json_t **ret, struct err *err)
{
	json_auto_t *list = json_array();

	for (size_t i = 0; i < s->n_rlimits; i++) {
		const struct spec_rlimit *r = &s->rlimits[i];
		char type[32] = "RLIMIT_";
		bool known = false;

		for (size_t n = 0; n < ARRAY_SIZE(rlimit_names) && r->name; n++)
			known = known || strcmp(rlimit_names[n], r->name) == 0;
		if (!known)
			return err_set(err, EINVAL, "ulimits[%zu].name: '%s' is not known", i,
				       r->name ? r->name : "");
		if (r->soft > r->hard)
			return err_set(err, EINVAL,
				       "ulimits[%zu]: %s: soft limit %llu is above hard limit %llu",
				       i, r->name, (unsigned long long) r->soft,
				       (unsigned long long) r->hard);
		for (size_t c = 0; r->name[c]; c++)
			type[7 + c] = (char) toupper((unsigned char) r->name[c]);
		if (json_array_append_new(list, json_pack("{s:s, s:I, s:I}", "type", type, "soft",
							  clamp(r->soft), "hard", clamp(r->hard))) <
		    0)
			return err_set(err, ENOMEM, "ulimits");
	}
	*ret = TAKE_PTR(list);
	return 0;
}

static int build_strings(char *const *v, const char *what, bool pairs, json_t **ret,
			 struct err *err)
{
	json_auto_t *list = json_array();

	for (size_t i = 0; v && v[i]; i++) {
		const char *eq = strchr(v[i], '=');

		if (pairs && (!eq || eq == v[i]))
			return err_set(err, EINVAL, "%s[%zu]: not of the form KEY=value", what, i);
		if (json_array_append_new(list, json_string(v[i])) < 0)
			return err_set(err, EINVAL, "%s[%zu]: not valid UTF-8", what, i);
	}
	*ret = TAKE_PTR(list);
	return 0;
}

static int build_user(const struct container_spec *s, json_t **ret, struct err *err)
{
	json_auto_t *gids = json_array();

	if (s->uid > ID_MAX || s->gid > ID_MAX)
		return err_set(err, EINVAL, "user: uids and gids must be in range 0-2147483647");
	for (size_t i = 0; i < s->n_additional_gids; i++) {
		if (s->additional_gids[i] > ID_MAX)
			return err_set(err, EINVAL,
				       "user: uids and gids must be in range 0-2147483647");
		(void) json_array_append_new(gids,
					     json_integer((json_int_t) s->additional_gids[i]));
	}
	*ret = json_pack("{s:I, s:I}", "uid", (json_int_t) s->uid, "gid", (json_int_t) s->gid);
	if (json_array_size(gids) > 0)
		(void) json_object_set(*ret, "additionalGids", gids);
	return *ret ? 0 : err_set(err, ENOMEM, "user");
}

/*
 * Nothing inheritable or ambient: a set-uid or plain exec
 * must not hand on more than the kernel would.
 */
static json_t *build_capabilities(uint64_t set)
{
	_cleanup_(freep) const char **names = caps_names(set);
	json_auto_t *list = json_array();

	for (size_t i = 0; names && names[i]; i++)
		(void) json_array_append_new(list, json_string(names[i]));
	return json_pack("{s:O, s:O, s:O}", "bounding", list, "effective", list, "permitted", list);
}

/* A working directory of /proc/self/fd/N, which is also /dev/fd/N, was a way out of the container
 * (CVE-2024-21626). */
static int check_cwd(const char *cwd, struct err *err)
{
	if (!spec_path_is_clean(cwd))
		return err_set(err, EINVAL,
			       "workingDirectory: '%s' is no absolute path without '..'", cwd);
	if (spec_path_is_below(cwd, "/proc") || spec_path_is_below(cwd, "/dev/fd"))
		return err_set(err, EINVAL, "workingDirectory: '%s' is below /proc or /dev/fd",
			       cwd);
	return 0;
}

static int set_label(json_t *process, const char *key, const char *value)
{
	return value ? json_object_set_new(process, key, json_string(value)) : 0;
}

int spec_process(const struct container_spec *s, uint64_t caps, json_t **ret, struct err *err)
{
	json_auto_t *args = NULL, *env = NULL, *user = NULL, *rlimits = NULL;
	const char *cwd = s->cwd && *s->cwd ? s->cwd : "/";
	int k;

	if (!s->args || !s->args[0] || !*s->args[0])
		return err_set(err, EINVAL, "command: no program is named");
	k = check_cwd(cwd, err);
	if (k == 0)
		k = build_strings(s->args, "command", false, &args, err);
	if (k == 0)
		k = build_strings(s->env, "environment", true, &env, err);
	if (k == 0)
		k = build_user(s, &user, err);
	if (k == 0)
		k = build_rlimits(s, &rlimits, err);
	if (k < 0)
		return k;
	*ret = json_pack("{s:b, s:O, s:O, s:O, s:s, s:o, s:O, s:b, s:i}", "terminal", s->terminal,
			 "user", user, "args", args, "env", env, "cwd", cwd, "capabilities",
			 build_capabilities(caps), "rlimits", rlimits, "noNewPrivileges",
			 s->no_new_privileges, "oomScoreAdj", s->oom_score_adj);
	if (!*ret || set_label(*ret, "apparmorProfile", s->apparmor_profile) < 0 ||
	    set_label(*ret, "selinuxLabel", s->selinux_label) < 0) {
		json_decref(*ret);
		*ret = NULL;
		return err_set(err, ENOMEM, "process");
	}
	return 0;
}
