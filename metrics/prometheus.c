/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics/prometheus.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/macro.h"

static void put_escaped(struct buf *b, const char *s, bool quotes)
{
	for (; *s; s++) {
		if (*s == '\\')
			buf_puts(b, "\\\\");
		else if (*s == '\n')
			buf_puts(b, "\\n");
		else if (*s == '"' && quotes)
			buf_puts(b, "\\\"");
		else
			buf_append(b, s, 1);
	}
}

void prom_family(struct buf *b, const char *name, const char *type, const char *help)
{
	buf_printf(b, "# HELP %s ", name);
	put_escaped(b, help, false);
	buf_printf(b, "\n# TYPE %s %s\n", name, type);
}

static void put_labels(struct buf *b, const struct prom_label *labels)
{
	bool first = true;

	for (; labels && labels->name; labels++) {
		buf_printf(b, "%s%s=\"", first ? "{" : ",", labels->name);
		put_escaped(b, labels->value ? labels->value : "", true);
		buf_puts(b, "\"");
		first = false;
	}
	if (!first)
		buf_puts(b, "}");
}

static void put_number(struct buf *b, double v)
{
	char text[32];

	if (isnan(v) || isinf(v)) {
		buf_puts(b, isnan(v) ? "NaN" : v > 0 ? "+Inf" : "-Inf");
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		(void) snprintf(text, sizeof(text), "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	buf_puts(b, text);
}

void prom_sample(struct buf *b, const char *name, const struct prom_label *labels, double value)
{
	buf_puts(b, name);
	put_labels(b, labels);
	buf_puts(b, " ");
	put_number(b, value);
	buf_puts(b, "\n");
}

void prom_sample_u64(struct buf *b, const char *name, const struct prom_label *labels,
		     uint64_t value)
{
	buf_puts(b, name);
	put_labels(b, labels);
	buf_printf(b, " %" PRIu64 "\n", value);
}

void prom_observe(struct prom_histogram *h, double value)
{
	size_t i = 0;

	while (i < h->n_bounds && value > h->bounds[i])
		i++;
	h->counts[i]++;
	h->sum += value;
	h->count++;
}

void prom_histogram(struct buf *b, const char *name, const struct prom_label *labels,
		    const struct prom_histogram *h)
{
	struct prom_label all[9] = {};
	char member[128], le[32];
	uint64_t below = 0;
	size_t n = 0;

	for (; labels && labels[n].name && n < 7; n++)
		all[n] = labels[n];
	(void) snprintf(member, sizeof(member), "%s_bucket", name);
	all[n] = (struct prom_label){ "le", le };
	for (size_t i = 0; i <= h->n_bounds; i++) {
		below += h->counts[i];
		if (i < h->n_bounds)
			(void) snprintf(le, sizeof(le), "%g", h->bounds[i]);
		else
			(void) snprintf(le, sizeof(le), "+Inf");
		prom_sample_u64(b, member, all, below);
	}
	all[n] = (struct prom_label){};
	(void) snprintf(member, sizeof(member), "%s_sum", name);
	prom_sample(b, member, all, h->sum);
	(void) snprintf(member, sizeof(member), "%s_count", name);
	prom_sample_u64(b, member, all, h->count);
}
