/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http/eni-json.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "runtime/net/linkinfo.h"

enum { PREFIX6 = 64, CIDR_TEXT = INET6_ADDRSTRLEN + 4 };

static void put_text(json_t *o, const char *key, const char *value)
{
	if (value && *value)
		(void) json_object_set_new(o, key, json_string(value));
}

static void put_list(json_t *o, const char *key, json_t *list)
{
	if (json_array_size(list) > 0)
		(void) json_object_set(o, key, list);
	json_decref(list);
}

static json_t *texts(char *const *list)
{
	json_t *a = json_array();

	for (; list && *list; list++)
		(void) json_array_append_new(a, json_string(*list));
	return a;
}

static void append_address(json_t *list, int family, const void *addr)
{
	char text[INET6_ADDRSTRLEN];

	(void) json_array_append_new(list,
				     json_string(inet_ntop(family, addr, text, sizeof(text))));
}

static json_t *addresses4(const struct task_eni *e)
{
	json_t *list = json_array();

	for (size_t i = 0; i < e->n_ipv4; i++)
		append_address(list, AF_INET, &e->ipv4[i].addr);
	return list;
}

static json_t *addresses6(const struct task_eni *e)
{
	json_t *list = json_array();

	for (size_t i = 0; i < e->n_ipv6; i++)
		append_address(list, AF_INET6, &e->ipv6[i].addr);
	return list;
}

/* "address/prefix"; with @network the bits behind the prefix are cleared. */
static const char *cidr(int family, const void *addr, unsigned prefix, bool network, char *buf)
{
	unsigned char raw[sizeof(struct in6_addr)] = {};
	size_t bytes = family == AF_INET6 ? 16 : 4;
	char text[INET6_ADDRSTRLEN];

	memcpy(raw, addr, bytes);
	for (unsigned bit = prefix; network && bit < bytes * 8; bit++)
		raw[bit / 8] &= (unsigned char) ~(0x80 >> bit % 8);
	(void) inet_ntop(family, raw, text, sizeof(text));
	(void) snprintf(buf, CIDR_TEXT, "%s/%u", text, prefix);
	return buf;
}

static void put_extended(json_t *o, const struct task_eni *e)
{
	char text[CIDR_TEXT], mac[LINKINFO_MAC_TEXT];
	unsigned prefix6 = e->n_ipv4 == 0 && e->prefix6 ? e->prefix6 : PREFIX6;

	(void) json_object_set_new(o, "AttachmentIndex", json_integer(e->index));
	put_text(o, "MACAddress", linkinfo_mac_text(e->mac, mac));
	if (e->gateway4.s_addr)
		put_text(o, "IPv4SubnetCIDRBlock",
			 cidr(AF_INET, &e->gateway4, e->prefix4, true, text));
	if (e->n_ipv6 > 0)
		put_text(o, "IPv6SubnetCIDRBlock",
			 cidr(AF_INET6, &e->ipv6[0].addr, prefix6, true, text));
	put_list(o, "DomainNameServers", texts(e->dns));
	put_list(o, "DomainNameSearchList", texts(e->dns_search));
	put_text(o, "PrivateDNSName", e->private_dns_name);
	if (e->gateway4.s_addr)
		put_text(o, "SubnetGatewayIpv4Address",
			 cidr(AF_INET, &e->gateway4, e->prefix4, false, text));
	if (e->has_gateway6 && e->n_ipv4 == 0)
		put_text(o, "SubnetGatewayIpv6Address",
			 cidr(AF_INET6, &e->gateway6, prefix6, false, text));
}

json_t *eni_networks_json(const struct task *t, bool extended)
{
	json_t *o;

	if (!t->eni)
		return NULL;
	o = json_object();
	put_text(o, "NetworkMode", network_mode_name(NETWORK_AWSVPC));
	put_list(o, "IPv4Addresses", addresses4(t->eni));
	put_list(o, "IPv6Addresses", addresses6(t->eni));
	if (extended)
		put_extended(o, t->eni);
	return json_pack("[o]", o);
}

json_t *eni_ports_json(const struct container *c)
{
	json_t *list = json_array();

	for (size_t i = 0; i < c->n_ports; i++)
		(void) json_array_append_new(
			list,
			json_pack("{s:i,s:s,s:i}", "ContainerPort", c->ports[i].container_port,
				  "Protocol", c->ports[i].proto == IPPROTO_UDP ? "udp" : "tcp",
				  "HostPort", c->ports[i].container_port));
	return list;
}
