/* SPDX-License-Identifier: Apache-2.0 */
/*
 * portMappings: {"containerPort": 80, "hostPort": 0, "protocol": "tcp"} or
 * {"containerPortRange": "8000-8009"}, which is kept as ten bindings of one range.
 * PortBindings of hostConfig: {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}.
 */
#include "agent/engine/payload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Names that ECS has for these; what bears them is part of a task that cannot be loaded. */
#define BAD_PORT "UnparsablePort"
#define BAD_PROTOCOL "UnrecognizedTransportProtocol"

/* Each port that is published costs a descriptor; ranges of other modes cost nothing for long. */
enum { BINDINGS_MAX = 2 * UINT16_MAX, PUBLISHED_MAX = 1000, MAPPINGS_MAX = 1000 };

static int parse_port(const char *text, unsigned long min, uint16_t *ret, const char **ret_end)
{
	char *end = NULL;
	unsigned long v;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	v = strtoul(text, &end, 10);
	if (v < min || v > UINT16_MAX)
		return -EINVAL;
	*ret = (uint16_t) v;
	*ret_end = end;
	return 0;
}

/* "80/tcp", "53/udp", "80" */
static int parse_key(const char *key, struct port_binding *ret, struct err *err)
{
	const char *end = key;
	int k = parse_port(key, 1, &ret->container_port, &end);

	ret->proto = strcmp(end, "/udp") == 0 ? IPPROTO_UDP : IPPROTO_TCP;
	if (k < 0 || (*end && *end != '/'))
		return err_set(err, EPROTO, BAD_PORT ": '%.32s' is no port such as 80/tcp", key);
	if (*end && strcmp(end, "/tcp") != 0 && strcmp(end, "/udp") != 0)
		return err_set(err, EPROTO, BAD_PROTOCOL ": '%.32s' is neither tcp nor udp",
			       end + 1);
	return 0;
}

static int parse_binding(const json_t *value, struct port_binding *b, struct err *err)
{
	const char *ip = json_get_string(value, "HostIp", "");
	const char *port = json_get_string(value, "HostPort", ""), *end = port;

	if (*ip && strcmp(ip, "0.0.0.0") != 0 && strcmp(ip, "::") != 0)
		return err_set(err, ENOTSUP,
			       "HostIp: '%.64s': ports are published on all addresses", ip);
	b->host_port = 0;
	if (*port && (parse_port(port, 0, &b->host_port, &end) < 0 || *end))
		return err_set(err, EPROTO, "HostPort: " BAD_PORT ": '%.32s' is no port", port);
	return 0;
}

static void drop(struct container *c, const struct port_binding *like)
{
	size_t kept = 0;

	uint16_t cut = 0; /* a range with a hole is one no more */

	for (size_t i = 0; i < c->n_ports; i++)
		if (c->ports[i].container_port != like->container_port ||
		    c->ports[i].proto != like->proto)
			c->ports[kept++] = c->ports[i];
		else
			cut = c->ports[i].range;
	c->n_ports = kept;
	for (size_t i = 0; cut && i < kept; i++)
		if (c->ports[i].range == cut)
			c->ports[i].range = 0;
}

/* There is room up to the next power of two: what drop() takes out leaves no less. */
static int append(struct container *c, const struct port_binding *b, struct err *err)
{
	struct port_binding *grown;
	size_t n = c->n_ports;

	if (n >= BINDINGS_MAX)
		return err_set(err, EPROTO, "more than %d ports are bound", BINDINGS_MAX);
	if ((n & (n - 1)) == 0) {
		grown = reallocarray(c->ports, n ? 2 * n : 1, sizeof(*grown));
		if (!grown)
			return err_set(err, ENOMEM, "allocate ports");
		c->ports = grown;
	}
	c->ports[c->n_ports++] = *b;
	return 0;
}

static int overlay_key(struct container *c, const char *key, const json_t *list, struct err *err)
{
	struct port_binding b = {};
	const json_t *v;
	size_t i;

	if (parse_key(key, &b, err) < 0)
		return -EPROTO;
	drop(c, &b);
	json_array_foreach((json_t *) list, i, v) {
		int k = parse_binding(v, &b, err);

		if (k == 0)
			k = append(c, &b, err);
		if (k < 0)
			return err_wrap(err, "%.32s[%zu]", key, i);
	}
	return 0;
}

/* Maps are merged key by key: a port that is named here is bound as it is said here. */
int payload_decode_port_bindings(const json_t *value, void *dst, const struct json_field *f,
				 struct err *err)
{
	const char *key;
	json_t *list;
	int k = 0;

	(void) f;
	if (!json_is_object(value))
		return err_set(err, EPROTO, "is no object");
	if (json_object_size(value) > MAPPINGS_MAX)
		return err_set(err, EPROTO, "has %zu members, at most %d are taken",
			       json_object_size(value), MAPPINGS_MAX);
	json_object_foreach((json_t *) value, key, list)
		if (k == 0)
			k = overlay_key(dst, key, list, err);
	return k;
}

/* ---- portMappings ---- */

static int decode_proto(const json_t *value, void *dst, const struct json_field *f, struct err *err)
{
	const char *s = json_string_value(value);

	(void) f;
	if (s && strcmp(s, "tcp") == 0)
		*(uint8_t *) dst = IPPROTO_TCP;
	else if (s && strcmp(s, "udp") == 0)
		*(uint8_t *) dst = IPPROTO_UDP;
	else
		return err_set(err, EPROTO, BAD_PROTOCOL ": '%.32s' is neither tcp nor udp",
			       s ? s : "(no string)");
	return 0;
}

static int decode_port(const json_t *value, void *dst, const struct json_field *f, struct err *err)
{
	return json_decode_u16(value, dst, f, err) < 0 ? err_wrap(err, BAD_PORT) : 0;
}

struct mapping {
	struct port_binding first;
	uint16_t last; /* 0: no range was given */
};

/* "8000-8009" */
static int decode_range(const json_t *value, void *dst, const struct json_field *f, struct err *err)
{
	struct mapping *m = dst;
	const char *text = json_is_string(value) ? json_string_value(value) : "", *end = text;

	(void) f;
	if (json_is_string(value) && !*text)
		return 0;
	if (parse_port(text, 1, &m->first.container_port, &end) < 0 || *end != '-' ||
	    parse_port(end + 1, 1, &m->last, &end) < 0 || *end || m->last < m->first.container_port)
		return err_set(err, EPROTO,
			       BAD_PORT ": '%.32s' is no range of ports such as 8000-8009", text);
	return 0;
}

static const struct json_field mapping_fields[] = {
	{ "containerPort", decode_port, offsetof(struct mapping, first.container_port), false, NULL,
	  1, UINT16_MAX },
	{ "hostPort", decode_port, offsetof(struct mapping, first.host_port), false },
	{ "protocol", decode_proto, offsetof(struct mapping, first.proto), false },
	{}
};

static const struct json_field range_fields[] = {
	{ "containerPortRange", decode_range, 0, false },
	{},
};

/* One of both says which ports are meant. */
static int decode_mapping(const json_t *value, struct mapping *m, struct err *err)
{
	uint16_t single;
	int k;

	*m = (struct mapping){ .first.proto = IPPROTO_TCP };
	k = json_decode(value, mapping_fields, m, err);
	single = m->first.container_port;
	if (k == 0)
		k = json_decode(value, range_fields, m, err);
	if (k < 0)
		return k;
	if (m->last == 0 && single == 0)
		return err_set(err, EPROTO, "containerPort: missing");
	if (m->last != 0 && (single != 0 || m->first.host_port != 0))
		return err_set(err, EPROTO,
			       "containerPortRange excludes containerPort and hostPort");
	return 0;
}

static int append_mapping(struct container *c, const struct mapping *m, uint16_t range,
			  struct err *err)
{
	struct port_binding b = m->first;
	int k = 0;

	if (m->last == 0)
		return append(c, &b, err);
	b.range = range;
	for (uint32_t port = m->first.container_port; k == 0 && port <= m->last; port++) {
		b.container_port = (uint16_t) port;
		k = append(c, &b, err);
	}
	return k;
}

int payload_decode_port_mappings(const json_t *value, void *dst, const struct json_field *f,
				 struct err *err)
{
	struct container *c = dst;
	size_t n = json_array_size(value);
	int k = 0;

	(void) f;
	if (!json_is_array(value))
		return err_set(err, EPROTO, "is no array");
	if (n > MAPPINGS_MAX)
		return err_set(err, EPROTO, "has %zu elements, at most %d are taken", n,
			       MAPPINGS_MAX);
	c->n_ports = 0;
	for (size_t i = 0; k == 0 && i < n; i++) {
		struct mapping m;

		k = decode_mapping(json_array_get(value, i), &m, err);
		if (k == 0)
			k = append_mapping(c, &m, (uint16_t) (i + 1), err);
		if (k < 0)
			return err_wrap(err, "[%zu]", i);
	}
	return 0;
}

int payload_settle_ports(struct container *c, struct err *err)
{
	size_t kept = 0;

	for (size_t i = 0; c->network_mode != NETWORK_BRIDGE && i < c->n_ports; i++)
		if (c->ports[i].range == 0)
			c->ports[kept++] = c->ports[i];
	if (c->network_mode != NETWORK_BRIDGE)
		c->n_ports = kept;
	for (size_t i = 0; c->network_mode == NETWORK_AWSVPC && i < c->n_ports; i++)
		c->ports[i].host_port = 0; /* they are the interface's: none of the host's is taken */
	if (c->n_ports > PUBLISHED_MAX)
		return err_set(err, EPROTO, "portMappings: %zu ports, at most %d are published",
			       c->n_ports, PUBLISHED_MAX);
	return 0;
}
