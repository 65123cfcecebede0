/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sample is a handful of pread()s on files that stay open: opening them each time would cost four
 * times as much. What the kernel wrote is parsed without copying.
 */
#include "metrics/sampler.h"

#include <ctype.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/macro.h"

enum {
	READ_MAX = 8192, /* memory.stat of a large host is about 1.5 KiB */
	WINDOW_MAX = 80,
	USER_HZ_NS = 10000000, /* cpuacct.stat counts in hundredths of a second on every port */
};

enum source {
	CPU_TOTAL,
	CPU_SPLIT, /* v1 only: user and system */
	MEMORY_USAGE,
	MEMORY_STAT,
	IO,
	PIDS,
	NETWORK,
	_SOURCE_MAX
};

struct sampled {
	struct sampled *next;
	char *id; /* owned */
	int fd[_SOURCE_MAX];
	bool v2;
	bool held, counts_restarts;
	int restarts;
	struct sampled_past past;
	int64_t memory_limit_bytes;
	struct sample *ring; /* owned */
	size_t window, first, n;
};

struct sampler {
	struct sampled *list; /* owned */
	size_t n, window;
	int host_cpus;
	char *proc_root; /* owned */
	uint64_t failures;
};

size_t sampler_window(int64_t interval_ms)
{
	int64_t n = interval_ms > 0 ? SAMPLER_PERIOD_MS / interval_ms * 4 : WINDOW_MAX;

	return (size_t) CLAMP(n, 2, WINDOW_MAX);
}

/* ---- what the kernel writes ---- */

static uint64_t number(const char *s)
{
	uint64_t v = 0;

	while (*s == ' ' || *s == '\t')
		s++;
	for (; isdigit((unsigned char) *s); s++)
		v = v * 10 + (uint64_t) (*s - '0');
	return v;
}

/* The value of a "key value" line. */
static bool keyed(const char *text, const char *key, uint64_t *ret)
{
	size_t n = strlen(key);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, n) == 0 && line[n] == ' ') {
			*ret = number(line + n);
			return true;
		}
	}
	return false;
}

/* "8:0 Read 4096" per device and operation; the "Total" line has no device. */
static void parse_blkio(const char *text, struct sample *s)
{
	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		const char *op;

		line += *line == '\n';
		op = strchr(line, ' ');
		if (!op || !isdigit((unsigned char) *line))
			continue;
		if (strncasecmp(op, " read ", 6) == 0)
			s->storage_read_bytes += number(op + 6);
		else if (strncasecmp(op, " write ", 7) == 0)
			s->storage_write_bytes += number(op + 7);
	}
}

/* "8:0 rbytes=1 wbytes=2 rios=…" per device. */
static void parse_io_stat(const char *text, struct sample *s)
{
	const char *p = text;

	while ((p = strstr(p, "bytes="))) {
		if (p > text + 1 && p[-2] == ' ' && p[-1] == 'r')
			s->storage_read_bytes += number(p + 6);
		else if (p > text + 1 && p[-2] == ' ' && p[-1] == 'w')
			s->storage_write_bytes += number(p + 6);
		p += 6;
	}
}

bool sampler_counts(const char *name, size_t len)
{
	static const char *const own[] = { "lo", "ecs-eth0" };

	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		if (strlen(own[i]) == len && strncmp(own[i], name, len) == 0)
			return false;
	return true;
}

/* Two heading lines, then "  eth0: rx_bytes packets errs drop fifo frame compressed multicast tx…". */
static void parse_net_dev(const char *text, struct sample *s)
{
	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		const char *colon;
		unsigned long long v[12];

		line += *line == '\n';
		while (*line == ' ')
			line++;
		colon = line + strcspn(line, ":\n");
		if (*colon != ':' || !sampler_counts(line, (size_t) (colon - line)))
			continue;
		if (sscanf(colon + 1, "%llu %llu %llu %llu %*u %*u %*u %*u %llu %llu %llu %llu",
			   &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7]) != 8)
			continue;
		s->rx_bytes += v[0];
		s->rx_packets += v[1];
		s->rx_errors += v[2];
		s->rx_dropped += v[3];
		s->tx_bytes += v[4];
		s->tx_packets += v[5];
		s->tx_errors += v[6];
		s->tx_dropped += v[7];
	}
}

/* ---- one sample ---- */

static bool read_source(const struct sampled *c, enum source source, char *buf)
{
	ssize_t n;

	if (c->fd[source] < 0)
		return false;
	n = pread(c->fd[source], buf, READ_MAX - 1, 0);
	if (n <= 0)
		return false;
	buf[n] = '\0';
	return true;
}

static bool read_cpu(const struct sampled *c, char *buf, struct sample *s)
{
	uint64_t v;

	if (!read_source(c, CPU_TOTAL, buf))
		return false;
	if (!c->v2) {
		s->cpu_total_ns = number(buf);
		if (read_source(c, CPU_SPLIT, buf)) {
			s->cpu_user_ns = keyed(buf, "user", &v) ? v * USER_HZ_NS : 0;
			s->cpu_system_ns = keyed(buf, "system", &v) ? v * USER_HZ_NS : 0;
		}
		return true;
	}
	if (!keyed(buf, "usage_usec", &v))
		return false;
	s->cpu_total_ns = v * 1000;
	s->cpu_user_ns = keyed(buf, "user_usec", &v) ? v * 1000 : 0;
	s->cpu_system_ns = keyed(buf, "system_usec", &v) ? v * 1000 : 0;
	return true;
}

/* The page cache that goes off first: the reference subtracts "cache" on v1, "inactive_file" on v2. */
static bool read_memory(const struct sampled *c, char *buf, struct sample *s)
{
	uint64_t usage, cache = 0;

	if (!read_source(c, MEMORY_USAGE, buf))
		return false;
	usage = number(buf);
	if (read_source(c, MEMORY_STAT, buf) &&
	    keyed(buf, c->v2 ? "inactive_file" : "cache", &cache) && cache < usage)
		usage -= cache;
	s->memory_used_bytes = usage;
	s->memory_mib = usage >> 20;
	return true;
}

static bool read_sample(const struct sampled *c, struct sample *s)
{
	char buf[READ_MAX];

	if (!read_cpu(c, buf, s) || !read_memory(c, buf, s))
		return false;
	if (c->fd[IO] >= 0) {
		ssize_t n = pread(c->fd[IO], buf, sizeof(buf) - 1, 0);

		/* Empty as long as no block was read or written. */
		buf[MAX(n, 0)] = '\0';
		s->has_storage = n >= 0;
		(c->v2 ? parse_io_stat : parse_blkio)(buf, s);
	}
	if (read_source(c, PIDS, buf))
		s->pids = number(buf);
	if (read_source(c, NETWORK, buf)) {
		s->has_network = true;
		parse_net_dev(buf, s);
	}
	return true;
}

static uint64_t grown(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

/* Rates against the sample before; on a clock that stood still the last rates are repeated. */
static void derive(const struct sampler *s, const struct sample *before, struct sample *now)
{
	uint64_t cpus = (uint64_t) s->host_cpus;
	double elapsed_ns;

	now->cpu_percent = now->rx_bytes_per_sec = now->tx_bytes_per_sec = NAN;
	if (!before)
		return;
	elapsed_ns = (double) (now->mono_ns - before->mono_ns);
	if (elapsed_ns <= 0) {
		now->cpu_percent = before->cpu_percent;
		now->rx_bytes_per_sec = before->rx_bytes_per_sec;
		now->tx_bytes_per_sec = before->tx_bytes_per_sec;
		return;
	}
	now->cpu_percent =
		(float) (100.0 *
			 (double) grown(now->cpu_total_ns / cpus, before->cpu_total_ns / cpus) /
			 elapsed_ns);
	if (!now->has_network || !before->has_network)
		return;
	now->rx_bytes_per_sec =
		(float) ((double) grown(now->rx_bytes, before->rx_bytes) * 1e9 / elapsed_ns);
	now->tx_bytes_per_sec =
		(float) ((double) grown(now->tx_bytes, before->tx_bytes) * 1e9 / elapsed_ns);
}

static void push(struct sampled *c, const struct sample *s)
{
	if (c->n < c->window) {
		c->ring[c->n++] = *s; /* first is 0 until the ring is full */
		return;
	}
	c->ring[c->first] = *s;
	c->first = (c->first + 1) % c->window;
}

/* The network namespace is that of all runs, and so are its counters. */
static void add_past(struct sample *s, const struct sampled_past *past)
{
	s->cpu_total_ns += past->cpu_total_ns;
	s->cpu_user_ns += past->cpu_user_ns;
	s->cpu_system_ns += past->cpu_system_ns;
	s->storage_read_bytes += past->storage_read_bytes;
	s->storage_write_bytes += past->storage_write_bytes;
}

static void take(struct sampler *s, struct sampled *c, int64_t mono_ns)
{
	struct sample now = { .mono_ns = mono_ns, .restarts = c->restarts };

	if (c->held)
		return;
	if (!read_sample(c, &now)) {
		s->failures++;
		return;
	}
	add_past(&now, &c->past);
	derive(s, sampled_last(c), &now);
	push(c, &now);
}

void sampler_tick(struct sampler *s, int64_t mono_ns)
{
	for (struct sampled *c = s->list; c; c = c->next)
		take(s, c, mono_ns);
}

void sampler_sample(struct sampler *s, const char *id, int64_t mono_ns)
{
	for (struct sampled *c = s->list; c; c = c->next)
		if (strcmp(c->id, id) == 0)
			take(s, c, mono_ns);
}

/* ---- containers ---- */

static int open_source(struct sampled *c, enum source source, const char *dir, const char *name)
{
	char path[4096];

	if (!dir)
		return 0;
	if ((size_t) snprintf(path, sizeof(path), "%s/%s", dir, name) >= sizeof(path))
		return -ENAMETOOLONG;
	c->fd[source] = open(path, O_RDONLY | O_CLOEXEC);
	return c->fd[source] < 0 ? -errno : 0;
}

static int open_sources(const struct sampler *s, struct sampled *c, const struct sampled_params *p,
			struct err *err)
{
	const char *cpu_dir = p->cgroup_v2 && !p->cpuacct_dir ? p->memory_dir : p->cpuacct_dir;
	char proc[64 + 4096];
	int r;

	r = open_source(c, CPU_TOTAL, cpu_dir, c->v2 ? "cpu.stat" : "cpuacct.usage");
	if (r < 0)
		return err_set_errno(err, -r, "open CPU statistics in %s", cpu_dir);
	r = open_source(c, MEMORY_USAGE, p->memory_dir,
			c->v2 ? "memory.current" : "memory.usage_in_bytes");
	if (r < 0)
		return err_set_errno(err, -r, "open memory statistics in %s", p->memory_dir);
	/* The rest may be missing on this host; the sample goes without it. */
	(void) open_source(c, MEMORY_STAT, p->memory_dir, "memory.stat");
	if (!c->v2)
		(void) open_source(c, CPU_SPLIT, cpu_dir, "cpuacct.stat");
	(void) open_source(c, IO, p->blkio_dir,
			   c->v2 ? "io.stat" : "blkio.throttle.io_service_bytes_recursive");
	(void) open_source(c, PIDS, p->pids_dir, "pids.current");
	if (p->pid > 0) {
		(void) snprintf(proc, sizeof(proc), "%s/%d/net", s->proc_root, (int) p->pid);
		(void) open_source(c, NETWORK, proc, "dev");
	}
	return 0;
}

static struct sampled *sampled_free(struct sampled *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < _SOURCE_MAX; i++)
		c->fd[i] = safe_close(c->fd[i]);
	free(c->ring);
	free(c->id);
	free(c);
	return NULL;
}

DEFINE_CLEANUP(struct sampled *, sampled_free)

static struct sampled *find(const struct sampler *s, const char *id)
{
	struct sampled *c = s->list;

	while (c && strcmp(c->id, id) != 0)
		c = c->next;
	return c;
}

/* The samples of @old become those of @c. */
static void carry_on(struct sampled *c, struct sampled *old)
{
	const struct sample *last = sampled_last(old);
	struct sample *ring = c->ring;

	c->past = old->past;
	if (last && c->restarts > old->restarts)
		c->past = (struct sampled_past){ .cpu_total_ns = last->cpu_total_ns,
						 .cpu_user_ns = last->cpu_user_ns,
						 .cpu_system_ns = last->cpu_system_ns,
						 .storage_read_bytes = last->storage_read_bytes,
						 .storage_write_bytes = last->storage_write_bytes };
	c->ring = old->ring;
	c->first = old->first;
	c->n = old->n;
	old->ring = ring;
	old->n = 0;
}

int sampler_add(struct sampler *s, const struct sampled_params *p, struct err *err)
{
	struct sampled *old = find(s, p->id);
	_cleanup_(sampled_freep) struct sampled *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return err_set(err, ENOMEM, "allocate statistics");
	for (size_t i = 0; i < _SOURCE_MAX; i++)
		c->fd[i] = -EBADF;
	c->v2 = p->cgroup_v2;
	c->memory_limit_bytes = p->memory_limit_bytes;
	c->counts_restarts = p->counts_restarts;
	c->restarts = p->restarts;
	c->past = p->past;
	c->window = s->window;
	c->id = strdup(p->id);
	c->ring = calloc(c->window, sizeof(*c->ring));
	if (!c->id || !c->ring)
		return err_set(err, ENOMEM, "allocate statistics");
	r = open_sources(s, c, p, err);
	if (r < 0)
		return r;
	if (old && c->counts_restarts)
		carry_on(c, old);
	sampler_remove(s, p->id);
	c->next = s->list;
	s->list = TAKE_PTR(c);
	s->n++;
	return 0;
}

void sampler_remove(struct sampler *s, const char *id)
{
	for (struct sampled **at = &s->list; *at; at = &(*at)->next) {
		struct sampled *c = *at;

		if (strcmp(c->id, id) != 0)
			continue;
		*at = c->next;
		sampled_free(c);
		s->n--;
		return;
	}
}

const struct sampled *sampler_find(const struct sampler *s, const char *id)
{
	return find(s, id);
}

void sampler_hold(struct sampler *s, const char *id)
{
	struct sampled *c = find(s, id);

	for (size_t i = 0; c && i < _SOURCE_MAX; i++)
		c->fd[i] = safe_close(c->fd[i]);
	if (c)
		c->held = true;
}

void sampler_mark_sent(struct sampler *s)
{
	for (struct sampled *c = s->list; c; c = c->next)
		for (size_t i = 0; i < c->n; i++)
			c->ring[i].sent = true;
}

/* ---- the rest ---- */

struct sampler *sampler_new(const struct sampler_params *p)
{
	_cleanup_(sampler_freep) struct sampler *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->host_cpus = MAX(p->host_cpus, 1);
	s->window = CLAMP(p->window, 2, WINDOW_MAX);
	s->proc_root = strdup(p->proc_root ? p->proc_root : "/proc");
	return s->proc_root ? TAKE_PTR(s) : NULL;
}

struct sampler *sampler_free(struct sampler *s)
{
	if (!s)
		return NULL;
	while (s->list) {
		struct sampled *c = s->list;

		s->list = c->next;
		sampled_free(c);
	}
	free(s->proc_root);
	free(s);
	return NULL;
}

size_t sampler_count(const struct sampler *s)
{
	return s->n;
}

uint64_t sampler_failures(const struct sampler *s)
{
	return s->failures;
}

size_t sampled_count(const struct sampled *c)
{
	return c->n;
}

const struct sample *sampled_at(const struct sampled *c, size_t i)
{
	return &c->ring[(c->first + i) % c->window];
}

const struct sample *sampled_last(const struct sampled *c)
{
	return c->n ? sampled_at(c, c->n - 1) : NULL;
}

int64_t sampled_memory_limit_bytes(const struct sampled *c)
{
	return c->memory_limit_bytes;
}

bool sampled_counts_restarts(const struct sampled *c)
{
	return c->counts_restarts;
}

int sampled_restarts(const struct sampled *c)
{
	return c->restarts;
}

const struct sampled_past *sampled_past(const struct sampled *c)
{
	return &c->past;
}
