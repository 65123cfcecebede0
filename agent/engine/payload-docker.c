/* SPDX-License-Identifier: Apache-2.0 */
/* dockerConfig: two strings of JSON in Docker's own form, laid over what the container says itself.
 */
#include "agent/engine/payload.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/strv.h"

enum { DOCKER_JSON_MAX = 256 * 1024, ULIMITS_MAX = 64 };

static const int64_t MIB = 1 << 20;
static const int64_t MEMORY_MIN_BYTES = 4 << 20; /* the least an engine takes */
/*
 * A container without max-size gets a bound all the same: an unbounded log is the commonest way to
 * fill a host's disk. `max-size: -1` asks for none.
 */
static const int64_t LOG_MAX_BYTES_DEFAULT = 100 << 20;

int payload_parse_size(const char *text, int64_t *ret, struct err *err)
{
	char *end = NULL;
	int64_t v, unit = 1;

	errno = 0;
	v = strtoll(text, &end, 10);
	if (errno || end == text || v < -1)
		return err_set(err, EINVAL, "'%.32s' is no size", text);
	if (*end && strchr("kK", *end))
		unit = 1 << 10;
	else if (*end && strchr("mM", *end))
		unit = 1 << 20;
	else if (*end && strchr("gG", *end))
		unit = 1 << 30;
	if (unit > 1)
		end++;
	if (*end && strcasecmp(end, "b") != 0)
		return err_set(err, EINVAL, "'%.32s' is no size: digits and k, m or g are wanted",
			       text);
	if (v > INT64_MAX / unit)
		return err_set(err, EINVAL, "'%.32s' is too large", text);
	*ret = v < 0 ? v : v * unit;
	return 0;
}

int payload_parse_signal(const char *text)
{
	char *end = NULL;
	long n;

	if (strncasecmp(text, "SIG", 3) == 0)
		text += 3;
	n = strtol(text, &end, 10);
	if (end != text)
		return *end == '\0' && n >= 1 && n <= SIGRTMAX ? (int) n : -EINVAL;
	if (strncasecmp(text, "RTMIN", 5) == 0 || strncasecmp(text, "RTMAX", 5) == 0) {
		int base = text[4] == 'N' || text[4] == 'n' ? SIGRTMIN : SIGRTMAX;

		n = text[5] ? strtol(text + 5, &end, 10) : 0;
		if (text[5] && (end == text + 5 || *end))
			return -EINVAL;
		return n >= -64 && n <= 64 && base + n >= SIGRTMIN && base + n <= SIGRTMAX
			       ? base + (int) n
			       : -EINVAL;
	}
	for (int sig = 1; sig < SIGSYS + 1; sig++) {
		const char *name = sigabbrev_np(sig);

		if (name && strcasecmp(name, text) == 0)
			return sig;
	}
	return -EINVAL;
}

/* ---- decoders of Docker's types ---- */

/* A list of strings, or one string (Docker takes both for Cmd and Entrypoint). */
static int decode_strslice(const json_t *value, void *dst, const struct json_field *f,
			   struct err *err)
{
	_cleanup_(json_decrefp) json_t *list = NULL;

	if (!json_is_string(value))
		return json_decode_strv(value, dst, f, err);
	list = json_pack("[O]", value);
	return list ? json_decode_strv(list, dst, f, err) : err_set(err, ENOMEM, "allocate list");
}

struct pairs {
	struct json_pair *items;
	size_t n;
};

int payload_pairs_set(void *pairs, const char *key, const char *value)
{
	struct pairs *to = pairs;
	struct json_pair *grown;

	for (size_t i = 0; i < to->n; i++)
		if (strcmp(to->items[i].key, key) == 0)
			return strdup_to(&to->items[i].value, value);
	grown = reallocarray(to->items, to->n + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	to->items = grown;
	grown[to->n] = (struct json_pair){ strdup(key), strdup(value) };
	if (!grown[to->n].key || !grown[to->n].value) {
		free(grown[to->n].key);
		free(grown[to->n].value);
		return -ENOMEM;
	}
	to->n++;
	return 0;
}

/* Maps are merged key by key. */
static int decode_merge(const json_t *value, void *dst, const struct json_field *f, struct err *err)
{
	struct pairs fresh = {};
	int k = json_decode_pairs(value, &fresh, f, err);

	for (size_t i = 0; k == 0 && i < fresh.n; i++)
		if (payload_pairs_set(dst, fresh.items[i].key, fresh.items[i].value) < 0)
			k = err_set(err, ENOMEM, "copy pair");
	json_pairs_free(fresh.items, fresh.n);
	return k;
}

/* ["KEY=value", …] replaces the environment. */
static int decode_env(const json_t *value, void *dst, const struct json_field *f, struct err *err)
{
	_cleanup_(strv_freep) char **list = NULL;
	struct pairs fresh = {}, *out = dst;
	int k = json_decode_strv(value, &list, f, err);

	for (char **s = list; k == 0 && s && *s; s++) {
		char *eq = strchr(*s, '=');

		if (!eq)
			continue; /* to Docker: take the daemon's own, which has none */
		*eq = '\0';
		if (payload_pairs_set(&fresh, *s, eq + 1) < 0)
			k = err_set(err, ENOMEM, "copy variable");
	}
	if (k == 0) {
		json_pairs_free(out->items, out->n);
		*out = fresh;
	} else {
		json_pairs_free(fresh.items, fresh.n);
	}
	return k;
}

/* Named so that the table shows it was thought of: informative, no effect on a container here. */
static int decode_ignored(const json_t *value, void *dst, const struct json_field *f,
			  struct err *err)
{
	(void) value, (void) dst, (void) f, (void) err;
	return 0;
}

static int decode_network_mode(const json_t *value, void *dst, const struct json_field *f,
			       struct err *err)
{
	const char *s = json_string_value(value);

	(void) f;
	if (!s)
		return err_set(err, EPROTO, "is no string");
	if (strcmp(s, "") == 0 || strcmp(s, "default") == 0 || strcmp(s, "bridge") == 0)
		*(enum network_mode *) dst = NETWORK_BRIDGE;
	else if (strcmp(s, "host") == 0)
		*(enum network_mode *) dst = NETWORK_HOST;
	else if (strcmp(s, "none") == 0)
		*(enum network_mode *) dst = NETWORK_NONE;
	else if (strcmp(s, "awsvpc") == 0)
		*(enum network_mode *) dst = NETWORK_AWSVPC;
	else
		return err_set(err, ENOTSUP, "'%.64s' is not supported by this build", s);
	return 0;
}

static int decode_security_opt(const json_t *value, void *dst, const struct json_field *f,
			       struct err *err)
{
	_cleanup_(strv_freep) char **list = NULL;
	int k = json_decode_strv(value, &list, f, err);

	for (char **s = list; k == 0 && s && *s; s++)
		k = docker_security_option(dst, *s, err);
	return k;
}

static const struct json_field ulimit_fields[] = {
	{ "Name", json_decode_string, offsetof(struct ulimit, name), true },
	{ "Soft", json_decode_i64, offsetof(struct ulimit, soft), false, NULL, -1, INT64_MAX },
	{ "Hard", json_decode_i64, offsetof(struct ulimit, hard), false, NULL, -1, INT64_MAX },
	{}
};

static void ulimit_done(void *element)
{
	free(((struct ulimit *) element)->name);
}

static const struct json_array ulimit_array = {
	.size = sizeof(struct ulimit),
	.fields = ulimit_fields,
	.done = ulimit_done,
	.max = ULIMITS_MAX,
};

static const struct json_field log_fields[] = {
	{ "Type", json_decode_string, offsetof(struct container, log_driver), false },
	{ "Config", json_decode_pairs, offsetof(struct container, log_options), false },
	{}
};

static int decode_health_check(const json_t *value, void *dst, const struct json_field *f,
			       struct err *err)
{
	struct health_check *h = dst;

	(void) f;
	h->given = true;
	return json_decode(value, payload_health_fields, h, err);
}

static const struct json_field config_fields[] = {
	{ "User", json_decode_string, offsetof(struct container, user), false },
	{ "WorkingDir", json_decode_string, offsetof(struct container, working_directory), false },
	{ "Hostname", json_decode_string, offsetof(struct container, hostname), false },
	{ "Domainname", json_decode_string, offsetof(struct container, domainname), false },
	{ "Labels", decode_merge, offsetof(struct container, labels), false },
	{ "Tty", json_decode_bool, offsetof(struct container, terminal), false },
	{ "OpenStdin", json_decode_bool, offsetof(struct container, open_stdin), false },
	{ "StopSignal", json_decode_string, offsetof(struct container, stop_signal), false },
	{ "StopTimeout", json_decode_i64, offsetof(struct container, stop_timeout_s), false, NULL,
	  0, 86400 },
	{ "Image", json_decode_string, offsetof(struct container, image), false },
	{ "Cmd", decode_strslice, offsetof(struct container, command), false },
	{ "Entrypoint", decode_strslice, offsetof(struct container, entry_point), false },
	{ "Env", decode_env, offsetof(struct container, environment), false },
	{ "HealthCheck", decode_health_check, offsetof(struct container, health_check), false },
	{ "Volumes", payload_decode_anonymous_volumes, 0, false },
	{ "ExposedPorts", decode_ignored, 0, false },
	{ "AttachStdin", decode_ignored, 0, false },
	{ "AttachStdout", decode_ignored, 0, false },
	{ "AttachStderr", decode_ignored, 0, false },
	{ "StdinOnce", decode_ignored, 0, false },
	{ "Shell", decode_ignored, 0, false }, /* of health checks only */
	{ "ArgsEscaped", decode_ignored, 0, false },
	{}
};

static const struct json_field host_config_fields[] = {
	{ "NetworkMode", decode_network_mode, offsetof(struct container, network_mode), false },
	{ "CapAdd", json_decode_strv, offsetof(struct container, cap_add), false },
	{ "CapDrop", json_decode_strv, offsetof(struct container, cap_drop), false },
	{ "Privileged", json_decode_bool, offsetof(struct container, privileged), false },
	{ "ReadonlyRootfs", json_decode_bool, offsetof(struct container, readonly_rootfs), false },
	{ "Dns", json_decode_strv, offsetof(struct container, dns), false },
	{ "DnsSearch", json_decode_strv, offsetof(struct container, dns_search), false },
	{ "DnsOptions", json_decode_strv, offsetof(struct container, dns_options), false },
	{ "ExtraHosts", json_decode_strv, offsetof(struct container, extra_hosts), false },
	{ "GroupAdd", json_decode_strv, offsetof(struct container, group_add), false },
	{ "SecurityOpt", decode_security_opt, 0, false },
	{ "Ulimits", json_decode_array, offsetof(struct container, ulimits), false, &ulimit_array },
	{ "LogConfig", json_decode_object, 0, false, log_fields },
	{ "Memory", json_decode_i64, offsetof(struct container, memory_limit_bytes), false, NULL, 0,
	  INT64_MAX / 2 },
	{ "MemoryReservation", json_decode_i64,
	  offsetof(struct container, memory_reservation_bytes), false, NULL, 0, INT64_MAX / 2 },
	{ "MemorySwap", json_decode_i64, offsetof(struct container, memory_swap_bytes), false, NULL,
	  -1, INT64_MAX / 2 },
	{ "MemorySwappiness", json_decode_int, offsetof(struct container, swappiness), false, NULL,
	  -1, 100 },
	{ "ShmSize", json_decode_i64, offsetof(struct container, shm_size_bytes), false, NULL, 0,
	  INT64_MAX / 2 },
	{ "CpuShares", json_decode_i64, offsetof(struct container, cpu_shares), false, NULL, 0,
	  1 << 20 },
	{ "Sysctls", decode_merge, offsetof(struct container, sysctls), false },
	{ "VolumeDriver", payload_decode_volume_driver, 0, false },
	{ "Binds", payload_decode_binds, 0, false },
	{ "Mounts", payload_decode_mounts, 0, false },
	{ "VolumesFrom", payload_decode_host_volumes_from, 0, false },
	{ "OomScoreAdj", json_decode_int, offsetof(struct container, oom_score_adj), false, NULL,
	  -1000, 1000 },
	{ "PidsLimit", json_decode_i64, offsetof(struct container, pids_limit), false, NULL, -1,
	  1 << 22 },
	{ "Init", json_decode_bool, offsetof(struct container, init), false },
	{ "ConsoleSize", decode_ignored, 0, false },
	{ "ContainerIDFile", decode_ignored, 0, false },
	{ "Isolation", decode_ignored, 0, false }, /* of Windows */
	{}
};

static bool known(const struct json_field *fields, const char *key)
{
	for (; fields->key; fields++)
		if (strcasecmp(fields->key, key) == 0)
			return true;
	return false;
}

static int overlay(const char *text, enum payload_place place, const struct json_field *fields,
		   const struct json_field *more, struct container *c, struct err *err)
{
	_cleanup_(json_decrefp) json_t *obj = NULL;
	const char *key;
	json_t *v;
	int k;

	if (!text || !*text || strcmp(text, "null") == 0)
		return 0;
	if (strlen(text) > DOCKER_JSON_MAX)
		return err_set(err, EPROTO, "is longer than %d bytes", DOCKER_JSON_MAX);
	k = json_parse(text, strlen(text), &obj, err);
	if (k == 0)
		k = payload_check_unsupported(place, obj, err);
	json_object_foreach(obj, key, v)
		if (k == 0 && !payload_value_is_empty(v) && !known(fields, key) &&
		    !known(more, key) && !payload_key_is_unsupported(place, key))
			k = err_set(err, ENOTSUP, "%.64s: not supported by this build", key);
	if (k == 0)
		k = json_decode(obj, fields, c, err);
	return k < 0 ? k : json_decode(obj, more, c, err);
}

/* ---- log driver ---- */

static int parse_log_option(struct container *c, const struct json_pair *o, struct err *err)
{
	int64_t n = 0;

	if (strcmp(o->key, "max-size") == 0) {
		if (payload_parse_size(o->value, &n, err) < 0)
			return err_wrap(err, "LogConfig: max-size");
		if (n == 0 || (n > 0 && n < 4096))
			return err_set(err, EPROTO,
				       "LogConfig: max-size: %" PRId64 " is below 4096 bytes", n);
		c->log_max_bytes = n < 0 ? 0 : n;
		return 0;
	}
	if (strcmp(o->key, "max-file") == 0) {
		if (payload_parse_size(o->value, &n, err) < 0 || n < 1 || n > 1000)
			return err_set(err, EPROTO,
				       "LogConfig: max-file: '%.32s' is outside 1..1000", o->value);
		c->log_max_files = (int) n;
		return 0;
	}
	if ((strcmp(o->key, "mode") == 0 && strcmp(o->value, "blocking") == 0) ||
	    (strcmp(o->key, "compress") == 0 && strcmp(o->value, "false") == 0) || !*o->value)
		return 0;
	return err_set(err, ENOTSUP, "LogConfig: %.64s: not supported by this build", o->key);
}

static int settle_log(struct container *c, struct err *err)
{
	int k = 0;

	if ((!c->log_driver || !*c->log_driver) && strdup_to(&c->log_driver, "json-file") < 0)
		return err_set(err, ENOMEM, "copy log driver");
	if (strcmp(c->log_driver, "none") == 0)
		return 0;
	if (strcmp(c->log_driver, "json-file") != 0)
		return err_set(err, ENOTSUP,
			       "LogConfig: log driver '%.64s' is not supported by this build",
			       c->log_driver);
	c->log_max_bytes = LOG_MAX_BYTES_DEFAULT;
	for (size_t i = 0; k == 0 && i < c->n_log_options; i++)
		k = parse_log_option(c, &c->log_options[i], err);
	return k;
}

/* ---- the whole ---- */

struct docker_config {
	char *config, *host_config;
};

int payload_decode_docker_config(const json_t *obj, struct container *c, struct err *err)
{
	static const struct json_field fields[] = {
		{ "config", json_decode_string, offsetof(struct docker_config, config), false },
		{ "hostConfig", json_decode_string, offsetof(struct docker_config, host_config),
		  false },
		{}
	};
	struct docker_config d = {};
	int64_t cpu_shares = c->cpu_shares;
	int k = json_decode(obj, fields, &d, err);

	if (k == 0 &&
	    overlay(d.config, PAYLOAD_CONFIG, config_fields, docker_config_fields, c, err) < 0)
		k = err_wrap(err, "config");
	if (k == 0 && overlay(d.host_config, PAYLOAD_HOST_CONFIG, host_config_fields,
			      docker_host_fields, c, err) < 0)
		k = err_wrap(err, "hostConfig");
	if (c->cpu_shares == 0) /* 0 in hostConfig means: not said */
		c->cpu_shares = cpu_shares;
	free(d.config);
	free(d.host_config);
	return k;
}

int payload_settle_container(struct container *c, struct err *err)
{
	if (c->memory_limit_bytes == 0)
		c->memory_limit_bytes = c->memory_mib * MIB;
	if (c->memory_limit_bytes > 0)
		c->memory_limit_bytes = MAX(c->memory_limit_bytes, MEMORY_MIN_BYTES);
	c->memory_mib = (c->memory_limit_bytes + MIB - 1) / MIB;
	c->pids_limit = MAX(c->pids_limit, 0);
	if (payload_check_health(&c->health_check, err) < 0 || docker_options_settle(c, err) < 0)
		return -EPROTO;
	return settle_log(c, err);
}
