/* SPDX-License-Identifier: Apache-2.0 */
/* CPU time and sets, and block I/O, as resources of config.json. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "runtime/spec/parts.h"

enum {
	SETS_MAX = 8192, /* CPUs, or memory nodes */
	LIST_MAX = 4096, /* bytes of a list of them */
	SHARES_MIN = 2,
	SHARES_MAX = 262144,
	PERIOD_MIN_USEC = 1000,
	PERIOD_MAX_USEC = 1000000,
	QUOTA_MIN_USEC = 1000,
	WEIGHT_MIN = 10,
	WEIGHT_MAX = 1000,
};

/* ---- sets ---- */

/* "0-2,4": marks 0, 1, 2 and 4. -EINVAL when it is no such list. */
static int parse_set(const char *text, bool in[SETS_MAX])
{
	const char *p = text;

	do {
		char *end = NULL;
		unsigned long first, last;

		if (*p < '0' || *p > '9')
			return -EINVAL;
		first = last = strtoul(p, &end, 10);
		if (*end == '-' && end[1] >= '0' && end[1] <= '9')
			last = strtoul(end + 1, &end, 10);
		if ((*end && *end != ',') || first > last || last >= SETS_MAX)
			return -EINVAL;
		for (; first <= last; first++)
			in[first] = true;
		p = end;
	} while (*p && *++p);
	return *text && text[strlen(text) - 1] != ',' ? 0 : -EINVAL;
}

/* The kernel would refuse it, too, in words that name nothing. */
static int check_set(const char *key, const char *wanted, const char *online_path, struct err *err)
{
	_cleanup_(freep) bool *asked = calloc(SETS_MAX, sizeof(*asked));
	_cleanup_(freep) bool *there = calloc(SETS_MAX, sizeof(*there));
	_cleanup_(freep) char *online = NULL;

	if (!asked || !there)
		return err_set(err, ENOMEM, "%s", key);
	if (parse_set(wanted, asked) < 0)
		return err_set(err, EINVAL, "%s: '%.64s' is no list such as 0-2,4", key, wanted);
	if (fs_read_file(AT_FDCWD, online_path, LIST_MAX, &online, NULL, NULL) < 0)
		return 0;
	online[strcspn(online, "\n")] = '\0';
	if (parse_set(online, there) < 0)
		return 0;
	for (size_t i = 0; i < SETS_MAX; i++)
		if (asked[i] && !there[i])
			return err_set(err, EINVAL,
				       "%s: %s is not available: asked for are %.64s, there are "
				       "%.64s",
				       key, key[6] == 'C' ? "a CPU" : "a memory node", wanted,
				       online);
	return 0;
}

/* ---- CPU ---- */

static int check_cpu(const struct container_spec *s, struct err *err)
{
	int k = 0;

	if (s->cpu_shares != 0 && (s->cpu_shares < SHARES_MIN || s->cpu_shares > SHARES_MAX))
		return err_set(err, EINVAL, "cpuShares: %" PRId64 " is outside %d..%d",
			       s->cpu_shares, SHARES_MIN, SHARES_MAX);
	if (s->cpu_period_usec != 0 &&
	    (s->cpu_period_usec < PERIOD_MIN_USEC || s->cpu_period_usec > PERIOD_MAX_USEC))
		return err_set(err, EINVAL, "cpuPeriod: %" PRId64 " is outside %d..%d",
			       s->cpu_period_usec, PERIOD_MIN_USEC, PERIOD_MAX_USEC);
	if (s->cpu_quota_usec > 0 && s->cpu_quota_usec < QUOTA_MIN_USEC)
		return err_set(err, EINVAL, "cpuQuota: %" PRId64 " is below %d", s->cpu_quota_usec,
			       QUOTA_MIN_USEC);
	if (s->cpuset_cpus)
		k = check_set("cpusetCpus", s->cpuset_cpus, "/sys/devices/system/cpu/online", err);
	if (k == 0 && s->cpuset_mems)
		k = check_set("cpusetMems", s->cpuset_mems, "/sys/devices/system/node/online", err);
	return k;
}

static int set_integer(json_t *obj, const char *key, int64_t value)
{
	return value == 0 ? 0 : json_object_set_new(obj, key, json_integer(value));
}

static int set_text(json_t *obj, const char *key, const char *value)
{
	return value ? json_object_set_new(obj, key, json_string(value)) : 0;
}

int spec_cpu(const struct container_spec *s, json_t *resources, struct err *err)
{
	json_auto_t *cpu = json_object();
	int k = check_cpu(s, err);

	if (k < 0)
		return k;
	k = set_integer(cpu, "shares", s->cpu_shares) |
	    set_integer(cpu, "quota", s->cpu_quota_usec) |
	    set_integer(cpu, "period", s->cpu_period_usec) | set_text(cpu, "cpus", s->cpuset_cpus) |
	    set_text(cpu, "mems", s->cpuset_mems);
	if (k == 0 && json_object_size(cpu) > 0)
		k = json_object_set(resources, "cpu", cpu);
	return k < 0 ? err_set(err, ENOMEM, "cpu") : 0;
}

/* ---- block I/O ---- */

static const struct {
	const char *member, *value, *key; /* in config.json, and what people wrote */
} block_names[_SPEC_BLOCK_MAX] = {
	[SPEC_BLOCK_WEIGHT] = { "weightDevice", "weight", "blkioWeightDevice" },
	[SPEC_BLOCK_READ_BPS] = { "throttleReadBpsDevice", "rate", "blkioDeviceReadBps" },
	[SPEC_BLOCK_WRITE_BPS] = { "throttleWriteBpsDevice", "rate", "blkioDeviceWriteBps" },
	[SPEC_BLOCK_READ_IOPS] = { "throttleReadIOPSDevice", "rate", "blkioDeviceReadIOps" },
	[SPEC_BLOCK_WRITE_IOPS] = { "throttleWriteIOPSDevice", "rate", "blkioDeviceWriteIOps" },
};

static int check_weight(const char *key, int64_t weight, struct err *err)
{
	if (weight >= WEIGHT_MIN && weight <= WEIGHT_MAX)
		return 0;
	return err_set(err, EINVAL, "%s: %" PRId64 " is outside %d..%d", key, weight, WEIGHT_MIN,
		       WEIGHT_MAX);
}

static int append_block_rate(json_t *block, const struct spec_block_rate *r, struct err *err)
{
	const char *key = block_names[r->limit].key, *member = block_names[r->limit].member;
	json_t *list = json_object_get(block, member);
	struct stat st;

	if (r->limit == SPEC_BLOCK_WEIGHT && check_weight(key, r->value, err) < 0)
		return -EINVAL;
	if (r->value < 0)
		return err_set(err, EINVAL, "%s: %" PRId64 " is negative", key, r->value);
	if (!r->path || *r->path != '/' || stat(r->path, &st) < 0 || !S_ISBLK(st.st_mode))
		return err_set(err, EINVAL, "%s: '%.100s' is no block device of this host", key,
			       r->path ? r->path : "");
	if (!list) {
		list = json_array();
		if (json_object_set_new(block, member, list) < 0)
			return err_set(err, ENOMEM, "blockIO");
	}
	return json_array_append_new(
		       list, json_pack("{s:I, s:I, s:I}", "major", (json_int_t) major(st.st_rdev),
				       "minor", (json_int_t) minor(st.st_rdev),
				       block_names[r->limit].value, (json_int_t) r->value)) < 0
		       ? err_set(err, ENOMEM, "blockIO")
		       : 0;
}

int spec_block_io(const struct container_spec *s, json_t *resources, struct err *err)
{
	json_auto_t *block = json_object();
	int k = s->block_weight ? check_weight("blkioWeight", s->block_weight, err) : 0;

	if (k == 0 && set_integer(block, "weight", s->block_weight) < 0)
		k = err_set(err, ENOMEM, "blockIO");
	for (size_t i = 0; k == 0 && i < s->n_block_rates; i++)
		k = append_block_rate(block, &s->block_rates[i], err);
	if (k == 0 && json_object_size(block) > 0 &&
	    json_object_set(resources, "blockIO", block) < 0)
		k = err_set(err, ENOMEM, "blockIO");
	return k;
}
