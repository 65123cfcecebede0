/* SPDX-License-Identifier: Apache-2.0 */
/*
 * elasticNetworkInterfaces[] of a task and of the messages that announce an interface. What is
 * checked here is not looked at again: addresses, names and the MAC go into netlink, resolv.conf
 * and hosts as they are.
 */
#include "agent/engine/payload.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/payload-eni-values.h"
#include "common/strv.h"

enum {
	ENIS_MAX = 16,
	ADDRESSES_MAX = 256, /* of one family; EC2 has at most 64 */
	ID_MAX_BYTES = 64,
	ARN_MAX_BYTES = 2048,
	NAME_MAX_BYTES = 253, /* RFC 1035 */
	INDEX_MAX = 255,
	PREFIX6_DEFAULT = 64,
};

static const struct json_field ipv4_fields[] = {
	{ "privateAddress", eni_decode_v4, offsetof(struct eni_ipv4, addr), true },
	{ "primary", json_decode_bool, offsetof(struct eni_ipv4, primary), false },
	{}
};

static const struct json_field ipv6_fields[] = {
	{ "address", eni_decode_v6, offsetof(struct eni_ipv6, addr), true },
	{ "primary", json_decode_bool, offsetof(struct eni_ipv6, primary), false },
	{}
};

static const struct json_array ipv4_array = { .size = sizeof(struct eni_ipv4),
					      .fields = ipv4_fields,
					      .max = ADDRESSES_MAX };

static const struct json_array ipv6_array = { .size = sizeof(struct eni_ipv6),
					      .fields = ipv6_fields,
					      .max = ADDRESSES_MAX };

static const struct json_field vlan_fields[] = {
	{ "vlanId", eni_decode_vlan_id, offsetof(struct task_eni, vlan_id), true },
	{ "trunkInterfaceMacAddress", eni_decode_mac, offsetof(struct task_eni, trunk_mac), true },
	{}
};

static const struct json_field eni_fields[] = {
	{ "ec2Id", json_decode_string, offsetof(struct task_eni, ec2_id), true },
	{ "macAddress", eni_decode_mac, offsetof(struct task_eni, mac), true },
	{ "attachmentArn", json_decode_string, offsetof(struct task_eni, attachment_arn), false },
	{ "name", json_decode_string, offsetof(struct task_eni, name), false },
	{ "index", json_decode_int, offsetof(struct task_eni, index), false, NULL, 0, INDEX_MAX },
	{ "ipv4Addresses", json_decode_array, offsetof(struct task_eni, ipv4), false, &ipv4_array },
	{ "ipv6Addresses", json_decode_array, offsetof(struct task_eni, ipv6), false, &ipv6_array },
	{ "subnetGatewayIpv4Address", eni_decode_gateway4, 0, false },
	{ "subnetGatewayIpv6Address", eni_decode_gateway6, 0, false },
	{ "domainNameServers", eni_decode_servers, offsetof(struct task_eni, dns), false },
	{ "domainName", eni_decode_domains, offsetof(struct task_eni, dns_search), false },
	{ "privateDnsName", eni_decode_dns_name, offsetof(struct task_eni, private_dns_name),
	  false },
	{ "interfaceAssociationProtocol", eni_decode_protocol, offsetof(struct task_eni, vlan),
	  false },
	{ "interfaceVlanProperties", json_decode_object, 0, false, vlan_fields },
	{}
};

static int check_id(const char *field, const char *text, size_t max, const char *chars,
		    struct err *err)
{
	size_t n = text ? strlen(text) : 0;

	if (n > max)
		return err_set(err, EPROTO, "%s: is %zu bytes long, at most %zu are taken", field,
			       n, max);
	if (n > 0 && chars && strspn(text, chars) != n)
		return err_set(err, EPROTO,
			       "%s: '%.64s' has more than letters, digits, '-' and '_'", field,
			       text);
	return 0;
}

static int check_names(const struct task_eni *e, struct err *err)
{
	int k;

	if (!*e->ec2_id)
		return err_set(err, EPROTO, "ec2Id: is empty");
	k = check_id("ec2Id", e->ec2_id, ID_MAX_BYTES, TASK_NAME_CHARS, err);
	if (k == 0)
		k = check_id("attachmentArn", e->attachment_arn, ARN_MAX_BYTES, NULL, err);
	if (k == 0)
		k = check_id("name", e->name, NAME_MAX_BYTES, NULL, err);
	if (k == 0 && e->vlan && e->vlan_id == 0)
		k = err_set(err, EPROTO,
			    "interfaceVlanProperties: missing, which "
			    "interfaceAssociationProtocol vlan needs");
	return k;
}

struct family {
	const char *field;
	size_t size, addr_size,
		primary; /* of an element, its address (the first member), its flag */
};

/* One address is the primary one: the marked one, else the first. None comes twice. */
static int settle(const struct family *f, void *items, size_t n, struct err *err)
{
	uint8_t *item = items;
	size_t primaries = 0;

	for (size_t i = 0; i < n; i++) {
		primaries += *(bool *) (item + i * f->size + f->primary);
		for (size_t j = 0; j < i; j++)
			if (memcmp(item + i * f->size, item + j * f->size, f->addr_size) == 0)
				return err_set(err, EPROTO, "%s[%zu]: is the address of [%zu], too",
					       f->field, i, j);
	}
	if (primaries > 1)
		return err_set(err, EPROTO, "%s: %zu are primary, at most one is taken", f->field,
			       primaries);
	if (n > 0 && primaries == 0)
		*(bool *) (item + f->primary) = true;
	return 0;
}

static int settle_addresses(struct task_eni *e, struct err *err)
{
	static const struct family v4 = { "ipv4Addresses", sizeof(struct eni_ipv4),
					  sizeof(struct in_addr),
					  offsetof(struct eni_ipv4, primary) };
	static const struct family v6 = { "ipv6Addresses", sizeof(struct eni_ipv6),
					  sizeof(struct in6_addr),
					  offsetof(struct eni_ipv6, primary) };
	int k = settle(&v4, e->ipv4, e->n_ipv4, err);

	return k < 0 ? k : settle(&v6, e->ipv6, e->n_ipv6, err);
}

/* A gateway that no address has a way to would fail later, with less to say. */
static int check_gateway4(const struct task_eni *e, struct err *err)
{
	uint32_t mask = htonl(UINT32_MAX << (32 - e->prefix4));
	char gateway[INET_ADDRSTRLEN], own[INET_ADDRSTRLEN];

	for (size_t i = 0; i < e->n_ipv4; i++) {
		if (!e->ipv4[i].primary ||
		    ((e->ipv4[i].addr.s_addr ^ e->gateway4.s_addr) & mask) == 0)
			continue;
		return err_set(err, EPROTO,
			       "subnetGatewayIpv4Address: %s/%u is not in the subnet of %s",
			       inet_ntop(AF_INET, &e->gateway4, gateway, sizeof(gateway)),
			       e->prefix4, inet_ntop(AF_INET, &e->ipv4[i].addr, own, sizeof(own)));
	}
	return 0;
}

static int check_addresses(struct task_eni *e, struct err *err)
{
	bool only6 = e->n_ipv4 == 0;

	if (e->n_ipv4 == 0 && e->n_ipv6 == 0)
		return err_set(err, EPROTO,
			       "ipv4Addresses: missing, and there are no ipv6Addresses");
	if (!only6 && e->prefix4 == 0)
		return err_set(err, EPROTO,
			       "subnetGatewayIpv4Address: missing, which ipv4Addresses need");
	if (only6 && !e->has_gateway6)
		return err_set(err, EPROTO,
			       "subnetGatewayIpv6Address: missing, which ipv6Addresses alone need");
	/* What the gateway says counts for tasks that have no IPv4. */
	if (!only6 || e->prefix6 == 0)
		e->prefix6 = PREFIX6_DEFAULT;
	return only6 ? 0 : check_gateway4(e, err);
}

static int decode_eni(const json_t *value, void *dst, const struct json_field *f, struct err *err)
{
	struct task_eni *e = dst;
	int k = json_decode(value, eni_fields, e, err);

	(void) f;
	if (k == 0)
		k = check_names(e, err);
	if (k == 0)
		k = settle_addresses(e, err);
	if (k == 0)
		k = check_addresses(e, err);
	return k;
}

const struct json_array payload_enis = {
	.size = sizeof(struct task_eni),
	.decode = decode_eni,
	.done = task_eni_done,
	.max = ENIS_MAX,
};

int payload_decode_task_eni(const json_t *value, void *dst, const struct json_field *f,
			    struct err *err)
{
	static const struct json_field list = { .decode = json_decode_array, .arg = &payload_enis };
	struct {
		struct task_eni *items;
		size_t n;
	} enis = {};
	struct task *t = dst;
	int k = json_decode_array(value, &enis, &list, err);

	(void) f;
	if (k == 0 && enis.n > 1)
		k = err_set(err, ENOTSUP, "has %zu elements, a task takes one", enis.n);
	if (k == 0 && enis.n == 1) {
		t->eni = TAKE_PTR(enis.items);
		return 0;
	}
	for (size_t i = 0; i < enis.n; i++)
		task_eni_done(&enis.items[i]);
	free(enis.items);
	return k;
}

void task_eni_done(void *eni)
{
	struct task_eni *e = eni;

	free(e->ec2_id);
	free(e->attachment_arn);
	free(e->name);
	free(e->private_dns_name);
	free(e->ipv4);
	free(e->ipv6);
	(void) strv_free(e->dns);
	(void) strv_free(e->dns_search);
	*e = (struct task_eni){};
}
