/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "common/strv.h"
#include "runtime/volume/ecs-volume.h"
#include "runtime/volume/mountinfo.h"
#include "runtime/volume/volume.h"

static char *numeric_address(const char *name, struct err *err)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	char text[NI_MAXHOST];
	int k = getaddrinfo(name, NULL, &hints, &list);

	if (k == 0)
		k = getnameinfo(list->ai_addr, list->ai_addrlen, text, sizeof(text), NULL, 0,
				NI_NUMERICHOST);
	if (list)
		freeaddrinfo(list);
	if (k != 0) {
		(void) err_set(err, EHOSTUNREACH, "resolve '%s': %s", name, gai_strerror(k));
		return NULL;
	}
	return strdup(text);
}

/* The kernel takes addr= as a number only. */
static int resolve_server(char **options, struct err *err)
{
	const char *p = *options;
	_cleanup_(freep) char *name = NULL, *address = NULL;
	size_t before, len;
	char *fresh;

	while (p && strncmp(p, "addr=", 5) != 0) {
		p = strchr(p, ',');
		p += p != NULL;
	}
	if (!p)
		return 0;
	before = (size_t) (p - *options) + 5;
	len = strcspn(p + 5, ",");
	name = strndup(p + 5, len);
	address = name ? numeric_address(name, err) : NULL;
	if (!address)
		return err->code ? -err->code : err_set(err, ENOMEM, "resolve the server");
	fresh = path_join("%.*s%s%s", (int) before, *options, address, p + 5 + len);
	if (!fresh)
		return err_set(err, ENOMEM, "resolve the server");
	free(*options);
	*options = fresh;
	return 0;
}

static int build_argv(char *const *mount_args, const char *target, char ***ret, struct err *err)
{
	_cleanup_(strv_freep) char **argv = NULL;
	bool internal = strv_contains(mount_args, "-i");
	int k = strv_append(&argv, "mount");

	for (size_t i = 0; k == 0 && mount_args[i]; i++) {
		k = strv_append(&argv, mount_args[i]);
		if (k == 0 && internal && i > 0 && strcmp(mount_args[i - 1], "-o") == 0)
			k = resolve_server(&argv[i + 1], err);
		if (k < 0 && err->code)
			return k;
	}
	if (k == 0)
		k = strv_append(&argv, target);
	if (k < 0)
		return err_set(err, ENOMEM, "list the arguments of mount");
	*ret = TAKE_PTR(argv);
	return 0;
}

int volume_attach(const char *dir, char *const *mount_args, struct err *err)
{
	_cleanup_(strv_freep) char **argv = NULL;
	_cleanup_(freep) char *target = path_join("%s/" VOLUME_DATA, dir);
	int k = target ? mountinfo_is_used(target, err) : err_set(err, ENOMEM, "make path");

	if (k != 0)
		return k < 0 ? k : 0;
	k = build_argv(mount_args, target, &argv, err);
	return k < 0 ? k : run_program(argv, err);
}

struct detaching {
	bool lazily;
	struct err *err;
};

static int detach_one(const char *path, void *userdata)
{
	struct detaching *d = userdata;

	if (umount2(path, UMOUNT_NOFOLLOW | (d->lazily ? MNT_DETACH : 0)) < 0 && errno != EINVAL)
		return err_set_errno(d->err, errno, "unmount '%s'", path);
	return 0;
}

int volume_detach(const char *dir, bool lazily, struct err *err)
{
	_cleanup_(freep) char *target = path_join("%s/" VOLUME_DATA, dir);
	struct detaching d = { lazily, err };

	return target ? mountinfo_below(target, detach_one, &d, err)
		      : err_set(err, ENOMEM, "make path");
}
