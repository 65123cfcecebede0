/* SPDX-License-Identifier: Apache-2.0 */
/* dockerSecurityOptions: "name", "name:value" and "name=value". */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/engine/payload.h"
#include "common/fs.h"
#include "common/strv.h"
#include "runtime/seccomp/docker.h"

static int no_new_privileges(struct container *c, const char *value, struct err *err)
{
	if (*value && strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
		return err_set(err, EPROTO, "'no-new-privileges:%.64s' is neither true nor false",
			       value);
	c->no_new_privileges = strcmp(value, "false") != 0;
	return 0;
}

/* The whole of a profile is checked here, so that a bad one refuses the task and not the start. */
static int check_profile(const char *text, struct err *err)
{
	struct seccomp_host host = seccomp_this_host();
	json_auto_t *made = NULL;
	char *no_caps[] = { NULL };

	if (text[strspn(text, " \t\r\n")] != '{')
		return err_set(err, ENOTSUP,
			       "'%.64s': a file of the host is not read: the text of the profile "
			       "belongs here, 'unconfined' or 'builtin'",
			       text);
	return seccomp_from_docker(text, no_caps, &host, &made, err);
}

/* The last word counts. */
static int seccomp(struct container *c, const char *value, struct err *err)
{
	bool named = strcmp(value, "unconfined") == 0 || strcmp(value, "builtin") == 0;
	int k = named ? 0 : check_profile(value, err);

	if (k < 0) {
		(void) err_wrap(err, "'seccomp'");
		return k;
	}
	if (strdup_to(&c->docker.seccomp_profile, named ? NULL : value) < 0)
		return err_set(err, ENOMEM, "copy profile");
	c->unconfined_seccomp = named && *value == 'u';
	return 0;
}

/* The kernel would not know what to do with it, and the user counts on being confined. */
static int apparmor(struct container *c, const char *value, struct err *err)
{
	if (!*value)
		return err_set(err, EPROTO, "'apparmor' names no profile");
	if (strcmp(value, "unconfined") == 0) {
		free(c->docker.apparmor_profile);
		c->docker.apparmor_profile = NULL;
		return 0;
	}
	if (access("/sys/kernel/security/apparmor", F_OK) < 0)
		return err_set(err, ENOTSUP,
			       "'apparmor:%.64s': AppArmor is not enabled on this host", value);
	return strdup_to(&c->docker.apparmor_profile, value) < 0
		       ? err_set(err, ENOMEM, "copy profile")
		       : 0;
}

/* Without SELinux on the host a label says nothing, as in Docker. */
static int label(struct container *c, const char *value, struct err *err)
{
	static const char *const parts[] = { "user:", "role:", "type:", "level:", "filetype:" };

	if (strcmp(value, "disable") == 0 || strcmp(value, "nested") == 0)
		return strv_append(&c->docker.selinux_options, value) < 0
			       ? err_set(err, ENOMEM, "copy label")
			       : 0;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (strncmp(value, parts[i], strlen(parts[i])) == 0 && value[strlen(parts[i])])
			return strv_append(&c->docker.selinux_options, value) < 0
				       ? err_set(err, ENOMEM, "copy label")
				       : 0;
	return err_set(err, EPROTO,
		       "'label:%.64s' is none of user:, role:, type:, level: and disable", value);
}

static int credential_spec(struct container *c, const char *value, struct err *err)
{
	(void) c, (void) value;
	return err_set(err, ENOTSUP,
		       "'credentialspec': accounts of Active Directory are not supported by this "
		       "build");
}

int docker_security_option(struct container *c, const char *text, struct err *err)
{
	static const struct {
		const char *name;
		int (*apply)(struct container *c, const char *value, struct err *err);
	} options[] = {
		{ "no-new-privileges", no_new_privileges },
		{ "seccomp", seccomp },
		{ "apparmor", apparmor },
		{ "label", label },
		{ "credentialspec", credential_spec },
	};
	size_t n = strcspn(text, ":=");

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (strlen(options[i].name) == n && memcmp(options[i].name, text, n) == 0)
			return options[i].apply(c, text[n] ? text + n + 1 : "", err);
	return err_set(err, ENOTSUP, "'%.64s' is no security option that is known here", text);
}

/* ---- SELinux ---- */

int docker_selinux_labels(char *const *options, char **ret_process, char **ret_mount)
{
	const char *user = "system_u", *role = "system_r", *type = "container_t", *level = "s0",
		   *file_type = "container_file_t";
	const struct {
		const char *prefix;
		const char **part;
	} parts[] = { { "user:", &user },
		      { "role:", &role },
		      { "type:", &type },
		      { "level:", &level },
		      { "filetype:", &file_type } };

	*ret_process = *ret_mount = NULL;
	if (!options || !*options)
		return 0;
	for (; *options; options++) {
		if (strcmp(*options, "disable") == 0)
			return 0;
		for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
			if (strncmp(*options, parts[i].prefix, strlen(parts[i].prefix)) == 0)
				*parts[i].part = *options + strlen(parts[i].prefix);
	}
	*ret_process = path_join("%s:%s:%s:%s", user, role, type, level);
	*ret_mount = path_join("%s:object_r:%s:%s", user, file_type, level);
	if (*ret_process && *ret_mount)
		return 0;
	free(*ret_process);
	free(*ret_mount);
	*ret_process = *ret_mount = NULL;
	return -ENOMEM;
}
