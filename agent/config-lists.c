/* SPDX-License-Identifier: Apache-2.0 */
/* The types whose values have parts: lists, maps, ranges, networks. */
#include <arpa/inet.h>
#include <string.h>

#include "agent/config-internal.h"
#include "common/strv.h"

enum { ROUTES_MAX = 64 };

/* ---- JSON lists and maps ---- */

static int load_json(const char *text, bool array, json_t **ret, struct err *err)
{
	_cleanup_(json_decrefp) json_t *v = NULL;
	int r = json_parse(text, strlen(text), &v, err);

	if (r < 0)
		return err_wrap(err, "'%.200s'", text);
	if (array != json_is_array(v))
		return err_set(err, EINVAL, "'%.200s' is not a JSON %s", text,
			       array ? "list" : "object");
	*ret = TAKE_PTR(v);
	return 0;
}

static int parse_ports(struct config *c, const struct config_key *k, const char *text,
		       struct err *err)
{
	struct port_list *list = FIELD_OF(struct port_list, c, k);
	_cleanup_(json_decrefp) json_t *v = NULL;
	_cleanup_(freep) uint16_t *ports = NULL;
	size_t n;
	int r = load_json(text, true, &v, err);

	if (r < 0)
		return r;
	n = json_array_size(v);
	ports = calloc(n + 1, sizeof(*ports));
	if (!ports)
		return err_set(err, ENOMEM, "allocate ports");
	for (size_t i = 0; i < n; i++) {
		const json_t *p = json_array_get(v, i);

		if (!json_is_integer(p) || json_integer_value(p) < 1 ||
		    json_integer_value(p) > UINT16_MAX)
			return err_set(err, EINVAL, "'%.200s': [%zu] is not a port of 1..65535",
				       text, i);
		ports[i] = (uint16_t) json_integer_value(p);
	}
	free(list->ports);
	*list = (struct port_list){ .ports = TAKE_PTR(ports), .n = n };
	return 0;
}

static bool format_ports(const struct config *c, const struct config_key *k, struct buf *b)
{
	const struct port_list *list = CONST_FIELD_OF(struct port_list, c, k);

	buf_puts(b, "[");
	for (size_t i = 0; i < list->n; i++)
		buf_printf(b, "%s%u", i ? "," : "", list->ports[i]);
	return buf_puts(b, "]");
}

static void done_ports(struct config *c, const struct config_key *k)
{
	struct port_list *list = FIELD_OF(struct port_list, c, k);

	free(list->ports);
	*list = (struct port_list){};
}

const struct config_type config_ports = { "JSON list of ports", parse_ports, format_ports,
					  done_ports };

static bool driver_is_known(const char *name)
{
	static const char *const known[] = { "json-file",  "syslog",    "journald",   "none",
					     "gelf",       "fluentd",   "awslogs",    "splunk",
					     "logentries", "sumologic", "awsfirelens" };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strcmp(known[i], name) == 0)
			return true;
	return false;
}

static int parse_names(struct config *c, const struct config_key *k, const char *text,
		       struct err *err)
{
	_cleanup_(strv_freep) char **names = NULL;
	_cleanup_(json_decrefp) json_t *v = NULL;
	int r = load_json(text, true, &v, err);

	if (r >= 0)
		r = json_decode_strv(v, &names, NULL, err);
	if (r < 0)
		return r;
	strv_free(*FIELD_OF(char **, c, k));
	*FIELD_OF(char **, c, k) = TAKE_PTR(names);
	return 0;
}

static int parse_drivers(struct config *c, const struct config_key *k, const char *text,
			 struct err *err)
{
	_cleanup_(strv_freep) char **names = NULL;
	_cleanup_(json_decrefp) json_t *v = NULL;
	int r = load_json(text, true, &v, err);

	if (r >= 0)
		r = json_decode_strv(v, &names, NULL, err);
	if (r < 0)
		return r;
	for (size_t i = 0; names[i]; i++)
		if (!driver_is_known(names[i]))
			return err_set(err, ENOTSUP, "Invalid logging drivers: %.64s", names[i]);
	strv_free(*FIELD_OF(char **, c, k));
	*FIELD_OF(char **, c, k) = TAKE_PTR(names);
	return 0;
}

static bool format_drivers(const struct config *c, const struct config_key *k, struct buf *b)
{
	char *const *names = *CONST_FIELD_OF(char **, c, k);

	buf_puts(b, "[");
	for (size_t i = 0; names && names[i]; i++)
		buf_printf(b, "%s\"%s\"", i ? "," : "", names[i]);
	return buf_puts(b, "]");
}

static void done_drivers(struct config *c, const struct config_key *k)
{
	char ***names = FIELD_OF(char **, c, k);

	*names = strv_free(*names);
}

const struct config_type config_names = { "JSON list of names", parse_names, format_drivers,
					  done_drivers };
const struct config_type config_drivers = { "JSON list of names", parse_drivers, format_drivers,
					    done_drivers };

/* `struct json_pair *` with its size_t count directly after it, as json_decode_pairs fills them. */
struct pair_list {
	struct json_pair *pairs;
	size_t n;
};

static int parse_map(struct config *c, const struct config_key *k, const char *text,
		     struct err *err)
{
	struct pair_list *list = FIELD_OF(struct pair_list, c, k), fresh = {};
	_cleanup_(json_decrefp) json_t *v = NULL;
	int r = load_json(text, false, &v, err);

	if (r < 0)
		return r;
	r = json_decode_pairs(v, &fresh, NULL, err);
	if (r < 0) {
		json_pairs_free(fresh.pairs, fresh.n);
		return err_wrap(err, "'%.200s'", text);
	}
	json_pairs_free(list->pairs, list->n);
	*list = fresh;
	return 0;
}

static bool format_map(const struct config *c, const struct config_key *k, struct buf *b)
{
	const struct pair_list *list = CONST_FIELD_OF(struct pair_list, c, k);
	_cleanup_(json_decrefp) json_t *o = json_object();
	_cleanup_(freep) char *text = NULL;

	if (list->n == 0)
		return false;
	for (size_t i = 0; i < list->n; i++)
		json_object_set_new(o, list->pairs[i].key, json_string(list->pairs[i].value));
	text = json_to_text(o);
	return text && buf_puts(b, text);
}

static void done_map(struct config *c, const struct config_key *k)
{
	struct pair_list *list = FIELD_OF(struct pair_list, c, k);

	json_pairs_free(list->pairs, list->n);
	*list = (struct pair_list){};
}

const struct config_type config_map = { "JSON object of strings", parse_map, format_map, done_map };

/* ---- networks ---- */

static int parse_range(struct config *c, const struct config_key *k, const char *text,
		       struct err *err)
{
	_cleanup_(freep) char *copy = strdup(text);
	char *dash = copy ? strchr(copy, '-') : NULL;
	int64_t a, b;

	(void) k;
	if (!copy)
		return err_set(err, ENOMEM, "allocate value");
	if (dash)
		*dash = '\0';
	if (!dash || config_parse_whole(copy, &a) < 0 || config_parse_whole(dash + 1, &b) < 0 ||
	    a < 1 || b > UINT16_MAX || a > b)
		return err_set(err, EINVAL, "'%.64s' is not a range of ports such as 61000-65535",
			       text);
	c->dynamic_port_first = (uint16_t) a;
	c->dynamic_port_last = (uint16_t) b;
	return 0;
}

static bool format_range(const struct config *c, const struct config_key *k, struct buf *b)
{
	(void) k;
	return buf_printf(b, "%u-%u", c->dynamic_port_first, c->dynamic_port_last);
}

const struct config_type config_range = { "range of ports", parse_range, format_range, NULL };

/* As many per second, and as many at once; the reference agent's form. */
static int parse_rates(struct config *c, const struct config_key *k, const char *text,
		       struct err *err)
{
	_cleanup_(freep) char *copy = strdup(text);
	char *comma = copy ? strchr(copy, ',') : NULL;
	int64_t steady, burst;

	if (!copy)
		return err_set(err, ENOMEM, "allocate value");
	if (comma)
		*comma = '\0';
	if (!comma || config_parse_whole(copy, &steady) < 0 ||
	    config_parse_whole(comma + 1, &burst) < 0 || steady < k->min || burst < k->min ||
	    steady > k->max || burst > k->max)
		return err_set(err, EINVAL,
			       "'%.64s' is not a rate and a burst of %lld..%lld such as 40,60",
			       text, (long long) k->min, (long long) k->max);
	c->metadata_rps = steady;
	c->metadata_burst = burst;
	return 0;
}

static bool format_rates(const struct config *c, const struct config_key *k, struct buf *b)
{
	(void) k;
	return c->metadata_rps > 0 && buf_printf(b, "%lld,%lld", (long long) c->metadata_rps,
						 (long long) c->metadata_burst);
}

const struct config_type config_rates = { "rate and burst", parse_rates, format_rates, NULL };

/* "10.0.0.0/16": bits behind the prefix are refused. */
static int parse_network(const char *text, int64_t min, int64_t max, struct in_addr *ret_addr,
			 uint8_t *ret_len, struct err *err)
{
	_cleanup_(freep) char *copy = strdup(text);
	char *slash = copy ? strchr(copy, '/') : NULL;
	struct in_addr addr;
	int64_t len;

	if (!copy)
		return err_set(err, ENOMEM, "allocate value");
	if (slash)
		*slash = '\0';
	if (!slash || inet_pton(AF_INET, copy, &addr) != 1 ||
	    config_parse_whole(slash + 1, &len) < 0 || len < min || len > max)
		return err_set(err, EINVAL,
			       "'%.64s' is not an IPv4 network with a prefix of /%lld../%lld", text,
			       (long long) min, (long long) max);
	if (len < 32 && ntohl(addr.s_addr) & (UINT32_MAX >> len))
		return err_set(err, EINVAL, "'%.64s' has bits set behind its prefix", text);
	*ret_addr = addr;
	*ret_len = (uint8_t) len;
	return 0;
}

static int parse_subnet(struct config *c, const struct config_key *k, const char *text,
			struct err *err)
{
	return parse_network(text, k->min, k->max, &c->bridge_subnet, &c->bridge_prefix_len, err);
}

static bool format_subnet(const struct config *c, const struct config_key *k, struct buf *b)
{
	char text[INET_ADDRSTRLEN] = "";

	(void) k;
	(void) inet_ntop(AF_INET, &c->bridge_subnet, text, sizeof(text));
	return buf_printf(b, "%s/%u", text, c->bridge_prefix_len);
}

const struct config_type config_subnet = { "IPv4 network", parse_subnet, format_subnet, NULL };

static int parse_routes(struct config *c, const struct config_key *k, const char *text,
			struct err *err)
{
	struct route_list *list = FIELD_OF(struct route_list, c, k);
	_cleanup_(freep) struct ipv4_route *routes = NULL;
	_cleanup_(json_decrefp) json_t *v = NULL;
	int r = load_json(text, true, &v, err);
	size_t n = json_array_size(v);

	if (r < 0)
		return r;
	if (n > ROUTES_MAX)
		return err_set(err, EINVAL, "has %zu networks, at most %d are taken", n,
			       ROUTES_MAX);
	routes = calloc(n + 1, sizeof(*routes));
	if (!routes)
		return err_set(err, ENOMEM, "allocate routes");
	for (size_t i = 0; i < n; i++) {
		const char *network = json_string_value(json_array_get(v, i));

		if (!network)
			return err_set(err, EINVAL, "'%.200s': [%zu] is no string", text, i);
		if (parse_network(network, 1, 32, &routes[i].addr, &routes[i].prefix_len, err) < 0)
			return err_wrap(err, "[%zu]", i);
	}
	free(list->routes);
	*list = (struct route_list){ .routes = TAKE_PTR(routes), .n = n };
	return 0;
}

static bool format_routes(const struct config *c, const struct config_key *k, struct buf *b)
{
	const struct route_list *list = CONST_FIELD_OF(struct route_list, c, k);
	char text[INET_ADDRSTRLEN] = "";

	buf_puts(b, "[");
	for (size_t i = 0; i < list->n; i++) {
		(void) inet_ntop(AF_INET, &list->routes[i].addr, text, sizeof(text));
		buf_printf(b, "%s\"%s/%u\"", i ? "," : "", text, list->routes[i].prefix_len);
	}
	return buf_puts(b, "]");
}

static void done_routes(struct config *c, const struct config_key *k)
{
	struct route_list *list = FIELD_OF(struct route_list, c, k);

	free(list->routes);
	*list = (struct route_list){};
}

const struct config_type config_routes = { "JSON list of IPv4 networks", parse_routes,
					   format_routes, done_routes };

static int parse_subnet6(struct config *c, const struct config_key *k, const char *text,
			 struct err *err)
{
	_cleanup_(freep) char *copy = strdup(text);
	char *slash = copy ? strchr(copy, '/') : NULL;
	bool none = strcmp(text, "none") == 0, automatic = strcmp(text, "auto") == 0;
	struct in6_addr addr = {};
	int64_t len = 0;

	if (!copy)
		return err_set(err, ENOMEM, "allocate value");
	if (slash)
		*slash = '\0';
	if (!none && !automatic &&
	    (!slash || inet_pton(AF_INET6, copy, &addr) != 1 ||
	     config_parse_whole(slash + 1, &len) < 0 || len < k->min || len > k->max))
		return err_set(err, EINVAL,
			       "'%.64s' is neither auto nor none nor an IPv6 network with a prefix "
			       "of /%lld../%lld",
			       text, (long long) k->min, (long long) k->max);
	if (len > 0 && !net6_is_network(&addr, len))
		return err_set(err, EINVAL, "'%.64s' has bits set behind its prefix", text);
	if (len > 0 &&
	    (addr.s6_addr[0] == 0xff || (addr.s6_addr[0] == 0xfe && addr.s6_addr[1] >> 6 == 2)))
		return err_set(err, EINVAL, "'%.64s' is not a network that packets are sent to",
			       text);
	c->bridge_six = (struct net6){ addr, (uint8_t) len };
	c->bridge_six_auto = automatic;
	return 0;
}

static bool format_subnet6(const struct config *c, const struct config_key *k, struct buf *b)
{
	char text[INET6_ADDRSTRLEN] = "";

	(void) k;
	if (c->bridge_six.prefix_len == 0)
		return buf_puts(b, c->bridge_six_auto ? "auto" : "none");
	(void) inet_ntop(AF_INET6, &c->bridge_six.prefix, text, sizeof(text));
	return buf_printf(b, "%s/%u", text, c->bridge_six.prefix_len);
}

const struct config_type config_subnet6 = { "IPv6 network, auto or none", parse_subnet6,
					    format_subnet6, NULL };
