/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/seccomp/docker-parts.h"

#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "common/cleanup.h"
#include "common/strv.h"
#include "runtime/spec/caps.h"

#ifndef SCMP_ARCH_LOONGARCH64
#define SCMP_ARCH_LOONGARCH64 0 /* known to libseccomp since 2.6 */
#endif

/* As the conditions of Docker call them, the OCI, and libseccomp. */
static const struct arch {
	const char *docker, *oci;
	uint32_t token;
} arches[] = {
	{ "amd64", "SCMP_ARCH_X86_64", SCMP_ARCH_X86_64 },
	{ "x86", "SCMP_ARCH_X86", SCMP_ARCH_X86 },
	{ "x32", "SCMP_ARCH_X32", SCMP_ARCH_X32 },
	{ "arm64", "SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64 },
	{ "arm", "SCMP_ARCH_ARM", SCMP_ARCH_ARM },
	{ "mips", "SCMP_ARCH_MIPS", SCMP_ARCH_MIPS },
	{ "mips64", "SCMP_ARCH_MIPS64", SCMP_ARCH_MIPS64 },
	{ "mips64n32", "SCMP_ARCH_MIPS64N32", SCMP_ARCH_MIPS64N32 },
	{ "mipsel", "SCMP_ARCH_MIPSEL", SCMP_ARCH_MIPSEL },
	{ "mipsel64", "SCMP_ARCH_MIPSEL64", SCMP_ARCH_MIPSEL64 },
	{ "mipsel64n32", "SCMP_ARCH_MIPSEL64N32", SCMP_ARCH_MIPSEL64N32 },
	{ "ppc", "SCMP_ARCH_PPC", SCMP_ARCH_PPC },
	{ "ppc64", "SCMP_ARCH_PPC64", SCMP_ARCH_PPC64 },
	{ "ppc64le", "SCMP_ARCH_PPC64LE", SCMP_ARCH_PPC64LE },
	{ "s390", "SCMP_ARCH_S390", SCMP_ARCH_S390 },
	{ "s390x", "SCMP_ARCH_S390X", SCMP_ARCH_S390X },
	{ "parisc", "SCMP_ARCH_PARISC", SCMP_ARCH_PARISC },
	{ "parisc64", "SCMP_ARCH_PARISC64", SCMP_ARCH_PARISC64 },
	{ "riscv64", "SCMP_ARCH_RISCV64", SCMP_ARCH_RISCV64 },
	{ "loong64", "SCMP_ARCH_LOONGARCH64", SCMP_ARCH_LOONGARCH64 },
};

struct seccomp_host seccomp_this_host(void)
{
	struct seccomp_host host = { .arch = seccomp_arch_native() };
	struct utsname u;

	if (uname(&u) < 0 || sscanf(u.release, "%u.%u", &host.kernel, &host.major) != 2)
		host.kernel = host.major = 0;
	return host;
}

bool seccomp_kernel_is(const struct seccomp_host *host, unsigned int kernel, unsigned int major)
{
	return host->kernel > kernel || (host->kernel == kernel && host->major >= major);
}

/* ---- members ---- */

int profile_check_keys(json_t *obj, const char *const *known, struct err *err)
{
	const char *key;
	json_t *value;

	if (!json_is_object(obj))
		return err_set(err, EPROTO, "not an object");
	json_object_foreach(obj, key, value) {
		if (!strv_contains((char *const *) known, key))
			return err_set(err, EPROTO, "'%.64s' is unknown", key);
	}
	return 0;
}

json_t *profile_member(const json_t *obj, const char *key)
{
	json_t *value = json_object_get(obj, key);

	return json_is_null(value) ? NULL : value;
}

int profile_text(const json_t *obj, const char *key, const char **ret, struct err *err)
{
	const json_t *value = profile_member(obj, key);

	*ret = NULL;
	if (value && !json_is_string(value))
		return err_set(err, EPROTO, "%s: not a string", key);
	if (value && json_string_length(value) > 0)
		*ret = json_string_value(value);
	return 0;
}

int profile_number(const json_t *obj, const char *key, json_int_t max, json_int_t *ret,
		   struct err *err)
{
	const json_t *value = profile_member(obj, key);

	*ret = -1;
	if (!value)
		return 0;
	if (!json_is_integer(value))
		return err_set(err, EPROTO, "%s: not an integer", key);
	if (json_integer_value(value) < 0 || json_integer_value(value) > max)
		return err_set(err, EPROTO, "%s: %lld is outside 0..%lld", key,
			       (long long) json_integer_value(value), (long long) max);
	*ret = json_integer_value(value);
	return 0;
}

int profile_list(const json_t *obj, const char *key, size_t max, json_t **ret, struct err *err)
{
	*ret = profile_member(obj, key);
	if (*ret && !json_is_array(*ret))
		return err_set(err, EPROTO, "%s: not an array", key);
	if (json_array_size(*ret) > max)
		return err_set(err, EPROTO, "%s: %zu elements, more than %zu", key,
			       json_array_size(*ret), max);
	return 0;
}

/* ---- architectures ---- */

const char *profile_arch(const char *name, uint32_t *ret_token)
{
	for (size_t i = 0; name && i < ARRAY_SIZE(arches); i++) {
		if (strcmp(arches[i].oci, name) == 0) {
			*ret_token = arches[i].token;
			return arches[i].oci;
		}
	}
	return NULL;
}

/* ---- conditions ---- */

/* How many of a list hold: an @is_held() below 0 says that the name is unknown. */
static int look_at(const struct profile_conditions *c, const json_t *filter, const char *key,
		   int (*is_held)(const struct profile_conditions *c, const char *name),
		   bool *ret_any, bool *ret_all, struct err *err)
{
	json_t *list, *value;
	size_t i;
	int k = profile_list(filter, key, SECCOMP_NAMES_MAX, &list, err);

	json_array_foreach(list, i, value) {
		const char *name = json_string_value(value);
		int held = k == 0 && name ? is_held(c, name) : -1;

		if (k == 0 && held < 0)
			k = err_set(err, EPROTO, "%s[%zu]: '%.64s' is unknown", key, i,
				    name ? name : "");
		*ret_any |= held > 0;
		*ret_all &= held > 0;
	}
	return k;
}

static int holds_cap(const struct profile_conditions *c, const char *name)
{
	int number = caps_number(name);

	if (number < 0 || strcmp(caps_name(number), name) != 0)
		return -1;
	return strv_contains(c->caps, name);
}

static int is_arch(const struct profile_conditions *c, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(arches); i++)
		if (strcmp(arches[i].docker, name) == 0)
			return arches[i].token == c->host->arch;
	return -1;
}

static int has_kernel(const struct profile_conditions *c, const json_t *filter, int *ret,
		      struct err *err)
{
	unsigned int kernel, major;
	const char *text;
	int end = 0, k = profile_text(filter, "minKernel", &text, err);

	*ret = -1; /* not asked for */
	if (k < 0 || !text)
		return k;
	if (strspn(text, "0123456789.") != strlen(text) ||
	    sscanf(text, "%4u.%4u%n", &kernel, &major, &end) != 2 || text[end])
		return err_set(err, EPROTO, "minKernel: '%.64s' is not of the form 4.8", text);
	*ret = seccomp_kernel_is(c->host, kernel, major);
	return 0;
}

int profile_filter(const struct profile_conditions *c, json_t *rule, const char *key, bool include,
		   bool *ret, struct err *err)
{
	static const char *const known[] = { "arches", "caps", "minKernel", NULL };
	json_t *filter = profile_member(rule, key);
	bool any_arch = false, all_arches = true, any_cap = false, all_caps = true;
	int kernel = -1, k;

	*ret = include;
	if (!filter)
		return 0;
	k = profile_check_keys(filter, known, err);
	if (k == 0)
		k = look_at(c, filter, "arches", is_arch, &any_arch, &all_arches, err);
	if (k == 0)
		k = look_at(c, filter, "caps", holds_cap, &any_cap, &all_caps, err);
	if (k == 0)
		k = has_kernel(c, filter, &kernel, err);
	if (k < 0) {
		(void) err_wrap(err, "%s", key);
		return k;
	}
	if (include)
		*ret = (any_arch || json_array_size(profile_member(filter, "arches")) == 0) &&
		       all_caps && kernel != 0;
	else
		*ret = any_arch || any_cap || kernel > 0;
	return 0;
}
