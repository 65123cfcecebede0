/* SPDX-License-Identifier: Apache-2.0 */
/* The types whose values have parts: lists, maps, ranges, networks. */
#include <arpa/inet.h>
#include <string.h>

#include "agent/config-internal.h"
#include "common/strv.h"

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

static int parse_subnet(struct config *c, const struct config_key *k, const char *text,
			struct err *err)
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
	    config_parse_whole(slash + 1, &len) < 0 || len < k->min || len > k->max)
		return err_set(err, EINVAL,
			       "'%.64s' is not an IPv4 network with a prefix of /%lld../%lld", text,
			       (long long) k->min, (long long) k->max);
	if (ntohl(addr.s_addr) & (UINT32_MAX >> len))
		return err_set(err, EINVAL, "'%.64s' has bits set behind its prefix", text);
	c->bridge_subnet = addr;
	c->bridge_prefix_len = (uint8_t) len;
	return 0;
}

static bool format_subnet(const struct config *c, const struct config_key *k, struct buf *b)
{
	char text[INET_ADDRSTRLEN] = "";

	(void) k;
	(void) inet_ntop(AF_INET, &c->bridge_subnet, text, sizeof(text));
	return buf_printf(b, "%s/%u", text, c->bridge_prefix_len);
}

const struct config_type config_subnet = { "IPv4 network", parse_subnet, format_subnet, NULL };
