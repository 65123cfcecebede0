/* SPDX-License-Identifier: Apache-2.0 */
/* Archives are made by libarchive, so that reader and writer are not of one hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "common/fs.h"
#include "runtime/unpack/apply.h"
#include "runtime/unpack/inflate.h"

struct member {
	const char *path;
	mode_t type; /* S_IFREG …; 0 with link: a hard link */
	const char *link, *content;
	mode_t mode;
	int major, minor;
	const char *xattr, *value;
};

struct fixture {
	char dir[64];
	int root_fd;
	uint8_t *data;
	size_t len, pos;
	struct apply_limits limits;
	struct apply_result result;
	struct err err;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	(void) snprintf(f->dir, sizeof(f->dir), "/tmp/ecs-test-apply-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->root_fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->limits = (struct apply_limits){ APPLY_LAYER, 1 << 20, 100 };
	f->data = malloc(4 << 20);
	assert_non_null(f->data);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	(void) close(f->root_fd);
	(void) fs_remove_tree(AT_FDCWD, f->dir, NULL);
	apply_result_done(&f->result);
	err_done(&f->err);
	free(f->data);
	free(f);
	return 0;
}

static ssize_t read_some(void *userdata, void *buf, size_t len)
{
	struct fixture *f = userdata;
	size_t n = MIN(MIN(len, (size_t) 777), f->len - f->pos); /* odd sizes find more */

	memcpy(buf, f->data + f->pos, n);
	f->pos += n;
	return (ssize_t) n;
}

static void build(struct fixture *f, const struct member *m, size_t n)
{
	struct archive *a = archive_write_new();

	(void) archive_write_set_format_pax_restricted(a);
	assert_int_equal(archive_write_open_memory(a, f->data, 4 << 20, &f->len), ARCHIVE_OK);
	for (size_t i = 0; i < n; i++) {
		struct archive_entry *e = archive_entry_new();
		size_t len = m[i].content ? strlen(m[i].content) : 0;

		archive_entry_set_pathname(e, m[i].path);
		if (m[i].type)
			archive_entry_set_filetype(e, m[i].type);
		if (m[i].type == S_IFLNK)
			archive_entry_set_symlink(e, m[i].link);
		else if (m[i].link)
			archive_entry_set_hardlink(e, m[i].link);
		archive_entry_set_perm(e, m[i].mode ? m[i].mode : 0755);
		archive_entry_set_uid(e, 12);
		archive_entry_set_gid(e, 34);
		archive_entry_set_mtime(e, 1000000000, 0);
		archive_entry_set_size(e, (int64_t) len);
		archive_entry_set_rdevmajor(e, (dev_t) m[i].major);
		archive_entry_set_rdevminor(e, (dev_t) m[i].minor);
		if (m[i].xattr)
			archive_entry_xattr_add_entry(e, m[i].xattr, m[i].value,
						      strlen(m[i].value));
		assert_true(archive_write_header(a, e) >= ARCHIVE_WARN);
		if (len)
			(void) archive_write_data(a, m[i].content, len);
		archive_entry_free(e);
	}
	(void) archive_write_free(a);
}

static int apply(struct fixture *f)
{
	err_done(&f->err);
	apply_result_done(&f->result);
	f->pos = 0;
	return apply_archive(f->root_fd, &f->limits, read_some, f, &f->result, &f->err);
}

static int apply_members(struct fixture *f, const struct member *m, size_t n)
{
	build(f, m, n);
	return apply(f);
}

#define APPLY(f, ...)                                                                              \
	apply_members(f, (const struct member[]){ __VA_ARGS__ },                                   \
		      ARRAY_SIZE(((const struct member[]){ __VA_ARGS__ })))
#define NEEDS_ROOT()                                                                               \
	do {                                                                                       \
		if (geteuid() != 0)                                                                \
			skip();                                                                    \
	} while (0)

static struct stat look(struct fixture *f, const char *path)
{
	struct stat st = {};

	if (fstatat(f->root_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		fail_msg("%s: %s", path, strerror(errno));
	return st;
}

static void everything_ordinary_is_made(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	char value[8] = {};

	NEEDS_ROOT();
	assert_int_equal(
		APPLY(f, { .path = "./", .type = S_IFDIR, .mode = 0711 },
		      { .path = "bin", .type = S_IFDIR },
		      { .path = "/bin/su",
			.type = S_IFREG,
			.content = "elf",
			.mode = 04755,
			.xattr = "user.note",
			.value = "hi" },
		      { .path = "bin/../bin/hard", .link = "./bin/su" },
		      { .path = "bin/soft", .type = S_IFLNK, .link = "../../../etc/shadow" },
		      { .path = "null", .type = S_IFCHR, .major = 1, .minor = 3, .mode = 0666 },
		      { .path = "loop", .type = S_IFBLK, .major = 7, .minor = 0, .mode = 0660 },
		      { .path = "pipe", .type = S_IFIFO, .mode = 0600 },
		      { .path = "bin", .type = S_IFDIR, .mode = 01777 }),
		0);
	st = look(f, "bin/su");
	assert_int_equal(st.st_mode, S_IFREG | 04755);
	assert_int_equal(st.st_uid, 12);
	assert_int_equal(st.st_gid, 34);
	assert_int_equal(st.st_mtim.tv_sec, 1000000000);
	assert_int_equal(st.st_nlink, 2);
	assert_int_equal(look(f, "bin/hard").st_ino, st.st_ino);
	st = look(f, "bin");
	assert_int_equal(st.st_mode, S_IFDIR | 01777);
	assert_int_equal(st.st_mtim.tv_sec, 1000000000);
	assert_int_equal(look(f, ".").st_mode, S_IFDIR | 0711);
	assert_int_equal(look(f, "null").st_rdev, makedev(1, 3));
	assert_int_equal(look(f, "loop").st_mode, S_IFBLK | 0660);
	assert_int_equal(look(f, "pipe").st_mode, S_IFIFO | 0600);
	assert_int_equal(look(f, "bin/soft").st_uid, 12);
	{
		_cleanup_(freep) char *path = path_join("%s/bin/su", f->dir);

		assert_int_equal(getxattr(path, "user.note", value, sizeof(value)), 2);
		assert_string_equal(value, "hi");
	}
	assert_int_equal(f->result.bytes, 3);
	assert_int_equal(f->result.implied.len, 0);
}

static void escapes_are_refused(void **state)
{
	struct fixture *f = *state;
	static const struct {
		struct member m[3];
		size_t n;
		const char *complaint;
	} cases[] = {
		{ { { .path = "../evil", .type = S_IFREG } }, 1, "leads out" },
		{ { { .path = "a/../../evil", .type = S_IFREG } }, 1, "leads out" },
		{ { { .path = "loop", .type = S_IFLNK, .link = "loop" },
		    { .path = "loop/evil", .type = S_IFREG } },
		  2,
		  "too many symbolic links" },
		{ { { .path = "file", .type = S_IFREG }, { .path = "file/evil", .type = S_IFREG } },
		  2,
		  "a parent is not a directory" },
		{ { { .path = "h", .link = "../../etc/passwd" } }, 1, "leads out" },
		{ { { .path = "h", .link = "etc/passwd" } }, 1, "no file of the archive" },
		{ { { .path = "out", .type = S_IFLNK, .link = "/etc" },
		    { .path = "h", .link = "out/passwd" } },
		  2,
		  "no file of the archive" },
		{ { { .path = "d", .type = S_IFDIR }, { .path = "h", .link = "d" } },
		  2,
		  "no file of the archive" },
		{ { { .path = "w", .type = S_IFCHR } }, 1, "reserved for whiteouts" },
		{ { { .path = ".wh.w", .type = S_IFREG }, { .path = "h", .link = "w" } },
		  2,
		  "no file of the archive" },
		{ { { .path = "a/.wh.", .type = S_IFREG } }, 1, "a whiteout of nothing" },
		{ { { .path = "a/.wh...", .type = S_IFREG } }, 1, "a whiteout of nothing" },
		{ { { .path = "f",
		      .type = S_IFREG,
		      .xattr = "trusted.overlay.opaque",
		      .value = "y" } },
		  1,
		  "reserved" },
		{ { { .path = "f",
		      .type = S_IFREG,
		      .xattr = "user.overlay.opaque",
		      .value = "y" } },
		  1,
		  "reserved" },
	};

	NEEDS_ROOT();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (apply_members(f, cases[i].m, cases[i].n) != -EPROTO)
			fail_msg("case %zu: %s", i, err_text(&f->err));
		if (!strstr(err_text(&f->err), cases[i].complaint))
			fail_msg("case %zu: %s", i, err_text(&f->err));
		(void) unlinkat(f->root_fd, "out", 0);
		(void) fs_remove_tree(f->root_fd, "h", NULL);
	}
	assert_int_equal(access("/tmp/evil", F_OK), -1);
}

static bool is_opaque(struct fixture *f, const char *path)
{
	_cleanup_(freep) char *full = path_join("%s/%s", f->dir, path);
	char value[2] = {};

	return getxattr(full, "trusted.overlay.opaque", value, 1) == 1 && value[0] == 'y';
}

static void whiteouts_become_overlays(void **state)
{
	struct fixture *f = *state;

	NEEDS_ROOT();
	assert_int_equal(
		APPLY(f, { .path = "d", .type = S_IFDIR },
		      { .path = "d/.wh.gone", .type = S_IFREG },
		      { .path = "d/.wh..wh..opq", .type = S_IFREG },
		      { .path = ".wh..wh.plnk", .type = S_IFREG },
		      { .path = "both", .type = S_IFREG, .content = "mine" },
		      { .path = ".wh.both", .type = S_IFREG },
		      { .path = ".wh.dir", .type = S_IFREG }, { .path = "dir", .type = S_IFDIR },
		      { .path = "late", .type = S_IFDIR }, { .path = ".wh.late", .type = S_IFREG }),
		0);
	assert_int_equal(look(f, "d/gone").st_mode & S_IFMT, S_IFCHR);
	assert_int_equal(look(f, "d/gone").st_rdev, 0);
	assert_true(is_opaque(f, "d"));
	assert_int_equal(look(f, "both").st_size, 4);
	assert_true(is_opaque(f, "dir"));
	assert_true(is_opaque(f, "late"));
	assert_int_equal(faccessat(f->root_fd, ".wh..wh.plnk", F_OK, 0), -1);
}

/* umoci writes them so, in either order, when a file or a link takes the place of a directory. */
static void whiteouts_beneath_no_directory_hide_nothing(void **state)
{
	struct fixture *f = *state;

	NEEDS_ROOT();
	assert_int_equal(APPLY(f, { .path = "x", .type = S_IFREG, .content = "1" },
			       { .path = "x/.wh.y", .type = S_IFREG },
			       { .path = "x/.wh..wh..opq", .type = S_IFREG },
			       { .path = "z/.wh.y", .type = S_IFREG },
			       { .path = "z", .type = S_IFREG, .content = "22" },
			       { .path = ".wh.gone", .type = S_IFREG },
			       { .path = "gone/.wh.y", .type = S_IFREG }),
			 0);
	assert_int_equal(look(f, "x").st_size, 1);
	assert_int_equal(look(f, "z").st_size, 2);
	assert_true(S_ISCHR(look(f, "gone").st_mode));
	assert_int_equal(APPLY(f, { .path = "x", .type = S_IFREG, .content = "1" },
			       { .path = "x/y", .type = S_IFREG }),
			 -EPROTO);
}

static void later_entries_replace_earlier_ones(void **state)
{
	struct fixture *f = *state;

	NEEDS_ROOT();
	assert_int_equal(APPLY(f, { .path = "x", .type = S_IFDIR },
			       { .path = "x/y", .type = S_IFREG, .content = "1" },
			       { .path = "x", .type = S_IFREG, .content = "22" },
			       { .path = "s", .type = S_IFLNK, .link = "/etc" },
			       { .path = "s", .type = S_IFDIR },
			       { .path = "s/f", .type = S_IFREG, .content = "333" }),
			 0);
	assert_int_equal(look(f, "x").st_size, 2);
	assert_int_equal(look(f, "s").st_mode & S_IFMT, S_IFDIR);
	assert_int_equal(look(f, "s/f").st_size, 3);
}

static void missing_parents_are_made_and_told(void **state)
{
	struct fixture *f = *state;

	NEEDS_ROOT();
	assert_int_equal(APPLY(f, { .path = "a/b/c", .type = S_IFREG, .content = "1" },
			       { .path = "a/b", .type = S_IFDIR, .mode = 0700 }),
			 0);
	assert_int_equal(f->result.implied.len, 2);
	assert_string_equal(f->result.implied.data, "a");
	assert_int_equal(look(f, "a/b").st_mode, S_IFDIR | 0700);
}

static void limits_hold(void **state)
{
	struct fixture *f = *state;

	NEEDS_ROOT();
	f->limits.max_bytes = 3;
	assert_int_equal(APPLY(f, { .path = "a", .type = S_IFREG, .content = "1234" }), -EFBIG);
	assert_string_equal(err_text(&f->err), "the archive unpacks to more than 3 bytes");
	f->limits.max_entries = 1;
	assert_int_equal(
		APPLY(f, { .path = "a", .type = S_IFDIR }, { .path = "b", .type = S_IFDIR }),
		-EFBIG);
}

static void every_cut_is_noticed(void **state)
{
	struct fixture *f = *state;
	size_t whole;

	NEEDS_ROOT();
	build(f, (const struct member[]){ { .path = "a", .type = S_IFREG, .content = "1234" } }, 1);
	whole = f->len;
	for (size_t len = 1; len < 1024; len += 37) {
		f->len = len;
		assert_int_equal(apply(f), -EPROTO);
	}
	f->len = whole;
	assert_int_equal(apply(f), 0);
	f->data[10] ^= 1; /* the header's checksum no longer fits */
	assert_int_equal(apply(f), -EPROTO);
}

/* umoci's insert ends a layer there: no padding, no end marker. */
static void an_archive_may_end_with_its_last_file(void **state)
{
	struct fixture *f = *state;

	NEEDS_ROOT();
	build(f, (const struct member[]){ { .path = "a", .type = S_IFREG, .content = "1234" } }, 1);
	f->len = 512 + 4;
	assert_int_equal(apply(f), 0);
	assert_int_equal(look(f, "a").st_size, 4);
	f->len = 512 + 3;
	assert_int_equal(apply(f), -EPROTO);
	assert_string_equal(err_text(&f->err), "the archive is cut short");
	f->len = 512 + 4 + 100; /* it began to pad */
	assert_int_equal(apply(f), -EPROTO);
}

/* Where the fields of a header lie. */
enum {
	AT_UID = 108,
	AT_SIZE = 124,
	AT_CHECKSUM = 148,
	AT_TYPE = 156,
	AT_LINK = 157,
	AT_SPARSE = 386
};

static void put_header(struct fixture *f, const char *name, char type, const char *link)
{
	char *h = (char *) f->data + f->len;

	memset(h, 0, 512);
	(void) snprintf(h, 100, "%s", name);
	memcpy(h + 100,
	       "0000755\0"
	       "0000014\0"
	       "0000042\0"
	       "00000000000\0"
	       "07346545000",
	       48);
	h[AT_TYPE] = type;
	(void) snprintf(h + AT_LINK, 100, "%s", link);
	memcpy(h + 257,
	       "ustar\0"
	       "00",
	       8);
	f->len += 512;
}

/* After the last change of a header. */
static void seal(struct fixture *f)
{
	uint8_t *h = f->data + f->len - 512;
	unsigned int sum = 0;

	memset(h + AT_CHECKSUM, ' ', 8);
	for (size_t i = 0; i < 512; i++)
		sum += h[i];
	(void) snprintf((char *) h + AT_CHECKSUM, 8, "%06o", sum);
}

static void put_pax(struct fixture *f, const char *records, size_t len)
{
	put_header(f, "pax", 'x', "");
	(void) snprintf((char *) f->data + f->len - 512 + AT_SIZE, 12, "%011o",
			(unsigned int) (len & 0xffff));
	seal(f);
	memset(f->data + f->len, 0, (len + 511) & ~511ul);
	memcpy(f->data + f->len, records, len);
	f->len += (len + 511) & ~511ul;
}

static void expect_refusal(struct fixture *f, const char *complaint)
{
	seal(f);
	if (apply(f) != -EPROTO || !strstr(err_text(&f->err), complaint))
		fail_msg("wanted '%s': %s", complaint, err_text(&f->err));
	f->len = 0;
}

static void hostile_headers_are_refused(void **state)
{
	struct fixture *f = *state;

	NEEDS_ROOT();
	f->len = 0;
	put_header(f, "big", '0', "");
	memcpy(f->data + AT_SIZE, "\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12);
	expect_refusal(f, "not a number");
	put_header(f, "minus", '0', "");
	memset(f->data + AT_SIZE, 0xff, 12);
	expect_refusal(f, "size is outside");
	put_header(f, "root", '0', "");
	memcpy(f->data + AT_UID, "\x80\0\0\1\0\0\0\0", 8); /* 2^32: user 0 once cut off */
	expect_refusal(f, "owner 4294967296:34 is outside");
	put_header(f, "sparse", 'S', "");
	memcpy(f->data + AT_SPARSE,
	       "00000000000\0"
	       "00000000001",
	       23);
	expect_refusal(f, "beyond its end");
	put_header(f, "sparse", 'S', "");
	memcpy(f->data + AT_SPARSE,
	       "00000000001\0"
	       "00000000000\0"
	       "00000000000\0"
	       "00000000000",
	       47);
	expect_refusal(f, "overlap or are not in order");
	put_header(f, "odd", 'M', "");
	expect_refusal(f, "are not supported");
	put_header(f, "", '0', "");
	expect_refusal(f, "an entry without a name");
	put_header(f, "./self", '1', "self");
	expect_refusal(f, "hard link to itself");
	put_header(f, "long", 'L', "");
	memcpy(f->data + AT_SIZE, "77777777777", 11);
	expect_refusal(f, "is larger than");
}

static void hostile_extensions_are_refused(void **state)
{
	static const struct {
		const char *records;
		const char *complaint;
	} cases[] = {
		{ "99999999999999999999 path=x\n", "wrong length" },
		{ "-5 path=x\n", "without its length" },
		{ "8 path=x\n", "wrong length" },
		{ "9 pathxx\n", "without '='" },
		{ "19 path=a\0/../../b\n", "has the value" },
		{ "24 path=../../etc/passwd\n", "wrong length" },
		{ "25 path=../../etc/passwd\n", "leads out of the archive" },
		{ "21 uid=4294967296000\n", "is outside 0..4294967294" },
		{ "11 size=-1\n", "size is outside" },
		{ "22 GNU.sparse.major=1\n", "the map of a sparse file is cut short" },
		{ "22 GNU.sparse.major=2\n", "version 2.0 are not supported" },
		{ "21 GNU.sparse.more=1\n", "is not known" },
		{ "22 GNU.sparse.size=-1\n", "has the value '-1'" },
		{ "22 GNU.sparse.map=0,0\n", "without its size" },
		{ "21 GNU.sparse.size=1\n22 GNU.sparse.map=1,1\n", "beyond its end" },
		{ "21 GNU.sparse.size=9\n22 GNU.sparse.map=0,9\n",
		  "make 9 bytes, the archive has 0" },
		{ "21 GNU.sparse.size=9\n26 GNU.sparse.map=4,2,3,1\n", "not in order" },
		{ "40 GNU.sparse.map=9223372036854775807,9\n", "not in order" },
		{ "22 GNU.sparse.map=1,,\n", "not a list of pairs" },
		{ "20 GNU.sparse.map=1\n", "not a list of pairs" },
		{ "23 GNU.sparse.offset=0\n23 GNU.sparse.offset=1\n", "take turns" },
		{ "21 GNU.sparse.size=9\n23 GNU.sparse.offset=0\n", "has no length" },
		{ "44 SCHILY.xattr.trusted.overlay.redirect=/x\n", "is reserved" },
		{ "42 SCHILY.xattr.trusted.overlay.metacopy=\n", "is reserved" },
	};
	struct fixture *f = *state;

	NEEDS_ROOT();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *records = cases[i].records;

		f->len = 0; /* one of them holds a NUL */
		put_pax(f, records, strlen(records) + (i == 4 ? 1 + strlen(records + 10) : 0));
		put_header(f, "file", '0', "");
		expect_refusal(f, cases[i].complaint);
	}
}

/* As Docker has it: links of the layer are followed as if the layer were the whole world. */
static void links_are_followed_inside_alone(void **state)
{
	struct fixture *f = *state;
	static const char *const targets[] = { "/tmp", "../../../../tmp", "/../tmp",
					       "tmp",  "./a/../tmp",      "/proc/self/root/tmp" };
	struct stat st;

	NEEDS_ROOT();
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		assert_int_equal(APPLY(f, { .path = "out", .type = S_IFLNK, .link = targets[i] },
				       { .path = "out/sub/evil-of-ecs-test", .type = S_IFREG },
				       { .path = "out/evil-of-ecs-test", .type = S_IFREG },
				       { .path = "out/sub/.wh.gone", .type = S_IFREG },
				       { .path = "linked", .link = "out/evil-of-ecs-test" }),
				 0);
		assert_int_equal(look(f, "out").st_mode & S_IFMT, S_IFLNK);
		assert_int_equal(look(f, "linked").st_nlink, 2);
		if (i < 5) {
			assert_int_equal(look(f, "tmp/evil-of-ecs-test").st_mode & S_IFMT, S_IFREG);
			assert_int_equal(look(f, "tmp/sub/gone").st_mode & S_IFMT, S_IFCHR);
			assert_int_equal(fs_remove_tree(f->root_fd, "tmp", NULL), 0);
		} else { /* no magic is at work: a directory of that name */
			assert_int_equal(look(f, "proc/self/root/tmp/evil-of-ecs-test").st_mode &
						 S_IFMT,
					 S_IFREG);
		}
	}
	assert_int_equal(fstatat(AT_FDCWD, "/tmp/evil-of-ecs-test", &st, 0), -1);
	assert_int_equal(errno, ENOENT);
}

/* The directory of the parent kept from the entry before is replaced by a link: look anew. */
static void a_parent_that_became_a_link_is_not_entered(void **state)
{
	struct fixture *f = *state;

	NEEDS_ROOT();
	assert_int_equal(APPLY(f, { .path = "d", .type = S_IFDIR },
			       { .path = "d/e/f", .type = S_IFREG, .content = "1" },
			       { .path = "d", .type = S_IFLNK, .link = "/tmp" },
			       { .path = "d/e/evil-of-ecs-test", .type = S_IFREG }),
			 0);
	assert_int_equal(access("/tmp/e/evil-of-ecs-test", F_OK), -1);
	assert_int_equal(look(f, "tmp/e/evil-of-ecs-test").st_mode & S_IFMT, S_IFREG);
	assert_int_equal(APPLY(f, { .path = "x", .type = S_IFDIR },
			       { .path = "x/y", .type = S_IFREG },
			       { .path = "x/y", .type = S_IFLNK, .link = "/etc/passwd" },
			       { .path = "x/y", .type = S_IFREG, .content = "written here" }),
			 0);
	assert_int_equal(look(f, "x/y").st_mode & S_IFMT, S_IFREG);
	assert_int_equal(look(f, "x/y").st_size, 12);
}

static void plain_boxes_hold_no_devices(void **state)
{
	struct fixture *f = *state;

	f->limits.mode = APPLY_PLAIN;
	assert_int_equal(APPLY(f, { .path = "n", .type = S_IFCHR, .major = 1, .minor = 3 }),
			 -EPROTO);
	assert_int_equal(
		APPLY(f, { .path = "d/f", .type = S_IFREG, .content = "x", .mode = 04777 }), 0);
	assert_int_equal(look(f, "d/f").st_mode, S_IFREG | 0600);
	assert_int_equal(look(f, "d/f").st_uid, geteuid());
}

static void names_stay_as_they_are(void **state)
{
	struct fixture *f = *state;
	static const char decomposed[] = "e\xcc\x81"; /* normalised it would be another file */

	f->limits.mode = APPLY_PLAIN;
	assert_int_equal(APPLY(f, { .path = decomposed, .type = S_IFREG },
			       { .path = "bad\xff", .type = S_IFREG }),
			 0);
	(void) look(f, decomposed);
	(void) look(f, "bad\xff");
}

struct bytes {
	const uint8_t *in;
	size_t in_len, in_pos;
	uint8_t out[70000];
	size_t out_len;
};

static ssize_t read_bytes(void *userdata, void *buf, size_t len)
{
	struct bytes *b = userdata;
	size_t n = MIN(MIN(len, (size_t) 3), b->in_len - b->in_pos);

	memcpy(buf, b->in + b->in_pos, n);
	b->in_pos += n;
	return (ssize_t) n;
}

static int write_bytes(void *userdata, const void *data, size_t len)
{
	struct bytes *b = userdata;

	if (b->out_len + len > sizeof(b->out))
		return -ENOSPC;
	memcpy(b->out + b->out_len, data, len);
	b->out_len += len;
	return 0;
}

static int inflate_bytes(struct bytes *b, const void *data, size_t len, uint64_t max,
			 struct inflate_result *ret, struct err *err)
{
	const struct inflate_params p = { read_bytes, write_bytes, b, max };

	b->in = data;
	b->in_len = len;
	b->in_pos = b->out_len = 0;
	return inflate_stream(&p, ret, err);
}

static size_t gzip(const void *data, size_t len, uint8_t *out, size_t room)
{
	z_stream z = { .next_in = (Bytef *) data,
		       .avail_in = (uInt) len,
		       .next_out = out,
		       .avail_out = (uInt) room };

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, 0), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	(void) deflateEnd(&z);
	return z.total_out;
}

static void every_compression_inflates_to_the_same(void **state _unused_)
{
	static const char text[] = "the same bytes, the same digest";
	static struct bytes b;
	uint8_t packed[512];
	struct inflate_result plain = {}, r = {};
	size_t n;

	assert_int_equal(inflate_bytes(&b, text, sizeof(text), 100, &plain, NULL), 0);
	n = gzip(text, 10, packed, sizeof(packed)); /* two members make one stream */
	n += gzip(text + 10, sizeof(text) - 10, packed + n, sizeof(packed) - n);
	assert_int_equal(inflate_bytes(&b, packed, n, 100, &r, NULL), 0);
	assert_string_equal(r.digest, plain.digest);
	assert_memory_equal(b.out, text, sizeof(text));
	n = ZSTD_compress(packed, sizeof(packed), text, 10, 3);
	n += ZSTD_compress(packed + n, sizeof(packed) - n, text + 10, sizeof(text) - 10, 3);
	assert_int_equal(inflate_bytes(&b, packed, n, 100, &r, NULL), 0);
	assert_string_equal(r.digest, plain.digest);
	for (size_t cut = 5; cut < n; cut++)
		assert_int_not_equal(inflate_bytes(&b, packed, cut, 100, &r, NULL) == 0 &&
					     b.out_len == sizeof(text),
				     1);
}

static void damage_and_bombs_are_refused(void **state _unused_)
{
	static const char zeros[65536];
	static struct bytes b;
	uint8_t packed[512];
	struct inflate_result r = {};
	_cleanup_(err_done) struct err err = {};
	size_t n = gzip(zeros, sizeof(zeros), packed, sizeof(packed));

	assert_int_equal(inflate_bytes(&b, packed, n, 1000, &r, &err), -EFBIG);
	assert_int_equal(inflate_bytes(&b, packed, n - 4, 1 << 20, &r, &err), -EPROTO);
	assert_string_equal(err_text(&err), "the layer's gzip stream is cut short");
	packed[20] ^= 0xff;
	assert_int_equal(inflate_bytes(&b, packed, n, 1 << 20, &r, &err), -EPROTO);
	assert_int_equal(inflate_bytes(&b, "BZh91AY", 7, 1 << 20, &r, &err), -EPROTO);
	assert_string_equal(err_text(&err), "layers compressed with bzip2 or xz are not supported");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(everything_ordinary_is_made),
		T(escapes_are_refused),
		T(whiteouts_become_overlays),
		T(whiteouts_beneath_no_directory_hide_nothing),
		T(later_entries_replace_earlier_ones),
		T(missing_parents_are_made_and_told),
		T(limits_hold),
		T(every_cut_is_noticed),
		T(an_archive_may_end_with_its_last_file),
		T(hostile_headers_are_refused),
		T(hostile_extensions_are_refused),
		T(a_parent_that_became_a_link_is_not_entered),
		T(links_are_followed_inside_alone),
		T(plain_boxes_hold_no_devices),
		T(names_stay_as_they_are),
		cmocka_unit_test(every_compression_inflates_to_the_same),
		cmocka_unit_test(damage_and_bombs_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
