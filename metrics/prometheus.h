/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prometheus - writes the text exposition format, version 0.0.4.
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 * A family's samples stand together under its heading: prom_family() first, then prom_sample()s.
 * Numbers are written in the C locale's shortest form that reads back the same.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

#define PROMETHEUS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct prom_label {
	const char *name;  /* NULL ends a list */
	const char *value; /* NULL: "" */
};

/* @type: "counter", "gauge", "histogram". */
void prom_family(struct buf *b, const char *name, const char *type, const char *help);

/* @labels may be NULL. */
void prom_sample(struct buf *b, const char *name, const struct prom_label *labels, double value);
void prom_sample_u64(struct buf *b, const char *name, const struct prom_label *labels,
		     uint64_t value);

/* A histogram with fixed bounds; starts as {} but for the bounds. */
struct prom_histogram {
	const double *bounds; /* ascending, without +Inf; borrowed */
	size_t n_bounds;      /* at most PROM_BUCKETS_MAX */
	uint64_t counts[24];  /* one more than bounds: the last is +Inf; not cumulative */
	double sum;
	uint64_t count;
};

enum { PROM_BUCKETS_MAX = 23 };

void prom_observe(struct prom_histogram *h, double value);
/* The samples name_bucket, name_sum and name_count. At most seven labels. */
void prom_histogram(struct buf *b, const char *name, const struct prom_label *labels,
		    const struct prom_histogram *h);
