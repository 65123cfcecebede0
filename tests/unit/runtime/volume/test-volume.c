/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/strv.h"
#include "runtime/volume/efs.h"
#include "runtime/volume/volume.h"

#define PAIR(key, value)                                                                           \
	{                                                                                          \
		(char *) (key), (char *) (value)                                                   \
	}

/* The arguments as one text; "" when there is nothing to mount. */
static char *args_of(const struct volume_spec *v)
{
	_cleanup_(strv_freep) char **args = NULL;
	struct buf b = {};

	assert_int_equal(volume_check(v, NULL), 0);
	assert_int_equal(volume_mount_args(v, &args, NULL), 0);
	for (char **s = args; s && *s; s++)
		(void) buf_printf(&b, "%s%s", b.len ? " " : "", *s);
	return b.len > 0 ? buf_take(&b) : strdup("");
}

static void assert_args(const char *driver, const struct json_pair *options, size_t n,
			const char *wanted)
{
	struct volume_spec v = { driver, options, n };
	_cleanup_(freep) char *args = args_of(&v);

	assert_string_equal(args, wanted);
}

static void the_local_driver_mounts_what_its_options_say(void **state _unused_)
{
	const struct json_pair tmpfs[] = { PAIR("type", "tmpfs"), PAIR("device", "tmpfs"),
					   PAIR("o", "size=1m") };
	const struct json_pair bind[] = { PAIR("o", "bind"), PAIR("device", "/srv"),
					  PAIR("type", "none") };
	const struct json_pair helped[] = { PAIR("type", "nfs"), PAIR("device", "server:/x") };
	const struct json_pair plain[] = { PAIR("type", "nfs4"), PAIR("device", ":/x"),
					   PAIR("o", "rw,addr=server,nfsvers=4.1") };

	assert_args("local", NULL, 0, "");
	assert_args(NULL, tmpfs, 3, "-t tmpfs -o size=1m -- tmpfs");
	assert_args("", bind, 3, "-t none -o bind -- /srv");
	assert_args("local", helped, 2, "-t nfs -- server:/x");
	assert_args("local", plain, 3, "-t nfs4 -i -o rw,addr=server,nfsvers=4.1 -- :/x");
}

static void what_no_driver_takes_is_named(void **state _unused_)
{
	const struct json_pair device[] = { PAIR("device", "x") };
	const struct json_pair size[] = { PAIR("size", "1g") };
	const struct json_pair odd[] = { PAIR("mode", "x") };
	const struct {
		struct volume_spec v;
		int code;
		const char *complaint;
	} cases[] = {
		{ { "rexray/ebs", NULL, 0 },
		  ENOTSUP,
		  "driver: 'rexray/ebs' is not supported by this build, which has 'local'" },
		{ { NULL, device, 1 }, EINVAL, "missing required option: \"type\"" },
		{ { NULL, size, 1 }, ENOTSUP, "size: quota size requested but no quota support" },
		{ { NULL, odd, 1 }, EINVAL, "invalid option: \"mode\"" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(err_done) struct err err = {};

		assert_int_equal(volume_check(&cases[i].v, &err), -cases[i].code);
		assert_string_equal(err.msg, cases[i].complaint);
	}
}

static void names_are_file_names(void **state _unused_)
{
	char longest[VOLUME_NAME_MAX + 2];

	memset(longest, 'a', sizeof(longest) - 1);
	longest[VOLUME_NAME_MAX + 1] = '\0';
	assert_false(volume_name_is_valid(longest));
	longest[VOLUME_NAME_MAX] = '\0';
	assert_true(volume_name_is_valid(longest));
	assert_true(volume_name_is_valid("a.b-c_1"));
	assert_false(volume_name_is_valid(""));
	assert_false(volume_name_is_valid(".."));
	assert_false(volume_name_is_valid(".hidden"));
	assert_false(volume_name_is_valid("a/b"));
	assert_false(volume_name_is_valid("a b"));
}

static void assert_efs(const struct efs_params *p, const char *driver, const char *type,
		       const char *device, const char *o)
{
	struct json_pair *options = NULL;
	const char *got = NULL;
	size_t n = 0;
	struct volume_spec v;

	assert_int_equal(efs_options(p, &got, &options, &n, NULL), 0);
	v = (struct volume_spec){ got, options, n };
	assert_string_equal(got, driver);
	assert_string_equal(volume_option(&v, "type"), type);
	assert_string_equal(volume_option(&v, "device"), device);
	assert_string_equal(volume_option(&v, "o"), o);
	assert_int_equal(volume_check(&v, NULL), 0);
	json_pairs_free(options, n);
}

static void efs_is_nfs_where_there_is_no_helper(void **state _unused_)
{
	struct efs_params p = { .file_system_id = "fs-1",
				.server = "fs-1.efs.eu-west-1.amazonaws.com" };
	static const char o[] =
		"addr=fs-1.efs.eu-west-1.amazonaws.com,nfsvers=4.1,rsize=1048576,wsize=1048576,"
		"hard,timeo=600,retrans=2,noresvport";

	assert_efs(&p, "local", "nfs", ":/", o);
	p.root_directory = "/data/x";
	assert_efs(&p, "local", "nfs", ":/data/x", o);
}

static void the_helper_takes_its_options(void **state _unused_)
{
	struct efs_params p = { .file_system_id = "fs-1", .helper = true };

	assert_efs(&p, EFS_PLUGIN, "efs", "fs-1", "");
	p.root_directory = "/d";
	p.tls = true;
	assert_efs(&p, EFS_PLUGIN, "efs", "fs-1:/d", "tls");
	p.tls_port = 2049;
	p.access_point = "fsap-2";
	assert_efs(&p, EFS_PLUGIN, "efs", "fs-1:/d", "tls,tlsport=2049,accesspoint=fsap-2");
	p.iam = true;
	p.credentials_uri = "/v2/credentials/id";
	assert_efs(&p, EFS_PLUGIN, "efs", "fs-1:/d",
		   "tls,tlsport=2049,iam,awscredsuri=/v2/credentials/id,accesspoint=fsap-2");
}

/* Nothing of a task definition becomes an option of mount that nobody meant. */
static void efs_takes_no_options_in_disguise(void **state _unused_)
{
	const struct {
		struct efs_params p;
		int code;
	} cases[] = {
		{ { .file_system_id = "fs-1,exec", .helper = true }, EINVAL },
		{ { .file_system_id = "-o", .helper = true }, EINVAL },
		{ { .file_system_id = "", .helper = true }, EINVAL },
		{ { .file_system_id = "fs-1", .access_point = "a,iam", .helper = true }, EINVAL },
		{ { .file_system_id = "fs-1", .root_directory = "x", .helper = true }, EINVAL },
		{ { .file_system_id = "fs-1", .tls_port = 70000, .helper = true }, EINVAL },
		{ { .file_system_id = "fs-1", .iam = true, .tls = true, .helper = true }, ENOTSUP },
		{ { .file_system_id = "fs-1",
		    .iam = true,
		    .credentials_uri = "/v2/credentials/i",
		    .helper = true },
		  EINVAL },
		{ { .file_system_id = "fs-1",
		    .iam = true,
		    .tls = true,
		    .credentials_uri = "/v2/credentials/i,exec",
		    .helper = true },
		  EINVAL },
		{ { .file_system_id = "fs-1",
		    .iam = true,
		    .tls = true,
		    .credentials_uri = "/v2/credentials/i" },
		  ENOTSUP },
		{ { .file_system_id = "fs-1", .server = "s", .tls = true }, ENOTSUP },
		{ { .file_system_id = "fs-1", .server = "s", .access_point = "a" }, ENOTSUP },
		{ { .file_system_id = "fs-1", .server = "s,exec" }, EINVAL },
		{ { .file_system_id = "fs-1" }, EINVAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(err_done) struct err err = {};
		struct json_pair *options = NULL;
		const char *driver = NULL;
		size_t n = 0;

		assert_int_equal(efs_options(&cases[i].p, &driver, &options, &n, &err),
				 -cases[i].code);
		assert_null(options);
		assert_true(*err.msg);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_local_driver_mounts_what_its_options_say),
		cmocka_unit_test(what_no_driver_takes_is_named),
		cmocka_unit_test(names_are_file_names),
		cmocka_unit_test(efs_is_nfs_where_there_is_no_helper),
		cmocka_unit_test(the_helper_takes_its_options),
		cmocka_unit_test(efs_takes_no_options_in_disguise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
