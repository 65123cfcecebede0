/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/engine/payload.h"

#define ARN "arn:aws:ecs:eu-west-1:123456789012:task/web/0123456789abcdef0123456789abcdef"
#define ID "\"ec2Id\":\"eni-1\",\"macAddress\":\"02:00:00:00:00:0A\""
#define V4 ",\"ipv4Addresses\":[{\"privateAddress\":\"10.0.1.5\",\"primary\":true}]"
#define GW4 ",\"subnetGatewayIpv4Address\":\"10.0.1.1/24\""
#define V6 ",\"ipv6Addresses\":[{\"address\":\"fd00:1::5\"}]"
#define GW6 ",\"subnetGatewayIpv6Address\":\"fd00:1::1/80\""

/* @enis is what stands between the brackets of the list, @container goes into the container. */
static int decode(const char *enis, const char *container, struct task **ret, struct err *err)
{
	_cleanup_(json_decrefp) json_t *obj = NULL;
	char text[8192];

	(void) snprintf(text, sizeof(text),
			"{\"arn\":\"" ARN "\",\"desiredStatus\":\"RUNNING\","
			"\"networkMode\":\"awsvpc\",\"elasticNetworkInterfaces\":[%s],"
			"\"containers\":[{\"name\":\"c\",\"image\":\"busybox\"%s}]}",
			enis, container);
	if (json_parse(text, strlen(text), &obj, err) < 0)
		fail_msg("%s: %s", text, err_text(err));
	return payload_decode_task(obj, ret, err);
}

static struct task *good(const char *enis, const char *container)
{
	_cleanup_(err_done) struct err err = {};
	struct task *t = NULL;

	if (decode(enis, container, &t, &err) < 0)
		fail_msg("%s %s: %s", enis, container, err_text(&err));
	return t;
}

static void assert_v6(const struct in6_addr *a, const char *wanted)
{
	char text[INET6_ADDRSTRLEN];

	assert_string_equal(inet_ntop(AF_INET6, a, text, sizeof(text)), wanted);
}

static void every_member_arrives(void **state _unused_)
{
	_cleanup_(task_freep) struct task *t =
		good("{" ID ",\"attachmentArn\":\"arn:attachment/1\",\"name\":\"n\",\"index\":1,"
		     "\"ipv4Addresses\":[{\"privateAddress\":\"10.0.1.6\"},"
		     "{\"privateAddress\":\"10.0.1.5\",\"primary\":true}]" GW4 V6 GW6
		     ",\"domainNameServers\":[\"10.0.0.2\",\"fd00::2\"],"
		     "\"domainName\":[\"eu-west-1.compute.internal\"],"
		     "\"privateDnsName\":\"ip-10-0-1-5.eu-west-1.compute.internal\","
		     "\"interfaceAssociationProtocol\":\"default\"}",
		     "");
	const struct task_eni *e = t->eni;

	assert_non_null(e);
	assert_string_equal(e->ec2_id, "eni-1");
	assert_memory_equal(e->mac, "\x02\0\0\0\0\x0a", 6);
	assert_string_equal(e->attachment_arn, "arn:attachment/1");
	assert_string_equal(e->name, "n");
	assert_int_equal(e->index, 1);
	assert_int_equal(e->n_ipv4, 2);
	assert_int_equal(ntohl(e->ipv4[0].addr.s_addr), 0x0a000106);
	assert_false(e->ipv4[0].primary);
	assert_true(e->ipv4[1].primary);
	assert_int_equal(ntohl(e->gateway4.s_addr), 0x0a000101);
	assert_int_equal(e->prefix4, 24);
	assert_v6(&e->ipv6[0].addr, "fd00:1::5");
	assert_true(e->ipv6[0].primary && e->has_gateway6);
	assert_v6(&e->gateway6, "fd00:1::1");
	assert_string_equal(e->dns[1], "fd00::2");
	assert_string_equal(e->dns_search[0], "eu-west-1.compute.internal");
	assert_string_equal(e->private_dns_name, "ip-10-0-1-5.eu-west-1.compute.internal");
	assert_false(e->vlan);
}

static void an_interface_makes_the_mode(void **state _unused_)
{
	_cleanup_(task_freep) struct task *t =
		good("{" ID V4 GW4 "}",
		     ",\"portMappings\":[{\"containerPort\":80,\"hostPort\":80},"
		     "{\"containerPortRange\":\"1-9\"}],\"dockerConfig\":{\"hostConfig\":"
		     "\"{\\\"NetworkMode\\\":\\\"host\\\"}\"}");
	_cleanup_(task_freep) struct task *apart =
		good("{" ID V4 GW4 "}", ",\"dockerConfig\":{\"config\":"
					"\"{\\\"NetworkDisabled\\\":true}\"}");

	assert_int_equal(t->network_mode, NETWORK_AWSVPC);
	assert_int_equal(t->containers[0].network_mode, NETWORK_AWSVPC);
	assert_string_equal(network_mode_name(t->network_mode), "awsvpc");
	assert_int_equal(t->containers[0].n_ports, 1);
	assert_int_equal(t->containers[0].ports[0].container_port, 80);
	assert_int_equal(t->containers[0].ports[0].host_port, 0); /* none of the host's */
	assert_int_equal(apart->network_mode, NETWORK_AWSVPC);
	assert_int_equal(apart->containers[0].network_mode, NETWORK_NONE);
}

/* IPv6 gets /64 beside IPv4, and the gateway's prefix when it is alone. */
static void prefixes_are_as_ecs_has_them(void **state _unused_)
{
	static const struct {
		const char *eni;
		int prefix4, prefix6;
	} cases[] = {
		{ "{" ID V4 GW4 "}", 24, 64 },
		{ "{" ID V4 GW4 V6 GW6 "}", 24, 64 },
		{ "{" ID V6 GW6 "}", 0, 80 },
		{ "{" ID V6 ",\"subnetGatewayIpv6Address\":\"fe80::1\"}", 0, 64 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(task_freep) struct task *t = good(cases[i].eni, "");

		assert_int_equal(t->eni->prefix4, cases[i].prefix4);
		assert_int_equal(t->eni->prefix6, cases[i].prefix6);
	}
}

static void a_branch_names_its_trunk(void **state _unused_)
{
	_cleanup_(task_freep) struct task *t =
		good("{" ID V4 GW4 ",\"interfaceAssociationProtocol\":\"vlan\","
		     "\"interfaceVlanProperties\":{\"vlanId\":\"133\","
		     "\"trunkInterfaceMacAddress\":\"02:00:00:00:00:ff\"}}",
		     "");

	assert_true(t->eni->vlan);
	assert_int_equal(t->eni->vlan_id, 133);
	assert_memory_equal(t->eni->trunk_mac, "\x02\0\0\0\0\xff", 6);
}

static void what_is_wrong_is_named(void **state _unused_)
{
	static const struct {
		const char *enis, *complaint;
		int code;
	} cases[] = {
		{ "", "elasticNetworkInterfaces: missing, which network mode awsvpc needs",
		  EPROTO },
		{ "{" ID V4 GW4 "},{" ID V4 GW4 "}",
		  "elasticNetworkInterfaces: has 2 elements, a task takes one", ENOTSUP },
		{ "{\"macAddress\":\"02:00:00:00:00:0a\"}",
		  "elasticNetworkInterfaces[0]: ec2Id: missing", EPROTO },
		{ "{\"ec2Id\":\"\",\"macAddress\":\"02:00:00:00:00:0a\"}",
		  "elasticNetworkInterfaces[0]: ec2Id: is empty", EPROTO },
		{ "{\"ec2Id\":\"eni/1\",\"macAddress\":\"02:00:00:00:00:0a\"}",
		  "elasticNetworkInterfaces[0]: ec2Id: 'eni/1' has more than letters, digits, '-' "
		  "and '_'",
		  EPROTO },
		{ "{\"ec2Id\":\"eni-1\"}", "elasticNetworkInterfaces[0]: macAddress: missing",
		  EPROTO },
		{ "{\"ec2Id\":\"eni-1\",\"macAddress\":\"02-00-00-00-00-0a\"}",
		  "elasticNetworkInterfaces[0]: macAddress: '02-00-00-00-00-0a' is no MAC address "
		  "(six pairs of hex digits, ':' between them)",
		  EPROTO },
		{ "{\"ec2Id\":\"eni-1\",\"macAddress\":\"ff:ff:ff:ff:ff:ff\"}",
		  "elasticNetworkInterfaces[0]: macAddress: 'ff:ff:ff:ff:ff:ff' is the address of "
		  "no interface",
		  EPROTO },
		{ "{" ID "}",
		  "elasticNetworkInterfaces[0]: ipv4Addresses: missing, and there are no "
		  "ipv6Addresses",
		  EPROTO },
		{ "{" ID V4 "}",
		  "elasticNetworkInterfaces[0]: subnetGatewayIpv4Address: missing, which "
		  "ipv4Addresses need",
		  EPROTO },
		{ "{" ID V6 "}",
		  "elasticNetworkInterfaces[0]: subnetGatewayIpv6Address: missing, which "
		  "ipv6Addresses alone need",
		  EPROTO },
		{ "{" ID V4 ",\"subnetGatewayIpv4Address\":\"10.0.1.1\"}",
		  "elasticNetworkInterfaces[0]: subnetGatewayIpv4Address: '10.0.1.1' has no prefix "
		  "('a.b.c.d/1..32' is wanted)",
		  EPROTO },
		{ "{" ID V4 ",\"subnetGatewayIpv4Address\":\"10.0.1.1/33\"}",
		  "elasticNetworkInterfaces[0]: subnetGatewayIpv4Address: '10.0.1.1/33': the "
		  "prefix "
		  "is outside 1..32",
		  EPROTO },
		{ "{" ID V4 ",\"subnetGatewayIpv4Address\":\"10.0.2.1/24\"}",
		  "elasticNetworkInterfaces[0]: subnetGatewayIpv4Address: 10.0.2.1/24 is not in "
		  "the "
		  "subnet of 10.0.1.5",
		  EPROTO },
		{ "{" ID V6 ",\"subnetGatewayIpv6Address\":\"fd00::1/129\"}",
		  "elasticNetworkInterfaces[0]: subnetGatewayIpv6Address: 'fd00::1/129': the "
		  "prefix "
		  "is outside 1..128",
		  EPROTO },
		{ "{" ID ",\"ipv4Addresses\":[{\"privateAddress\":\"10.0.1\"}]}",
		  "elasticNetworkInterfaces[0]: ipv4Addresses[0]: privateAddress: '10.0.1' is no "
		  "IPv4 "
		  "address",
		  EPROTO },
		{ "{" ID ",\"ipv4Addresses\":[{\"privateAddress\":\"127.0.0.1\"}]}",
		  "elasticNetworkInterfaces[0]: ipv4Addresses[0]: privateAddress: '127.0.0.1' is "
		  "the "
		  "address of no interface",
		  EPROTO },
		{ "{" ID ",\"ipv6Addresses\":[{\"address\":\"::1\"}]}",
		  "elasticNetworkInterfaces[0]: ipv6Addresses[0]: address: '::1' is the address of "
		  "no "
		  "interface",
		  EPROTO },
		{ "{" ID GW4
		  ",\"ipv4Addresses\":[{\"privateAddress\":\"10.0.1.5\",\"primary\":true},"
		  "{\"privateAddress\":\"10.0.1.6\",\"primary\":true}]}",
		  "elasticNetworkInterfaces[0]: ipv4Addresses: 2 are primary, at most one is taken",
		  EPROTO },
		{ "{" ID GW6 ",\"ipv6Addresses\":[{\"address\":\"fd00:1::5\"},"
		  "{\"address\":\"fd00:1:0::5\"}]}",
		  "elasticNetworkInterfaces[0]: ipv6Addresses[1]: is the address of [0], too",
		  EPROTO },
		{ "{" ID V4 GW4 ",\"domainNameServers\":[\"10.0.0.2\",\"x\\nnameserver 1.1.1.1\"]}",
		  "elasticNetworkInterfaces[0]: domainNameServers[1]: 'x\nnameserver 1.1.1.1' is "
		  "no "
		  "address",
		  EPROTO },
		{ "{" ID V4 GW4 ",\"domainName\":[\"a b\"]}",
		  "elasticNetworkInterfaces[0]: domainName[0]: 'a b' is no name of a host",
		  EPROTO },
		{ "{" ID V4 GW4 ",\"domainName\":[\"\"]}",
		  "elasticNetworkInterfaces[0]: domainName[0]: is empty", EPROTO },
		{ "{" ID V4 GW4 ",\"privateDnsName\":\"a\\tb\"}",
		  "elasticNetworkInterfaces[0]: privateDnsName: 'a\tb' is no name of a host",
		  EPROTO },
		{ "{" ID V4 GW4 ",\"index\":256}",
		  "elasticNetworkInterfaces[0]: index: 256 is outside 0..255", EPROTO },
		{ "{" ID V4 GW4 ",\"interfaceAssociationProtocol\":\"veth\"}",
		  "elasticNetworkInterfaces[0]: interfaceAssociationProtocol: 'veth' does not "
		  "occur "
		  "on container instances",
		  ENOTSUP },
		{ "{" ID V4 GW4 ",\"interfaceAssociationProtocol\":\"tunnel\"}",
		  "elasticNetworkInterfaces[0]: interfaceAssociationProtocol: 'tunnel' does not "
		  "occur "
		  "on container instances",
		  ENOTSUP },
		{ "{" ID V4 GW4 ",\"interfaceAssociationProtocol\":\"x\"}",
		  "elasticNetworkInterfaces[0]: interfaceAssociationProtocol: 'x' is neither "
		  "default "
		  "nor vlan",
		  EPROTO },
		{ "{" ID V4 GW4 ",\"interfaceAssociationProtocol\":\"vlan\"}",
		  "elasticNetworkInterfaces[0]: interfaceVlanProperties: missing, which "
		  "interfaceAssociationProtocol vlan needs",
		  EPROTO },
		{ "{" ID V4 GW4 ",\"interfaceVlanProperties\":{\"vlanId\":\"4095\"}}",
		  "elasticNetworkInterfaces[0]: interfaceVlanProperties: vlanId: '4095' is outside "
		  "1..4094",
		  EPROTO },
		{ "{" ID V4 GW4 ",\"interfaceVlanProperties\":{\"vlanId\":\"1\"}}",
		  "elasticNetworkInterfaces[0]: interfaceVlanProperties: trunkInterfaceMacAddress: "
		  "missing",
		  EPROTO },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(err_done) struct err err = {};
		struct task *t = NULL;
		int k = decode(cases[i].enis, "", &t, &err);

		assert_null(t);
		assert_int_equal(k, -cases[i].code);
		assert_string_equal(err_text(&err), cases[i].complaint);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_member_arrives),
		cmocka_unit_test(an_interface_makes_the_mode),
		cmocka_unit_test(prefixes_are_as_ecs_has_them),
		cmocka_unit_test(a_branch_names_its_trunk),
		cmocka_unit_test(what_is_wrong_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
