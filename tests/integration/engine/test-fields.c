/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a task definition asks for, looked at from inside: each row is a container whose script exits
 * 0 only when its wish came true, or a wish that is refused with a reason.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/fs.h"
#include "common/json.h"
#include "runtime/cgroup/cgroup.h"
#include "tests/integration/engine/world.h"
#include "tests/integration/host.h"

enum { PATIENCE_MS = 60000 };

/* v V1 V2: the file of this container's group, in the hierarchy that the host has. */
#define CGROUP_FILE                                                                                \
	"v() { cat /sys/fs/cgroup/$1 2>/dev/null || cat /sys/fs/cgroup/$2; }; "                    \
	"has() { [ \"$1\" = \"$2\" ] || { echo \"'$1' is not '$2'\"; exit 1; }; }; "

struct wish {
	const char *what;
	const char *members; /* of the container, as JSON */
	const char *config, *host_config;
	const char *script;
	bool v1_only;
};

static int first; /* of the running test: no task's ARN comes twice */

static int start_agent(void **state _unused_)
{
	world_start_agent();
	return 0;
}

static int end_agent(void **state _unused_)
{
	bool clean;

	for (size_t i = 0; i < engine_task_count(world.engine); i++)
		(void) engine_stop_task(world.engine, engine_task_at(world.engine, i)->arn, NULL,
					NULL, NULL);
	for (size_t i = 0; i < engine_task_count(world.engine); i++)
		for (int j = 0; j < 500 && engine_task_at(world.engine, i)->known != TASK_STOPPED;
		     j++)
			world_turn(20);
	clean = world_gets_clean();
	world_end_agent();
	first += 100;
	(void) json_array_clear(world.reports);
	return clean ? 0 : -1;
}

static char *arn_of(int n)
{
	return path_join(ARN("field%d"), first + n);
}

static void run(int n, const struct wish *w)
{
	_cleanup_(freep) char *arn = arn_of(n), *script = NULL, *text = NULL, *members = NULL;
	json_auto_t *container = NULL, *more = NULL, *message = NULL;
	int k;

	assert_true(asprintf(&script, CGROUP_FILE "set -e; %s", w->script) > 0);
	container = json_pack("{s:s, s:s, s:b, s:[s,s,s], s:{s:s, s:s}}", "name", "main", "image",
			      IMAGE, "essential", 1, "command", "sh", "-c", script, "dockerConfig",
			      "config", w->config ? w->config : "{}", "hostConfig",
			      w->host_config ? w->host_config : "{}");
	assert_true(asprintf(&members, "{%s}", w->members ? w->members : "") > 0);
	assert_int_equal(json_parse(members, strlen(members), &more, NULL), 0);
	(void) json_object_update(container, more);
	message = json_pack("{s:[{s:s, s:s, s:s, s:s, s:[O]}]}", "tasks", "arn", arn, "family", "f",
			    "version", "1", "desiredStatus", "RUNNING", "containers", container);
	text = json_to_text(message);
	k = world_payload(text);
	assert_true(k == 0 || k == -EPROTO); /* malformed ones are said to the service, too */
}

static void print_log(int n)
{
	_cleanup_(freep) char *arn = arn_of(n), *path = NULL, *log = NULL;

	for (size_t i = 0; i < engine_task_count(world.engine); i++) {
		const struct task *t = engine_task_at(world.engine, i);

		if (strcmp(t->arn, arn) != 0 || t->n_containers == 0)
			continue;
		path = path_join("%s/containers/%s/%s-json.log", world.config.data_dir,
				 t->containers[0].id, t->containers[0].id);
		if (path && fs_read_file(AT_FDCWD, path, 65536, &log, NULL, NULL) == 0)
			print_message("# %s\n", log);
	}
}

/* All of them run side by side; then each is asked how it went. */
static void come_true(const struct wish *wishes, size_t n)
{
	int failed = 0;

	for (size_t i = 0; i < n; i++)
		if (!wishes[i].v1_only || cgroup_mode() == CGROUP_V1)
			run((int) i, &wishes[i]);
	for (size_t i = 0; i < n; i++) {
		_cleanup_(freep) char *arn = arn_of((int) i);
		const json_t *r, *c;

		if (wishes[i].v1_only && cgroup_mode() != CGROUP_V1)
			continue;
		r = world_wait(arn, "STOPPED", PATIENCE_MS);
		assert_non_null(r);
		c = world_container(r, 0);
		if (json_get_int(c, "exitCode", -1) == 0)
			continue;
		failed++;
		print_message("# %s: exit code %d, %s %s\n", wishes[i].what,
			      (int) json_get_int(c, "exitCode", -1),
			      json_get_string(c, "reason", ""), json_get_string(r, "reason", ""));
		print_log((int) i);
	}
	assert_int_equal(failed, 0);
}

/* Devices that no container has by itself: that of the kernel's log, in a file and in folders. */
static void make_devices(void)
{
	_cleanup_(freep) char *dir = path_join("%s/devices/sub", world.top);
	_cleanup_(freep) char *a = path_join("%s/devices/a", world.top);
	_cleanup_(freep) char *b = path_join("%s/devices/sub/b", world.top);

	assert_int_equal(fs_mkdir_p(dir, 0755, NULL), 0);
	assert_int_equal(mknod(a, S_IFCHR | 0600, makedev(1, 11)), 0);
	assert_int_equal(mknod(b, S_IFCHR | 0600, makedev(1, 11)), 0);
}

static void devices_are_there_with_their_permissions(void **state _unused_)
{
	_cleanup_(freep) char *writable = NULL, *readable = NULL, *folder = NULL;

	make_devices();
	assert_true(asprintf(&writable,
			     "{\"Devices\":[{\"PathOnHost\":\"%s/devices/a\",\"PathInContainer\":"
			     "\"/dev/mine/k\",\"CgroupPermissions\":\"w\"}]}",
			     world.top) > 0);
	assert_true(asprintf(&readable,
			     "{\"Devices\":[{\"PathOnHost\":\"%s/devices/a\",\"PathInContainer\":"
			     "\"/dev/k\",\"CgroupPermissions\":\"r\"}]}",
			     world.top) > 0);
	assert_true(asprintf(&folder,
			     "{\"Devices\":[{\"PathOnHost\":\"%s/devices\",\"PathInContainer\":"
			     "\"/dev/all\"}]}",
			     world.top) > 0);
	come_true(
		(const struct wish[]){
			{ "none", NULL, NULL, NULL, "mknod /tmp/k c 1 11; ! true >/tmp/k" },
			{ "writable", NULL, NULL, writable,
			  "test -c /dev/mine/k; true >/dev/mine/k" },
			{ "only readable", NULL, NULL, readable, "test -c /dev/k; ! true >/dev/k" },
			{ "folder", NULL, NULL, folder, "true >/dev/all/a; true >/dev/all/sub/b" },
			{ "rule", NULL, NULL, "{\"DeviceCgroupRules\":[\"c 1:* w\"]}",
			  "mknod /tmp/k c 1 11; true >/tmp/k" },
		},
		5);
}

static void mounts_of_memory_have_size_and_options(void **state _unused_)
{
	come_true(
		(const struct wish[]){
			{ "tmpfs", NULL, NULL,
			  "{\"Tmpfs\":{\"/run/x\":\"size=1m,mode=700,exec\",\"/run/y\":\"\"}}",
			  "grep ' /run/x tmpfs ' /proc/mounts | grep size=1024k | grep mode=700 | "
			  "grep nosuid | grep nodev | grep -v noexec; "
			  "grep ' /run/y tmpfs ' /proc/mounts | grep noexec; "
			  "! dd if=/dev/zero of=/run/x/big bs=1M count=2" },
			{ "shm", NULL, NULL, "{\"ShmSize\":8388608}",
			  "grep ' /dev/shm tmpfs ' /proc/mounts | grep size=8192k" },
			{ "shm unless said", NULL, NULL, NULL,
			  "grep ' /dev/shm tmpfs ' /proc/mounts | grep size=65536k" },
			{ "tmpfs for shm", NULL, NULL, "{\"Tmpfs\":{\"/dev/shm\":\"size=2m\"}}",
			  "has $(grep -c ' /dev/shm ' /proc/mounts) 1; "
			  "grep ' /dev/shm ' /proc/mounts | grep size=2048k" },
		},
		4);
}

/* "[ $(readlink /proc/self/ns/pid) OPERATOR pid:[…] ]", with the namespace of this process. */
static char *compare_namespace(const char *name, const char *operator)
{
	_cleanup_(freep) char *path = path_join("/proc/self/ns/%s", name);
	char mine[64] = "", *text = NULL;

	assert_true(readlink(path, mine, sizeof(mine) - 1) > 0);
	assert_true(asprintf(&text, "[ $(readlink %s) %s '%s' ]", path, operator, mine) > 0);
	return text;
}

static void namespaces_are_whose_they_should_be(void **state _unused_)
{
	_cleanup_(freep) char *own_pid = compare_namespace("pid", "!="),
			      *host_pid = compare_namespace("pid", "="),
			      *own_ipc = compare_namespace("ipc", "!="),
			      *host_ipc = compare_namespace("ipc", "="),
			      *host_uts = compare_namespace("uts", "="),
			      *own_cgroup = compare_namespace("cgroup", "!="),
			      *host_cgroup = compare_namespace("cgroup", "="), *no_shm = NULL;

	assert_true(asprintf(&no_shm, "%s && [ ! -e /dev/shm ]", own_ipc) > 0);
	come_true(
		(const struct wish[]){
			{ "own pid", NULL, NULL, NULL, own_pid },
			{ "host pid", NULL, NULL, "{\"PidMode\":\"host\"}", host_pid },
			{ "own ipc", NULL, NULL, "{\"IpcMode\":\"shareable\"}", own_ipc },
			{ "host ipc", NULL, NULL, "{\"IpcMode\":\"host\"}", host_ipc },
			{ "no ipc", NULL, NULL, "{\"IpcMode\":\"none\"}", no_shm },
			{ "host uts", NULL, NULL, "{\"UTSMode\":\"host\"}", host_uts },
			{ "own cgroup", NULL, NULL, "{\"CgroupnsMode\":\"private\"}", own_cgroup },
			{ "host cgroup", NULL, NULL, "{\"CgroupnsMode\":\"host\"}", host_cgroup },
			{ "no network", NULL, "{\"NetworkDisabled\":true}", NULL,
			  "[ ! -e /sys/class/net/eth0 ]; ! grep -v -e lo: -e '|' /proc/net/dev" },
		},
		9);
}

/* SWAP(V1, V2): memory and swap together, and swap alone; not every kernel accounts for swap. */
#define SWAP(v1, v2)                                                                               \
	"cd /sys/fs/cgroup; if [ -e memory/memory.memsw.limit_in_bytes ]; then "                   \
	"has $(cat memory/memory.memsw.limit_in_bytes) " v1 "; elif [ -e memory.swap.max ]; then " \
	"has $(cat memory.swap.max) " v2 "; fi"

static void limits_are_those_asked_for(void **state _unused_)
{
	come_true(
		(const struct wish[]){
			{ "quota", NULL, NULL, "{\"CpuQuota\":50000,\"CpuPeriod\":200000}",
			  "case \"$(v cpu/cpu.cfs_quota_us cpu.max)\" in 50000|'50000 200000') ;; "
			  "*) exit 1;; esac" },
			{ "nano CPUs", NULL, NULL, "{\"NanoCpus\":1500000000}",
			  "case \"$(v cpu/cpu.cfs_quota_us cpu.max)\" in 150000*);; *) exit 1;; "
			  "esac" },
			{ "CPU set", NULL, NULL, "{\"CpusetCpus\":\"0\",\"CpusetMems\":\"0\"}",
			  "has \"$(sed -n 's/^Cpus_allowed_list:.//p' /proc/self/status)\" 0" },
			{ "shares", "\"cpu\":512", NULL, NULL,
			  "case \"$(v cpu/cpu.shares cpu.weight)\" in 512|20|59) ;; *) exit 1;; "
			  "esac" },
			{ "memory", "\"memory\":48", NULL, "{\"MemoryReservation\":16777216}",
			  "has $(v memory/memory.limit_in_bytes memory.max) 50331648; "
			  "has $(v memory/memory.soft_limit_in_bytes memory.low) 16777216" },
			{ "swap", "\"memory\":48", NULL, "{\"MemorySwap\":83886080}",
			  SWAP("83886080", "33554432") },
			{ "no swap", "\"memory\":48", NULL, "{\"MemorySwap\":50331648}",
			  SWAP("50331648", "0") },
			{ "as much swap as memory", "\"memory\":48", NULL, NULL,
			  SWAP("100663296", "50331648") },
			{ "all the swap", "\"memory\":48", NULL, "{\"MemorySwap\":-1}",
			  SWAP("9223372036854771712", "max") },
			{ "swappiness", "\"memory\":48", NULL, "{\"MemorySwappiness\":10}",
			  "has $(cat /sys/fs/cgroup/memory/memory.swappiness) 10", true },
			{ "no OOM kill", "\"memory\":48", NULL, "{\"OomKillDisable\":true}",
			  "grep 'oom_kill_disable 1' /sys/fs/cgroup/memory/memory.oom_control",
			  true },
			{ "processes", NULL, NULL, "{\"PidsLimit\":33}",
			  "has $(v pids/pids.max pids.max) 33" },
			{ "OOM score", NULL, NULL, "{\"OomScoreAdj\":321}",
			  "has $(cat /proc/self/oom_score_adj) 321" },
			{ "ulimits", NULL, NULL,
			  "{\"Ulimits\":[{\"Name\":\"core\",\"Soft\":1,\"Hard\":2},"
			  "{\"Name\":\"cpu\",\"Soft\":100,\"Hard\":100},"
			  "{\"Name\":\"data\",\"Soft\":-1,\"Hard\":-1},"
			  "{\"Name\":\"fsize\",\"Soft\":4096,\"Hard\":8192},"
			  "{\"Name\":\"locks\",\"Soft\":9,\"Hard\":9},"
			  "{\"Name\":\"memlock\",\"Soft\":65536,\"Hard\":65536},"
			  "{\"Name\":\"msgqueue\",\"Soft\":1000,\"Hard\":1000},"
			  "{\"Name\":\"nice\",\"Soft\":0,\"Hard\":0},"
			  "{\"Name\":\"nofile\",\"Soft\":50,\"Hard\":60},"
			  "{\"Name\":\"nproc\",\"Soft\":500,\"Hard\":600},"
			  "{\"Name\":\"rss\",\"Soft\":7,\"Hard\":7},"
			  "{\"Name\":\"rtprio\",\"Soft\":0,\"Hard\":0},"
			  "{\"Name\":\"rttime\",\"Soft\":4,\"Hard\":4},"
			  "{\"Name\":\"sigpending\",\"Soft\":70,\"Hard\":71},"
			  "{\"Name\":\"stack\",\"Soft\":1048576,\"Hard\":2097152}]}",
			  "l() { sed -n \"s/^Max $1  *\\([^ ]*\\)  *\\([^ ]*\\) .*/\\1:\\2/p\" "
			  "/proc/self/limits; }; "
			  "has \"$(l 'core file size')\" 1:2; has \"$(l 'cpu time')\" 100:100; "
			  "has \"$(l 'file size')\" 4096:8192; has \"$(l 'file locks')\" 9:9; "
			  "has \"$(l 'locked memory')\" 65536:65536; "
			  "has \"$(l 'msgqueue size')\" 1000:1000; has \"$(l 'open files')\" "
			  "50:60; "
			  "has \"$(l 'processes')\" 500:600; has \"$(l 'resident set')\" 7:7; "
			  "has \"$(l 'pending signals')\" 70:71; "
			  "has \"$(l 'stack size')\" 1048576:2097152; "
			  "has \"$(l 'realtime timeout')\" 4:4" },
		},
		14);
}

/* A weight needs a kernel with BFQ, a rate a block device: without them there is nothing to try. */
static void block_io_is_limited(void **state _unused_)
{
	_cleanup_(freep) char *device = path_join("%s/block", world.top), *rates = NULL;
	FILE *f = popen("cat $(ls -d /sys/block/*/dev | head -1); "
			"grep -qs . /sys/fs/cgroup/blkio/blkio.bfq.io_serviced && echo weight",
			"r");
	unsigned major_number = 0, minor_number = 0;
	char weight[16] = "", want[256] = "";

	assert_non_null(f);
	if (fscanf(f, "%u:%u %15s", &major_number, &minor_number, weight) < 2 ||
	    cgroup_mode() != CGROUP_V1) {
		(void) pclose(f);
		print_message("# this host has no block device, or cgroup v2: nothing to try\n");
		return;
	}
	(void) pclose(f);
	assert_int_equal(mknod(device, S_IFBLK | 0600, makedev(major_number, minor_number)), 0);
	assert_true(asprintf(&rates,
			     "{\"BlkioDeviceReadBps\":[{\"Path\":\"%s\",\"Rate\":1048576}],"
			     "\"BlkioDeviceWriteIOps\":[{\"Path\":\"%s\",\"Rate\":77}]}",
			     device, device) > 0);
	(void) snprintf(want, sizeof(want),
			"cd /sys/fs/cgroup/blkio; grep '%u:%u 1048576' *read_bps_device; "
			"grep '%u:%u 77' *write_iops_device",
			major_number, minor_number, major_number, minor_number);
	come_true((const struct wish[]){ { "rates", NULL, NULL, rates, want } }, 1);
	first += 50;
	if (*weight)
		come_true((const struct wish[]){ { "weight", NULL, NULL, "{\"BlkioWeight\":300}",
						   "grep 300 /sys/fs/cgroup/blkio/*weight" } },
			  1);
}

static void what_confines_can_be_tightened_and_lifted(void **state _unused_)
{
	come_true(
		(const struct wish[]){
			{ "by itself", NULL, NULL, NULL,
			  "s() { sed -n \"s/^$1:.//p\" /proc/self/status; }; "
			  "has $(s CapEff) 00000000a80425fb; has $(s Seccomp) 2; "
			  "has $(s NoNewPrivs) 0; ! cat /proc/kcore | grep .; [ ! -e /dev/kmsg ]; "
			  "! mkdir /sys/fs/cgroup/x; ! sh -c 'echo 1 >/proc/sys/vm/swappiness'" },
			{ "no new privileges", NULL, NULL,
			  "{\"SecurityOpt\":[\"no-new-privileges:true\",\"seccomp:unconfined\","
			  "\"label:type:svirt_t\",\"apparmor:unconfined\"]}",
			  "grep 'NoNewPrivs:.1' /proc/self/status; grep 'Seccomp:.0' "
			  "/proc/self/status" },
			{ "capabilities", NULL, NULL,
			  "{\"CapDrop\":[\"ALL\"],\"CapAdd\":[\"CAP_KILL\",\"chown\"]}",
			  "grep 'CapEff:.0*21$' /proc/self/status" },
			{ "privileged", NULL, NULL, "{\"Privileged\":true}",
			  "[ -c /dev/kmsg ]; grep 'Seccomp:.0' /proc/self/status; "
			  "has $(sed -n 's/^CapEff:.//p' /proc/self/status) $(sed -n "
			  "'s/^CapBnd:.//p' /proc/1/status); grep ' /sys sysfs rw' /proc/mounts; "
			  "! grep '/proc/kcore' /proc/mounts; mount -t tmpfs x /tmp" },
			{ "masked and read-only paths", NULL, NULL,
			  "{\"MaskedPaths\":[\"/etc/group\"],\"ReadonlyPaths\":[\"/tmp\"]}",
			  "! grep . /etc/group; ! touch /tmp/x; ! grep ' /proc/kcore ' "
			  "/proc/mounts" },
			{ "read-only root", NULL, NULL,
			  "{\"ReadonlyRootfs\":true,\"Tmpfs\":{\"/tmp\":\"\"}}",
			  "! touch /x; touch /tmp/x" },
			{ "groups", NULL, "{\"User\":\"12:34\"}",
			  "{\"GroupAdd\":[\"77\",\"root\"]}",
			  "has \"$(id -u):$(id -g)\" 12:34; has \"$(id -G)\" '34 0 77'" },
		},
		7);
}

#define PROFILE(DEFAULT, RULES)                                                                    \
	"{\"SecurityOpt\":[\"seccomp={\\\"defaultAction\\\":\\\"" DEFAULT                          \
	"\\\",\\\"syscalls\\\":[" RULES "]}\"]"
#define FORBID_MKDIR                                                                               \
	"{\\\"names\\\":[\\\"mkdir\\\",\\\"mkdirat\\\",\\\"no_such_call\\\"],"                     \
	"\\\"action\\\":\\\"SCMP_ACT_ERRNO\\\",\\\"errnoRet\\\":28"
#define MKDIR_FAILS "m=$(mkdir /tmp/x 2>&1) && exit 1; echo \"$m\" | grep 'No space'; "

/* 28 is ENOSPC, which no other reason makes of it. */
static void a_profile_of_ones_own_confines(void **state _unused_)
{
	come_true(
		(const struct wish[]){
			{ "forbidden", NULL, NULL, PROFILE("SCMP_ACT_ALLOW", FORBID_MKDIR "}") "}",
			  MKDIR_FAILS "[ ! -e /tmp/x ]; echo a >/tmp/y; mv /tmp/y /tmp/z; rm "
				      "/tmp/z; "
				      "grep 'Seccomp:.2' /proc/self/status" },
			{ "also for the privileged", NULL, NULL,
			  PROFILE("SCMP_ACT_ALLOW", FORBID_MKDIR "}") ",\"Privileged\":true}",
			  MKDIR_FAILS "mount -t tmpfs x /tmp" },
			{ "also with init and by number", NULL, "{\"User\":\"12:34\"}",
			  PROFILE("SCMP_ACT_ALLOW", FORBID_MKDIR "}") ",\"Init\":true}",
			  MKDIR_FAILS "grep 'Seccomp:.2' /proc/1/status" },
			{ "with the capability", NULL, NULL,
			  PROFILE("SCMP_ACT_ALLOW",
				  FORBID_MKDIR ",\\\"includes\\\":{\\\"caps\\\":["
					       "\\\"CAP_SYS_ADMIN\\\"]}}") ",\"CapAdd\":[\"SYS_"
									   "ADMIN\"]}",
			  MKDIR_FAILS },
			{ "without it", NULL, NULL,
			  PROFILE("SCMP_ACT_ALLOW", FORBID_MKDIR ",\\\"includes\\\":{\\\"caps\\\":["
								 "\\\"CAP_SYS_ADMIN\\\"]}}") "}",
			  "mkdir /tmp/x; grep 'Seccomp:.2' /proc/self/status" },
			{ "by argument", NULL, NULL,
			  PROFILE("SCMP_ACT_ALLOW", "{\\\"name\\\":\\\"kill\\\",\\\"action\\\":"
						    "\\\"SCMP_ACT_ERRNO\\\","
						    "\\\"errnoRet\\\":28,\\\"args\\\":[{"
						    "\\\"index\\\":1,\\\"value\\\":"
						    "10,\\\"op\\\":\\\"SCMP_CMP_EQ\\\"}]}") "}",
			  "trap : USR1 USR2; kill -USR2 $$; m=$(kill -USR1 $$ 2>&1) && exit 1; "
			  "echo \"$m\" | grep 'No space'" },
			{ "the last word counts", NULL, NULL,
			  "{\"SecurityOpt\":[\"seccomp:{\\\"defaultAction\\\":\\\"SCMP_ACT_KILL\\\""
			  "}\",\"seccomp=builtin\"]}",
			  "mkdir /tmp/x; grep 'Seccomp:.2' /proc/self/status" },
		},
		7);
}

static void the_process_finds_what_was_said(void **state _unused_)
{
	come_true(
		(const struct wish[]){
			{ "environment",
			  "\"environment\":{\"EMPTY\":\"\",\"EQ\":\"a=b=c\",\"SPACE\":\"x  y\","
			  "\"LINES\":\"1\\n2\",\"PATH\":\"/bin:/x\"}",
			  NULL, NULL,
			  "[ \"${EMPTY-unset}\" = '' ]; has \"$EQ\" a=b=c; has \"$SPACE\" 'x  y'; "
			  "has \"$(echo \"$LINES\" | wc -l)\" 2; has $PATH /bin:/x; has $HOME "
			  "/root; "
			  "has \"$(env | grep -c ^PATH=)\" 1" },
			{ "Env of config", "\"environment\":{\"A\":\"1\"}",
			  "{\"Env\":[\"B=2\",\"B=3\",\"C\"]}", NULL,
			  "[ -z \"$A\" ]; has $B 3; [ -z \"${C+set}\" ]; has $(env | grep -c ^B=) "
			  "1" },
			{ "names", NULL, "{\"Hostname\":\"box\",\"Domainname\":\"example.org\"}",
			  "{\"Dns\":[\"192.0.2.1\"],\"DnsSearch\":[\"a.test\",\"b.test\"],"
			  "\"DnsOptions\":[\"ndots:3\"],\"ExtraHosts\":[\"db:192.0.2.9\"]}",
			  "has $(hostname) box; has $HOSTNAME box; has $(cat "
			  "/proc/sys/kernel/domainname) example.org; "
			  "grep '^nameserver 192.0.2.1$' /etc/resolv.conf; "
			  "grep '^search a.test b.test$' /etc/resolv.conf; "
			  "grep '^options ndots:3$' /etc/resolv.conf; "
			  "grep '^192.0.2.9.db$' /etc/hosts; grep 'box.example.org' /etc/hosts" },
			{ "system controls", NULL, NULL,
			  "{\"Sysctls\":{\"net.core.somaxconn\":\"77\",\"kernel.msgmax\":\"9000\"}"
			  "}",
			  "has $(cat /proc/sys/net/core/somaxconn) 77; has $(cat "
			  "/proc/sys/kernel/msgmax) 9000" },
			{ "working directory", "\"workingDirectory\":\"/made/for/it\"", NULL, NULL,
			  "has $(pwd) /made/for/it" },
			{ "entry point and command",
			  "\"entryPoint\":[\"sh\",\"-c\",\"[ \\\"$0 $1\\\" = 'one two' ]\"],"
			  "\"overrides\":\"{\\\"command\\\":[\\\"one\\\",\\\"two\\\"]}\"",
			  NULL, NULL, "exit 1" },
			{ "terminal", NULL, "{\"Tty\":true}", NULL,
			  "test -t 0; test -t 1; has $TERM xterm" },
			{ "open input", NULL, "{\"OpenStdin\":true}", NULL,
			  "! readlink /proc/self/fd/0 | grep null" },
			{ "closed input", NULL, NULL, NULL, "[ -z \"$(cat)\" ]" },
		},
		9);
}

/* A megabyte in all, no string beyond what one may be long. */
static void a_large_environment_arrives_whole(void **state _unused_)
{
	_cleanup_(freep) char *value = malloc(100001), *members = NULL, *text = NULL;
	json_auto_t *env = json_object(), *all = NULL;
	char key[16];

	memset(value, 'x', 100000);
	value[100000] = '\0';
	for (int i = 0; i < 10; i++) {
		(void) snprintf(key, sizeof(key), "BIG%d", i);
		(void) json_object_set_new(env, key, json_string(value));
	}
	all = json_pack("{s:O}", "environment", env);
	text = json_to_text(all);
	members = strndup(text + 1, strlen(text) - 2);
	come_true((const struct wish[]){ { "megabyte", members, NULL, NULL,
					   "[ ${#BIG0} = 100000 ] && [ ${#BIG9} = 100000 ]" } },
		  1);
}

static const char *complaint_of(const json_t *r)
{
	const char *task = json_get_string(r, "reason", "");

	return *task ? task : json_get_string(world_container(r, 0), "reason", "");
}

/* v2 lets a group have more than the one above it, and gives it what that has. */
static void a_quota_beyond_the_tasks_is_refused_on_v1(void **state _unused_)
{
	_cleanup_(freep) char *arn = arn_of(0), *text = NULL;
	const json_t *r;

	assert_true(
		asprintf(&text,
			 "{\"tasks\":[{\"arn\":\"%s\",\"desiredStatus\":\"RUNNING\",\"cpu\":0.5,"
			 "\"containers\":[{\"name\":\"main\",\"image\":\"" IMAGE
			 "\",\"essential\":true,\"command\":[\"true\"],\"dockerConfig\":{"
			 "\"hostConfig\":\"{\\\"NanoCpus\\\":750000000}\"}}]}]}",
			 arn) > 0);
	assert_int_equal(world_payload(text), 0);
	r = world_wait(arn, "STOPPED", PATIENCE_MS);
	assert_non_null(r);
	if (cgroup_mode() == CGROUP_V1)
		assert_non_null(strstr(complaint_of(r), "0.75 CPUs are more than the task's 0.50"));
	else
		assert_int_equal(json_get_int(world_container(r, 0), "exitCode", -1), 0);
}

static void what_cannot_be_is_refused_with_its_reason(void **state _unused_)
{
	static const struct {
		const char *host_config, *config, *complaint;
	} cases[] = {
		{ "{\"Devices\":[{\"PathOnHost\":\"/dev/nope\"}]}", NULL,
		  "devices[0].hostPath: '/dev/nope': No such file" },
		{ "{\"Devices\":[{\"PathOnHost\":\"/etc/passwd\"}]}", NULL,
		  "devices[0].hostPath: '/etc/passwd' is not a device node" },
		{ "{\"DeviceCgroupRules\":[\"c 1:3\"]}", NULL, "deviceCgroupRules[0]: 'c 1:3'" },
		{ "{\"Tmpfs\":{\"/x\":\"size=1m,bind\"}}", NULL,
		  "Tmpfs: /x: 'bind' makes no sense for a new tmpfs" },
		{ "{\"Tmpfs\":{\"/x\":\"fast\"}}", NULL, "Tmpfs: /x: invalid tmpfs option 'fast'" },
		{ "{\"PidMode\":\"container:x\"}", NULL,
		  "PidMode: 'container:x': no other container" },
		{ "{\"UsernsMode\":\"private\"}", NULL, "UsernsMode: 'private'" },
		{ "{\"UTSMode\":\"host\"}", "{\"Hostname\":\"h\"}",
		  "UTSMode: 'host' and a hostname" },
		{ "{\"Runtime\":\"kata\"}", NULL, "Runtime: 'kata' is no runtime of this host" },
		{ "{\"SecurityOpt\":[\"apparmor:nope\"]}", NULL, "apparmor" },
		{ "{\"SecurityOpt\":[\"credentialspec:file://x\"]}", NULL, "'credentialspec'" },
		{ "{\"SecurityOpt\":[\"label:x\"]}", NULL, "'label:x' is none of" },
		{ "{\"SecurityOpt\":[\"seccomp=/etc/passwd\"]}", NULL,
		  "'seccomp': '/etc/passwd': a file of the host is not read" },
		{ "{\"SecurityOpt\":[\"seccomp:{}\"]}", NULL, "'seccomp': defaultAction: missing" },
		{ "{\"CpusetCpus\":\"0-9999999\"}", NULL, "cpusetCpus: '0-9999999' is no list" },
		{ "{\"CpusetCpus\":\"8000\"}", NULL, "cpusetCpus: a CPU is not available" },
		{ "{\"NanoCpus\":1000000000,\"CpuQuota\":1000}", NULL, "NanoCpus: stands beside" },
		{ "{\"CpuPeriod\":999}", NULL, "cpuPeriod: 999 is outside 1000..1000000" },
		{ "{\"BlkioWeight\":9}", NULL, "blkioWeight: 9 is outside 10..1000" },
		{ "{\"BlkioDeviceReadBps\":[{\"Path\":\"/etc\",\"Rate\":1}]}", NULL,
		  "blkioDeviceReadBps: '/etc' is no block device" },
		{ "{\"MemorySwap\":1000000000}", NULL, "memorySwap: there is no memory limit" },
		{ "{\"Ulimits\":[{\"Name\":\"as\",\"Soft\":2,\"Hard\":1}]}", NULL,
		  "ulimits[0]: as: soft limit 2 is above hard limit 1" },
		{ "{\"Sysctls\":{\"vm.swappiness\":\"1\"}}", NULL,
		  "'vm.swappiness' is not of this" },
		{ "{\"IpcMode\":\"host\",\"Sysctls\":{\"kernel.msgmax\":\"1\"}}", NULL,
		  "'kernel.msgmax' is not of this" },
		{ "{\"MaskedPaths\":[\"etc\"]}", NULL,
		  "maskedPaths[0]: 'etc' is no absolute path" },
		{ "{\"StorageOpt\":{\"size\":\"1G\"}}", NULL,
		  "StorageOpt: not supported: writable layers have no quota" },
		{ "{\"PortBindings\":{\"80/tcp\":[{\"HostIp\":\"127.0.0.1\"}]}}", NULL,
		  "PortBindings: 80/tcp[0]: HostIp: '127.0.0.1': ports are published on all" },
		{ "{\"PublishAllPorts\":true}", NULL,
		  "PublishAllPorts: not supported: portMappings" },
		{ NULL, "{\"MacAddress\":\"02:00:00:00:00:01\"}",
		  "MacAddress: not supported: the agent chooses" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		run((int) i, &(struct wish){ .host_config = cases[i].host_config,
					     .config = cases[i].config,
					     .script = "true" });
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(freep) char *arn = arn_of((int) i);
		const json_t *r = world_wait(arn, "STOPPED", PATIENCE_MS);

		assert_non_null(r);
		if (!strstr(complaint_of(r), cases[i].complaint))
			fail_msg("'%s' is not said of %s %s, but '%s'", cases[i].complaint,
				 cases[i].host_config ? cases[i].host_config : "",
				 cases[i].config ? cases[i].config : "", complaint_of(r));
	}
}

static const struct task *task_of(const char *arn)
{
	for (size_t i = 0; i < engine_task_count(world.engine); i++)
		if (strcmp(engine_task_at(world.engine, i)->arn, arn) == 0)
			return engine_task_at(world.engine, i);
	return NULL;
}

/* ---- links ---- */

static void a_link_gives_names_and_variables(void **state _unused_)
{
	_cleanup_(freep) char *arn = arn_of(0), *text = NULL;
	const json_t *r;

	assert_true(
		asprintf(&text,
			 "{\"tasks\":[{\"arn\":\"%s\",\"family\":\"f\",\"version\":\"1\","
			 "\"desiredStatus\":\"RUNNING\",\"containers\":["
			 "{\"name\":\"web\",\"image\":\"" IMAGE "\",\"essential\":true,"
			 "\"links\":[\"db:data-base\"],\"environment\":{\"DATA_BASE_ENV_B\":"
			 "\"mine\"},\"command\":[\"sh\",\"-ec\","
			 "\"env; cat /etc/hosts; [ $DATA_BASE_NAME = /web/data-base ]; "
			 "[ $DATA_BASE_ENV_A = 1 ]; [ $DATA_BASE_ENV_B = mine ]; "
			 "[ -z \\\"$DATA_BASE_ENV_PATH\\\" ]; "
			 "a=$DATA_BASE_PORT_80_TCP_ADDR; [ $DATA_BASE_PORT = udp://$a:53 ]; "
			 "[ $DATA_BASE_PORT_80_TCP = tcp://$a:80 ]; "
			 "[ $DATA_BASE_PORT_53_UDP_PROTO = udp ]; "
			 "for n in data-base db storage; do grep \\\"^$a.$n$\\\" /etc/hosts; done; "
			 "for i in 1 2 3 4 5 6 7 8 9; do "
			 "wget -q -O - http://data-base/passwd && exit 5; sleep 0.2; done\"]},"
			 "{\"name\":\"db\",\"image\":\"" IMAGE "\",\"essential\":false,"
			 "\"environment\":{\"A\":\"1\",\"B\":\"2\"},"
			 "\"dockerConfig\":{\"config\":\"{\\\"Hostname\\\":\\\"storage\\\"}\"},"
			 "\"portMappings\":[{\"containerPort\":80},{\"containerPort\":53,"
			 "\"protocol\":\"udp\"}],\"command\":[\"httpd\",\"-f\",\"-p\",\"80\","
			 "\"-h\",\"/etc\"]}]}]}",
			 arn) > 0);
	assert_int_equal(world_payload(text), 0);
	r = world_wait(arn, "STOPPED", PATIENCE_MS);
	assert_non_null(r);
	if (json_get_int(world_container(r, 0), "exitCode", -1) != 5)
		print_log(0);
	assert_int_equal(json_get_int(world_container(r, 0), "exitCode", -1), 5);
}

/* ---- labels ---- */

static bool has_annotation(const char *state, const char *key, const char *value)
{
	_cleanup_(json_decrefp) json_t *all = json_loads(state, 0, NULL);

	return strcmp(json_get_string(json_object_get(all, "annotations"), key, ""), value) == 0;
}

/* Asked of the runtime, which is where tools look. */
static void labels_stand_on_the_container(void **state _unused_)
{
	_cleanup_(freep) char *arn = arn_of(0), *command = NULL;
	char text[8192] = "";
	FILE *f;

	run(0, &(struct wish){ .config = "{\"Labels\":{\"mine\":\"yes\","
					 "\"com.amazonaws.ecs.container-name\":\"liar\"}}",
			       .host_config = "{\"Annotations\":{\"note\":\"this\"}}",
			       .script = "sleep 1000" });
	assert_non_null(world_wait(arn, "RUNNING", PATIENCE_MS));
	assert_true(asprintf(&command, "runc --root '%s/runc' state %s", world.config.run_dir,
			     task_of(arn)->containers[0].id) > 0);
	f = popen(command, "r");
	assert_non_null(f);
	assert_true(fread(text, 1, sizeof(text) - 1, f) > 0);
	(void) pclose(f);
	assert_true(has_annotation(text, "mine", "yes"));
	assert_true(has_annotation(text, "note", "this"));
	assert_true(has_annotation(text, "com.amazonaws.ecs.task-arn", arn));
	assert_true(has_annotation(text, "com.amazonaws.ecs.container-name", "main"));
	assert_true(has_annotation(text, "com.amazonaws.ecs.task-definition-family", "f"));
	assert_true(has_annotation(text, "com.amazonaws.ecs.task-definition-version", "1"));
}

/* ---- GPUs ---- */

static void make_file(const char *path, const char *text, mode_t mode)
{
	assert_int_equal(fs_write_file_volatile(AT_FDCWD, path, text, strlen(text), mode, NULL), 0);
}

/* A driver that knows two GPUs, and a hook that leaves a mark of having been asked. */
static void make_gpus(char *const ids[])
{
	_cleanup_(freep) char *root = path_join("%s/gpus", world.top), *hook = NULL, *text = NULL;

	for (int i = 0; ids[i]; i++) {
		_cleanup_(freep) char *dir =
			path_join("%s/proc/driver/nvidia/gpus/0000:0%d:00.0", root, i);
		_cleanup_(freep) char *file = path_join("%s/information", dir);
		_cleanup_(freep) char *node = path_join("%s/dev/nvidia%d", root, 7 - i);
		_cleanup_(freep) char *dev = path_join("%s/dev", root), *information = NULL;

		assert_true(asprintf(&information,
				     "Model: \t Test\nGPU UUID: \t %s\nDevice Minor: \t %d\n",
				     ids[i], 7 - i) > 0);
		assert_int_equal(fs_mkdir_p(dir, 0755, NULL), 0);
		assert_int_equal(fs_mkdir_p(dev, 0755, NULL), 0);
		make_file(file, information, 0644);
		assert_int_equal(mknod(node, S_IFCHR | 0666, makedev(1, 3)), 0);
	}
	hook = path_join("%s/hook", root);
	assert_true(asprintf(&text, "#!/bin/sh\ncat >%s/state; echo \"$@\" >%s/said\n", root,
			     root) > 0);
	make_file(hook, text, 0755);
	assert_int_equal(chmod(hook, 0755), 0);
	world.config.gpu_root = TAKE_PTR(root);
	world.config.nvidia_runtime = TAKE_PTR(hook);
	world.config.gpus.ids = (char **) ids;
}

static void run_gpu(int n, const char *id, const char *script)
{
	_cleanup_(freep) char *arn = arn_of(n), *text = NULL;

	assert_true(
		asprintf(&text,
			 "{\"tasks\":[{\"arn\":\"%s\",\"desiredStatus\":\"RUNNING\","
			 "\"associations\":[{\"name\":\"%s\",\"type\":\"gpu\","
			 "\"containers\":[\"main\"],\"content\":{\"encoding\":\"base64\","
			 "\"value\":\"\"}}],\"containers\":[{\"name\":\"main\",\"image\":\"" IMAGE
			 "\",\"essential\":true,\"stopTimeout\":1,\"command\":[\"sh\",\"-c\","
			 "\"%s\"]}]}]}",
			 arn, id, script) > 0);
	assert_int_equal(world_payload(text), 0);
}

static void a_gpu_comes_with_its_nodes_and_the_hook(void **state _unused_)
{
	static char one[] = "GPU-one", two[] = "GPU-two";
	static char *ids[] = { one, two, NULL };
	_cleanup_(freep) char *first_arn = arn_of(0), *second = arn_of(1), *third = arn_of(2),
			      *said = NULL, *text = NULL;
	const json_t *r;

	world_end_agent();
	make_gpus(ids);
	world_start_agent();
	said = path_join("%s/said", world.config.gpu_root);
	run_gpu(0, "GPU-one",
		"[ $NVIDIA_VISIBLE_DEVICES = GPU-one ] && [ -c /dev/nvidia7 ] && "
		"[ ! -e /dev/nvidia6 ] && : >/dev/nvidia7 && touch /ready && sleep 1000");
	assert_non_null(world_wait(first_arn, "RUNNING", PATIENCE_MS));
	assert_int_equal(fs_read_file(AT_FDCWD, said, 64, &text, NULL, NULL), 0);
	assert_string_equal(text, "prestart\n");
	run_gpu(1, "GPU-one", "exit 6"); /* it waits for the GPU of the first */
	run_gpu(2, "GPU-nine", "true");
	r = world_wait(third, "STOPPED", PATIENCE_MS);
	assert_non_null(strstr(json_get_string(r, "reason", ""),
			       "task gpu GPU-nine not found in host gpus"));
	assert_string_equal(task_of(second)->waiting_for, "GPU GPU-one is taken");
	assert_int_equal(engine_stop_task(world.engine, first_arn, NULL, NULL, NULL), 0);
	r = world_wait(second, "STOPPED", PATIENCE_MS);
	assert_int_equal(json_get_int(world_container(r, 0), "exitCode", -1), 6);
	world.config.gpus.ids = NULL;
	free(world.config.nvidia_runtime);
	world.config.nvidia_runtime = NULL;
}

static void without_the_hook_a_gpu_is_refused(void **state _unused_)
{
	static char one[] = "GPU-one";
	static char *ids[] = { one, NULL };
	_cleanup_(freep) char *arn = arn_of(0);
	const json_t *r;

	world_end_agent();
	world.config.gpus.ids = ids;
	world.config.nvidia_runtime = strdup("/nowhere/hook");
	world_start_agent();
	run_gpu(0, "GPU-one", "true");
	r = world_wait(arn, "STOPPED", PATIENCE_MS);
	assert_non_null(strstr(complaint_of(r), "nvidia-container-runtime-hook is not installed"));
	world.config.gpus.ids = NULL;
	free(world.config.nvidia_runtime);
	world.config.nvidia_runtime = NULL;
	free(world.config.gpu_root);
	world.config.gpu_root = NULL;
}

/* ---- namespaces of the task ---- */

/* "one" writes a file of shared memory and stays; "two" ends well when it finds it, and "one" too. */
static void run_sharing(const char *arn, const char *modes, const char *two)
{
	_cleanup_(freep) char *text = NULL;

	assert_true(asprintf(&text,
			     "{\"tasks\":[{\"arn\":\"%s\",\"family\":\"f\",\"version\":\"1\","
			     "\"desiredStatus\":\"RUNNING\",%s,\"containers\":["
			     "{\"name\":\"one\",\"image\":\"" IMAGE "\",\"essential\":false,"
			     "\"stopTimeout\":1,\"command\":[\"sh\",\"-c\","
			     "\"echo 1 >/dev/shm/one; trap 'exit 7' TERM; while sleep 0.1; do :; "
			     "done\"]},"
			     "{\"name\":\"two\",\"image\":\"" IMAGE "\",\"essential\":true,"
			     "\"stopTimeout\":1,\"command\":[\"sh\",\"-c\",\"%s\"]}]}]}",
			     arn, modes, two) > 0);
	assert_int_equal(world_payload(text), 0);
}

static void containers_of_a_task_share_its_namespaces(void **state _unused_)
{
	_cleanup_(freep) char *arn = arn_of(0);
	const json_t *r;

	run_sharing(arn, "\"pidMode\":\"task\",\"ipcMode\":\"task\"",
		    "until [ -e /dev/shm/one ] && grep -q 'exit 7' /proc/*/cmdline; do sleep 0.02; "
		    "done; grep -q ecs-pause /proc/1/cmdline && [ $$ != 1 ] && exit 4");
	r = world_wait(arn, "STOPPED", PATIENCE_MS);
	assert_non_null(r);
	assert_int_equal(json_array_size(json_object_get(r, "containers")), 2); /* and no holder */
	assert_int_equal(json_get_int(world_container(r, 0), "exitCode", -1), 7);
	assert_int_equal(json_get_int(world_container(r, 1), "exitCode", -1), 4);
	assert_string_equal(json_get_string(r, "reason", ""), "");
}

/* What is not asked to be shared is not. */
static void a_shared_ipc_namespace_leaves_the_others_alone(void **state _unused_)
{
	_cleanup_(freep) char *arn = arn_of(0);
	const json_t *r;

	run_sharing(arn, "\"ipcMode\":\"task\"",
		    "until [ -e /dev/shm/one ]; do sleep 0.02; done; [ $$ = 1 ] && exit 4");
	r = world_wait(arn, "STOPPED", PATIENCE_MS);
	assert_int_equal(json_get_int(world_container(r, 1), "exitCode", -1), 4);
}

static void the_task_ends_with_the_holder_of_its_namespaces(void **state _unused_)
{
	_cleanup_(freep) char *arn = arn_of(0);
	const struct task *t;
	const json_t *r;

	/* Not of pid: there the kernel ends all with it, and who is heard of first is chance. */
	run_sharing(arn, "\"ipcMode\":\"task\"", "while sleep 0.1; do :; done");
	assert_non_null(world_wait(arn, "RUNNING", PATIENCE_MS));
	t = task_of(arn);
	assert_int_equal(t->n_containers, 3);
	assert_true(t->containers[2].internal);
	assert_int_equal(kill(t->containers[2].pid, SIGKILL), 0);
	r = world_wait(arn, "STOPPED", PATIENCE_MS);
	assert_non_null(r);
	assert_non_null(strstr(json_get_string(r, "reason", ""), "held the namespaces"));
	assert_int_equal(json_array_size(json_object_get(r, "containers")), 2);
}

static void shared_namespaces_outlive_the_agent(void **state _unused_)
{
	_cleanup_(freep) char *arn = arn_of(0);
	const struct task *t;
	pid_t holder;

	run_sharing(arn, "\"pidMode\":\"task\",\"ipcMode\":\"task\"",
		    "while sleep 0.1; do :; done");
	assert_non_null(world_wait(arn, "RUNNING", PATIENCE_MS));
	holder = task_of(arn)->containers[2].pid;
	world_end_agent();
	world_start_agent();
	t = task_of(arn);
	assert_int_equal(t->n_containers, 3);
	assert_int_equal(t->containers[2].known, CONTAINER_RUNNING);
	assert_int_equal(t->containers[2].pid, holder);
	assert_int_equal(engine_stop_task(world.engine, arn, NULL, NULL, NULL), 0);
	assert_non_null(world_wait(arn, "STOPPED", PATIENCE_MS));
	assert_true(world_gets_clean());
	assert_int_equal(kill(holder, 0), -1);
}

#define with_agent(f) cmocka_unit_test_setup_teardown(f, start_agent, end_agent)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_agent(devices_are_there_with_their_permissions),
		with_agent(mounts_of_memory_have_size_and_options),
		with_agent(namespaces_are_whose_they_should_be),
		with_agent(limits_are_those_asked_for),
		with_agent(block_io_is_limited),
		with_agent(what_confines_can_be_tightened_and_lifted),
		with_agent(a_profile_of_ones_own_confines),
		with_agent(the_process_finds_what_was_said),
		with_agent(a_large_environment_arrives_whole),
		with_agent(labels_stand_on_the_container),
		with_agent(a_link_gives_names_and_variables),
		with_agent(a_gpu_comes_with_its_nodes_and_the_hook),
		with_agent(without_the_hook_a_gpu_is_refused),
		with_agent(containers_of_a_task_share_its_namespaces),
		with_agent(a_shared_ipc_namespace_leaves_the_others_alone),
		with_agent(the_task_ends_with_the_holder_of_its_namespaces),
		with_agent(shared_namespaces_outlive_the_agent),
		with_agent(a_quota_beyond_the_tasks_is_refused_on_v1),
		with_agent(what_cannot_be_is_refused_with_its_reason),
	};
	int failed;

	world_begin();
	cmocka_set_test_filter(getenv("ENGINE_TEST_ONLY"));
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	world_end();
	return failed;
}
