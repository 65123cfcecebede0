/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics/docker-stats.h"

#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/macro.h"

enum { READ_MAX = 16 * 1024, HZ_NS = 10000000 };

/* What lies between the two samples that a reader compares. */
static const int64_t APART_NS = 500 * 1000000LL;

/* ---- reading ---- */

static bool read_text(const char *dir, const char *file, char *buf)
{
	char path[4096];
	ssize_t n;
	int fd;

	if (!dir || snprintf(path, sizeof(path), "%s/%s", dir, file) >= (int) sizeof(path))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, buf, READ_MAX - 1);
	(void) close(fd);
	buf[n > 0 ? n : 0] = '\0';
	return n > 0;
}

static uint64_t read_number(const char *dir, const char *file)
{
	char buf[READ_MAX];

	return read_text(dir, file, buf) ? strtoull(buf, NULL, 10) : 0;
}

/* "key value" lines. */
static uint64_t keyed(const char *text, const char *key)
{
	size_t n = strlen(key);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, n) == 0 && line[n] == ' ')
			return strtoull(line + n + 1, NULL, 10);
	}
	return 0;
}

static void put(json_t *o, const char *key, uint64_t v)
{
	(void) json_object_set_new(o, key, json_integer((json_int_t) v));
}

/* Docker leaves these out when they are 0. */
static void put_some(json_t *o, const char *key, uint64_t v)
{
	if (v)
		put(o, key, v);
}

static void put_time(json_t *o, const char *key, int64_t ms)
{
	char text[CLOCK_RFC3339_MAX];

	(void) json_object_set_new(
		o, key,
		json_string(ms > 0 ? clock_format_rfc3339(ms, 1, text) : "0001-01-01T00:00:00Z"));
}

/* ---- processor ---- */

struct cpu {
	uint64_t total_ns, user_ns, system_ns, host_ns;
	uint64_t periods, throttled_periods, throttled_ns;
};

/* user, nice, system, idle, iowait, irq, softirq of the whole host. */
static uint64_t host_cpu_ns(const char *proc)
{
	char buf[READ_MAX], *p = buf + strlen("cpu");
	uint64_t sum = 0;

	if (!read_text(proc, "stat", buf) || strncmp(buf, "cpu ", 4) != 0)
		return 0;
	for (int i = 0; i < 7; i++)
		sum += strtoull(p, &p, 10);
	return sum * HZ_NS;
}

static bool read_cpu(const struct docker_stats_params *p, struct cpu *c)
{
	char buf[READ_MAX];

	if (!p->cgroup_v2) {
		c->total_ns = read_number(p->cpuacct_dir, "cpuacct.usage");
		if (!read_text(p->cpuacct_dir, "cpuacct.stat", buf))
			return false;
		c->user_ns = keyed(buf, "user") * HZ_NS;
		c->system_ns = keyed(buf, "system") * HZ_NS;
		if (read_text(p->cpu_dir, "cpu.stat", buf))
			c->throttled_ns = keyed(buf, "throttled_time");
	} else {
		if (!read_text(p->cpu_dir, "cpu.stat", buf))
			return false;
		c->total_ns = keyed(buf, "usage_usec") * 1000;
		c->user_ns = keyed(buf, "user_usec") * 1000;
		c->system_ns = keyed(buf, "system_usec") * 1000;
		c->throttled_ns = keyed(buf, "throttled_usec") * 1000;
	}
	c->periods = keyed(buf, "nr_periods");
	c->throttled_periods = keyed(buf, "nr_throttled");
	return true;
}

static json_t *per_cpu(const struct docker_stats_params *p)
{
	char buf[READ_MAX], *at = buf, *end;
	json_t *list;

	if (p->cgroup_v2 || !read_text(p->cpuacct_dir, "cpuacct.usage_percpu", buf))
		return NULL;
	list = json_array();
	for (;; at = end) {
		uint64_t v = strtoull(at, &end, 10);

		if (end == at)
			return list;
		(void) json_array_append_new(list, json_integer((json_int_t) v));
	}
}

static json_t *cpu_json(const struct cpu *c, json_t *percpu)
{
	json_t *usage = json_object(), *o = json_object();

	put(usage, "total_usage", c->total_ns);
	if (percpu)
		(void) json_object_set_new(usage, "percpu_usage", percpu);
	put(usage, "usage_in_kernelmode", c->system_ns);
	put(usage, "usage_in_usermode", c->user_ns);
	(void) json_object_set_new(o, "cpu_usage", usage);
	put_some(o, "system_cpu_usage", c->host_ns);
	if (c->host_ns)
		put(o, "online_cpus", (uint64_t) MAX(sysconf(_SC_NPROCESSORS_ONLN), 1L));
	(void) json_object_set_new(o, "throttling_data",
				   json_pack("{s:I,s:I,s:I}", "periods", (json_int_t) c->periods,
					     "throttled_periods", (json_int_t) c->throttled_periods,
					     "throttled_time", (json_int_t) c->throttled_ns));
	return o;
}

/* The newest sample of this run that is some way off; NULL: none. */
static const struct sample *before(const struct sampled *s, int64_t now_ns)
{
	for (size_t i = s ? sampled_count(s) : 0; i-- > 0;)
		if (now_ns - sampled_at(s, i)->mono_ns >= APART_NS)
			return sampled_at(s, i)->restarts == sampled_restarts(s) ? sampled_at(s, i)
										 : NULL;
	return NULL;
}

/* The host's processor time then follows from the time that has gone by on all of its cores. */
static bool add_cpu(json_t *o, const struct docker_stats_params *p, int64_t now_ns)
{
	const struct sample *s = before(p->sampled, now_ns);
	struct cpu now = {}, then = {};
	uint64_t gone = 0;

	if (!read_cpu(p, &now))
		return false;
	now.host_ns = host_cpu_ns(p->proc_root ? p->proc_root : "/proc");
	if (s) {
		const struct sampled_past *past = sampled_past(p->sampled);

		gone = (uint64_t) (now_ns - s->mono_ns) *
		       (uint64_t) MAX(sysconf(_SC_NPROCESSORS_ONLN), 1L);
		/* samples count all runs, the group this one */
		then = (struct cpu){ .total_ns = s->cpu_total_ns - past->cpu_total_ns,
				     .user_ns = s->cpu_user_ns - past->cpu_user_ns,
				     .system_ns = s->cpu_system_ns - past->cpu_system_ns,
				     .host_ns = now.host_ns > gone ? now.host_ns - gone : 0 };
	}
	(void) json_object_set_new(o, "cpu_stats", cpu_json(&now, per_cpu(p)));
	(void) json_object_set_new(o, "precpu_stats", cpu_json(&then, NULL));
	return true;
}

/* ---- memory, processes ---- */

static uint64_t host_memory(const char *proc)
{
	char buf[READ_MAX];
	const char *at = read_text(proc, "meminfo", buf) ? strstr(buf, "MemTotal:") : NULL;

	return at ? strtoull(at + strlen("MemTotal:"), NULL, 10) * 1024 : 0;
}

static json_t *memory_keys(const char *text)
{
	json_t *o = json_object();
	char key[64];
	uint64_t v;
	int n;

	for (; sscanf(text, "%63s %" SCNu64 "\n%n", key, &v, &n) == 2; text += n)
		put(o, key, v);
	return o;
}

static json_t *memory_json(const struct docker_stats_params *p)
{
	const char *d = p->memory_dir;
	bool v2 = p->cgroup_v2;
	uint64_t all = host_memory(p->proc_root ? p->proc_root : "/proc");
	uint64_t limit = read_number(d, v2 ? "memory.max" : "memory.limit_in_bytes");
	json_t *o = json_object();
	char buf[READ_MAX];

	put_some(o, "usage", read_number(d, v2 ? "memory.current" : "memory.usage_in_bytes"));
	if (!v2)
		put_some(o, "max_usage", read_number(d, "memory.max_usage_in_bytes"));
	if (read_text(d, "memory.stat", buf))
		(void) json_object_set_new(o, "stats", memory_keys(buf));
	if (!v2)
		put_some(o, "failcnt", read_number(d, "memory.failcnt"));
	put_some(o, "limit", limit == 0 || (all && limit > all) ? all : limit);
	return o;
}

static json_t *pids_json(const struct docker_stats_params *p)
{
	json_t *o = json_object();

	put_some(o, "current", read_number(p->pids_dir, "pids.current"));
	put_some(o, "limit", read_number(p->pids_dir, "pids.max")); /* "max" is no number */
	return o;
}

/* ---- block devices ---- */

static void add_io(json_t *list, unsigned major, unsigned minor, const char *op, uint64_t v)
{
	(void) json_array_append_new(list,
				     json_pack("{s:i,s:i,s:s,s:I}", "major", (int) major, "minor",
					       (int) minor, "op", op, "value", (json_int_t) v));
}

/* "8:0 Read 4096" per device and operation; the last line is the sum of all. */
static json_t *blkio_v1(const char *dir, const char *file)
{
	char buf[READ_MAX], op[16];
	json_t *list = json_array();
	unsigned major, minor;
	uint64_t v;
	int n;

	if (!read_text(dir, file, buf))
		return list;
	for (const char *p = buf;
	     sscanf(p, "%u:%u %15s %" SCNu64 "\n%n", &major, &minor, op, &v, &n) == 4; p += n) {
		for (char *c = op; *c; c++)
			*c = (char) (*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
		add_io(list, major, minor, op, v);
	}
	return list;
}

/* "8:0 rbytes=1 wbytes=2 rios=3 wios=4 …" per device. */
static void blkio_v2(const char *dir, json_t *bytes, json_t *ios)
{
	static const char *const keys[] = { "rbytes=", "wbytes=", "rios=", "wios=" };
	char buf[READ_MAX], *rest = buf;
	unsigned major, minor;

	if (!read_text(dir, "io.stat", buf))
		return;
	for (char *line; (line = strsep(&rest, "\n"));) {
		if (sscanf(line, "%u:%u", &major, &minor) != 2)
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
			const char *at = strstr(line, keys[i]);

			if (at)
				add_io(i < 2 ? bytes : ios, major, minor,
				       *keys[i] == 'r' ? "read" : "write",
				       strtoull(at + strlen(keys[i]), NULL, 10));
		}
	}
}

static json_t *blkio_json(const struct docker_stats_params *p)
{
	static const char *const others[] = { "io_queue_recursive",     "io_service_time_recursive",
					      "io_wait_time_recursive", "io_merged_recursive",
					      "io_time_recursive",      "sectors_recursive" };
	json_t *bytes, *ios, *o = json_object();

	if (p->cgroup_v2) {
		bytes = json_array();
		ios = json_array();
		blkio_v2(p->blkio_dir, bytes, ios);
	} else {
		bytes = blkio_v1(p->blkio_dir, "blkio.throttle.io_service_bytes_recursive");
		ios = blkio_v1(p->blkio_dir, "blkio.throttle.io_serviced_recursive");
	}
	(void) json_object_set_new(o, "io_service_bytes_recursive", bytes);
	(void) json_object_set_new(o, "io_serviced_recursive", ios);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		(void) json_object_set_new(o, others[i], p->cgroup_v2 ? json_null() : json_array());
	return o;
}

/* ---- network ---- */

static json_t *interface_json(const unsigned long long v[8])
{
	static const char *const keys[] = { "rx_bytes", "rx_packets", "rx_errors", "rx_dropped",
					    "tx_bytes", "tx_packets", "tx_errors", "tx_dropped" };
	json_t *o = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		put(o, keys[i], v[i]);
	return o;
}

static json_t *networks_json(const struct docker_stats_params *p)
{
	char buf[READ_MAX], *rest = buf, dir[4096], name[32];
	unsigned long long v[8];
	json_t *o = json_object();

	(void) snprintf(dir, sizeof(dir), "%s/%d/net", p->proc_root ? p->proc_root : "/proc",
			(int) p->pid);
	if (!read_text(dir, "dev", buf))
		return o;
	for (char *line; (line = strsep(&rest, "\n"));)
		if (sscanf(line,
			   " %31[^: ]: %llu %llu %llu %llu %*u %*u %*u %*u %llu %llu %llu %llu",
			   name, &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7]) == 9 &&
		    sampler_counts(name, strlen(name)))
			(void) json_object_set_new(o, name, interface_json(v));
	return o;
}

static void add_networks(json_t *o, const struct docker_stats_params *p)
{
	const struct sample *last = p->sampled ? sampled_last(p->sampled) : NULL;
	_cleanup_(json_decrefp) json_t *networks = p->pid > 0 ? networks_json(p) : NULL;

	if (json_object_size(networks) == 0)
		return;
	(void) json_object_set(o, "networks", networks);
	if (p->rates && last && !isnan(last->rx_bytes_per_sec) && !isnan(last->tx_bytes_per_sec))
		(void) json_object_set_new(
			o, "network_rate_stats",
			json_pack("{s:f,s:f}", "rx_bytes_per_sec", (double) last->rx_bytes_per_sec,
				  "tx_bytes_per_sec", (double) last->tx_bytes_per_sec));
}

/* ---- the whole ---- */

json_t *docker_stats_read(const struct docker_stats_params *p)
{
	int64_t now_ms = clock_real_ms(), now_ns = clock_mono_ns();
	const struct sample *s = before(p->sampled, now_ns);
	json_t *o = json_object();
	char name[300];

	put_time(o, "read", now_ms);
	put_time(o, "preread", s ? now_ms - (now_ns - s->mono_ns) / 1000000 : 0);
	(void) json_object_set_new(o, "pids_stats", pids_json(p));
	(void) json_object_set_new(o, "blkio_stats", blkio_json(p));
	put(o, "num_procs", 0); /* of Windows, as storage_stats is */
	(void) json_object_set_new(o, "storage_stats", json_object());
	if (!add_cpu(o, p, now_ns)) {
		json_decref(o);
		return NULL;
	}
	(void) json_object_set_new(o, "memory_stats", memory_json(p));
	(void) snprintf(name, sizeof(name), "/%s", p->name);
	(void) json_object_set_new(o, "name", json_string(name));
	(void) json_object_set_new(o, "id", json_string(p->id));
	add_networks(o, p);
	return o;
}
