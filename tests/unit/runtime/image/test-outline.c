/* SPDX-License-Identifier: Apache-2.0 */
/* Sparse files and replaced ones: unpacked right, and the archive can be put together again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fs.h"
#include "runtime/unpack/apply.h"
#include "runtime/unpack/check.h"
#include "runtime/unpack/outline.h"

struct fixture {
	char dir[64];
	int top_fd, root_fd, archive_fd, outline_fd;
	struct apply_result result;
	struct err err;
};

static void run(const struct fixture *f, const char *script)
{
	char command[2048];

	assert_true((size_t) snprintf(command, sizeof(command), "cd %s && %s", f->dir, script) <
		    sizeof(command));
	if (system(command) != 0)
		fail_msg("%s", script);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	(void) snprintf(f->dir, sizeof(f->dir), "/tmp/ecs-test-outline-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->top_fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->root_fd = f->archive_fd = f->outline_fd = -EBADF;
	*state = f;
	return 0;
}

static void let_go(struct fixture *f)
{
	f->root_fd = safe_close(f->root_fd);
	f->archive_fd = safe_close(f->archive_fd);
	f->outline_fd = safe_close(f->outline_fd);
	apply_result_done(&f->result);
	err_done(&f->err);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	let_go(f);
	(void) close(f->top_fd);
	(void) fs_remove_tree(AT_FDCWD, f->dir, NULL);
	free(f);
	return 0;
}

static ssize_t read_archive(void *userdata, void *buf, size_t len)
{
	const struct fixture *f = userdata;

	return read(f->archive_fd, buf, MIN(len, (size_t) 10007));
}

/* The sink of a replay: what comes has to be what the archive has next. */
static int compare(void *userdata, const void *data, size_t len)
{
	const struct fixture *f = userdata;
	char wanted[64 * 1024];
	const char *p = data;

	while (len > 0) {
		ssize_t n = read(f->archive_fd, wanted, MIN(len, sizeof(wanted)));

		if (n <= 0 || memcmp(wanted, p, (size_t) n) != 0)
			return -EILSEQ;
		p += n;
		len -= (size_t) n;
	}
	return 0;
}

/* Puts the archive together again; -ENODATA when it ends too early. */
static int replay(struct fixture *f)
{
	char more;
	int k;

	err_done(&f->err);
	assert_int_equal(lseek(f->archive_fd, 0, SEEK_SET), 0);
	k = outline_replay(f->outline_fd, f->root_fd, compare, f, &f->err);
	return k == 0 && read(f->archive_fd, &more, 1) != 0 ? -ENODATA : k;
}

/* Whether the directory looks as the archive says. */
static int check(struct fixture *f)
{
	err_done(&f->err);
	assert_int_equal(lseek(f->archive_fd, 0, SEEK_SET), 0);
	return check_archive(f->root_fd, read_archive, f, &f->err);
}

/* Unpacks a.tar into a fresh "root". */
static void unpack(struct fixture *f)
{
	struct apply_limits limits = { APPLY_LAYER, 1 << 30, 1000 };

	let_go(f);
	run(f, "rm -rf root && mkdir root");
	f->root_fd = openat(f->top_fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->archive_fd = openat(f->top_fd, "a.tar", O_RDONLY | O_CLOEXEC);
	f->outline_fd = memfd_create("outline", MFD_CLOEXEC);
	limits.outline_fd = f->outline_fd;
	assert_true(f->root_fd >= 0 && f->archive_fd >= 0 && f->outline_fd > 0);
	if (apply_archive(f->root_fd, &limits, read_archive, f, &f->result, &f->err) < 0)
		fail_msg("%s", err_text(&f->err));
	if (check(f) < 0)
		fail_msg("%s", err_text(&f->err));
}

static void make_sparse_files(const struct fixture *f)
{
	/* more parts than a header has room for, and than one block of a map; a hole at the end */
	run(f, "mkdir in && truncate -s 100M in/many in/hole && truncate -s 30M in/one && "
	       "for i in $(seq 0 3 180); do printf \"part $i\" | "
	       "dd of=in/many bs=64K seek=$i conv=notrunc status=none; done && "
	       "printf end >>in/one && head -c 100000 /dev/urandom >in/plain && chmod 4750 in/one");
}

static void every_form_of_sparse_files_is_made(void **state)
{
	static const char *const forms[] = {
		"--format=gnu",
		"--format=posix --sparse-version=0.0",
		"--format=posix --sparse-version=0.1",
		"--format=posix --sparse-version=1.0",
	};
	struct fixture *f = *state;

	if (geteuid() != 0)
		skip();
	make_sparse_files(f);
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		char command[256];
		struct stat st;

		(void) snprintf(command, sizeof(command),
				"tar %s --hole-detection=seek -S -C in -cf a.tar .", forms[i]);
		run(f, command);
		unpack(f);
		for (const char *names = "many\0hole\0one\0plain\0"; *names;
		     names += strlen(names) + 1) {
			(void) snprintf(command, sizeof(command), "cmp in/%s root/%s", names,
					names);
			run(f, command);
		}
		assert_int_equal(fstatat(f->root_fd, "many", &st, 0), 0);
		assert_true(st.st_blocks * 512 < 2 << 20);
		assert_int_equal(fstatat(f->root_fd, "one", &st, 0), 0);
		assert_int_equal(st.st_mode & 07777, 04750);
		assert_true(st.st_blocks * 512 < 1 << 20);
		assert_true(f->result.bytes < 2 << 20);
		if (replay(f) != 0)
			fail_msg("%s: %s", forms[i], err_text(&f->err));
	}
}

static void a_filled_hole_is_noticed(void **state)
{
	struct fixture *f = *state;

	if (geteuid() != 0)
		skip();
	make_sparse_files(f);
	run(f, "tar -S -C in -cf a.tar .");
	unpack(f);
	run(f, "printf x | dd of=root/one bs=1M seek=3 conv=notrunc status=none");
	assert_int_equal(replay(f), -EBADMSG);
	assert_string_equal(err_text(&f->err), "'one' has content where it had a hole");
}

/* Each line adds to the archive what stands in "in" then. */
static void what_was_replaced_is_put_back(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	if (geteuid() != 0)
		skip();
	run(f, "mkdir -p in/d/e && tar -C in -cf a.tar --files-from /dev/null && "
	       "echo first >in/f && head -c 300000 /dev/urandom >in/d/e/deep && echo in >in/d/g && "
	       "truncate -s 9M in/s && echo end >>in/s && tar -S -C in -rf a.tar f d s && "
	       "head -c 200000 /dev/urandom >in/f && tar -C in -rf a.tar f && " /* file by file */
	       "rm -r in/d && echo file >in/d && tar -C in -rf a.tar d && "     /* folder by file */
	       "rm in/s && ln -s f in/s && tar -C in -rf a.tar s && "           /* by a link */
	       "ln in/f in/h && tar -C in -rf a.tar f h && "                    /* hard link … */
	       "rm in/h && echo own >in/h && tar -C in -rf a.tar h && "         /* … by file */
	       "rm in/d && mkdir in/d && echo again >in/d/g && tar -C in -rf a.tar d");
	unpack(f);
	run(f, "cmp in/f root/f && cmp in/h root/h && cmp in/d/g root/d/g && test ! -e root/d/e");
	assert_int_equal(fstat(f->outline_fd, &st), 0);
	assert_true(st.st_size > 500000); /* it holds what nothing else does any more */
	if (replay(f) != 0)
		fail_msg("%s", err_text(&f->err));
	run(f, "printf x | dd of=root/d/g conv=notrunc status=none");
	assert_int_equal(replay(f), -EILSEQ);
}

/* Entries that others replaced are not looked for; the last ones are. */
static void what_replaces_is_what_is_checked(void **state)
{
	static const struct {
		const char *change, *complaint;
	} cases[] = {
		{ "chmod 600 root/f", "'f' has the mode 0600, not 0644" },
		{ "rm root/d/g", "'d/g' is missing" },
		{ "touch -hd @5 root/s", "'s' was changed at 5, not at 7" },
		{ "rm root/gone && touch root/gone",
		  NULL }, /* something is there, as if replaced */
		{ "rm root/gone", "'gone' is hidden no longer" },
		{ "rm root/h && cp -p root/f root/h", "'h' is no longer the same file as 'f'" },
	};
	struct fixture *f = *state;

	if (geteuid() != 0)
		skip();
	run(f,
	    "umask 022 && mkdir -p in/d/e && echo 1 >in/d/e/x && echo 2 >in/f && echo 3 >in/s && "
	    "ln in/d/e/x in/l && mkdir in/h && echo 9 >in/h/inner && touch in/.wh.gone && "
	    "tar -C in -cf a.tar d f s l h .wh.gone && rm -r in/d in/s in/h && ln -s f in/s && "
	    "touch -hd @7 in/s && ln in/f in/h && tar -C in -rf a.tar f s h && echo d >in/d && "
	    "tar -C in -rf a.tar d && rm in/d && mkdir in/d && echo g >in/d/g && "
	    "tar -C in -rf a.tar d");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		unpack(f);
		run(f, cases[i].change);
		assert_int_equal(check(f), cases[i].complaint ? -EBADMSG : 0);
		if (cases[i].complaint)
			assert_string_equal(err_text(&f->err), cases[i].complaint);
	}
}

/* One file, replaced by way of a thousand links, would be kept a thousand times. */
static void keeping_has_an_end(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	if (geteuid() != 0)
		skip();
	run(f, "mkdir in && head -c 2000000 /dev/zero | tr '\\0' x >in/big && "
	       "for i in $(seq 100); do ln in/big in/l$i; done && "
	       "tar -C in -cf a.tar --sort=name big $(seq -f l%g 100) && rm in/l* && "
	       "for i in $(seq 100); do echo $i >in/l$i; done && tar -C in -rf a.tar $(seq -f l%g "
	       "100)");
	unpack(f);
	assert_int_equal(fstat(f->outline_fd, &st), 0);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(replay(f), -ENODATA);
}

static void damaged_outlines_are_refused(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	if (geteuid() != 0)
		skip();
	run(f, "mkdir in && echo 1 >in/f && tar -C in -cf a.tar f && echo 2 >in/f && "
	       "tar -C in -rf a.tar f");
	unpack(f);
	assert_int_equal(replay(f), 0);
	assert_int_equal(fstat(f->outline_fd, &st), 0);
	for (off_t cut = st.st_size - 1; cut > 0; cut -= 7) {
		int k;

		assert_int_equal(ftruncate(f->outline_fd, cut), 0);
		k = replay(f);
		if (k >= 0 && k != -ENODATA)
			fail_msg("cut at %lld of %lld: %d", (long long) cut, (long long) st.st_size,
				 k);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(what_replaces_is_what_is_checked),
		T(every_form_of_sparse_files_is_made),
		T(a_filled_hole_is_noticed),
		T(what_was_replaced_is_put_back),
		T(keeping_has_an_end),
		T(damaged_outlines_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
