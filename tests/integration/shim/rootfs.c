/* SPDX-License-Identifier: Apache-2.0 */
/* Overlay roots on the real kernel. Prints TAP. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/strv.h"
#include "runtime/rootfs/rootfs.h"
#include "tests/integration/shim/tap.h"

static char top[] = "/tmp/ecs-rootfs-test-XXXXXX";
static char *put(const char *dir, const char *name, const char *text)
{
	char *path = path_join("%s/%s", dir, name);

	(void) fs_mkdir_p(dir, 0755, NULL);
	(void) fs_write_file_volatile(AT_FDCWD, path, text, strlen(text), 0644, NULL);
	return path;
}

static bool reads(const char *root, const char *name, const char *want)
{
	_cleanup_(freep) char *path = path_join("%s/%s", root, name), *got = NULL;

	return fs_read_file(AT_FDCWD, path, 4096, &got, NULL, NULL) == 0 && strcmp(got, want) == 0;
}

/* A file of layer n is named fN, and "top" is in all of them. */
static char **make_layers(const char *prefix, int n)
{
	char **layers = NULL;

	for (int i = 0; i < n; i++) {
		_cleanup_(freep) char *dir = path_join("%s/%s-%d", top, prefix, i),
				      *number = path_join("%d", i), *name = path_join("f%d", i),
				      *a = NULL, *b = NULL;

		a = put(dir, "top", number);
		b = put(dir, name, number);
		(void) strv_append(&layers, dir);
	}
	return layers;
}

static void a_container_writes_into_its_own(void)
{
	_cleanup_(strv_freep) char **layers = make_layers("few", 3);
	_cleanup_(freep) char *dir = path_join("%s/c1", top), *root = NULL, *again = NULL,
			      *file = NULL, *upper = path_join("%s/c1/upper", top);
	_cleanup_(err_done) struct err err = {};
	struct rootfs_params p = { .layers = layers, .dir = dir };
	struct stat st;

	ok(chown(layers[2], 7, 8) == 0 && chmod(layers[2], 0751) == 0, "(layers are ready)");
	ok(rootfs_mount(&p, &root, &err) == 0, "an overlay of three layers is mounted");
	ok(reads(root, "top", "2") && reads(root, "f0", "0"),
	   "the highest layer wins, the lowest is seen");
	ok(stat(root, &st) == 0 && (st.st_mode & 07777) == 0751 && st.st_uid == 7 && st.st_gid == 8,
	   "its root looks like that of the highest layer");
	file = put(root, "mine", "x");
	ok(rootfs_mount(&p, &again, &err) == 0 && strcmp(root, again) == 0 &&
		   reads(again, "mine", "x"),
	   "mounting it again changes nothing");
	ok(rootfs_unmount(dir, &err) == 0 && rootfs_unmount(dir, &err) == 0 &&
		   access(file, F_OK) < 0,
	   "it is unmounted, twice");
	free(again);
	again = NULL;
	ok(rootfs_mount(&p, &again, &err) == 0 && reads(again, "mine", "x"),
	   "and mounted again with what was written");
	ok(rootfs_remove(dir, &err) == 0 && access(upper, F_OK) < 0 &&
		   rootfs_remove(dir, &err) == 0,
	   "and removed, twice");
	ok(reads(layers[0], "top", "0"), "the layers are as they were");
}

static void many_layers_fit(void)
{
	static const char prefix[] =
		"a-long-name-of-a-layer-directory-like-a-digest-that-fills-a-page-soon";
	_cleanup_(strv_freep) char **layers = make_layers(prefix, 128);
	_cleanup_(freep) char *dir = path_join("%s/c2", top), *root = NULL;
	_cleanup_(err_done) struct err err = {};
	int64_t at = clock_mono_ns();

	ok(rootfs_mount(&(struct rootfs_params){ .layers = layers, .dir = dir }, &root, &err) == 0,
	   "128 layers with long names are mounted");
	printf("# in %.2f ms %s\n", (double) (clock_mono_ns() - at) / 1e6, err_text(&err));
	ok(root && reads(root, "top", "127") && reads(root, "f0", "0"), "in their order");
	(void) rootfs_remove(dir, NULL);
}

static void odd_names_and_bad_layers(void)
{
	_cleanup_(strv_freep) char **layers = make_layers("with:colon,comma", 2);
	_cleanup_(freep) char *dir = path_join("%s/c3", top), *root = NULL;
	_cleanup_(err_done) struct err err = {};
	char *absent[] = { (char *) "/nonexistent/layer", NULL }, *none[] = { NULL };

	ok(rootfs_mount(&(struct rootfs_params){ .layers = layers, .dir = dir }, &root, &err) ==
			   0 &&
		   reads(root, "top", "1"),
	   "names that hold mount options' separators");
	(void) rootfs_remove(dir, NULL);
	ok(rootfs_mount(&(struct rootfs_params){ .layers = absent, .dir = dir }, &root, &err) ==
		   -ENOENT,
	   "a layer that is not there");
	ok(rootfs_mount(&(struct rootfs_params){ .layers = none, .dir = dir }, &root, &err) ==
		   -EINVAL,
	   "no layer at all");
}

int main(void)
{
	if (geteuid() != 0) {
		printf("1..0 # SKIP needs root\n");
		return 77;
	}
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    !mkdtemp(top) || mount("tmpfs", top, "tmpfs", 0, "mode=0755") < 0) {
		printf("1..0 # SKIP needs mount namespaces and tmpfs\n");
		return 77;
	}
	a_container_writes_into_its_own();
	many_layers_fit();
	odd_names_and_bad_layers();
	(void) umount2(top, MNT_DETACH);
	(void) rmdir(top);
	return tap_end();
}
