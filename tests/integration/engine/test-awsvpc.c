/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks with a network interface of their own, with the real runtime: veth devices stand for ENIs, and
 * a namespace joined by them for the VPC.
 */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/engine/internal.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/json.h"
#include "common/spawn.h"
#include "tests/integration/engine/world.h"
#include "tests/integration/host.h"

#define ENI(id, mac, last)                                                                         \
	"\"elasticNetworkInterfaces\":[{\"ec2Id\":\"" id "\",\"macAddress\":\"" mac "\","          \
	"\"ipv4Addresses\":[{\"privateAddress\":\"198.51.100." last "\",\"primary\":true},"        \
	"{\"privateAddress\":\"198.51.100.2" last "\"}],"                                          \
	"\"ipv6Addresses\":[{\"address\":\"2001:db8:1::" last "\"}],"                              \
	"\"subnetGatewayIpv4Address\":\"198.51.100.1/24\","                                        \
	"\"subnetGatewayIpv6Address\":\"2001:db8:1::1/64\","                                       \
	"\"domainNameServers\":[\"198.51.100.53\"],\"domainName\":[\"vpc.internal\"],"             \
	"\"privateDnsName\":\"ip-198-51-100-" last ".vpc.internal\"}]"
#define MAC_A "02:00:5e:00:00:0a"
#define MAC_B "02:00:5e:00:00:0b"
#define ENI_A ENI("eni-a", MAC_A, "10")
#define ENI_B ENI("eni-b", MAC_B, "11")

enum { PATIENCE_MS = 60000, TASK_PORT = 51679 };

static int shell(const char *command)
{
	char *argv[] = { (char *) "sh", (char *) "-c", (char *) (uintptr_t) command, NULL };

	return spawn_wait(argv, NULL);
}

#define assert_shell(command)                                                                      \
	do {                                                                                       \
		if (shell(command) != 0)                                                           \
			fail_msg("fails: %s", command);                                            \
	} while (0)

/* Both interfaces lead to one bridge, which is the subnet with its router. */
static void plug(const char *name, const char *mac)
{
	_cleanup_(freep) char *command = NULL;

	assert_true(asprintf(&command,
			     "ip link add %s address %s type veth peer name %sx netns vpc &&"
			     " ip -n vpc link set %sx master net up",
			     name, mac, name, name) > 0);
	assert_shell(command);
}

static void unplug(const char *name)
{
	_cleanup_(freep) char *command = NULL;

	assert_true(asprintf(&command, "ip -n vpc link del %sx", name) > 0);
	assert_shell(command);
}

/* One container "main" with @script, and others as JSON text. */
static void run_task(const char *arn, const char *eni, const char *script, const char *others)
{
	_cleanup_(freep) char *text = NULL;

	assert_true(asprintf(&text,
			     "{\"tasks\":[{\"arn\":\"%s\",\"family\":\"t\",\"version\":\"1\","
			     "\"desiredStatus\":\"RUNNING\",\"networkMode\":\"awsvpc\",%s,"
			     "\"containers\":[{\"name\":\"main\",\"image\":\"" IMAGE
			     "\",\"essential\":true,\"stopTimeout\":1,\"command\":[\"sh\",\"-c\","
			     "\"trap 'exit 0' TERM; %s; echo end; sleep 1000 & wait\"],"
			     "\"portMappings\":[{\"containerPort\":80}]}%s]}]}",
			     arn, eni, script, others) > 0);
	assert_int_equal(world_payload(text), 0);
}

static char *output_of(const char *arn)
{
	const struct task *t = engine_find_task(world.engine, arn);
	_cleanup_(freep) char *path = NULL;
	char *log = NULL;
	size_t len = 0;

	assert_true(world_wait_output(arn, "end\\n"));
	path = engine_log_path(world.engine, &t->containers[0]);
	assert_int_equal(fs_read_file(AT_FDCWD, path, 1 << 20, &log, &len, NULL), 0);
	return log;
}

static void assert_has(const char *log, const char *text)
{
	if (!strstr(log, text))
		fail_msg("no '%s' in: %s", text, log);
}

static void assert_stopped_clean(const char *arn)
{
	assert_true(engine_stop_task(world.engine, arn, NULL, NULL, NULL) >= 0);
	assert_non_null(world_wait(arn, "STOPPED", PATIENCE_MS));
	assert_true(world_gets_clean());
}

static void a_task_has_its_interface(void **state _unused_)
{
	const char *arn = ARN("own");
	_cleanup_(freep) char *log = NULL;
	const json_t *report;

	plug("enia", MAC_A);
	run_task(arn, ENI_A,
		 "hostname; cat /etc/hosts /etc/resolv.conf; ip address; ip route;"
		 " ping -c 1 -W 5 203.0.113.9 > /dev/null && echo reached;"
		 " for i in 1 2 3 4 5; do sleep 1 | nc 127.0.0.1 7 && break; sleep 1; done",
		 ",{\"name\":\"other\",\"image\":\"" IMAGE "\",\"command\":[\"sh\",\"-c\","
		 "\"echo from-other | nc -l -p 7; sleep 1000\"],\"stopTimeout\":1}");
	report = world_wait(arn, "RUNNING", PATIENCE_MS);
	assert_non_null(report);
	/* Nothing of the host is bound: the ports are the interface's. */
	assert_int_equal(
		json_array_size(json_object_get(world_container(report, 0), "networkBindings")), 0);
	log = output_of(arn);
	assert_has(log, "ip-198-51-100-10.vpc.internal\\n");
	assert_has(log, "198.51.100.10\\u0009ip-198-51-100-10.vpc.internal");
	assert_has(log, "2001:db8:1::10\\u0009ip-198-51-100-10.vpc.internal");
	assert_has(log, "nameserver 198.51.100.53");
	assert_has(log, "search vpc.internal");
	assert_has(log, "inet 198.51.100.10/24");
	assert_has(log, "inet 198.51.100.210/24");
	assert_has(log, "inet6 2001:db8:1::10/64");
	assert_has(log, "default via 198.51.100.1 dev eth0");
	assert_has(log, "169.254.170.2 via 169.254.172.1 dev ecs-eth0");
	assert_has(log, "reached");
	assert_has(log, "from-other");
	assert_shell("! ip -o link | grep -q " MAC_A);
	assert_stopped_clean(arn);
	assert_shell("ip -o link show eni02005e00000a | grep -q 'state DOWN'");
	unplug("enia");
}

static void a_device_may_come_after_the_task(void **state _unused_)
{
	const char *arn = ARN("late");
	const struct task *t;

	run_task(arn, ENI_A, "true", "");
	world_turn(300);
	t = engine_find_task(world.engine, arn);
	assert_int_equal(t->known, TASK_NONE); /* nothing is pulled before the network stands */
	assert_string_equal(t->containers[0].waits_note, "the task's network interface");
	plug("enia", MAC_A);
	assert_non_null(world_wait(arn, "RUNNING", PATIENCE_MS));
	assert_stopped_clean(arn);
	unplug("enia");
}

static void a_device_that_does_not_come_stops_the_task(void **state _unused_)
{
	const char *arn = ARN("never");
	const json_t *report;

	world.engine->eni_wait_ms = 300;
	run_task(arn, ENI_A, "true", "");
	report = world_wait(arn, "STOPPED", PATIENCE_MS);
	assert_non_null(report);
	assert_string_equal(
		json_get_string(report, "reason", ""),
		"ContainerNetworkingError: no network interface with the MAC address " MAC_A
		" of eni-a appeared within 300ms");
	assert_true(world_gets_clean());
	world.engine->eni_wait_ms = TASK_NET_WAIT_MS;
}

static void a_task_that_waits_can_be_stopped(void **state _unused_)
{
	const char *arn = ARN("waits");

	run_task(arn, ENI_A, "true", "");
	world_turn(200);
	assert_stopped_clean(arn);
}

static void a_restart_finds_the_network_again(void **state _unused_)
{
	const char *arn = ARN("kept");
	struct in_addr local;
	pid_t pid;

	plug("enia", MAC_A);
	run_task(arn, ENI_A, "true", "");
	assert_non_null(world_wait(arn, "RUNNING", PATIENCE_MS));
	pid = engine_find_task(world.engine, arn)->containers[0].pid;
	local = engine_find_task(world.engine, arn)->containers[0].address;
	assert_true(local.s_addr != 0);
	world_end_agent();
	world_start_agent();
	assert_int_equal(engine_find_task(world.engine, arn)->containers[0].pid, pid);
	assert_int_equal(engine_find_task(world.engine, arn)->containers[0].address.s_addr,
			 local.s_addr);
	assert_shell("ip netns list-id > /dev/null; ! ip -o link | grep -q " MAC_A);
	/* Its address is nobody else's. */
	plug("enib", MAC_B);
	run_task(ARN("second"), ENI_B, "true", "");
	assert_non_null(world_wait(ARN("second"), "RUNNING", PATIENCE_MS));
	assert_true(engine_find_task(world.engine, ARN("second"))->containers[0].address.s_addr !=
		    local.s_addr);
	assert_true(engine_stop_task(world.engine, ARN("second"), NULL, NULL, NULL) >= 0);
	assert_stopped_clean(arn);
	assert_shell("ip link show eni02005e00000a && ip link show eni02005e00000b");
	unplug("enia");
	unplug("enib");
}

/* What a task tries over the local link: only the task server answers. */
static void the_local_link_leads_to_the_task_server_alone(void **state _unused_)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(TASK_PORT) };
	_cleanup_(closep) int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
			      peer = -EBADF;
	_cleanup_(freep) char *log = NULL, *script = NULL;
	char local[INET_ADDRSTRLEN];
	socklen_t len = sizeof(at);

	plug("enia", MAC_A);
	plug("enib", MAC_B);
	run_task(ARN("victim"), ENI_B, "(nc -ll -p 80 -e echo victim &)", "");
	assert_non_null(world_wait(ARN("victim"), "RUNNING", PATIENCE_MS));
	(void) inet_ntop(AF_INET,
			 &engine_find_task(world.engine, ARN("victim"))->containers[0].address,
			 local, sizeof(local));
	at.sin_addr = net_gateway(world.net); /* where the agent listens */
	assert_int_equal(bind(server, (struct sockaddr *) &at, sizeof(at)), 0);
	assert_int_equal(listen(server, 8), 0);
	/* Over the VPC they do reach each other, as their security groups say. */
	assert_true(
		asprintf(&script,
			 "try() { sleep 1 | timeout 3 nc $1 $2 > /tmp/o 2> /dev/null; "
			 "[ -s /tmp/o ] && echo $1:$2-open || echo $1:$2-closed; }; "
			 "try 198.51.100.11 80; try %s 80; try 169.254.172.1 51679; "
			 "try 169.254.172.1 22; try 10.231.0.1 51679; "
			 "ping -c 1 -W 1 169.254.172.1 > /dev/null && echo gateway-answers; "
			 "ping -c 1 -W 1 169.254.169.254 > /dev/null && echo imds-answers; "
			 "ping -c 1 -W 1 -I eth0 169.254.169.254 > /dev/null && echo imds-bound; "
			 "ping -c 1 -W 1 -I ecs-eth0 169.254.169.254 > /dev/null && echo "
			 "imds-local; "
			 "ping -c 1 -W 1 -I eth0 fd00:ec2::254 > /dev/null && echo imds-six; "
			 "sleep 3 | timeout 6 nc 169.254.170.2 80",
			 local) > 0);
	run_task(ARN("hostile"), ENI_A, script, "");
	assert_true(world_wait_output(ARN("hostile"), "10.231.0.1"));
	/* The task is known by its address. */
	peer = accept(server, (struct sockaddr *) &at, &len);
	assert_true(peer >= 0);
	assert_int_equal(
		at.sin_addr.s_addr,
		engine_find_task(world.engine, ARN("hostile"))->containers[0].address.s_addr);
	assert_int_equal(send(peer, "served\n", 7, 0), 7);
	peer = safe_close(peer);
	log = output_of(ARN("hostile"));
	assert_has(log, "198.51.100.11:80-open");
	assert_has(log, ":80-closed");
	assert_has(log, "169.254.172.1:51679-closed");
	assert_has(log, "169.254.172.1:22-closed");
	assert_has(log, "10.231.0.1:51679-closed");
	assert_has(log, "served");
	assert_null(strstr(log, "answers"));
	assert_null(strstr(log, "imds-"));
	assert_true(engine_stop_task(world.engine, ARN("victim"), NULL, NULL, NULL) >= 0);
	assert_stopped_clean(ARN("hostile"));
	unplug("enia");
	unplug("enib");
}

static void a_host_may_switch_it_off(void **state _unused_)
{
	const char *arn = ARN("off");
	const json_t *report;

	world.config.task_eni = false;
	run_task(arn, ENI_A, "true", "");
	report = world_wait(arn, "STOPPED", PATIENCE_MS);
	assert_non_null(report);
	assert_non_null(strstr(json_get_string(report, "reason", ""), "ECS_ENABLE_TASK_ENI"));
	world.config.task_eni = true;
}

static int set_up(void **state _unused_)
{
	return shell("mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns && ip netns add vpc "
		     "&& ip -n vpc link set lo up &&"
		     " ip netns exec vpc sysctl -qw net.ipv6.conf.default.accept_dad=0"
		     " net.ipv6.conf.default.disable_ipv6=0 &&"
		     " ip -n vpc link add net type bridge && ip -n vpc link set net up &&"
		     " ip -n vpc address add 198.51.100.1/24 dev net &&"
		     " ip -n vpc address add 2001:db8:1::1/64 dev net &&"
		     " ip -n vpc address add 203.0.113.9/32 dev lo &&"
		     " ip -n vpc address add 169.254.169.254/32 dev net &&"
		     " ip -n vpc address add fd00:ec2::254/128 dev net");
}

static int tear_down(void **state _unused_)
{
	return shell("ip netns del vpc && umount /run/netns");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_task_has_its_interface),
		cmocka_unit_test(a_device_may_come_after_the_task),
		cmocka_unit_test(a_device_that_does_not_come_stops_the_task),
		cmocka_unit_test(a_task_that_waits_can_be_stopped),
		cmocka_unit_test(a_restart_finds_the_network_again),
		cmocka_unit_test(the_local_link_leads_to_the_task_server_alone),
		cmocka_unit_test(a_host_may_switch_it_off),
	};
	int k;

	world_begin();
	world_start_agent();
	k = cmocka_run_group_tests(tests, set_up, tear_down);
	if (!world_stop_all())
		k = 1;
	world_end_agent();
	world_end();
	return k;
}
