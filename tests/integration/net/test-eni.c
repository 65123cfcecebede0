/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interfaces for tasks in a real kernel: veth devices stand for ENIs, and their other ends, in a
 * namespace of their own, for the VPC. The test moves into namespaces of its own, which play the host.
 * Needs root and iproute2; skips with the reason otherwise.
 */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/spawn.h"
#include "runtime/net/eni.h"
#include "runtime/net/linkwatch.h"
#include "runtime/net/netns.h"
#include "tests/integration/host.h"

#define MAC "02:00:5e:00:00:10"
#define OTHER_MAC "02:00:5e:00:00:11"
#define BRANCH_MAC "02:00:5e:00:00:12"
#define RETURNED "eni02005e000010"

enum { SOON_MS = 5000, NOT_YET_MS = 200 };

static char dir[] = "/tmp/test-eni-XXXXXX";
static int host_ns = -EBADF, vpc_ns = -EBADF, rtnl = -EBADF;
static const uint8_t mac[ETH_ALEN] = { 2, 0, 0x5e, 0, 0, 0x10 };
static const uint8_t other_mac[ETH_ALEN] = { 2, 0, 0x5e, 0, 0, 0x11 };
static const uint8_t branch_mac[ETH_ALEN] = { 2, 0, 0x5e, 0, 0, 0x12 };

#define assert_done(call)                                                                          \
	do {                                                                                       \
		_cleanup_(err_done) struct err _e = {};                                            \
		int _k = (call);                                                                   \
		if (_k != 0)                                                                       \
			fail_msg(#call ": %d %s", _k, err_text(&_e));                              \
	} while (0)

static int run(const char *command)
{
	char *const argv[] = { (char *) "sh", (char *) "-c", (char *) (uintptr_t) command, NULL };

	return spawn_wait(argv, NULL);
}

static void enter(int ns)
{
	if (setns(ns, CLONE_NEWNET) < 0)
		abort();
}

static int run_in(int ns, const char *command)
{
	int k;

	enter(ns);
	k = run(command);
	enter(host_ns);
	return k;
}

#define assert_run(ns, command)                                                                    \
	do {                                                                                       \
		if (run_in(ns, command) != 0)                                                      \
			fail_msg("fails: %s", command);                                            \
	} while (0)

/* ---- a task's namespace ---- */

struct place {
	char *path;
	struct eni_place p;
};

static struct place make_place(const char *name)
{
	struct place t = { .p = { .self_ns = host_ns, .rtnl = rtnl } };

	assert_true(asprintf(&t.path, "%s/%s", dir, name) > 0);
	assert_done(netns_create(host_ns, t.path, &_e));
	t.p.ns = netns_open(t.path, NULL);
	assert_true(t.p.ns >= 0);
	t.p.inside = netns_rtnl_open(host_ns, t.p.ns, NULL);
	assert_true(t.p.inside >= 0);
	return t;
}

static void close_place(struct place *t)
{
	t->p.ns = safe_close(t->p.ns);
	t->p.inside = safe_close(t->p.inside);
}

static void drop_place(struct place *t)
{
	close_place(t);
	assert_done(netns_remove(t->path, &_e));
	free(t->path);
}

static struct ip_prefix prefix(const char *text, uint8_t len)
{
	struct ip_prefix p = { .len = len };

	p.addr.family = strchr(text, ':') ? AF_INET6 : AF_INET;
	assert_int_equal(inet_pton(p.addr.family, text, &p.addr.v4), 1);
	return p;
}

static struct ip_prefix addresses[4];

static struct eni_params params(void)
{
	struct eni_params e = { .addresses = addresses,
				.n_addresses = ARRAY_SIZE(addresses),
				.block_imds = true };

	addresses[0] = prefix("198.51.100.10", 24);
	addresses[1] = prefix("198.51.100.11", 24);
	addresses[2] = prefix("2001:db8:1::10", 64);
	addresses[3] = prefix("2001:db8:1::11", 64);
	e.gateway4 = prefix("198.51.100.1", 24).addr;
	e.gateway6 = prefix("2001:db8:1::1", 64).addr;
	memcpy(e.mac, mac, ETH_ALEN);
	return e;
}

/* The interface, with its other end as the router of the VPC. */
static void plug(const char *name)
{
	_cleanup_(freep) char *command = NULL;

	assert_true(asprintf(&command,
			     "ip link add %s mtu 1480 address " MAC
			     " type veth peer name rt0 netns %s/.vpc",
			     name, dir) > 0);
	assert_run(host_ns, command);
	assert_run(vpc_ns,
		   "ip link set rt0 mtu 1480 up && ip address add 198.51.100.1/24 dev rt0 &&"
		   " ip address add 2001:db8:1::1/64 dev rt0 nodad &&"
		   " ip address add 203.0.113.9/32 dev lo && ip address add 2001:db8:9::9/128 dev "
		   "lo &&"
		   " ip address add 169.254.169.254/32 dev lo && ip address add fd00:ec2::254/128 "
		   "dev lo");
}

static void unplug(void)
{
	(void) run_in(vpc_ns,
		      "ip link del rt0; ip address flush dev lo; ip address add ::1 dev lo");
}

static void assert_attached(const struct place *t)
{
	assert_run(t->p.ns, "ip link show eth0 | grep -q '[<,]UP[,>].* mtu 1480 '");
	assert_run(t->p.ns, "ip link show eth0 | grep -q " MAC);
	assert_run(t->p.ns, "ip -4 address show dev eth0 | grep -q 'inet 198.51.100.10/24'");
	assert_run(t->p.ns,
		   "ip -4 address show dev eth0 | grep -q 'inet 198.51.100.11/24.*secondary'");
	assert_run(t->p.ns, "ip -6 address show dev eth0 | grep -q 'inet6 2001:db8:1::10/64'");
	assert_run(t->p.ns, "ip -6 address show dev eth0 | grep -q 'inet6 2001:db8:1::11/64'");
	assert_run(t->p.ns, "! ip -6 address show dev eth0 | grep -q tentative");
	assert_run(t->p.ns, "ip route | grep -q 'default via 198.51.100.1 dev eth0'");
	assert_run(t->p.ns, "ip -6 route | grep -q 'default via 2001:db8:1::1 dev eth0'");
	assert_run(t->p.ns, "ping -c 1 -W 5 203.0.113.9 && ping -c 1 -W 5 2001:db8:9::9");
}

/* ---- attach and return ---- */

static void an_interface_goes_in_and_comes_back(void **state _unused_)
{
	struct place t = make_place("task");
	struct eni_params e = params();

	plug("strange.name");
	assert_done(eni_attach(&t.p, &e, &_e));
	assert_attached(&t);
	assert_run(host_ns, "! ip -o link | grep -q " MAC);
	assert_done(eni_attach(&t.p, &e, &_e)); /* twice */
	assert_attached(&t);
	assert_done(eni_return(&t.p, &_e));
	assert_run(host_ns, "ip -o link show " RETURNED " | grep -q 'state DOWN.*" MAC "'");
	assert_run(host_ns, "test -z \"$(ip -o address show dev " RETURNED ")\"");
	assert_run(host_ns, "ip -o link show " RETURNED " | grep -q 'mtu 1480'");
	assert_done(eni_return(&t.p, &_e)); /* nothing is left to return */
	/* The next task gets it. */
	assert_done(eni_attach(&t.p, &e, &_e));
	assert_attached(&t);
	assert_done(eni_return(&t.p, &_e));
	drop_place(&t);
	unplug();
}

static void instance_metadata_is_closed_unless_opened(void **state _unused_)
{
	static const char *const asks[] = { "ping -c 1 -W 1 169.254.169.254",
					    "ping -c 1 -W 1 fd00:ec2::254" };
	struct place t = make_place("closed"), open = make_place("open");
	struct eni_params e = params();

	plug("eni");
	assert_done(eni_attach(&t.p, &e, &_e));
	assert_run(t.p.ns, "ip route | grep -q 'blackhole 169.254.169.254'");
	assert_run(t.p.ns, "ip -6 route | grep -q 'blackhole fd00:ec2::254'");
	for (size_t i = 0; i < ARRAY_SIZE(asks); i++)
		assert_true(run_in(t.p.ns, asks[i]) != 0);
	assert_done(eni_return(&t.p, &_e));
	e.block_imds = false;
	assert_done(eni_attach(&open.p, &e, &_e));
	for (size_t i = 0; i < ARRAY_SIZE(asks); i++)
		assert_run(open.p.ns, asks[i]);
	assert_done(eni_return(&open.p, &_e));
	drop_place(&t);
	drop_place(&open);
	unplug();
}

/* Among others: same VLAN address, bridge with the address of its port, loopback. */
static void only_the_address_counts(void **state _unused_)
{
	struct place t = make_place("task");
	struct eni_params e = params();

	plug("eth0");
	(void) run_in(host_ns, "ip link add link eth0 name eth0.7 type vlan id 7");
	assert_run(host_ns, "ip link add decoy address " MAC " type bridge &&"
			    " ip link add eni0 address " OTHER_MAC " type veth peer name eni1");
	assert_done(eni_attach(&t.p, &e, &_e));
	assert_attached(&t);
	assert_run(host_ns, "ip link show decoy && ip link show eni0");
	assert_done(eni_return(&t.p, &_e));
	assert_run(host_ns, "ip link del decoy && ip link del eni0");
	drop_place(&t);
	unplug();
}

static void what_a_task_renamed_comes_back(void **state _unused_)
{
	struct place t = make_place("task");
	struct eni_params e = params();

	plug("eni");
	assert_done(eni_attach(&t.p, &e, &_e));
	/* It makes devices of its own, too; those end with it. */
	assert_run(t.p.ns,
		   "ip link set eth0 down && ip link set eth0 name mine &&"
		   " ip link add eth0 type bridge && ip link add a0 type veth peer name a1");
	/* And somebody on the host has the name that we would choose. */
	assert_run(host_ns, "ip link add " RETURNED " type bridge");
	assert_done(eni_return(&t.p, &_e));
	assert_run(host_ns, "ip -o link | grep -v decoy | grep -q " MAC);
	assert_run(host_ns, "! ip link show a0 && ip link del " RETURNED);
	drop_place(&t);
	unplug();
}

static void one_family_alone_and_no_gateway_work(void **state _unused_)
{
	struct place four = make_place("four"), six = make_place("six");
	struct eni_params e = params();

	plug("eni");
	e.n_addresses = 1;
	e.gateway4.family = e.gateway6.family = 0;
	assert_done(eni_attach(&four.p, &e, &_e));
	assert_run(four.p.ns, "ip address show dev eth0 | grep -q 'inet 198.51.100.10'");
	assert_run(four.p.ns, "! ip address show dev eth0 | grep -q inet6");
	assert_run(four.p.ns, "! ip route | grep -q default && ping -c 1 -W 5 198.51.100.1");
	assert_done(eni_return(&four.p, &_e));
	e.addresses = &addresses[2];
	/* A router by its link-local address; one outside of the subnet works, too. */
	e.gateway6 = prefix("fe80::1", 64).addr;
	assert_run(vpc_ns, "ip address add fe80::1/64 dev rt0 nodad");
	assert_done(eni_attach(&six.p, &e, &_e));
	assert_run(six.p.ns, "! ip address show dev eth0 | grep -q 'inet '");
	assert_run(six.p.ns, "ping -c 1 -W 5 2001:db8:9::9");
	assert_done(eni_return(&six.p, &_e));
	drop_place(&four);
	drop_place(&six);
	unplug();
}

static void a_gateway_outside_of_the_prefix_is_reached(void **state _unused_)
{
	struct place t = make_place("task");
	struct eni_params e = params();

	plug("eni");
	assert_run(vpc_ns, "ip address add 203.0.113.1/32 dev rt0");
	addresses[0].len = 32;
	e.n_addresses = 1;
	e.gateway4 = prefix("203.0.113.1", 32).addr;
	assert_run(vpc_ns, "ip route add 198.51.100.10/32 dev rt0");
	assert_done(eni_attach(&t.p, &e, &_e));
	assert_run(t.p.ns, "ping -c 1 -W 5 203.0.113.9");
	assert_done(eni_return(&t.p, &_e));
	drop_place(&t);
	unplug();
}

static void an_absent_interface_is_told(void **state _unused_)
{
	struct place t = make_place("task");
	struct eni_params e = params();
	_cleanup_(err_done) struct err err = {};

	assert_int_equal(eni_attach(&t.p, &e, &err), ENI_E_ABSENT);
	assert_string_equal(err.msg, "no network interface has the MAC address " MAC);
	e.vlan = true;
	e.vlan_id = 3;
	err_done(&err);
	memcpy(e.trunk_mac, other_mac, ETH_ALEN);
	assert_int_equal(eni_attach(&t.p, &e, &err), ENI_E_ABSENT);
	assert_string_equal(err.msg, "trunk: no network interface has the MAC address " OTHER_MAC);
	drop_place(&t);
}

/* The trunk stays, the branch is a device of its own in the namespace. */
static void a_branch_of_a_trunk_goes_in_and_is_removed(void **state _unused_)
{
	struct place t = make_place("task");
	struct eni_params e = params();

	plug("trunk");
	assert_run(vpc_ns,
		   "ip address flush dev rt0 && ip link add link rt0 name v5 type vlan id 5 &&"
		   " ip link set v5 up && ip address add 198.51.100.1/24 dev v5 &&"
		   " ip address add 2001:db8:1::1/64 dev v5 nodad");
	e.vlan = true;
	e.vlan_id = 5;
	memcpy(e.trunk_mac, mac, ETH_ALEN);
	memcpy(e.mac, branch_mac, ETH_ALEN);
	assert_done(eni_attach(&t.p, &e, &_e));
	assert_done(eni_attach(&t.p, &e, &_e));
	assert_run(t.p.ns, "ip -d link show eth0 | grep -q 'vlan protocol 802.1Q id 5'");
	assert_run(t.p.ns, "ip link show eth0 | grep -q " BRANCH_MAC);
	assert_run(host_ns, "ip link show trunk | grep -q " MAC);
	assert_run(t.p.ns, "ping -c 1 -W 5 203.0.113.9 && ping -c 1 -W 5 2001:db8:9::9");
	assert_done(eni_return(&t.p, &_e));
	assert_run(t.p.ns, "! ip link show eth0");
	assert_run(host_ns, "! ip -o link | grep -q " BRANCH_MAC);
	assert_done(eni_return(&t.p, &_e));
	drop_place(&t);
	unplug();
}

/* The agent dies right after the move; another one finds the namespace where it was bound. */
static void a_kill_in_the_middle_is_made_good(void **state _unused_)
{
	struct place t = make_place("task");
	struct eni_params e = params();
	pid_t pid;

	plug("eni");
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		e.n_addresses = 0;
		e.gateway4.family = e.gateway6.family = 0;
		e.block_imds = false;
		(void) eni_attach(&t.p, &e, NULL);
		(void) raise(SIGKILL);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close_place(&t);
	assert_run(host_ns, "! ip -o link | grep -q " MAC);
	t.p.ns = netns_open(t.path, NULL);
	t.p.inside = netns_rtnl_open(host_ns, t.p.ns, NULL);
	assert_done(eni_attach(&t.p, &e, &_e));
	assert_attached(&t);
	assert_done(eni_return(&t.p, &_e));
	assert_run(host_ns, "ip link show " RETURNED);
	drop_place(&t);
	unplug();
}

/* ---- waiting ---- */

static sd_event *loop;
static struct linkwatch *watch;

struct news {
	int calls;
	bool found;
	char name[LINK_NAME_BYTES];
	struct linkwatch_wait *wait;
};

static void on_link(void *userdata, const struct linkinfo *l)
{
	struct news *n = userdata;

	n->calls++;
	n->found = l != NULL;
	if (l)
		(void) snprintf(n->name, sizeof(n->name), "%s", l->name);
	n->wait = linkwatch_end(n->wait);
}

static void turn_until(const struct news *n, int calls, int ms)
{
	int64_t end = clock_mono_ms() + patiently(ms);

	while (n->calls < calls && clock_mono_ms() < end)
		assert_true(sd_event_run(loop, 10000) >= 0);
}

static void watch_begin(void)
{
	assert_true(sd_event_new(&loop) >= 0);
	assert_done(linkwatch_new(loop, &watch, &_e));
}

static void watch_end(void)
{
	watch = linkwatch_free(watch);
	loop = sd_event_unref(loop);
}

static void a_device_that_is_there_is_told_of_from_the_loop(void **state _unused_)
{
	struct news n = {}, again = {};

	plug("eni");
	watch_begin();
	assert_done(linkwatch_add(watch, mac, 0, on_link, &n, &n.wait, &_e));
	assert_done(linkwatch_add(watch, mac, 0, on_link, &again, &again.wait, &_e));
	assert_int_equal(n.calls, 0);
	turn_until(&n, 1, SOON_MS);
	turn_until(&again, 1, SOON_MS);
	assert_true(n.calls == 1 && n.found && again.calls == 1);
	assert_string_equal(n.name, "eni");
	turn_until(&n, 2, NOT_YET_MS);
	assert_int_equal(n.calls, 1);
	watch_end();
	unplug();
}

static void a_late_device_is_told_of_at_once(void **state _unused_)
{
	struct news n = {};
	int64_t began;

	watch_begin();
	assert_done(linkwatch_add(watch, mac, SOON_MS * 10, on_link, &n, &n.wait, &_e));
	turn_until(&n, 1, NOT_YET_MS);
	assert_int_equal(n.calls, 0);
	plug("late");
	began = clock_mono_ms();
	turn_until(&n, 1, SOON_MS); /* less than the time between two looks */
	assert_true(n.calls == 1 && n.found);
	assert_true(clock_mono_ms() - began < patiently(SOON_MS));
	watch_end();
	unplug();
}

/* A driver may give the address after the device is there. */
static void an_address_that_comes_later_counts(void **state _unused_)
{
	struct news n = {};

	watch_begin();
	assert_run(host_ns, "ip link add late0 type veth peer name late1");
	assert_done(linkwatch_add(watch, mac, 0, on_link, &n, &n.wait, &_e));
	turn_until(&n, 1, NOT_YET_MS);
	assert_int_equal(n.calls, 0);
	assert_run(host_ns, "ip link set late0 address " MAC);
	turn_until(&n, 1, SOON_MS);
	assert_true(n.found);
	assert_string_equal(n.name, "late0");
	watch_end();
	assert_run(host_ns, "ip link del late0");
}

static void a_deadline_ends_the_wait(void **state _unused_)
{
	struct news n = {}, long_one = {};

	watch_begin();
	assert_done(linkwatch_add(watch, mac, NOT_YET_MS, on_link, &n, &n.wait, &_e));
	assert_done(linkwatch_add(watch, mac, 0, on_link, &long_one, &long_one.wait, &_e));
	/* What has the address of something below it is none. */
	assert_run(host_ns, "ip link add decoy address " MAC " type bridge");
	turn_until(&n, 1, SOON_MS);
	assert_true(n.calls == 1 && !n.found);
	assert_int_equal(long_one.calls, 0);
	long_one.wait = linkwatch_end(long_one.wait);
	assert_run(host_ns, "ip link del decoy");
	watch_end();
}

/* ---- the world around ---- */

static int set_up(void **state _unused_)
{
	_cleanup_(err_done) struct err err = {};
	_cleanup_(freep) char *vpc = NULL;

	host_ns = netns_self(&err);
	rtnl = rtnl_open(&err);
	if (!mkdtemp(dir) || host_ns < 0 || rtnl < 0 || asprintf(&vpc, "%s/.vpc", dir) < 0 ||
	    netns_create(host_ns, vpc, &err) < 0)
		return -1;
	vpc_ns = netns_open(vpc, &err);
	return vpc_ns < 0 || run_in(vpc_ns, "sysctl -qw net.ipv6.conf.default.disable_ipv6=0") != 0;
}

static int tear_down(void **state _unused_)
{
	_cleanup_(freep) char *vpc = NULL;

	if (asprintf(&vpc, "%s/.vpc", dir) >= 0)
		(void) netns_remove(vpc, NULL);
	rtnl = safe_close(rtnl);
	vpc_ns = safe_close(vpc_ns);
	host_ns = safe_close(host_ns);
	return rmdir(dir);
}

static const char *missing(bool vlan)
{
	if (geteuid() != 0)
		return "needs root";
	if (run("ip -V && ping -V") != 0)
		return "needs the ip and ping programs";
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return "cannot make namespaces here";
	if (vlan && run("ip link add v0 type veth peer v1 && ip link add link v0 name v2 type vlan id 2 &&"
			" ip link delete v0") != 0)
		return "this kernel has no VLANs";
	return NULL;
}

/* Two programs of one source: called test-eni-vlan it tries what not every kernel has. */
int main(void)
{
	bool vlan = strstr(program_invocation_short_name, "vlan");
	const struct CMUnitTest vlans[] = {
		cmocka_unit_test(a_branch_of_a_trunk_goes_in_and_is_removed),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_interface_goes_in_and_comes_back),
		cmocka_unit_test(instance_metadata_is_closed_unless_opened),
		cmocka_unit_test(only_the_address_counts),
		cmocka_unit_test(what_a_task_renamed_comes_back),
		cmocka_unit_test(one_family_alone_and_no_gateway_work),
		cmocka_unit_test(a_gateway_outside_of_the_prefix_is_reached),
		cmocka_unit_test(an_absent_interface_is_told),
		cmocka_unit_test(a_kill_in_the_middle_is_made_good),
		cmocka_unit_test(a_device_that_is_there_is_told_of_from_the_loop),
		cmocka_unit_test(a_late_device_is_told_of_at_once),
		cmocka_unit_test(an_address_that_comes_later_counts),
		cmocka_unit_test(a_deadline_ends_the_wait),
	};
	const char *reason = missing(vlan);

	if (reason) {
		printf("1..0 # SKIP %s\n", reason);
		return 0;
	}
	if (vlan)
		return cmocka_run_group_tests(vlans, set_up, tear_down);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
