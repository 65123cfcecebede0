/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <seccomp.h>

#include "common/json.h"
#include "runtime/seccomp/docker.h"
#include "tests/unit/runtime/container/unit.h"

static const struct seccomp_host amd64 = { .arch = SCMP_ARCH_X86_64, .kernel = 5, .major = 4 };

static char *no_caps[] = { NULL };
static char *admin[] = { (char *) "CAP_CHOWN", (char *) "CAP_SYS_ADMIN", NULL };

/* The object made of @text on @host with @caps, as text with its members in order. */
static char *convert(const char *text, char *const *caps, const struct seccomp_host *host)
{
	_cleanup_(err_done) struct err err = {};
	json_auto_t *made = NULL;

	if (seccomp_from_docker(text, caps, host, &made, &err) < 0)
		fail_msg("%s", err_text(&err));
	return json_dumps(made, JSON_COMPACT | JSON_SORT_KEYS);
}

static void expect_made(const char *text, const char *want)
{
	_cleanup_(freep) char *made = convert(text, no_caps, &amd64);

	assert_string_equal(made, want);
}

/* "a-b" for a profile with rules named a and b that remain. */
static void expect_rules(const char *rules, char *const *caps, const struct seccomp_host *host,
			 const char *want)
{
	_cleanup_(freep) char *text = NULL, *made = NULL;
	char got[64] = "";
	json_auto_t *p = NULL;
	const json_t *rule;
	size_t i;

	assert_true(asprintf(&text, "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[%s]}",
			     rules) > 0);
	made = convert(text, caps, host);
	assert_int_equal(json_parse(made, strlen(made), &p, NULL), 0);
	json_array_foreach(json_object_get(p, "syscalls"), i, rule) {
		const char *name =
			json_string_value(json_array_get(json_object_get(rule, "names"), 0));

		(void) snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s", i ? "-" : "",
				name);
	}
	assert_string_equal(got, want);
}

#define RULE(NAME, MORE) "{\"names\":[\"" NAME "\"],\"action\":\"SCMP_ACT_ERRNO\"" MORE "}"

static void a_profile_becomes_what_the_runtime_takes(void **state _unused_)
{
	expect_made(" {\"defaultAction\":\"SCMP_ACT_KILL_PROCESS\"}",
		    "{\"defaultAction\":\"SCMP_ACT_KILL_PROCESS\",\"syscalls\":[]}");
	expect_made(
		"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38,\"flags\":[],"
		"\"architectures\":[\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\"],\"syscalls\":["
		"{\"names\":[\"read\",\"write\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":null,"
		"\"comment\":\"why\",\"includes\":{},\"excludes\":{}},"
		"{\"name\":\"mkdir\",\"names\":[],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":0},"
		"{\"names\":[\"clone\"],\"action\":\"SCMP_ACT_TRACE\",\"errnoRet\":4095,\"args\":["
		"{\"index\":0,\"value\":2114060288,\"valueTwo\":7,\"op\":\"SCMP_CMP_MASKED_EQ\"},"
		"{\"index\":5,\"value\":9223372036854775807,\"op\":\"SCMP_CMP_NE\"},"
		"{\"op\":\"SCMP_CMP_EQ\"}]}]}",
		"{\"architectures\":[\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\"],"
		"\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38,\"syscalls\":["
		"{\"action\":\"SCMP_ACT_ALLOW\",\"names\":[\"read\",\"write\"]},"
		"{\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":0,\"names\":[\"mkdir\"]},"
		"{\"action\":\"SCMP_ACT_TRACE\",\"args\":["
		"{\"index\":0,\"op\":\"SCMP_CMP_MASKED_EQ\",\"value\":2114060288,\"valueTwo\":7},"
		"{\"index\":5,\"op\":\"SCMP_CMP_NE\",\"value\":9223372036854775807,\"valueTwo\":0},"
		"{\"index\":0,\"op\":\"SCMP_CMP_EQ\",\"value\":0,\"valueTwo\":0}],"
		"\"errnoRet\":4095,\"names\":[\"clone\"]}]}");
}

static void of_a_map_the_own_architecture_is_taken(void **state _unused_)
{
	static const char map[] =
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"archMap\":["
		"{\"architecture\":\"SCMP_ARCH_AARCH64\",\"subArchitectures\":[\"SCMP_ARCH_ARM\"]},"
		"{\"architecture\":\"SCMP_ARCH_X86_64\",\"subArchitectures\":[\"SCMP_ARCH_X86\","
		"\"SCMP_ARCH_X32\"]},{\"architecture\":\"SCMP_ARCH_RISCV64\","
		"\"subArchitectures\":null}]}";
	static const struct {
		uint32_t arch;
		const char *want;
	} cases[] = {
		{ SCMP_ARCH_X86_64,
		  "\"architectures\":[\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\",\"SCMP_ARCH_X32\"]," },
		{ SCMP_ARCH_AARCH64,
		  "\"architectures\":[\"SCMP_ARCH_AARCH64\",\"SCMP_ARCH_ARM\"]," },
		{ SCMP_ARCH_RISCV64, "\"architectures\":[\"SCMP_ARCH_RISCV64\"]," },
		{ SCMP_ARCH_S390X, "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct seccomp_host host = { .arch = cases[i].arch };
		_cleanup_(freep) char *made = convert(map, no_caps, &host), *want = NULL;

		assert_true(asprintf(&want,
				     "{%s\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[]}",
				     cases[i].want) > 0);
		assert_string_equal(made, want);
	}
}

static void conditions_choose_the_rules(void **state _unused_)
{
	static const struct seccomp_host arm64 = { SCMP_ARCH_AARCH64, 4, 7 };
	static const char caps[] =
		RULE("a", ",\"includes\":{\"caps\":[\"CAP_SYS_ADMIN\"]}") "," RULE(
			"b", ",\"excludes\":{\"caps\":[\"CAP_BPF\",\"CAP_SYS_"
			     "ADMIN\"]}") "," RULE("c", ",\"includes\":{\"caps\":[\"CAP_"
							"SYS_ADMIN\",\"CAP_BPF\"]}");
	static const char arches[] =
		RULE("a", ",\"includes\":{\"arches\":[\"amd64\",\"x32\"]}") "," RULE(
			"b",
			",\"excludes\":{\"arches\":[\"s390\",\"amd64\"]}") "," RULE("c",
										    ",\"includes\":"
										    "{\"arches\":[]"
										    "},"
										    "\"excludes\":{"
										    "\"arches\":[]"
										    "}");
	static const char kernels[] = RULE("a", ",\"includes\":{\"minKernel\":\"4.8\"}") "," RULE(
		"b", ",\"excludes\":{"
		     "\"minKernel\":"
		     "\"4.8\"}") "," RULE("c", ",\"includes\":{\"minKernel\":\"5."
					       "4\"}") "," RULE("d", ",\"includes\":{"
								     "\"minKernel\":\"5."
								     "5\"}") "," RULE("e", ","
											   "\""
											   "in"
											   "cl"
											   "ud"
											   "es"
											   "\""
											   ":{"
											   "\""
											   "mi"
											   "nK"
											   "er"
											   "ne"
											   "l"
											   "\""
											   ":"
											   "\""
											   "\""
											   "}");

	expect_rules(caps, no_caps, &amd64, "b");
	expect_rules(caps, admin, &amd64, "a");
	expect_rules(arches, no_caps, &amd64, "a-c");
	expect_rules(arches, no_caps, &arm64, "b-c");
	expect_rules(kernels, no_caps, &amd64, "a-c-e");
	expect_rules(kernels, no_caps, &arm64, "b-e");
	/* All kinds together, and the exclusion has the last word. */
	expect_rules(RULE("a", ",\"includes\":{\"caps\":[\"CAP_CHOWN\"],\"minKernel\":\"9.0\"}"),
		     admin, &amd64, "");
	expect_rules(RULE("a", ",\"includes\":{\"arches\":[\"amd64\"]},"
			       "\"excludes\":{\"caps\":[\"CAP_CHOWN\"]}"),
		     admin, &amd64, "");
}

static void expect_refused(const char *text, int code, const char *complaint)
{
	_cleanup_(err_done) struct err err = {};
	json_t *made = NULL;

	if (seccomp_from_docker(text, no_caps, &amd64, &made, &err) != -code ||
	    !strstr(err_text(&err), complaint))
		fail_msg("%.200s: '%s' instead of '%s'", text, err_text(&err), complaint);
	assert_null(made);
	assert_int_equal(seccomp_from_docker(text, no_caps, &amd64, &made, NULL), -code);
}

static void what_is_unknown_is_named(void **state _unused_)
{
	static const struct {
		const char *text, *complaint;
	} cases[] = {
		{ "{", "JSON: " },
		{ "[]", "not an object" },
		{ "{}", "defaultAction: missing" },
		{ "{\"defaultAction\":\"SCMP_ACT_ALOW\"}", "defaultAction: 'SCMP_ACT_ALOW' is no" },
		{ "{\"defaultAction\":7}", "defaultAction: not a string" },
		{ "{\"defaultActions\":\"SCMP_ACT_ALLOW\"}", "'defaultActions' is unknown" },
		{ "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"defaultErrnoRet\":1}",
		  "defaultErrnoRet: 'SCMP_ACT_ALLOW' returns none" },
		{ "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":4096}",
		  "defaultErrnoRet: 4096 is outside 0..4095" },
		{ "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":\"EPERM\"}",
		  "defaultErrnoRet: not an integer" },
		{ "{\"defaultAction\":\"SCMP_ACT_KILL\",\"architectures\":[\"SCMP_ARCH_X\"]}",
		  "architectures[0]: 'SCMP_ARCH_X' is no architecture" },
		{ "{\"defaultAction\":\"SCMP_ACT_KILL\",\"architectures\":[\"SCMP_ARCH_ARM\"],"
		  "\"archMap\":[{\"architecture\":\"SCMP_ARCH_ARM\"}]}",
		  "archMap: stands beside architectures" },
		{ "{\"defaultAction\":\"SCMP_ACT_KILL\",\"archMap\":[{\"architecture\":\"arm\"}]}",
		  "archMap[0]: architecture: 'arm' is no architecture" },
		{ "{\"defaultAction\":\"SCMP_ACT_KILL\",\"archMap\":[{\"architecture\":"
		  "\"SCMP_ARCH_ARM\",\"subArchitectures\":[\"SCMP_ARCH_ARM\",\"q\"]}]}",
		  "archMap[0]: subArchitectures[1]: 'q' is no architecture" },
		{ "{\"defaultAction\":\"SCMP_ACT_KILL\",\"archMap\":[{\"arch\":\"arm\"}]}",
		  "archMap[0]: 'arch' is unknown" },
		{ "{\"defaultAction\":\"SCMP_ACT_KILL\",\"syscalls\":{}}",
		  "syscalls: not an array" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		expect_refused(cases[i].text, EPROTO, cases[i].complaint);
	expect_refused("{\"defaultAction\":\"SCMP_ACT_NOTIFY\"}", ENOTSUP,
		       "defaultAction: 'SCMP_ACT_NOTIFY': there is nobody");
	expect_refused("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[\"SECCOMP_FILTER_FLAG_"
		       "LOG\"]}",
		       ENOTSUP, "flags: not supported");
	expect_refused("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"/x\"}", EPROTO,
		       "'listenerPath' is unknown");
}

/* Also where the conditions leave the rule out: nobody should learn of it on the next host. */
static void what_is_wrong_in_a_rule_is_named(void **state _unused_)
{
	static const struct {
		const char *rule, *complaint;
	} cases[] = {
		{ "7", "not an object" },
		{ "{\"action\":\"SCMP_ACT_ALLOW\"}", "names: missing" },
		{ "{\"names\":[\"a\"]}", "action: missing" },
		{ "{\"names\":[\"a\"],\"name\":\"b\",\"action\":\"SCMP_ACT_ALLOW\"}",
		  "name: stands beside names" },
		{ "{\"names\":[\"a\",\"Mk dir\"],\"action\":\"SCMP_ACT_ALLOW\"}",
		  "names[1]: 'Mk dir' is no system call" },
		{ "{\"names\":[1],\"action\":\"SCMP_ACT_ALLOW\"}", "names[0]: '' is no system" },
		{ "{\"names\":[\"a\"],\"action\":\"SCMP_ACT_ALLOW\",\"errnoRet\":1}",
		  "errnoRet: 'SCMP_ACT_ALLOW' returns none" },
		{ RULE("a", ",\"errnoRet\":-1"), "errnoRet: -1 is outside 0..4095" },
		{ RULE("a", ",\"priority\":1"), "'priority' is unknown" },
		{ RULE("a", ",\"comment\":1"), "comment: not a string" },
		{ RULE("a", ",\"args\":[{\"index\":6,\"op\":\"SCMP_CMP_EQ\"}]"),
		  "args[0]: index: 6 is outside 0..5" },
		{ RULE("a", ",\"args\":[{\"value\":-1,\"op\":\"SCMP_CMP_EQ\"}]"),
		  "args[0]: value: -1 is outside" },
		{ RULE("a", ",\"args\":[{\"valueTwo\":1.5,\"op\":\"SCMP_CMP_EQ\"}]"),
		  "args[0]: valueTwo: not an integer" },
		{ RULE("a", ",\"args\":[{\"op\":\"SCMP_CMP_LE\"},{\"op\":\"==\"}]"),
		  "args[1]: op: '==' is no comparison" },
		{ RULE("a", ",\"args\":[{\"index\":1}]"), "args[0]: op: '' is no comparison" },
		{ RULE("a", ",\"args\":[{\"arg\":1}]"), "args[0]: 'arg' is unknown" },
		{ RULE("a", ",\"includes\":{\"caps\":[\"CAP_KILL\",\"SYS_ADMIN\"]}"),
		  "includes: caps[1]: 'SYS_ADMIN' is unknown" },
		{ RULE("a", ",\"excludes\":{\"arches\":[\"SCMP_ARCH_ARM\"]}"),
		  "excludes: arches[0]: 'SCMP_ARCH_ARM' is unknown" },
		{ RULE("a", ",\"excludes\":{\"arches\":[1]}"), "excludes: arches[0]: '' is" },
		{ RULE("a", ",\"includes\":{\"minKernel\":\"4\"}"),
		  "includes: minKernel: '4' is not of the form" },
		{ RULE("a", ",\"includes\":{\"minKernel\":\"4.8-rc1\"}"), "'4.8-rc1' is not" },
		{ RULE("a", ",\"includes\":{\"maxKernel\":\"4.8\"}"),
		  "includes: 'maxKernel' is unknown" },
		{ RULE("a", ",\"includes\":{\"caps\":[\"CAP_BPF\"]},\"excludes\":{\"cap\":[]}"),
		  "excludes: 'cap' is unknown" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(freep) char *text = NULL, *complaint = NULL;

		assert_true(asprintf(&text,
				     "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[" RULE(
					     "ok", ",\"includes\":{\"arches\":[\"s390\"]}") ",%s]}",
				     cases[i].rule) > 0);
		assert_true(
			asprintf(&complaint, "%s%s",
				 strncmp(cases[i].complaint, "'4.8", 4) == 0 ? "" : "syscalls[1]: ",
				 cases[i].complaint) > 0);
		expect_refused(text, EPROTO, complaint);
	}
}

/* A profile with @n_rules rules of @n_names names and @n_args conditions each. */
static char *large(int n_rules, int n_names, int n_args)
{
	json_auto_t *rules = json_array(), *names = json_array(), *args = json_array(), *p = NULL;

	for (int i = 0; i < n_names; i++)
		(void) json_array_append_new(names, json_string("a"));
	for (int i = 0; i < n_args; i++)
		(void) json_array_append_new(args, json_pack("{s:s}", "op", "SCMP_CMP_EQ"));
	for (int i = 0; i < n_rules; i++)
		(void) json_array_append_new(rules,
					     json_pack("{s:O, s:O, s:s}", "names", names, "args",
						       args, "action", "SCMP_ACT_LOG"));
	p = json_pack("{s:s, s:O}", "defaultAction", "SCMP_ACT_ALLOW", "syscalls", rules);
	return json_dumps(p, JSON_COMPACT);
}

static void sizes_have_bounds(void **state _unused_)
{
	static const struct {
		int rules, names, args;
		const char *complaint; /* NULL: taken */
	} cases[] = {
		{ SECCOMP_RULES_MAX, 1, 0, NULL },
		{ SECCOMP_RULES_MAX + 1, 1, 0, "syscalls: 1025 elements, more than 1024" },
		{ 2, SECCOMP_NAMES_MAX / 2, 0, NULL },
		{ 2, SECCOMP_NAMES_MAX / 2 + 1, 0, "syscalls[1]: names: more than 4096 of all" },
		{ 1, SECCOMP_NAMES_MAX + 1, 0, "names: 4097 elements, more than 4096" },
		{ 1, 1, SECCOMP_ARGS_MAX, NULL },
		{ 1, 1, SECCOMP_ARGS_MAX + 1, "syscalls[0]: args: 17 elements, more than 16" },
		{ 900, 10, 10, "bytes, more than 65536" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(freep) char *text = large(cases[i].rules, cases[i].names, cases[i].args);
		_cleanup_(freep) char *made = NULL;

		if (cases[i].complaint)
			expect_refused(text, EPROTO, cases[i].complaint);
		else
			made = convert(text, no_caps, &amd64);
	}
}

static void this_host_has_a_kernel(void **state _unused_)
{
	struct seccomp_host host = seccomp_this_host();

	assert_int_equal(host.arch, seccomp_arch_native());
	assert_true(seccomp_kernel_is(&host, 3, 17)); /* without the system call nothing works */
	assert_false(seccomp_kernel_is(&host, host.kernel, host.major + 1));
	assert_false(seccomp_kernel_is(&host, host.kernel + 1, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_profile_becomes_what_the_runtime_takes),
		cmocka_unit_test(of_a_map_the_own_architecture_is_taken),
		cmocka_unit_test(conditions_choose_the_rules),
		cmocka_unit_test(what_is_unknown_is_named),
		cmocka_unit_test(what_is_wrong_in_a_rule_is_named),
		cmocka_unit_test(sizes_have_bounds),
		cmocka_unit_test(this_host_has_a_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
