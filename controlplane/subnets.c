/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/subnets.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "common/json.h"
#include "common/macro.h"
#include "controlplane/schema.h"

#define REQUIRED true
#define ID_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-"

enum { FILE_MAX_BYTES = 4 << 20, SUBNETS_MAX = 256, ENIS_MAX = 4096, ADDRESSES_MAX = 64 };

static const struct schema eni_schema[] = {
	{ "networkInterfaceId", SCHEMA_STRING, REQUIRED, .min = 1, .max = 64 },
	{ "macAddress", SCHEMA_STRING, REQUIRED, .min = 17, .max = 17 },
	{ "privateIpv4Addresses", SCHEMA_LIST, .max = ADDRESSES_MAX },
	{ "ipv6Addresses", SCHEMA_LIST, .max = ADDRESSES_MAX },
	{ "privateDnsName", SCHEMA_STRING, .min = 1, .max = 253 },
	{ "instances", SCHEMA_STRING, .min = 1, .max = 2000 },
	{}
};

static const struct schema subnet_schema[] = {
	{ "subnetId", SCHEMA_STRING, REQUIRED, .min = 1, .max = 64 },
	{ "cidrBlock", SCHEMA_STRING, .min = 1, .max = 18 },
	{ "gateway", SCHEMA_STRING, .min = 1, .max = 15 },
	{ "ipv6CidrBlock", SCHEMA_STRING, .min = 1, .max = 64 },
	{ "ipv6Gateway", SCHEMA_STRING, .min = 1, .max = 64 },
	{ "dnsServers", SCHEMA_LIST, .max = 32 },
	{ "searchDomains", SCHEMA_LIST, .max = 32 },
	{ "securityGroups", SCHEMA_LIST, .max = 100 },
	{ "networkInterfaces", SCHEMA_LIST, .fields = eni_schema, .max = ENIS_MAX },
	{}
};

static const struct schema file_schema[] = {
	{ "subnets", SCHEMA_LIST, REQUIRED, .fields = subnet_schema, .max = SUBNETS_MAX }, {}
};

/* ---- networks ---- */

struct network {
	int family; /* 0: there is none */
	uint8_t addr[sizeof(struct in6_addr)];
	unsigned bits;
};

/* "10.0.0.0/24", "fd00::/64" */
static int parse_network(const char *text, int family, struct network *ret, struct err *err)
{
	unsigned max = family == AF_INET ? 32 : 128;
	const char *slash = strchr(text, '/');
	char addr[INET6_ADDRSTRLEN], *end = NULL;
	size_t n = slash ? (size_t) (slash - text) : 0;
	unsigned long bits = 0;

	if (slash && isdigit((unsigned char) slash[1]))
		bits = strtoul(slash + 1, &end, 10);
	if (!end || *end || bits < 1 || bits > max || n == 0 || n >= sizeof(addr))
		return err_set(err, EPROTO, "'%.64s' is no network with a prefix of 1..%u", text,
			       max);
	memcpy(addr, text, n);
	addr[n] = '\0';
	*ret = (struct network){ .family = family, .bits = (unsigned) bits };
	if (inet_pton(family, addr, ret->addr) != 1)
		return err_set(err, EPROTO, "'%.64s' is no network", text);
	return 0;
}

static bool holds(const struct network *n, const uint8_t *addr)
{
	for (unsigned i = 0; i < n->bits; i++)
		if ((n->addr[i / 8] ^ addr[i / 8]) & (0x80 >> (i % 8)))
			return false;
	return true;
}

static int check_address(const struct network *n, const char *text, struct err *err)
{
	uint8_t addr[sizeof(struct in6_addr)];

	if (n->family == 0)
		return err_set(err, EPROTO, "'%.64s': the subnet has no such network", text);
	if (inet_pton(n->family, text, addr) != 1)
		return err_set(err, EPROTO, "'%.64s' is no IPv%d address", text,
			       n->family == AF_INET ? 4 : 6);
	return holds(n, addr) ? 0 : err_set(err, EPROTO, "'%.64s' is not in the subnet", text);
}

static int check_addresses(const struct network *n, const json_t *obj, const char *key,
			   struct err *err)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(obj, key), i, v)
		if (check_address(n, json_string_value(v) ?: "", err) < 0)
			return err_wrap(err, "%s[%zu]", key, i);
	return 0;
}

/* A gateway comes with its network. A link-local one is in no subnet and right all the same. */
static int check_gateway(const json_t *s, const char *cidr_key, const char *gateway_key, int family,
			 struct network *ret, struct err *err)
{
	const char *cidr = json_get_string(s, cidr_key, NULL);
	const char *gateway = json_get_string(s, gateway_key, NULL);
	int k;

	if (!cidr && !gateway)
		return 0;
	if (!cidr || !gateway)
		return err_set(err, EPROTO, "%s: missing, which %s needs",
			       cidr ? gateway_key : cidr_key, cidr ? cidr_key : gateway_key);
	k = parse_network(cidr, family, ret, err);
	if (k < 0)
		return err_wrap(err, "%s", cidr_key);
	if (family == AF_INET6 && strncasecmp(gateway, "fe80:", 5) == 0)
		return 0;
	k = check_address(ret, gateway, err);
	return k < 0 ? err_wrap(err, "%s", gateway_key) : 0;
}

/* ---- interfaces ---- */

static int check_mac(const char *text, struct err *err)
{
	for (size_t i = 0; i < 17; i++)
		if (i % 3 == 2 ? text[i] != ':' : !isxdigit((unsigned char) text[i]))
			return err_set(err, EPROTO, "macAddress: '%.32s' is no MAC address", text);
	return 0;
}

static int check_id(const char *key, const char *id, struct err *err)
{
	return strspn(id, ID_CHARS) == strlen(id)
		       ? 0
		       : err_set(err, EPROTO, "%s: '%.64s' has more than letters, digits and '-'",
				 key, id);
}

/* What may stand for one interface only: @seen has it already, or gets it. */
static int check_once(json_t *seen, const char *key, const char *value, struct err *err)
{
	if (json_object_get(seen, value))
		return err_set(err, EPROTO, "%s: '%.64s' is declared twice", key, value);
	return json_object_set_new(seen, value, json_true()) < 0
		       ? err_set(err, ENOMEM, "read subnets")
		       : 0;
}

static int check_eni(const json_t *e, const struct network *v4, const struct network *v6,
		     json_t *seen, struct err *err)
{
	const char *id = json_get_string(e, "networkInterfaceId", "");
	const char *mac = json_get_string(e, "macAddress", "");
	char lower[18] = "";
	int k = check_id("networkInterfaceId", id, err);

	for (size_t i = 0; i < 17; i++)
		lower[i] = (char) tolower((unsigned char) mac[i]);
	if (k == 0)
		k = check_mac(lower, err);
	if (k == 0)
		k = json_object_set_new((json_t *) e, "macAddress", json_string(lower)) < 0
			    ? err_set(err, ENOMEM, "read subnets")
			    : 0;
	if (k == 0)
		k = check_once(seen, "networkInterfaceId", id, err);
	if (k == 0)
		k = check_once(seen, "macAddress", lower, err);
	if (k == 0)
		k = check_addresses(v4, e, "privateIpv4Addresses", err);
	if (k == 0)
		k = check_addresses(v6, e, "ipv6Addresses", err);
	if (k == 0 && json_array_size(json_object_get(e, "privateIpv4Addresses")) == 0 &&
	    json_array_size(json_object_get(e, "ipv6Addresses")) == 0)
		k = err_set(err, EPROTO, "privateIpv4Addresses: missing, and no ipv6Addresses");
	return k;
}

static int check_subnet(const json_t *s, json_t *seen, struct err *err)
{
	struct network v4 = {}, v6 = {};
	const json_t *e;
	size_t i;
	int k = check_id("subnetId", json_get_string(s, "subnetId", ""), err);

	if (k == 0)
		k = check_once(seen, "subnetId", json_get_string(s, "subnetId", ""), err);
	if (k == 0)
		k = check_gateway(s, "cidrBlock", "gateway", AF_INET, &v4, err);
	if (k == 0)
		k = check_gateway(s, "ipv6CidrBlock", "ipv6Gateway", AF_INET6, &v6, err);
	if (k < 0)
		return k;
	json_array_foreach(json_object_get(s, "networkInterfaces"), i, e)
		if (check_eni(e, &v4, &v6, seen, err) < 0)
			return err_wrap(err, "networkInterfaces[%zu]", i);
	return 0;
}

int subnets_parse(const char *text, size_t len, json_t **ret, struct err *err)
{
	json_auto_t *file = NULL, *seen = json_object();
	const json_t *s;
	size_t i;
	int k = seen ? json_parse(text, len, &file, err) : err_set(err, ENOMEM, "read subnets");

	if (k == 0 && !json_is_object(file))
		k = err_set(err, EPROTO, "is no object");
	if (k == 0)
		k = schema_check(file, file_schema, err);
	if (k < 0)
		return k;
	json_array_foreach(json_object_get(file, "subnets"), i, s)
		if (check_subnet(s, seen, err) < 0)
			return err_wrap(err, "subnets[%zu]", i);
	*ret = json_incref(json_object_get(file, "subnets"));
	return 0;
}

int subnets_load(const char *path, json_t **ret, struct err *err)
{
	_cleanup_(freep) char *text = NULL;
	size_t len = 0;
	int k = fs_read_file(AT_FDCWD, path, FILE_MAX_BYTES, &text, &len, err);

	if (k == 0)
		k = subnets_parse(text, len, ret, err);
	return k < 0 ? err_wrap(err, "--subnets: '%s'", path) : 0;
}

/* ---- looking things up ---- */

const json_t *subnets_find(const json_t *subnets, const char *subnet_id)
{
	const json_t *s;
	size_t i;

	json_array_foreach(subnets, i, s)
		if (strcmp(json_get_string(s, "subnetId", ""), subnet_id) == 0)
			return s;
	return NULL;
}

bool subnets_have_group(const json_t *subnets, const char *group_id)
{
	const json_t *s, *g;
	size_t i, j;

	json_array_foreach(subnets, i, s)
		json_array_foreach(json_object_get(s, "securityGroups"), j, g)
			if (strcmp(json_string_value(g) ?: "", group_id) == 0)
				return true;
	return false;
}

static json_t *addresses(const json_t *eni, const char *from, const char *key)
{
	json_t *list = json_array();
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(eni, from), i, v)
		(void) json_array_append_new(list,
					     json_pack("{s:O, s:b}", key, v, "primary", i == 0));
	return list;
}

/* "ip-10-0-0-5.us-east-1.compute.internal", as EC2 names what has IPv4. */
static json_t *host_name(const json_t *eni, const char *region)
{
	const char *given = json_get_string(eni, "privateDnsName", NULL);
	const char *v4 =
		json_string_value(json_array_get(json_object_get(eni, "privateIpv4Addresses"), 0));
	char name[512];
	size_t n;

	if (given)
		return json_string(given);
	n = (size_t) snprintf(name, sizeof(name), "%s%s", v4 ? "ip-" : "",
			      v4 ? v4 : json_get_string(eni, "networkInterfaceId", ""));
	for (size_t i = 0; i < n; i++)
		if (name[i] == '.')
			name[i] = '-';
	(void) snprintf(name + n, sizeof(name) - n, ".%.64s.compute.internal", region);
	return json_string(name);
}

/* The network's prefix goes with the gateway. */
static json_t *gateway(const json_t *subnet, const char *gateway_key, const char *cidr_key)
{
	const char *g = json_get_string(subnet, gateway_key, NULL);
	const char *slash = strchr(json_get_string(subnet, cidr_key, "/"), '/');

	return g ? json_sprintf("%s%s", g, slash) : NULL;
}

json_t *subnets_acs_interface(const json_t *subnet, const json_t *eni, const char *region)
{
	json_t *v4 = gateway(subnet, "gateway", "cidrBlock");
	json_t *v6 = gateway(subnet, "ipv6Gateway", "ipv6CidrBlock");
	json_t *o =
		json_pack("{s:s, s:s, s:i, s:o, s:o, s:O*, s:O*, s:o, s:s}", "ec2Id",
			  json_get_string(eni, "networkInterfaceId", ""), "macAddress",
			  json_get_string(eni, "macAddress", ""), "index", 0, "ipv4Addresses",
			  addresses(eni, "privateIpv4Addresses", "privateAddress"), "ipv6Addresses",
			  addresses(eni, "ipv6Addresses", "address"), "domainNameServers",
			  json_object_get(subnet, "dnsServers"), "domainName",
			  json_object_get(subnet, "searchDomains"), "privateDnsName",
			  host_name(eni, region), "interfaceAssociationProtocol", "default");

	if (o && v4)
		(void) json_object_set(o, "subnetGatewayIpv4Address", v4);
	if (o && v6)
		(void) json_object_set(o, "subnetGatewayIpv6Address", v6);
	json_decref(v4);
	json_decref(v6);
	return o;
}
