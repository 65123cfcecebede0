/* SPDX-License-Identifier: Apache-2.0 */
/* PortBindings of hostConfig: {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}. */
#include "agent/engine/payload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BINDINGS_MAX = 1000 };

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
	if (k < 0 || (*end && strcmp(end, "/tcp") != 0 && strcmp(end, "/udp") != 0))
		return err_set(err, EPROTO, "'%.32s' is no port such as 80/tcp", key);
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
		return err_set(err, EPROTO, "HostPort: '%.32s' is no port", port);
	return 0;
}

static void drop(struct container *c, const struct port_binding *like)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->n_ports; i++)
		if (c->ports[i].container_port != like->container_port ||
		    c->ports[i].proto != like->proto)
			c->ports[kept++] = c->ports[i];
	c->n_ports = kept;
}

static int append(struct container *c, const struct port_binding *b, struct err *err)
{
	struct port_binding *grown;

	if (c->n_ports >= BINDINGS_MAX)
		return err_set(err, EPROTO, "more than %d ports are bound", BINDINGS_MAX);
	grown = reallocarray(c->ports, c->n_ports + 1, sizeof(*grown));
	if (!grown)
		return err_set(err, ENOMEM, "allocate ports");
	c->ports = grown;
	grown[c->n_ports++] = *b;
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
	json_object_foreach((json_t *) value, key, list)
		if (k == 0)
			k = overlay_key(dst, key, list, err);
	return k;
}
