/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/engine/payload-eni-values.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/task.h"

enum {
	DNS_MAX = 32,
	NAME_MAX_BYTES = 253, /* RFC 1035 */
	VLAN_MIN = 1,
	VLAN_MAX = 4094,
};

static int text_of(const json_t *value, const char **ret, struct err *err)
{
	*ret = json_string_value(value);
	if (!*ret || strlen(*ret) != json_string_length(value))
		return err_set(err, EPROTO, "is no string");
	return 0;
}

static bool parse_mac(const char *text, uint8_t mac[6])
{
	if (strlen(text) != 17)
		return false;
	for (size_t i = 0; i < 6; i++) {
		const char *p = text + 3 * i;

		if (!isxdigit((unsigned char) p[0]) || !isxdigit((unsigned char) p[1]) ||
		    (i < 5 && p[2] != ':'))
			return false;
		mac[i] = (uint8_t) strtoul((char[]){ p[0], p[1], '\0' }, NULL, 16);
	}
	return true;
}

/* "0a:1b:…", in either case. One that no single interface can have is refused. */
int eni_decode_mac(const json_t *value, void *dst, const struct json_field *f, struct err *err)
{
	static const uint8_t none[6];
	const char *text;
	uint8_t mac[6];
	int k = text_of(value, &text, err);

	(void) f;
	if (k < 0)
		return k;
	if (!parse_mac(text, mac))
		return err_set(err, EPROTO,
			       "'%.32s' is no MAC address (six pairs of hex digits, ':' between "
			       "them)",
			       text);
	if ((mac[0] & 1) || memcmp(mac, none, sizeof(mac)) == 0)
		return err_set(err, EPROTO, "'%s' is the address of no interface", text);
	memcpy(dst, mac, sizeof(mac));
	return 0;
}

static int parse_v4(const char *text, struct in_addr *ret, struct err *err)
{
	struct in_addr a;
	uint8_t first;

	if (inet_pton(AF_INET, text, &a) != 1)
		return err_set(err, EPROTO, "'%.64s' is no IPv4 address", text);
	first = (uint8_t) (ntohl(a.s_addr) >> 24);
	if (first == 0 || first == 127 || first >= 224)
		return err_set(err, EPROTO, "'%s' is the address of no interface", text);
	*ret = a;
	return 0;
}

static int parse_v6(const char *text, struct in6_addr *ret, struct err *err)
{
	struct in6_addr a;

	if (inet_pton(AF_INET6, text, &a) != 1)
		return err_set(err, EPROTO, "'%.64s' is no IPv6 address", text);
	if (IN6_IS_ADDR_UNSPECIFIED(&a) || IN6_IS_ADDR_LOOPBACK(&a) || IN6_IS_ADDR_MULTICAST(&a) ||
	    IN6_IS_ADDR_V4MAPPED(&a))
		return err_set(err, EPROTO, "'%.64s' is the address of no interface", text);
	*ret = a;
	return 0;
}

int eni_decode_v4(const json_t *value, void *dst, const struct json_field *f, struct err *err)
{
	const char *text;
	int k = text_of(value, &text, err);

	(void) f;
	return k < 0 ? k : parse_v4(text, dst, err);
}

int eni_decode_v6(const json_t *value, void *dst, const struct json_field *f, struct err *err)
{
	const char *text;
	int k = text_of(value, &text, err);

	(void) f;
	return k < 0 ? k : parse_v6(text, dst, err);
}

/* Splits "address/prefix"; @address has room for the longest IPv6 address. *ret_prefix 0: none. */
static int split_prefix(const char *text, int max, char address[INET6_ADDRSTRLEN],
			uint8_t *ret_prefix, struct err *err)
{
	const char *slash = strchrnul(text, '/');
	size_t n = (size_t) (slash - text);
	char *end = NULL;
	unsigned long bits = 0;

	if (*slash) {
		bits = isdigit((unsigned char) slash[1]) ? strtoul(slash + 1, &end, 10) : 0;
		if (!end || *end || bits < 1 || bits > (unsigned long) max)
			return err_set(err, EPROTO, "'%.64s': the prefix is outside 1..%d", text,
				       max);
	}
	if (n >= INET6_ADDRSTRLEN)
		return err_set(err, EPROTO, "'%.64s' is no address", text);
	memcpy(address, text, n);
	address[n] = '\0';
	*ret_prefix = (uint8_t) bits;
	return 0;
}

/* The same of a value that may be "", which says nothing: 1. */
static int split_gateway(const json_t *value, int max, char address[INET6_ADDRSTRLEN],
			 uint8_t *ret_prefix, struct err *err)
{
	const char *text;
	int k = text_of(value, &text, err);

	if (k < 0)
		return k;
	return *text ? split_prefix(text, max, address, ret_prefix, err) : 1;
}

int eni_decode_gateway4(const json_t *value, void *dst, const struct json_field *f, struct err *err)
{
	struct task_eni *eni = dst;
	char address[INET6_ADDRSTRLEN];
	uint8_t prefix = 0;
	int k = split_gateway(value, 32, address, &prefix, err);

	(void) f;
	if (k != 0)
		return k < 0 ? k : 0;
	if (prefix == 0)
		return err_set(err, EPROTO, "'%s' has no prefix ('a.b.c.d/1..32' is wanted)",
			       address);
	eni->prefix4 = prefix;
	return parse_v4(address, &eni->gateway4, err);
}

int eni_decode_gateway6(const json_t *value, void *dst, const struct json_field *f, struct err *err)
{
	struct task_eni *eni = dst;
	char address[INET6_ADDRSTRLEN];
	uint8_t prefix = 0;
	int k = split_gateway(value, 128, address, &prefix, err);

	(void) f;
	if (k != 0)
		return k < 0 ? k : 0;
	eni->has_gateway6 = true;
	eni->prefix6 = prefix;
	return parse_v6(address, &eni->gateway6, err);
}

/* A name of DNS: it is written into files that are read line by line and word by word. */
static int check_dns_name(const char *name, struct err *err)
{
	size_t n = strlen(name);

	if (n > NAME_MAX_BYTES)
		return err_set(err, EPROTO, "is %zu bytes long, at most %d are taken", n,
			       NAME_MAX_BYTES);
	if (name[0] == '-' || strspn(name, TASK_NAME_CHARS ".") != n)
		return err_set(err, EPROTO, "'%.64s' is no name of a host", name);
	return 0;
}

int eni_decode_dns_name(const json_t *value, void *dst, const struct json_field *f, struct err *err)
{
	int k = json_decode_string(value, dst, f, err);

	return k < 0 ? k : check_dns_name(*(char **) dst, err);
}

static int decode_list(const json_t *value, void *dst, const struct json_field *f,
		       int (*check)(const char *, struct err *), struct err *err)
{
	char ***list = dst;
	int k = json_decode_strv(value, list, f, err);
	size_t n = json_array_size(value);

	if (k == 0 && n > DNS_MAX)
		k = err_set(err, EPROTO, "has %zu elements, at most %d are taken", n, DNS_MAX);
	for (size_t i = 0; k == 0 && i < n; i++)
		if (check((*list)[i], err) < 0)
			k = err_wrap(err, "[%zu]", i);
	return k;
}

static int check_domain(const char *name, struct err *err)
{
	return *name ? check_dns_name(name, err) : err_set(err, EPROTO, "is empty");
}

int eni_decode_domains(const json_t *value, void *dst, const struct json_field *f, struct err *err)
{
	return decode_list(value, dst, f, check_domain, err);
}

static int check_server(const char *text, struct err *err)
{
	uint8_t a[sizeof(struct in6_addr)];

	if (inet_pton(AF_INET, text, a) == 1 || inet_pton(AF_INET6, text, a) == 1)
		return 0;
	return err_set(err, EPROTO, "'%.64s' is no address", text);
}

int eni_decode_servers(const json_t *value, void *dst, const struct json_field *f, struct err *err)
{
	return decode_list(value, dst, f, check_server, err);
}

int eni_decode_protocol(const json_t *value, void *dst, const struct json_field *f, struct err *err)
{
	const char *text;
	int k = text_of(value, &text, err);

	(void) f;
	if (k < 0)
		return k;
	if (strcmp(text, "veth") == 0 || strcmp(text, "tunnel") == 0)
		return err_set(err, ENOTSUP, "'%s' does not occur on container instances", text);
	*(bool *) dst = strcmp(text, "vlan") == 0;
	if (*(bool *) dst || !*text || strcmp(text, "default") == 0)
		return 0;
	return err_set(err, EPROTO, "'%.32s' is neither default nor vlan", text);
}

/* The model has it as a string. */
int eni_decode_vlan_id(const json_t *value, void *dst, const struct json_field *f, struct err *err)
{
	const char *text;
	char *end = NULL;
	unsigned long id;
	int k = text_of(value, &text, err);

	(void) f;
	if (k < 0)
		return k;
	id = isdigit((unsigned char) *text) ? strtoul(text, &end, 10) : 0;
	if (!end || *end || id < VLAN_MIN || id > VLAN_MAX)
		return err_set(err, EPROTO, "'%.32s' is outside %d..%d", text, VLAN_MIN, VLAN_MAX);
	*(uint16_t *) dst = (uint16_t) id;
	return 0;
}
