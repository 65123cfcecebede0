/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>

#include "common/strv.h"
#include "runtime/spec/caps.h"
#include "runtime/spec/spec.h"
#include "tests/unit/runtime/container/unit.h"

static char *const plain_args[] = { (char *) "sleep", (char *) "1", NULL };

static struct container_spec plain(void)
{
	return (struct container_spec){ .args = plain_args,
					.rootfs = "/r",
					.cgroups_path = "/ecs/t/c",
					.swappiness = -1,
					.cgroupns = SPEC_NS_HOST };
}

static json_t *build(const struct container_spec *s)
{
	_cleanup_(err_done) struct err err = {};
	json_t *j = NULL;

	if (spec_build(s, &j, &err) < 0)
		fail_msg("%s", err_text(&err));
	return j;
}

/* "linux.resources.memory.limit", "mounts.3.options": the compact text of what stands there. */
static char *at(const json_t *j, const char *path)
{
	char key[64];

	while (j && *path) {
		size_t n = strcspn(path, ".");

		assert_true(n < sizeof(key));
		memcpy(key, path, n);
		key[n] = '\0';
		path += n + (path[n] == '.');
		j = json_is_array(j) ? json_array_get(j, strtoul(key, NULL, 10))
				     : json_object_get(j, key);
	}
	return j ? json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY) : strdup("absent");
}

static void expect(const struct container_spec *s, const char *path, const char *value)
{
	json_auto_t *j = build(s);
	_cleanup_(freep) char *got = at(j, path);

	if (strcmp(got, value) != 0)
		fail_msg("%s is %s, not %s", path, got, value);
}

static void refuse(const struct container_spec *s, const char *complaint)
{
	_cleanup_(err_done) struct err err = {};
	json_t *j = (json_t *) (uintptr_t) 1;

	assert_true(spec_build(s, &j, &err) < 0);
	assert_string_equal(err.msg, complaint);
	assert_ptr_equal(j, (json_t *) (uintptr_t) 1);
}

static void plain_values_land_where_runc_reads_them(void **state _unused_)
{
	char *env[] = { (char *) "A=b", NULL };
	gid_t more[] = { 5, 6 };
	struct spec_rlimit limits[] = { { "nofile", 10, 20 }, { "core", UINT64_MAX, UINT64_MAX } };
	struct json_pair notes[] = { { (char *) "k", (char *) "v" } };
	struct container_spec s = plain();

	s.env = env;
	s.cwd = "/srv";
	s.uid = 1;
	s.gid = 2;
	s.additional_gids = more;
	s.n_additional_gids = 2;
	s.rlimits = limits;
	s.n_rlimits = 2;
	s.annotations = notes;
	s.n_annotations = 1;
	s.hostname = "h";
	s.readonly_rootfs = s.no_new_privileges = s.terminal = true;
	s.memory_limit_bytes = 1 << 24;
	s.memory_reservation_bytes = 1 << 23;
	s.cpu_shares = 512;
	s.pids_limit = 9;
	s.oom_score_adj = 7;
	s.swappiness = 0;
	static const char *const cases[][2] = {
		{ "ociVersion", "\"1.0.2\"" },
		{ "hostname", "\"h\"" },
		{ "root", "{\"path\":\"/r\",\"readonly\":true}" },
		{ "annotations", "{\"k\":\"v\"}" },
		{ "process.args", "[\"sleep\",\"1\"]" },
		{ "process.env", "[\"A=b\"]" },
		{ "process.cwd", "\"/srv\"" },
		{ "process.user", "{\"uid\":1,\"gid\":2,\"additionalGids\":[5,6]}" },
		{ "process.terminal", "true" },
		{ "process.noNewPrivileges", "true" },
		{ "process.oomScoreAdj", "7" },
		{ "process.rlimits.0", "{\"type\":\"RLIMIT_NOFILE\",\"soft\":10,\"hard\":20}" },
		{ "process.rlimits.1.hard", "9223372036854775807" },
		{ "linux.cgroupsPath", "\"/ecs/t/c\"" },
		{ "linux.resources.memory.limit", "16777216" },
		{ "linux.resources.memory.reservation", "8388608" },
		{ "linux.resources.memory.swappiness", "0" },
		{ "linux.resources.cpu", "{\"shares\":512}" },
		{ "linux.resources.pids", "{\"limit\":9}" },
		{ "linux.resources.devices.0",
		  "{\"allow\":false,\"type\":\"a\",\"access\":\"rwm\"}" },
		{ "linux.seccomp.defaultAction", "\"SCMP_ACT_ERRNO\"" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		expect(&s, cases[i][0], cases[i][1]);
}

static void what_is_not_asked_for_is_absent(void **state _unused_)
{
	static const char *const absent[] = { "hostname",
					      "annotations",
					      "linux.resources.memory",
					      "linux.resources.cpu",
					      "linux.resources.pids",
					      "linux.rootfsPropagation" };
	struct container_spec s = plain();

	for (size_t i = 0; i < ARRAY_SIZE(absent); i++)
		expect(&s, absent[i], "absent");
	expect(&s, "process.cwd", "\"/\"");
	expect(&s, "process.capabilities.inheritable", "absent");
	expect(&s, "process.capabilities.ambient", "absent");
}

static void namespaces_follow_the_modes(void **state _unused_)
{
	struct container_spec s = plain();

	expect(&s, "linux.namespaces",
	       "[{\"type\":\"mount\"},{\"type\":\"uts\"},{\"type\":\"pid\"},"
	       "{\"type\":\"ipc\"},{\"type\":\"network\"}]");
	s.netns = SPEC_NS_PATH;
	s.netns_path = "/run/netns/x";
	s.pidns = s.ipcns = SPEC_NS_HOST;
	s.cgroup_v2 = true;
	s.cgroupns = SPEC_NS_PRIVATE;
	expect(&s, "linux.namespaces",
	       "[{\"type\":\"mount\"},{\"type\":\"uts\"},"
	       "{\"type\":\"network\",\"path\":\"/run/netns/x\"},{\"type\":\"cgroup\"}]");
	expect(&s, "mounts.6",
	       "{\"destination\":\"/dev/shm\",\"type\":\"bind\",\"source\":\"/dev/shm\","
	       "\"options\":[\"rbind\",\"nosuid\",\"noexec\",\"nodev\",\"rprivate\"]}");
	s.netns_path = NULL;
	refuse(&s, "config.json: netns_path: not an absolute path");
	s.netns = SPEC_NS_PRIVATE;
	s.utsns = SPEC_NS_HOST;
	s.hostname = "h";
	s.pidns = s.ipcns = SPEC_NS_PATH;
	s.pidns_path = "/proc/7/ns/pid";
	s.ipcns_path = "/proc/7/ns/ipc";
	s.shm_path = "/run/shared";
	expect(&s, "linux.namespaces",
	       "[{\"type\":\"mount\"},{\"type\":\"pid\",\"path\":\"/proc/7/ns/pid\"},"
	       "{\"type\":\"ipc\",\"path\":\"/proc/7/ns/ipc\"},{\"type\":\"network\"},"
	       "{\"type\":\"cgroup\"}]");
	expect(&s, "hostname", "absent");
	expect(&s, "mounts.6.source", "\"/run/shared\"");
	s.no_shm = true;
	expect(&s, "mounts.6", "absent");
	s.ipcns_path = NULL;
	refuse(&s, "config.json: ipcns_path: not an absolute path");
}

static void limits_beyond_memory_land_in_resources(void **state _unused_)
{
	char *none[] = { NULL }, *masked[] = { (char *) "/a", NULL },
	     *rules[] = { (char *) "b *:7 rw", NULL };
	struct json_pair tmpfs[] = { { (char *) "/t", (char *) "size=1m,ro" } };
	struct container_spec s = plain();

	s.cpu_quota_usec = -1;
	s.cpu_period_usec = 1000;
	s.cpuset_cpus = s.cpuset_mems = "0";
	s.block_weight = 10;
	s.masked_paths = masked;
	s.readonly_paths = none;
	s.device_rules = rules;
	s.tmpfs = tmpfs;
	s.n_tmpfs = 1;
	s.apparmor_profile = "p";
	s.selinux_label = "l";
	s.mount_label = "m";
	expect(&s, "linux.resources.cpu",
	       "{\"quota\":-1,\"period\":1000,\"cpus\":\"0\",\"mems\":\"0\"}");
	expect(&s, "linux.resources.blockIO", "{\"weight\":10}");
	expect(&s, "linux.resources.devices.12",
	       "{\"allow\":true,\"type\":\"b\",\"access\":\"rw\",\"minor\":7}");
	expect(&s, "linux.maskedPaths", "[\"/a\"]");
	expect(&s, "linux.readonlyPaths", "[]");
	expect(&s, "linux.mountLabel", "\"m\"");
	expect(&s, "process.apparmorProfile", "\"p\"");
	expect(&s, "process.selinuxLabel", "\"l\"");
	expect(&s, "mounts.7",
	       "{\"destination\":\"/t\",\"type\":\"tmpfs\",\"source\":\"tmpfs\","
	       "\"options\":[\"size=1m\",\"ro\"]}");
	s.cpuset_cpus = "0,";
	refuse(&s, "config.json: cpusetCpus: '0,' is no list such as 0-2,4");
}

static void mounts_come_after_the_standard_ones_parents_first(void **state _unused_)
{
	struct spec_mount m[] = { { "/v/deep", "/a/b/c", NULL, "ro" },
				  { "/v/top", "/a", "bind", "rbind,rslave" },
				  { "tmpfs", "/dev/shm", "tmpfs", "size=1m" } };
	struct container_spec s = plain();

	s.mounts = m;
	s.n_mounts = 3;
	s.shm_size_bytes = 4096;
	expect(&s, "mounts.0.destination", "\"/proc\"");
	expect(&s, "mounts.5.destination",
	       "\"/dev/mqueue\""); /* the standard /dev/shm is replaced */
	expect(&s, "mounts.6",
	       "{\"destination\":\"/a\",\"type\":\"bind\",\"source\":\"/v/top\",\"options\":"
	       "[\"rbind\",\"rslave\"]}");
	expect(&s, "mounts.7.options", "[\"size=1m\"]");
	expect(&s, "mounts.8.options", "[\"ro\",\"rbind\",\"rprivate\"]");
	expect(&s, "linux.rootfsPropagation", "\"rslave\"");
	s.n_mounts = 0;
	expect(&s, "mounts.6.options",
	       "[\"nosuid\",\"noexec\",\"nodev\",\"mode=1777\",\"size=4096\"]");
}

static void privileged_lifts_what_confines(void **state _unused_)
{
	struct container_spec s = plain();

	s.privileged = true;
	expect(&s, "linux.seccomp", "absent");
	expect(&s, "linux.maskedPaths", "absent");
	expect(&s, "linux.readonlyPaths", "absent");
	expect(&s, "linux.resources.devices",
	       "[{\"allow\":true,\"type\":\"a\",\"access\":\"rwm\"}]");
	expect(&s, "mounts.3.options", "[\"rw\",\"nosuid\",\"noexec\",\"nodev\"]");
}

static void devices_get_node_and_rule(void **state _unused_)
{
	struct spec_device d[] = { { "/dev/null", "/dev/zilch", "rw" } };
	struct container_spec s = plain();

	s.devices = d;
	s.n_devices = 1;
	expect(&s, "linux.devices.0.path", "\"/dev/zilch\"");
	expect(&s, "linux.devices.0.minor", "3");
	expect(&s, "linux.resources.devices.12",
	       "{\"allow\":true,\"type\":\"c\",\"access\":\"rw\",\"major\":1,\"minor\":3}");
	d[0].permissions = "rx";
	refuse(&s, "config.json: devices[0].permissions: 'rx' is not made of r, w, m");
	d[0] = (struct spec_device){ "/etc/passwd", NULL, NULL };
	refuse(&s, "config.json: devices[0].hostPath: '/etc/passwd' is not a device node");
}

static void bad_members_are_named(void **state _unused_)
{
	static char *const bad_env[] = { (char *) "A=b", (char *) "novalue", NULL };
	static char *const empty[] = { NULL };
	static char *const bad_rule[] = { (char *) "c 10:* rw", (char *) "c 99999999999:1 r",
					  NULL };
	static char *const bad_cap[] = { (char *) "CHOWN", (char *) "FLY", NULL };
	static const struct spec_rlimit unknown = { "files", 1, 2 }, reversed = { "nofile", 3, 2 };
	static const struct spec_mount proc = { "/x", "/proc/self", NULL, NULL },
				       dots = { "/x", "/a/../b", NULL, NULL },
				       relative = { "x", "/a", NULL, NULL },
				       root = { "/x", "//", NULL, NULL };
	static const struct json_pair host_wide = { (char *) "vm.swappiness", (char *) "1" };
#define WITH(...)                                                                                  \
	({                                                                                         \
		struct container_spec _s = plain();                                                \
		__VA_ARGS__;                                                                       \
		_s;                                                                                \
	})
	const struct {
		struct container_spec s;
		const char *complaint;
	} cases[] = {
		{ WITH(_s.args = empty), "command: no program is named" },
		{ WITH(_s.device_rules = bad_rule),
		  "deviceCgroupRules[1]: 'c 99999999999:1 r' is not of the form 'c 10:* rwm'" },
		{ WITH(_s.env = bad_env), "environment[1]: not of the form KEY=value" },
		{ WITH(_s.cwd = "srv"),
		  "workingDirectory: 'srv' is no absolute path without '..'" },
		{ WITH(_s.cwd = "/proc/self/fd/7"),
		  "workingDirectory: '/proc/self/fd/7' is below /proc or /dev/fd" },
		{ WITH(_s.cwd = "/dev/fd/7"),
		  "workingDirectory: '/dev/fd/7' is below /proc or /dev/fd" },
		{ WITH(_s.cwd = "//proc//self"),
		  "workingDirectory: '//proc//self' is below /proc or /dev/fd" },
		{ WITH(_s.cwd = "/x/../proc/self/fd/7"),
		  "workingDirectory: '/x/../proc/self/fd/7' is no absolute path without '..'" },
		{ WITH(_s.uid = 0x80000000u), "user: uids and gids must be in range 0-2147483647" },
		{ WITH(_s.cap_add = bad_cap), "capAdd[1]: unknown capability 'FLY'" },
		{ WITH(_s.cap_drop = bad_cap), "capDrop[1]: unknown capability 'FLY'" },
		{ WITH(_s.rlimits = &unknown; _s.n_rlimits = 1),
		  "ulimits[0].name: 'files' is not known" },
		{ WITH(_s.rlimits = &reversed; _s.n_rlimits = 1),
		  "ulimits[0]: nofile: soft limit 3 is above hard limit 2" },
		{ WITH(_s.mounts = &proc; _s.n_mounts = 1),
		  "mounts[0].destination: '/proc/self' is below /proc" },
		{ WITH(_s.mounts = &dots; _s.n_mounts = 1),
		  "mounts[0].destination: '/a/../b' is no absolute path without '..'" },
		{ WITH(_s.mounts = &root; _s.n_mounts = 1),
		  "mounts[0].destination: '/' cannot be mounted over" },
		{ WITH(_s.mounts = &relative; _s.n_mounts = 1),
		  "mounts[0].source: 'x' is no absolute path without '..'" },
		{ WITH(_s.sysctls = &host_wide; _s.n_sysctls = 1),
		  "systemControls[0]: 'vm.swappiness' is not of this container's namespaces" },
		{ WITH(_s.cpu_shares = 1), "cpuShares: 1 is outside 2..262144" },
		{ WITH(_s.memory_limit_bytes = 5; _s.memory_reservation_bytes = 6),
		  "memoryReservation: 6 is above the memory limit 5" },
		{ WITH(_s.rootfs = "r"), "rootfs: not an absolute path" },
		{ WITH(_s.cgroups_path = "/a/../../b"), "cgroups_path: not an absolute path" },
		{ WITH(_s.oom_score_adj = 1001), "oom_score_adj: 1001 is outside -1000..1000" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(freep) char *complaint = path_join("config.json: %s", cases[i].complaint);

		refuse(&cases[i].s, complaint);
	}
}

static void sysctls_of_its_own_namespaces_are_set(void **state _unused_)
{
	static const struct json_pair own[] = { { (char *) "net.core.somaxconn", (char *) "9" },
						{ (char *) "kernel.shmmax", (char *) "8" } };
	struct container_spec s = plain();

	s.sysctls = own;
	s.n_sysctls = 2;
	s.domainname = "example.org";
	{
		json_auto_t *j = build(&s);
		const json_t *o = json_object_get(json_object_get(j, "linux"), "sysctl");

		assert_string_equal(json_string_value(json_object_get(o, "net.core.somaxconn")),
				    "9");
		assert_string_equal(json_string_value(json_object_get(o, "kernel.shmmax")), "8");
		assert_string_equal(json_string_value(json_object_get(o, "kernel.domainname")),
				    "example.org");
	}
	s.netns = SPEC_NS_HOST;
	refuse(&s, "config.json: systemControls[0]: 'net.core.somaxconn' is not of this "
		   "container's namespaces");
}

static void capabilities_resolve_as_in_docker(void **state _unused_)
{
	enum { DEFAULT = 0xa80425fb };
	static const struct {
		const char *add[3], *drop[3];
		uint64_t want;
	} cases[] = {
		{ {}, {}, DEFAULT },
		{ { "NET_ADMIN" }, {}, DEFAULT | 1ull << 12 },
		{ { "cap_net_admin" }, { "CAP_CHOWN" }, (DEFAULT | 1ull << 12) & ~1ull },
		{ { "CHOWN" }, { "CHOWN" }, DEFAULT },
		{ { "ALL" }, {}, 0x1ffffffffff },
		{ { "all" }, { "SYS_ADMIN" }, 0x1ffffffffff & ~(1ull << 21) },
		{ {}, { "ALL" }, 0 },
		{ { "KILL" }, { "ALL" }, 1ull << 5 },
		{ { "ALL" }, { "ALL" }, 0x1ffffffffff },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t got = 0;

		assert_int_equal(caps_resolve((char *const *) cases[i].add,
					      (char *const *) cases[i].drop, UINT64_MAX, &got,
					      NULL),
				 0);
		assert_int_equal(got, cases[i].want);
	}
	for (int n = 0; caps_name(n); n++)
		assert_int_equal(caps_number(caps_name(n)), n);
}

static void commands_merge_as_in_docker(void **state _unused_)
{
	static const struct {
		const char *image_entry[3], *image_cmd[3], *entry[3], *cmd[3];
		const char *want; /* NULL: nothing to run */
	} cases[] = {
		{ { "e" }, { "c" }, {}, {}, "e c" },
		{ { "e" }, { "c" }, {}, { "x", "y" }, "e x y" },
		{ { "e" }, { "c" }, { "E" }, {}, "E" },
		{ { "e" }, { "c" }, { "E" }, { "x" }, "E x" },
		{ {}, { "c" }, {}, {}, "c" },
		{ { "e" }, {}, {}, {}, "e" },
		{ { "e" }, { "c" }, { "" }, { "x" }, "x" },
		{ { "e" }, { "c" }, { "" }, {}, NULL },
		{ {}, {}, {}, {}, NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(strv_freep) char **got = NULL;
		_cleanup_(err_done) struct err err = {};
		char text[64] = "";
		int k = spec_merge_command(
			(char *const *) cases[i].image_entry, (char *const *) cases[i].image_cmd,
			(char *const *) cases[i].entry, (char *const *) cases[i].cmd, &got, &err);

		if (!cases[i].want) {
			assert_int_equal(k, -ENOENT);
			assert_string_equal(err.msg, "no command specified");
			continue;
		}
		assert_int_equal(k, 0);
		for (size_t n = 0, len = 0; got[n]; n++)
			len += (size_t) snprintf(text + len, sizeof(text) - len, "%s%s",
						 n ? " " : "", got[n]);
		assert_string_equal(text, cases[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_values_land_where_runc_reads_them),
		cmocka_unit_test(what_is_not_asked_for_is_absent),
		cmocka_unit_test(namespaces_follow_the_modes),
		cmocka_unit_test(limits_beyond_memory_land_in_resources),
		cmocka_unit_test(mounts_come_after_the_standard_ones_parents_first),
		cmocka_unit_test(privileged_lifts_what_confines),
		cmocka_unit_test(devices_get_node_and_rule),
		cmocka_unit_test(bad_members_are_named),
		cmocka_unit_test(sysctls_of_its_own_namespaces_are_set),
		cmocka_unit_test(capabilities_resolve_as_in_docker),
		cmocka_unit_test(commands_merge_as_in_docker),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
