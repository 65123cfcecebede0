/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/engine/links.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/internal.h"
#include "common/fs.h"
#include "common/strv.h"

enum { ALIAS_MAX = 256, PORTS_MAX = 1000 };

struct link {
	const struct container *from, *to;
	char alias[ALIAS_MAX];  /* as people wrote it */
	char prefix[ALIAS_MAX]; /* of variables: "DB_2" of "db-2" */
	char address[INET_ADDRSTRLEN];
};

/* ---- parsing ---- */

static const struct container *find(const struct task *t, const char *name, size_t n)
{
	for (size_t i = 0; i < t->n_containers; i++)
		if (strlen(t->containers[i].name) == n &&
		    memcmp(t->containers[i].name, name, n) == 0)
			return &t->containers[i];
	return NULL;
}

/* "name" or "name:alias" */
static int parse(const struct container *c, const char *text, struct link *ret, struct err *err)
{
	size_t n = strcspn(text, ":");
	const char *alias = text[n] ? text + n + 1 : text;
	size_t i = 0;

	if (n == 0 || !*alias || strlen(alias) >= ALIAS_MAX || strchr(alias, ':'))
		return err_set(err, EINVAL, "links: '%.255s': invalid link format", text);
	*ret = (struct link){ .from = c, .to = find(c->task, text, n) };
	if (!ret->to)
		return err_set(err, EINVAL, "links: Link target not available: %.255s", text);
	if (ret->to->known != CONTAINER_RUNNING || ret->to->address.s_addr == 0)
		return err_set(err, EINVAL,
			       "links: Cannot link to a non running container: %s AS %s",
			       ret->to->name, alias);
	(void) snprintf(ret->alias, sizeof(ret->alias), "%s", alias);
	for (; alias[i]; i++)
		ret->prefix[i] = alias[i] == '-' ? '_' : (char) toupper((unsigned char) alias[i]);
	(void) inet_ntop(AF_INET, &ret->to->address, ret->address, sizeof(ret->address));
	return 0;
}

/* ---- /etc/hosts ---- */

static int add_host(struct links *l, const char *name, const char *address)
{
	struct json_pair *grown;

	for (size_t i = 0; i < l->n_hosts; i++)
		if (strcmp(l->hosts[i].key, name) == 0)
			return 0;
	grown = reallocarray(l->hosts, l->n_hosts + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	l->hosts = grown;
	grown[l->n_hosts++] = (struct json_pair){ strdup(name), strdup(address) };
	return grown[l->n_hosts - 1].key && grown[l->n_hosts - 1].value ? 0 : -ENOMEM;
}

/* Alias, hostname and name: Docker's order. */
static int add_hosts(struct links *l, const struct link *link)
{
	char hostname[65];
	int k = add_host(l, link->alias, link->address);

	if (link->to->hostname && *link->to->hostname)
		(void) snprintf(hostname, sizeof(hostname), "%.64s", link->to->hostname);
	else
		(void) snprintf(hostname, sizeof(hostname), "%.12s", link->to->id);
	if (k == 0)
		k = add_host(l, hostname, link->address);
	return k == 0 ? add_host(l, link->to->name, link->address) : k;
}

/* ---- variables ---- */

static int add_env(struct links *l, const char *fmt, ...) _printf_(2, 3);

static int add_env(struct links *l, const char *fmt, ...)
{
	_cleanup_(freep) char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	return n < 0 ? -ENOMEM : strv_append(&l->env, text);
}

static int add_port_env(struct links *l, const struct link *link, const struct port_binding *b)
{
	const char *lower = b->proto == IPPROTO_UDP ? "udp" : "tcp";
	const char *upper = b->proto == IPPROTO_UDP ? "UDP" : "TCP";
	unsigned port = b->container_port;
	int k = add_env(l, "%s_PORT_%u_%s=%s://%s:%u", link->prefix, port, upper, lower,
			link->address, port);

	if (k == 0)
		k = add_env(l, "%s_PORT_%u_%s_ADDR=%s", link->prefix, port, upper, link->address);
	if (k == 0)
		k = add_env(l, "%s_PORT_%u_%s_PORT=%u", link->prefix, port, upper, port);
	if (k == 0)
		k = add_env(l, "%s_PORT_%u_%s_PROTO=%s", link->prefix, port, upper, lower);
	return k;
}

static int by_port(const void *a, const void *b)
{
	const struct port_binding *x = a, *y = b;

	return x->container_port != y->container_port ? x->container_port - y->container_port
						      : x->proto - y->proto;
}

/* "80/tcp", "53/udp", "80" */
static bool parse_exposed(const char *text, struct port_binding *ret)
{
	char *end = NULL;
	unsigned long port = strtoul(text, &end, 10);

	*ret = (struct port_binding){ .container_port = (uint16_t) port,
				      .proto = strcmp(end, "/udp") == 0 ? IPPROTO_UDP
									: IPPROTO_TCP };
	return end != text && port > 0 && port <= UINT16_MAX &&
	       (!*end || strcmp(end, "/tcp") == 0 || strcmp(end, "/udp") == 0);
}

/* The ports of its definition and those that its image exposes, lowest first, each once. */
static size_t exposed_ports(const struct container *c, const struct image *image,
			    struct port_binding ports[PORTS_MAX])
{
	size_t n = 0, kept = 0;

	for (size_t i = 0; i < c->n_ports && n < PORTS_MAX; i++)
		ports[n++] = c->ports[i];
	for (char **s = image ? image->config.exposed_ports : NULL; s && *s && n < PORTS_MAX; s++)
		n += parse_exposed(*s, &ports[n]);
	qsort(ports, n, sizeof(*ports), by_port);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || by_port(&ports[kept - 1], &ports[i]) != 0)
			ports[kept++] = ports[i];
	return kept;
}

static int add_ports_env(struct links *l, const struct link *link, const struct image *image)
{
	_cleanup_(freep) struct port_binding *ports = calloc(PORTS_MAX, sizeof(*ports));
	size_t n = ports ? exposed_ports(link->to, image, ports) : 0;
	int k = ports ? 0 : -ENOMEM;

	if (k == 0 && n > 0)
		k = add_env(l, "%s_PORT=%s://%s:%u", link->prefix,
			    ports[0].proto == IPPROTO_UDP ? "udp" : "tcp", link->address,
			    (unsigned) ports[0].container_port);
	for (size_t i = 0; k == 0 && i < n; i++)
		k = add_port_env(l, link, &ports[i]);
	return k;
}

static bool is_handed_on(const char *key, size_t n)
{
	return !(n == 4 && (memcmp(key, "HOME", 4) == 0 || memcmp(key, "PATH", 4) == 0));
}

static int add_target_env(struct links *l, const struct link *link, const struct image *image)
{
	const struct container *to = link->to;
	int k = 0;

	for (char **s = image ? image->config.env : NULL; k == 0 && s && *s; s++)
		if (is_handed_on(*s, strcspn(*s, "=")))
			k = add_env(l, "%s_ENV_%s", link->prefix, *s);
	for (size_t i = 0; k == 0 && i < to->n_environment; i++)
		if (is_handed_on(to->environment[i].key, strlen(to->environment[i].key)))
			k = add_env(l, "%s_ENV_%s=%s", link->prefix, to->environment[i].key,
				    to->environment[i].value);
	return k;
}

static int add_variables(struct links *l, const struct link *link)
{
	_cleanup_(image_freep) struct image *image = NULL;
	int k = add_env(l, "%s_NAME=/%s/%s", link->prefix, link->from->name, link->alias);

	/* Without its image, should that be gone, there is still what the definition says. */
	if (link->to->image_id && image_store_lookup(link->to->run->engine->images,
						     link->to->image_id, &image, NULL) != 0)
		image = NULL;
	if (k == 0)
		k = add_ports_env(l, link, image);
	return k == 0 ? add_target_env(l, link, image) : k;
}

int links_make(const struct container *c, struct links *ret, struct err *err)
{
	struct link link;
	int k;

	*ret = (struct links){};
	for (char **s = c->links; s && *s; s++) {
		k = parse(c, *s, &link, err);
		if (k < 0)
			return k;
		if (add_hosts(ret, &link) < 0 || add_variables(ret, &link) < 0)
			return err_set(err, ENOMEM, "links");
	}
	return 0;
}

void links_done(struct links *l)
{
	json_pairs_free(l->hosts, l->n_hosts);
	(void) strv_free(l->env);
	*l = (struct links){};
}
