/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/volume/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "common/strv.h"
#include "runtime/volume/efs.h"

const char *volume_option(const struct volume_spec *v, const char *key)
{
	for (size_t i = 0; i < v->n_options; i++)
		if (strcmp(v->options[i].key, key) == 0)
			return v->options[i].value;
	return "";
}

static int append_args(char ***args, const char *type, const char *options, const char *device,
		       bool internal, struct err *err)
{
	int k = strv_append(args, "-t");

	k = k ? k : strv_append(args, type);
	if (k == 0 && internal)
		k = strv_append(args, "-i");
	if (k == 0 && *options) {
		k = strv_append(args, "-o");
		k = k ? k : strv_append(args, options);
	}
	k = k ? k : strv_append(args, "--");
	k = k ? k : strv_append(args, device);
	return k < 0 ? err_set(err, ENOMEM, "list the arguments of mount") : 0;
}

/* ---- local: a directory, or what type, device and o describe ---- */

static int local_check(const struct volume_spec *v, struct err *err)
{
	static const char *const known[] = { "type", "device", "o", NULL };

	for (size_t i = 0; i < v->n_options; i++) {
		const struct json_pair *o = &v->options[i];

		if (strcmp(o->key, "size") == 0)
			return err_set(err, ENOTSUP,
				       "size: quota size requested but no quota support");
		if (!strv_contains((char *const *) known, o->key))
			return err_set(err, EINVAL, "invalid option: \"%.64s\"", o->key);
	}
	if (v->n_options == 0)
		return 0;
	if (!*volume_option(v, "type"))
		return err_set(err, EINVAL, "missing required option: \"type\"");
	if (!*volume_option(v, "device"))
		return err_set(err, EINVAL, "missing required option: \"device\"");
	return 0;
}

static bool names_server(const char *options)
{
	return strncmp(options, "addr=", 5) == 0 || strstr(options, ",addr=");
}

/*
 * An NFS mount whose options name the server needs no helper: the kernel is given what the options
 * say, as Docker does. One that has it in the device ("server:/path") is left to mount.nfs.
 */
static int local_mount_args(const struct volume_spec *v, char ***ret_args, struct err *err)
{
	_cleanup_(strv_freep) char **args = NULL;
	const char *type = volume_option(v, "type"), *o = volume_option(v, "o");
	bool internal = strncmp(type, "nfs", 3) == 0 && names_server(o);
	int k;

	if (v->n_options == 0) {
		*ret_args = NULL;
		return 0;
	}
	k = append_args(&args, type, o, volume_option(v, "device"), internal, err);
	if (k == 0)
		*ret_args = TAKE_PTR(args);
	return k;
}

/* ---- amazon-ecs-volume-plugin: amazon-efs-utils' mount helper ---- */

static int plugin_check(const struct volume_spec *v, struct err *err)
{
	const char *device = volume_option(v, "device");

	if (strcmp(volume_option(v, "type"), "efs") != 0)
		return err_set(err, ENOTSUP, "type: '%.32s' is not supported by this build",
			       volume_option(v, "type"));
	if (!*device || *device == '-')
		return err_set(err, EINVAL, "missing required option: \"device\"");
	return 0;
}

static int plugin_mount_args(const struct volume_spec *v, char ***ret_args, struct err *err)
{
	_cleanup_(strv_freep) char **args = NULL;
	int k = append_args(&args, volume_option(v, "type"), volume_option(v, "o"),
			    volume_option(v, "device"), false, err);

	if (k == 0)
		*ret_args = TAKE_PTR(args);
	return k;
}

static const struct volume_driver drivers[] = {
	{ "local", local_check, local_mount_args },
	{ EFS_PLUGIN, plugin_check, plugin_mount_args },
};

const struct volume_driver *volume_driver_find(const char *name)
{
	if (!name || !*name)
		name = "local";
	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
		if (strcmp(drivers[i].name, name) == 0)
			return &drivers[i];
	return NULL;
}

int volume_check(const struct volume_spec *v, struct err *err)
{
	const struct volume_driver *d = volume_driver_find(v->driver);

	if (!d)
		return err_set(err, ENOTSUP,
			       "driver: '%.64s' is not supported by this build, which has 'local'",
			       v->driver);
	return d->check(v, err);
}

int volume_mount_args(const struct volume_spec *v, char ***ret_args, struct err *err)
{
	const struct volume_driver *d = volume_driver_find(v->driver);

	return d ? d->mount_args(v, ret_args, err) : volume_check(v, err);
}

/* ---- directories ---- */

bool volume_name_is_valid(const char *name)
{
	static const char first[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	size_t n = strlen(name);

	return n >= 1 && n <= VOLUME_NAME_MAX && strchr(first, name[0]) &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") ==
		       n;
}

int volume_make(const char *dir, const char *owner, struct err *err)
{
	_cleanup_(freep) char *data = path_join("%s/" VOLUME_DATA, dir);
	_cleanup_(closep) int fd = -EBADF;
	int k = data ? fs_mkdir_p(dir, 0700, err) : err_set(err, ENOMEM, "make path");

	if (k < 0)
		return k;
	if (access(data, F_OK) == 0)
		return 0;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set_errno(err, errno, "open '%s'", dir);
	if (owner)
		k = fs_write_file_volatile(fd, VOLUME_OWNER, owner, strlen(owner), 0600, err);
	if (k < 0)
		return k;
	if (mkdirat(fd, VOLUME_DATA, 0755) < 0 && errno != EEXIST)
		return err_set_errno(err, errno, "make '%s'", data);
	return fchmodat(fd, VOLUME_DATA, 0755, 0) < 0 ? err_set_errno(err, errno, "make '%s'", data)
						      : 0;
}
