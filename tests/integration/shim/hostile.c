/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images that aim at the host: links where mounts go, links where the runtime writes. Each container
 * either starts and sees its own files only, or is refused; the host's files never change. Prints TAP.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "runtime/rootfs/rootfs.h"
#include "tests/integration/shim/box.h"
#include "tests/integration/shim/tap.h"

/* What stands for a file and a directory of the host that an image names. */
static char *victim, *trap;

static void put(const char *path, const char *text)
{
	(void) fs_write_file_volatile(AT_FDCWD, path, text, strlen(text), 0644, NULL);
}

static bool host_is_whole(void)
{
	_cleanup_(freep) char *text = NULL;

	return fs_read_file(AT_FDCWD, victim, 4096, &text, NULL, NULL) == 0 &&
	       strcmp(text, "of the host") == 0 && rmdir(trap) == 0 && mkdir(trap, 0777) == 0;
}

/* A layer with one member: a link to @to, or a directory when @to is NULL. Owned. */
static char *make_layer(const char *name, const char *to)
{
	static int n;
	char *dir = path_join("%s/hostile-%d", box_top(), n++);
	_cleanup_(freep) char *path = path_join("%s/%s", dir, name), *parent = strdup(path);

	*strrchr(parent, '/') = '\0';
	(void) fs_mkdir_p(parent, 0755, NULL);
	if ((to ? symlink(to, path) : mkdir(path, 0755)) < 0)
		printf("# %s: %s\n", path, strerror(errno));
	return dir;
}

/* Runs @script on @layer with @source bound at @target. Returns whether it ran to its end. */
static bool run(char *layer, const char *script, const char *target, char **ret_text)
{
	_cleanup_(boxp) struct box b;
	_cleanup_(freep) char *source = path_join("%s/bound", box_top());
	struct spec_mount mount = { source, target, "bind", "rbind,rprivate,rw" };
	struct shim_event e = {};
	bool good;

	put(source, "of the task");
	box_init(&b, script);
	b.upper_layer = layer;
	b.spec.mounts = &mount;
	b.spec.n_mounts = target ? 1 : 0;
	good = box_run(&b, &e, 20000) && e.type == SHIM_EXITED && e.exit_code == 0;
	if (ret_text)
		*ret_text = box_log(&b);
	return good;
}

/* What runc resolves inside the root is the container's own file, whatever the link says. */
static void mount_targets_that_are_links(void)
{
	_cleanup_(freep) char *up = path_join("../../../../../../../..%s", victim);
	const char *const to[] = { victim, up };

	for (size_t i = 0; i < ARRAY_SIZE(to); i++) {
		_cleanup_(freep) char *layer = make_layer("etc/hosts", to[i]), *text = NULL;

		ok(run(layer, "cat /etc/hosts; echo overwritten > /etc/hosts", "/etc/hosts",
		       &text) &&
			   strcmp(text, "of the task") == 0 && host_is_whole(),
		   i ? "/etc/hosts as a link upwards stays inside"
		     : "/etc/hosts as a link to a file of the host stays inside");
	}
}

static void mount_targets_below_proc(void)
{
	static const char *const to[] = { "/proc/self/environ", "/proc/sys/kernel/hostname",
					  "/proc/self/fd/1" };

	for (size_t i = 0; i < ARRAY_SIZE(to); i++) {
		_cleanup_(freep) char *layer = make_layer("etc/hosts", to[i]),
				      *name = path_join("/etc/hosts as a link to %s does not start",
							to[i]);

		ok(!run(layer, "true", "/etc/hosts", NULL) && host_is_whole(), name);
	}
}

static void roots_without_what_is_usual(void)
{
	_cleanup_(freep) char *layer = make_layer("etc-was-here", NULL), *text = NULL,
			      *whiteout = path_join("%s/etc", layer),
			      *dir = make_layer("etc/resolv.conf", NULL);

	ok(mknod(whiteout, S_IFCHR, makedev(0, 0)) == 0 &&
		   run(layer, "cat /etc/hosts", "/etc/hosts", &text) &&
		   strcmp(text, "of the task") == 0,
	   "an image without /etc gets one");
	ok(!run(dir, "true", "/etc/resolv.conf", NULL) && host_is_whole(),
	   "an image whose resolv.conf is a directory does not start");
}

/* The runtime makes nodes and links in /dev by name before it changes its root. */
static void system_directories_that_are_links(void)
{
	static const char *const names[] = { "dev", "proc", "sys" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_(freep) char *layer = make_layer(names[i], trap),
				      *name = path_join("an image whose /%s is a link is refused",
							names[i]);
		_cleanup_(freep) char *root = NULL, *dir = path_join("%s/refused", box_top());
		char *layers[] = { layer, NULL };
		_cleanup_(err_done) struct err err = {};

		ok(rootfs_mount(&(struct rootfs_params){ .layers = layers, .dir = dir }, &root,
				&err) == -EINVAL &&
			   strstr(err_text(&err), names[i]) && host_is_whole(),
		   name);
		(void) rootfs_remove(dir, NULL);
	}
}

int main(void)
{
	box_setup();
	victim = path_join("%s/victim", box_top());
	trap = path_join("%s/trap", box_top());
	put(victim, "of the host");
	(void) mkdir(trap, 0777);
	mount_targets_that_are_links();
	mount_targets_below_proc();
	roots_without_what_is_usual();
	system_directories_that_are_links();
	box_teardown();
	free(victim);
	free(trap);
	return tap_end();
}
