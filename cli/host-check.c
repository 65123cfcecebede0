/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/host-check.h"

#include <fcntl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netlink.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cli/host-firewall.h"
#include "common/cleanup.h"
#include "common/fs.h"
#include "common/macro.h"

enum { FOUND_MAX = 256, FILE_MAX_BYTES = 1 << 20, DISK_FREE_PERCENT = 5 };

struct checks {
	const struct host_paths *paths;
	json_t *list;
};

static void add(const struct checks *c, const char *check, bool ok, const char *advice,
		const char *fmt, ...) _printf_(5, 6);

static void add(const struct checks *c, const char *check, bool ok, const char *advice,
		const char *fmt, ...)
{
	char found[FOUND_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void) vsnprintf(found, sizeof(found), fmt, ap);
	va_end(ap);
	found[strcspn(found, "\n")] = '\0';
	(void) json_array_append_new(c->list,
				     json_pack("{s:s, s:s, s:b, s:s, s:s}", "check", check, "level",
					       ok ? "ok" : "bad", "ok", ok, "found", found,
					       "advice", ok ? "" : advice));
}

/* What was added last is no reason to do without this host. */
static void only_warn(const struct checks *c)
{
	json_t *last = json_array_get(c->list, json_array_size(c->list) - 1);

	if (json_is_true(json_object_get(last, "ok")))
		return;
	(void) json_object_set_new(last, "level", json_string("warn"));
	(void) json_object_set_new(last, "ok", json_true());
}

/* NULL when there is no such file. */
static char *slurp(const struct checks *c, const char *path)
{
	_cleanup_(freep) char *whole = path_join("%s%s", c->paths->root, path);
	_cleanup_(err_done) struct err err = {};
	char *text = NULL;
	size_t n = 0;

	return whole && fs_read_file(AT_FDCWD, whole, FILE_MAX_BYTES, &text, &n, &err) == 0 ? text
											    : NULL;
}

/* Whether @word stands in @text between blanks. */
static bool has_word(const char *text, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = text; at && (at = strstr(at, word)); at += n)
		if ((at == text || strchr(" \t\n", at[-1])) && (!at[n] || strchr(" \t\n", at[n])))
			return true;
	return false;
}

/* ---- versions ---- */

static bool at_least(const char *text, const int *want, size_t n)
{
	int have[3] = { 0, 0, 0 };

	if (sscanf(text, "%d.%d.%d", &have[0], &have[1], &have[2]) < 2)
		return false;
	for (size_t i = 0; i < n; i++)
		if (have[i] != want[i])
			return have[i] > want[i];
	return true;
}

bool host_check_kernel_text(const char *release)
{
	static const int floor[] = { 5, 4 };

	return at_least(release, floor, ARRAY_SIZE(floor));
}

bool host_check_runc_text(const char *text, char *ret_version, size_t room)
{
	static const char start[] = "runc version ";
	static const int floor[] = { 1, 1, 5 };
	const char *at = strstr(text, start);

	*ret_version = '\0';
	if (!at)
		return false;
	at += strlen(start);
	(void) snprintf(ret_version, room, "%.*s", (int) strcspn(at, "\n"), at);
	return at_least(at, floor, ARRAY_SIZE(floor));
}

static void check_kernel(const struct checks *c)
{
	struct utsname u = {};

	(void) uname(&u);
	add(c, "kernel", host_check_kernel_text(u.release), "boot a kernel of 5.4 or later",
	    "Linux %s", u.release);
}

static void check_runc(const struct checks *c)
{
	_cleanup_(freep) char *command = path_join("'%s' --version 2>/dev/null", c->paths->runc);
	char text[512] = "", version[64];
	FILE *f = command && !strchr(c->paths->runc, '\'') ? popen(command, "re") : NULL;
	bool ok;

	if (f) {
		text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
		(void) pclose(f);
	}
	ok = host_check_runc_text(text, version, sizeof(version));
	add(c, "runc", ok, "install runc 1.1.5 or later, or name one in ECS_RUNC",
	    *version ? "%s %s" : "%s: no answer", c->paths->runc, version);
}

/* ---- what the kernel offers ---- */

/* Most kernels have it as a module that comes with its first use: asking for it is one. */
static void ask_for_overlay(const struct checks *c)
{
	_cleanup_(closep) int fd = *c->paths->root ? -1 : fsopen("overlay", FSOPEN_CLOEXEC);

	(void) fd;
}

static void check_overlay(const struct checks *c)
{
	_cleanup_(freep) char *text = NULL;
	bool ok;

	ask_for_overlay(c);
	text = slurp(c, "/proc/filesystems");
	ok = text && has_word(text, "overlay");
	add(c, "overlayfs", ok, "modprobe overlay, and add it to /etc/modules-load.d",
	    ok ? "there" : "not in /proc/filesystems");
}

static void check_namespaces(const struct checks *c)
{
	static const char *const kinds[] = { "cgroup", "ipc", "mnt", "net", "pid", "uts" };
	const char *missing = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		_cleanup_(freep) char *path =
			path_join("%s/proc/self/ns/%s", c->paths->root, kinds[i]);

		if (path && access(path, F_OK) < 0)
			missing = kinds[i];
	}
	add(c, "namespaces", !missing, "boot a kernel with all namespaces",
	    missing ? "%s is missing" : "there", missing);
}

static void check_seccomp(const struct checks *c)
{
	_cleanup_(freep) char *text = slurp(c, "/proc/sys/kernel/seccomp/actions_avail");
	bool ok = text && has_word(text, "errno");

	add(c, "seccomp", ok, "boot a kernel with CONFIG_SECCOMP_FILTER", ok ? "there" : "missing");
}

/* v1 and hybrid: the line of a controller in /proc/cgroups ends with whether it is on. */
static bool v1_has(const char *text, const char *name)
{
	const char *line = text;
	size_t n = strlen(name);

	for (; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		if (strncmp(line, name, n) == 0 && line[n] == '\t')
			return line[strcspn(line, "\n") - 1] == '1';
	return false;
}

static void check_cgroups(const struct checks *c)
{
	static const char *const wanted[] = { "cpu", "memory", "pids" };
	_cleanup_(freep) char *v2 = slurp(c, "/sys/fs/cgroup/cgroup.controllers");
	_cleanup_(freep) char *v1 = slurp(c, "/proc/cgroups");
	const char *missing = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		if (!(v2 ? has_word(v2, wanted[i]) : v1 && v1_has(v1, wanted[i])))
			missing = wanted[i];
	add(c, "cgroups", !missing,
	    v2 ? "boot with cgroup_no_v1=all, and without cgroup_disable="
	       : "boot with cgroup_enable=memory, or with systemd.unified_cgroup_hierarchy=1",
	    missing ? "%s, without %s" : "%s", v2 ? "version 2" : "version 1", missing);
}

/* Asks for the number of the current rule set, which a kernel without nf_tables does not know. */
static bool nftables_answers(void)
{
	struct {
		struct nlmsghdr h;
		struct nfgenmsg g;
	} q = { .h = { .nlmsg_len = sizeof(q),
		       .nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN,
		       .nlmsg_flags = NLM_F_REQUEST } };
	_cleanup_(closep) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	struct timeval patience = { .tv_sec = 2 };
	char answer[4096] __attribute__((aligned(8)));
	ssize_t n;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
	    send(fd, &q, sizeof(q), 0) < 0)
		return false;
	n = recv(fd, answer, sizeof(answer), 0);
	return n >= (ssize_t) sizeof(struct nlmsghdr) &&
	       ((struct nlmsghdr *) answer)->nlmsg_type != NLMSG_ERROR;
}

static void check_nftables(const struct checks *c)
{
	bool ok = nftables_answers();

	add(c, "nftables", ok, "modprobe nf_tables: without it no port can be published",
	    ok ? "there" : "no answer");
}

/* What the agent cannot see: rules of the other iptables. */
static bool has_legacy_filter(const struct checks *c)
{
	_cleanup_(freep) char *v4 = slurp(c, "/proc/self/net/ip_tables_names");
	_cleanup_(freep) char *v6 = slurp(c, "/proc/self/net/ip6_tables_names");

	return (v4 && has_word(v4, "filter")) || (v6 && has_word(v6, "filter"));
}

static void check_firewall(const struct checks *c)
{
	struct host_firewall f;

	host_firewall_read(&f);
	if (has_legacy_filter(c))
		add(c, "firewall", false,
		    "change to iptables-nft, or accept there what enters and leaves the bridge",
		    "iptables-legacy filters, which the agent does not see");
	else if (!f.read)
		add(c, "firewall", false, "see nftables", "no answer");
	else if (!*f.closed)
		add(c, "firewall", true, "", "no chain drops what is forwarded by its policy");
	else if (f.has_rules)
		add(c, "firewall", true, "", "%s drops; it lets tasks pass", f.closed);
	else if (!f.agent_was)
		add(c, "firewall", true, "", "%s drops; the agent will have it let tasks pass",
		    f.closed);
	else
		add(c, "firewall", false,
		    "start the agent with ECS_FIREWALL_ACCEPT=true, or accept there what enters and "
		    "leaves the bridge",
		    "%s drops what tasks in bridge mode send and get", f.closed);
}

/* ---- what runs short ---- */

static void check_disk(const struct checks *c)
{
	_cleanup_(freep) char *dir = strdup(c->paths->data_dir);
	unsigned long long percent = 0, inodes = 100;
	struct statvfs st = {};

	/* Before the first start only what is above it exists. */
	while (dir && statvfs(dir, &st) < 0 && strrchr(dir, '/') > dir)
		*strrchr(dir, '/') = '\0';
	if (st.f_blocks)
		percent = 100ULL * st.f_bavail / st.f_blocks;
	if (st.f_files)
		inodes = 100ULL * st.f_favail / st.f_files;
	add(c, "disk", percent >= DISK_FREE_PERCENT && inodes >= DISK_FREE_PERCENT,
	    "ecsctl image prune --all, or a larger disk", "%llu%% of %s free, %llu%% of its inodes",
	    percent, c->paths->data_dir, inodes);
}

/* Requests are signed with the time. How far it is off, the check of the services tells. */
static void check_time(const struct checks *c)
{
	struct timex t = {};
	int state = adjtimex(&t);
	bool ok = state >= 0 && state != TIME_ERROR && !(t.status & STA_UNSYNC);

	add(c, "time", ok, "start chronyd or systemd-timesyncd: signatures depend on the clock",
	    ok ? "synchronised" : "nothing synchronises the clock");
	only_warn(c);
}

json_t *host_check(const struct host_paths *p)
{
	static void (*const all[])(const struct checks *) = {
		check_kernel,   check_namespaces, check_cgroups, check_seccomp, check_overlay,
		check_nftables, check_firewall,   check_runc,    check_disk,    check_time,
	};
	struct checks c = { .paths = p, .list = json_array() };

	for (size_t i = 0; c.list && i < ARRAY_SIZE(all); i++)
		all[i](&c);
	return c.list;
}
