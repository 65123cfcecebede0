/* SPDX-License-Identifier: Apache-2.0 */
#include <seccomp.h>

#include "runtime/seccomp/list.h"
#include "runtime/seccomp/seccomp.h"
#include "tests/unit/runtime/container/unit.h"

static json_t *profile(const char *cap)
{
	char *caps[] = { (char *) cap, NULL };
	json_t *p = NULL;

	assert_int_equal(seccomp_profile(caps, &p, NULL), 0);
	return p;
}

/* Whether the plain list, the first rule, has @name. */
static bool allows(const json_t *p, const char *name)
{
	const json_t *rule = json_array_get(json_object_get(p, "syscalls"), 0), *n;
	size_t i;

	assert_string_equal(json_string_value(json_object_get(rule, "action")), "SCMP_ACT_ALLOW");
	json_array_foreach(json_object_get(rule, "names"), i, n)
		if (strcmp(json_string_value(n), name) == 0)
			return true;
	return false;
}

static void everything_else_is_refused(void **state _unused_)
{
	static const char *const never[] = { "keyctl",
					     "add_key",
					     "request_key",
					     "io_uring_setup",
					     "userfaultfd",
					     "kexec_load",
					     "swapon",
					     "init_module",
					     "mount",
					     "unshare",
					     "setns",
					     "bpf",
					     "perf_event_open",
					     "reboot",
					     "acct",
					     "clone3",
					     "personality",
					     "socket",
					     "open_by_handle_at",
					     "nfsservctl" };
	static const char *const always[] = {
		"read",  "write", "openat",     "execve",     "mmap",
		"futex", "clone", "epoll_wait", "getdents64", "ptrace"
	};
	json_auto_t *p = profile(NULL);

	assert_string_equal(json_string_value(json_object_get(p, "defaultAction")),
			    "SCMP_ACT_ERRNO");
	assert_int_equal(json_integer_value(json_object_get(p, "defaultErrnoRet")), 1);
	for (size_t i = 0; i < ARRAY_SIZE(never); i++)
		if (allows(p, never[i]))
			fail_msg("%s is allowed", never[i]);
	for (size_t i = 0; i < ARRAY_SIZE(always); i++)
		if (strcmp(always[i], "clone") != 0 && !allows(p, always[i]))
			fail_msg("%s is not allowed", always[i]);
}

static void a_capability_opens_its_calls(void **state _unused_)
{
	json_auto_t *admin = profile("CAP_SYS_ADMIN"), *chroot = profile("CAP_SYS_CHROOT");

	assert_true(allows(admin, "mount") && allows(admin, "clone3") && allows(admin, "unshare"));
	assert_true(allows(chroot, "chroot") && !allows(chroot, "mount"));
}

static void a_profile_is_built_once(void **state _unused_)
{
	json_auto_t *a = profile("CAP_CHOWN"), *b = profile("CAP_KILL"); /* neither opens a call */

	assert_ptr_equal(a, b);
}

/* runc refuses a name that libseccomp does not know, so each must have a number somewhere. */
static void every_name_is_known_here(void **state _unused_)
{
	json_auto_t *p = profile("CAP_SYS_ADMIN");
	const json_t *rule, *n;
	size_t r, i;

	json_array_foreach(json_object_get(p, "syscalls"), r, rule)
		json_array_foreach(json_object_get(rule, "names"), i, n)
			assert_int_not_equal(seccomp_syscall_resolve_name(json_string_value(n)),
					     __NR_SCMP_ERROR);
}

static bool is_listed(const char *name)
{
	size_t len = strlen(name);

	for (size_t g = 0; g < n_seccomp_groups; g++)
		for (const char *p = seccomp_groups[g].calls; *p;
		     p += strcspn(p, " "), p += *p == ' ')
			if (strcspn(p, " ") == len && memcmp(p, name, len) == 0)
				return true;
	return false;
}

/* Every call up to Linux 5.17 was decided on: one that is merely forgotten must not be refused. */
static void what_is_refused_is_refused_on_purpose(void **state _unused_)
{
	static const char refused[] =
		" uselib sysfs _sysctl swapon swapoff create_module get_kernel_syms query_module "
		"nfsservctl "
		"getpmsg putpmsg afs_syscall tuxcall security vserver kexec_load kexec_file_load "
		"add_key "
		"request_key keyctl userfaultfd io_uring_setup io_uring_enter io_uring_register "
		"socket personality ";

	for (int n = 0; n <= 450; n++) {
		_cleanup_(freep) char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, n),
				      *word = NULL;

		if (!name || is_listed(name))
			continue;
		word = path_join(" %s ", name);
		if (!strstr(refused, word))
			fail_msg("%s is neither in the list nor refused on purpose", name);
	}
}

/* A slip in the blanks of the list would glue two names together and silently drop both. */
static void the_list_is_well_formed(void **state _unused_)
{
	for (size_t g = 0; g < n_seccomp_groups; g++) {
		for (const char *p = seccomp_groups[g].calls; *p; p += *p == ' ') {
			size_t len = strcspn(p, " ");

			assert_in_range(len, 2, 31);
			assert_int_equal(strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789_"), len);
			p += len;
		}
		if (seccomp_groups[g].cap)
			assert_int_equal(strncmp(seccomp_groups[g].cap, "CAP_", 4), 0);
	}
	assert_in_range(n_seccomp_groups, 1, 32); /* the cache keys on a 32-bit set */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_else_is_refused),
		cmocka_unit_test(a_capability_opens_its_calls),
		cmocka_unit_test(a_profile_is_built_once),
		cmocka_unit_test(every_name_is_known_here),
		cmocka_unit_test(what_is_refused_is_refused_on_purpose),
		cmocka_unit_test(the_list_is_well_formed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
