/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/seccomp/seccomp.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "common/strv.h"
#include "runtime/seccomp/docker.h"
#include "runtime/seccomp/list.h"

enum { NAME_MAX_LEN = 64, CACHE_MAX = 16 };

/* Every flag of clone() that makes a namespace: the same mask as containers everywhere have. */
#define NAMESPACE_FLAGS                                                                            \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
	 CLONE_NEWPID | CLONE_NEWNET)

struct arches {
	const char *names[4]; /* as the OCI spec spells them */
	uint32_t tokens[4];
	size_t n;
};

static void add_arch(struct arches *a, uint32_t token, const char *name)
{
	a->tokens[a->n] = token;
	a->names[a->n++] = name;
}

/*
 * The native architecture first, and those whose programs its kernel runs too. Each costs 3 ms at every
 * start, in which runc compiles the filter; so x32, which distributions leave out of their kernels, is not
 * among them (its calls are fatal then), and x86 only where there is 32-bit emulation.
 */
static int find_arches(struct arches *a, struct err *err)
{
	switch (seccomp_arch_native()) {
	case SCMP_ARCH_X86_64:
		add_arch(a, SCMP_ARCH_X86_64, "SCMP_ARCH_X86_64");
		if (access("/proc/sys/abi/vsyscall32", F_OK) == 0)
			add_arch(a, SCMP_ARCH_X86, "SCMP_ARCH_X86");
		return 0;
	case SCMP_ARCH_AARCH64:
		add_arch(a, SCMP_ARCH_AARCH64, "SCMP_ARCH_AARCH64");
		add_arch(a, SCMP_ARCH_ARM, "SCMP_ARCH_ARM");
		return 0;
	case SCMP_ARCH_PPC64LE:
		add_arch(a, SCMP_ARCH_PPC64LE, "SCMP_ARCH_PPC64LE");
		return 0;
	case SCMP_ARCH_S390X:
		add_arch(a, SCMP_ARCH_S390X, "SCMP_ARCH_S390X");
		add_arch(a, SCMP_ARCH_S390, "SCMP_ARCH_S390");
		return 0;
	case SCMP_ARCH_RISCV64:
		add_arch(a, SCMP_ARCH_RISCV64, "SCMP_ARCH_RISCV64");
		return 0;
	default:
		return err_set(err, ENOTSUP, "no seccomp profile for this architecture");
	}
}

/* A name without a number would fail the start, and one that only others have a number for costs time. */
static bool is_known(const struct arches *a, const char *name)
{
	for (size_t i = 0; i < a->n; i++)
		if (seccomp_syscall_resolve_name_arch(a->tokens[i], name) >= 0)
			return true;
	return false;
}

static bool list_has(const json_t *names, const char *name)
{
	const json_t *n;
	size_t i;

	json_array_foreach(names, i, n)
		if (strcmp(json_string_value(n), name) == 0)
			return true;
	return false;
}

static int append_calls(json_t *names, const struct arches *a, const char *calls)
{
	for (const char *p = calls; *p;) {
		size_t len = strcspn(p, " ");
		char name[NAME_MAX_LEN];

		(void) snprintf(name, sizeof(name), "%.*s", (int) len, p);
		if (is_known(a, name) && !list_has(names, name) &&
		    json_array_append_new(names, json_string(name)) < 0)
			return -ENOMEM;
		p += len;
		p += strspn(p, " ");
	}
	return 0;
}

/* @value is compared with argument @index; @op SCMP_CMP_MASKED_EQ: (argument & value) == 0. */
static int append_rule(json_t *rules, const char *name, const char *op, int index, uint64_t value)
{
	return json_array_append_new(
		rules, json_pack("{s:[s], s:s, s:[{s:i, s:I, s:I, s:s}]}", "names", name, "action",
				 "SCMP_ACT_ALLOW", "args", "index", index, "value",
				 (json_int_t) value, "valueTwo", (json_int_t) 0, "op", op));
}

/*
 * Linux, 32-bit Linux, either without address
 * randomisation, and the question for the present one.
 */
static int append_personality(json_t *rules)
{
	static const uint64_t values[] = { 0x0, 0x8, 0x20000, 0x20008, 0xffffffff };
	int k = 0;

	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		k |= append_rule(rules, "personality", "SCMP_CMP_EQ", 0, values[i]);
	return k;
}

/*
 * Without CAP_SYS_ADMIN clone() makes no namespaces. clone3() has its flags in memory, where no
 * filter sees them, so it is said not to exist and libc falls back to clone().
 */
static int append_clone(json_t *rules)
{
	int index = seccomp_arch_native() == SCMP_ARCH_S390X ? 1 : 0;

	return append_rule(rules, "clone", "SCMP_CMP_MASKED_EQ", index, NAMESPACE_FLAGS) |
	       json_array_append_new(rules,
				     json_pack("{s:[s], s:s, s:i}", "names", "clone3", "action",
					       "SCMP_ACT_ERRNO", "errnoRet", ENOSYS));
}

/* Before Linux 4.8 ptrace() let its user change calls after the filter had seen them. */
static bool ptrace_is_safe(void)
{
	struct seccomp_host host = seccomp_this_host();

	return seccomp_kernel_is(&host, 4, 8);
}

static json_t *build(char *const *caps, const struct arches *a)
{
	json_auto_t *names = json_array(), *rules = json_array(), *arches = json_array();
	int k = 0;

	for (size_t i = 0; i < n_seccomp_groups; i++)
		if (!seccomp_groups[i].cap || strv_contains(caps, seccomp_groups[i].cap))
			k |= append_calls(names, a, seccomp_groups[i].calls);
	if (ptrace_is_safe())
		k |= append_calls(names, a, "ptrace");
	k |= json_array_append_new(
		rules, json_pack("{s:O, s:s}", "names", names, "action", "SCMP_ACT_ALLOW"));
	/* A socket towards the hypervisor is on no container's network. */
	k |= append_rule(rules, "socket", "SCMP_CMP_NE", 0, AF_VSOCK);
	k |= append_personality(rules);
	if (!strv_contains(caps, "CAP_SYS_ADMIN"))
		k |= append_clone(rules);
	for (size_t i = 0; i < a->n; i++)
		k |= json_array_append_new(arches, json_string(a->names[i]));
	if (k < 0)
		return NULL;
	return json_pack("{s:s, s:i, s:O, s:O}", "defaultAction", "SCMP_ACT_ERRNO",
			 "defaultErrnoRet", EPERM, "architectures", arches, "syscalls", rules);
}

/* Which of the capabilities that matter here are held: the key of the cache. */
static uint32_t opened_groups(char *const *caps)
{
	uint32_t set = 0;

	for (size_t i = 0; i < n_seccomp_groups && i < 32; i++)
		if (seccomp_groups[i].cap && strv_contains(caps, seccomp_groups[i].cap))
			set |= 1u << i;
	return set;
}

int seccomp_profile(char *const *caps, json_t **ret, struct err *err)
{
	static struct {
		uint32_t key;
		json_t *profile; /* kept for the life of the process */
	} cache[CACHE_MAX];
	static size_t n_cached;
	uint32_t key = opened_groups(caps);
	struct arches arches = {};
	json_t *profile;
	int k;

	for (size_t i = 0; i < n_cached; i++) {
		if (cache[i].key == key) {
			*ret = json_incref(cache[i].profile);
			return 0;
		}
	}
	k = find_arches(&arches, err);
	if (k < 0)
		return k;
	profile = build(caps, &arches);
	if (!profile)
		return err_set(err, ENOMEM, "build the seccomp profile");
	if (n_cached < CACHE_MAX) {
		cache[n_cached].key = key;
		cache[n_cached++].profile = json_incref(profile);
	}
	*ret = profile;
	return 0;
}
