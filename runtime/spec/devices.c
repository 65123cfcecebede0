/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "runtime/spec/parts.h"

enum { DEPTH_MAX = 4, DEVICES_MAX = 4096 };

static int append_rule(json_t *rules, bool allow, const char *type, int major, int minor,
		       const char *access)
{
	json_t *r = json_pack("{s:b, s:s, s:s}", "allow", allow, "type", type, "access", access);

	if (major >= 0)
		(void) json_object_set_new(r, "major", json_integer(major));
	if (minor >= 0)
		(void) json_object_set_new(r, "minor", json_integer(minor));
	return json_array_append_new(rules, r);
}

/* What Docker allows: making any node, and using the harmless ones. */
static int append_default_rules(json_t *rules)
{
	static const struct {
		const char *type;
		int major, minor;
		const char *access;
	} allowed[] = {
		{ "c", -1, -1, "m" }, { "b", -1, -1, "m" },
		{ "c", 1, 3, "rwm" },                                     /* null */
		{ "c", 1, 5, "rwm" }, /* zero */ { "c", 1, 7, "rwm" },    /* full */
		{ "c", 1, 8, "rwm" }, /* random */ { "c", 1, 9, "rwm" },  /* urandom */
		{ "c", 5, 0, "rwm" }, /* tty */ { "c", 5, 1, "rwm" },     /* console */
		{ "c", 5, 2, "rwm" }, /* ptmx */ { "c", 136, -1, "rwm" }, /* pts */
	};

	if (append_rule(rules, false, "a", -1, -1, "rwm") < 0)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
		if (append_rule(rules, true, allowed[i].type, allowed[i].major, allowed[i].minor,
				allowed[i].access) < 0)
			return -ENOMEM;
	return 0;
}

static int append_node(json_t *nodes, json_t *rules, const struct stat *st, const char *path,
		       const char *permissions)
{
	const char *type = S_ISBLK(st->st_mode) ? "b" : "c";
	int maj = (int) major(st->st_rdev), min = (int) minor(st->st_rdev);

	if (json_array_append_new(nodes, json_pack("{s:s, s:s, s:i, s:i, s:i, s:I, s:I}", "path",
						   path, "type", type, "major", maj, "minor", min,
						   "fileMode", (int) (st->st_mode & 07777), "uid",
						   (json_int_t) st->st_uid, "gid",
						   (json_int_t) st->st_gid)) < 0)
		return -ENOMEM;
	return rules ? append_rule(rules, true, type, maj, min, permissions) : 0;
}

/* /dev entries that the container has of its own, or that are no devices. */
static bool is_own(const char *name, int depth)
{
	static const char *const own[] = { "pts",     "shm",   "fd",          "mqueue", "console",
					   "ptmx",    "stdin", "stdout",      "stderr", "core",
					   "initctl", ".lxc",  ".lxd-mounts", ".udev" };

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(own) && depth == 0; i++)
		if (strcmp(name, own[i]) == 0)
			return true;
	return false;
}

/* All devices in a directory, as a device request for one means; @rules NULL: nodes only. */
static int append_directory(json_t *nodes, json_t *rules, const char *host, const char *inside,
			    const char *permissions, int depth, struct err *err)
{
	_cleanup_(closedirp) DIR *d = opendir(host);
	struct dirent *e;

	if (!d)
		return err_set_errno(err, errno, "read '%s'", host);
	while ((e = readdir(d)) && json_array_size(nodes) < DEVICES_MAX) {
		_cleanup_(freep) char *from = path_join("%s/%s", host, e->d_name);
		_cleanup_(freep) char *to = path_join("%s/%s", inside, e->d_name);
		struct stat st;
		int k = 0;

		if (!from || !to)
			return err_set(err, ENOMEM, "read '%s'", host);
		if (is_own(e->d_name, depth) || lstat(from, &st) < 0)
			continue;
		if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
			k = append_node(nodes, rules, &st, to, permissions);
		else if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX)
			k = append_directory(nodes, rules, from, to, permissions, depth + 1, err);
		if (k < 0)
			return k;
	}
	return 0;
}

static int check(const struct spec_device *d, size_t i, struct err *err)
{
	const char *p = d->permissions ? d->permissions : "rwm";

	if (!d->host_path || !spec_path_is_clean(d->host_path))
		return err_set(err, EINVAL, "devices[%zu].hostPath: '%s' is no absolute path", i,
			       d->host_path ? d->host_path : "");
	if (d->container_path && !spec_path_is_clean(d->container_path))
		return err_set(err, EINVAL, "devices[%zu].containerPath: '%s' is no absolute path",
			       i, d->container_path);
	if (!*p || strspn(p, "rwm") != strlen(p))
		return err_set(err, EINVAL, "devices[%zu].permissions: '%s' is not made of r, w, m",
			       i, p);
	return 0;
}

static int append_requested(const struct spec_device *d, size_t i, json_t *nodes, json_t *rules,
			    struct err *err)
{
	const char *inside = d->container_path ? d->container_path : d->host_path,
		   *permissions = d->permissions ? d->permissions : "rwm";
	struct stat st;
	int k = check(d, i, err);

	if (k < 0)
		return k;
	if (stat(d->host_path, &st) < 0)
		return err_set_errno(err, errno, "devices[%zu].hostPath: '%s'", i, d->host_path);
	if (S_ISDIR(st.st_mode))
		return append_directory(nodes, rules, d->host_path, inside, permissions, 1, err);
	if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(err, EINVAL, "devices[%zu].hostPath: '%s' is not a device node", i,
			       d->host_path);
	return append_node(nodes, rules, &st, inside, permissions);
}

/* '*' is any, -1. The kernel keeps 12 bits of a major and 20 of a minor number. */
static bool parse_number(const char *text, long max, int *ret)
{
	char *end;
	long n = strcmp(text, "*") == 0 ? -1 : strtol(text, &end, 10);

	if (n >= 0 && (end == text || *end || n > max))
		return false;
	*ret = (int) n;
	return true;
}

/* "c 10:* rw": type, major and minor or '*', some of r, w and m. */
static int append_rule_text(const char *text, size_t i, json_t *to, struct err *err)
{
	enum { MAJOR_MAX = 4095, MINOR_MAX = 1048575 };
	char type = 0, major_text[16] = "", minor_text[16] = "", access[4] = "", end = 0;
	int n = sscanf(text, "%c %15[0-9*]:%15[0-9*] %3[rwm]%c", &type, major_text, minor_text,
		       access, &end);
	const char type_text[2] = { type, '\0' };
	int major_number = -1, minor_number = -1;

	if (n != 4 || !strchr("abc", type) || !parse_number(major_text, MAJOR_MAX, &major_number) ||
	    !parse_number(minor_text, MINOR_MAX, &minor_number))
		return err_set(err, EINVAL,
			       "deviceCgroupRules[%zu]: '%.64s' is not of the form 'c 10:* rwm'", i,
			       text);
	return append_rule(to, true, type_text, major_number, minor_number, access);
}

int spec_device_rules(char *const *rules, json_t *to, struct err *err)
{
	int k = 0;

	for (size_t i = 0; rules && rules[i] && k == 0; i++)
		k = append_rule_text(rules[i], i, to, err);
	return k;
}

int spec_devices(const struct container_spec *s, json_t **ret_nodes, json_t **ret_rules,
		 struct err *err)
{
	json_auto_t *nodes = json_array(), *rules = json_array();
	int k;

	if (s->privileged) {
		k = append_rule(rules, true, "a", -1, -1, "rwm");
		if (k == 0)
			k = append_directory(nodes, NULL, "/dev", "/dev", "rwm", 0, err);
	} else {
		k = append_default_rules(rules);
	}
	for (size_t i = 0; i < s->n_devices && k == 0; i++)
		k = append_requested(&s->devices[i], i, nodes, rules, err);
	if (k == 0)
		k = spec_device_rules(s->device_rules, rules, err);
	if (k < 0)
		return err && err->code ? k : err_set(err, ENOMEM, "devices");
	*ret_nodes = TAKE_PTR(nodes);
	*ret_rules = TAKE_PTR(rules);
	return 0;
}
