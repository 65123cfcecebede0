/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics/telemetry.h"

#include <math.h>

#include "common/macro.h"

static double get_cpu(const struct sample *s)
{
	return (double) s->cpu_percent;
}

static double get_memory(const struct sample *s)
{
	return (double) s->memory_mib;
}

static double get_rx_rate(const struct sample *s)
{
	return (double) s->rx_bytes_per_sec;
}

static double get_tx_rate(const struct sample *s)
{
	return (double) s->tx_bytes_per_sec;
}

/* {min, max, sum, sampleCount} over what was not sent yet and is a number; NULL without any. */
static json_t *double_set(const struct sampled *c, double (*get)(const struct sample *s))
{
	double min = INFINITY, max = -INFINITY, sum = 0;
	json_int_t n = 0;

	for (size_t i = 0; i < sampled_count(c); i++) {
		const struct sample *s = sampled_at(c, i);
		double v = get(s);

		if (s->sent || isnan(v))
			continue;
		min = fmin(min, v);
		max = fmax(max, v);
		sum += v;
		n++;
	}
	if (n == 0)
		return NULL;
	return json_pack("{s:f, s:f, s:f, s:I}", "min", min, "max", max, "sum", sum, "sampleCount",
			 n);
}

/* The wire has signed numbers: what does not fit stands, modulo the largest, in the overflow member. */
static void set_ulong(json_t *set, const char *key, const char *overflow_key, uint64_t v)
{
	uint64_t over = v > INT64_MAX ? v % INT64_MAX : 0;

	json_object_set_new(set, key, json_integer((json_int_t) MIN(v, (uint64_t) INT64_MAX)));
	json_object_set_new(set, overflow_key, json_integer((json_int_t) over));
}

static json_t *ulong_set(const struct sampled *c, size_t offset)
{
	uint64_t min = UINT64_MAX, max = 0, sum = 0;
	json_int_t n = 0;
	json_t *set;

	for (size_t i = 0; i < sampled_count(c); i++) {
		const struct sample *s = sampled_at(c, i);
		uint64_t v = *(const uint64_t *) ((const char *) s + offset);

		if (s->sent)
			continue;
		min = MIN(min, v);
		max = MAX(max, v);
		sum += v;
		n++;
	}
	set = n ? json_object() : NULL;
	if (!set)
		return NULL;
	set_ulong(set, "min", "overflowMin", min);
	set_ulong(set, "max", "overflowMax", max);
	set_ulong(set, "sum", "overflowSum", sum);
	json_object_set_new(set, "sampleCount", json_integer(n));
	return set;
}

static const struct {
	const char *key;
	size_t offset;
} network_counters[] = {
	{ "rxBytes", offsetof(struct sample, rx_bytes) },
	{ "rxDropped", offsetof(struct sample, rx_dropped) },
	{ "rxErrors", offsetof(struct sample, rx_errors) },
	{ "rxPackets", offsetof(struct sample, rx_packets) },
	{ "txBytes", offsetof(struct sample, tx_bytes) },
	{ "txDropped", offsetof(struct sample, tx_dropped) },
	{ "txErrors", offsetof(struct sample, tx_errors) },
	{ "txPackets", offsetof(struct sample, tx_packets) },
};

/* All members or none. */
static json_t *network_set(const struct sampled *c)
{
	_cleanup_(json_decrefp) json_t *set = json_object();
	json_t *rx = double_set(c, get_rx_rate), *tx = double_set(c, get_tx_rate);

	json_object_set_new(set, "rxBytesPerSecond", rx);
	json_object_set_new(set, "txBytesPerSecond", tx);
	if (!rx || !tx)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(network_counters); i++)
		json_object_set_new(set, network_counters[i].key,
				    ulong_set(c, network_counters[i].offset));
	return TAKE_PTR(set);
}

/* From the sample before the first that was not sent, or the first of all, to the newest. */
static json_t *restart_set(const struct sampled *c)
{
	size_t i = 0, n = sampled_count(c);

	while (i < n && sampled_at(c, i)->sent)
		i++;
	i -= i > 0;
	return json_pack("{s:i}", "restartCount",
			 sampled_last(c)->restarts - sampled_at(c, i)->restarts);
}

json_t *telemetry_container(const struct sampled *c, const char *container_name)
{
	_cleanup_(json_decrefp) json_t *entry = NULL, *cpu = NULL, *memory = NULL;
	const struct sample *last = sampled_last(c);

	if (sampled_count(c) < 2)
		return NULL;
	cpu = double_set(c, get_cpu);
	memory = double_set(c, get_memory);
	if (!cpu || !memory)
		return NULL;
	entry = json_pack("{s:s, s:O, s:O}", "containerName", container_name, "cpuStatsSet", cpu,
			  "memoryStatsSet", memory);
	if (!entry)
		return NULL;
	if (last->has_storage)
		json_object_set_new(
			entry, "storageStatsSet",
			json_pack("{s:o, s:o}", "readSizeBytes",
				  ulong_set(c, offsetof(struct sample, storage_read_bytes)),
				  "writeSizeBytes",
				  ulong_set(c, offsetof(struct sample, storage_write_bytes))));
	if (last->has_network) {
		json_t *network = network_set(c);

		if (network)
			json_object_set_new(entry, "networkStatsSet", network);
	}
	if (sampled_counts_restarts(c))
		json_object_set_new(entry, "restartStatsSet", restart_set(c));
	return TAKE_PTR(entry);
}
