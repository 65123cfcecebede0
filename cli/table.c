/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/cleanup.h"

void table_init(struct table *t, const char *const *headings)
{
	*t = (struct table){};
	while (headings[t->n_columns] && t->n_columns < TABLE_COLUMNS_MAX)
		t->n_columns++;
	for (size_t i = 0; i < t->n_columns; i++)
		table_put(t, headings[i]);
}

static char *escape(const char *text)
{
	struct buf b = {};

	for (const char *p = text; *p; p++) {
		unsigned char c = (unsigned char) *p;
		/* C1 controls in UTF-8 are c2 80 … c2 9f */
		bool c1 = c == 0xc2 && (unsigned char) p[1] >= 0x80 && (unsigned char) p[1] < 0xa0;

		if (c < 0x20 || c == 0x7f || c1)
			buf_printf(&b, "\\x%02x", c);
		else if (c >= 0x80 && c < 0xa0 && p > text && (unsigned char) p[-1] == 0xc2)
			buf_printf(&b, "\\x%02x", c);
		else
			buf_append(&b, p, 1);
	}
	if (b.failed || b.data)
		return buf_take(&b);
	return strdup("");
}

void table_put(struct table *t, const char *text)
{
	char **cells = reallocarray(t->cells, t->n_cells + 1, sizeof(*cells));

	if (!cells) {
		t->failed = true;
		return;
	}
	t->cells = cells;
	cells[t->n_cells] = escape(text ? text : "");
	if (cells[t->n_cells])
		t->n_cells++;
	else
		t->failed = true;
}

void table_putf(struct table *t, const char *fmt, ...)
{
	_cleanup_(freep) char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	table_put(t, text);
}

/* Characters, not bytes; wide ones are rare here. */
static size_t width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char) *s & 0xc0) != 0x80;
	return n;
}

void table_print(const struct table *t, FILE *f)
{
	size_t widths[TABLE_COLUMNS_MAX] = {};

	if (t->failed || !t->n_columns) {
		fprintf(f, "out of memory\n");
		return;
	}
	for (size_t i = 0; i < t->n_cells; i++)
		widths[i % t->n_columns] = MAX(widths[i % t->n_columns], width(t->cells[i]));
	for (size_t row = 0; row + t->n_columns <= t->n_cells; row += t->n_columns) {
		size_t last = t->n_columns;

		while (last > 1 && !*t->cells[row + last - 1])
			last--;
		for (size_t i = 0; i < last; i++) {
			const char *cell = t->cells[row + i];

			fputs(cell, f);
			if (i + 1 < last)
				fprintf(f, "%*s", (int) (widths[i] - width(cell) + 2), "");
		}
		fputc('\n', f);
	}
}

void table_done(struct table *t)
{
	for (size_t i = 0; i < t->n_cells; i++)
		free(t->cells[i]);
	free(t->cells);
	*t = (struct table){};
}

char *format_bytes(char *buf, unsigned long long n)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double v = (double) n;
	size_t i = 0;

	while (v >= 1024 && i + 1 < ARRAY_SIZE(units)) {
		v /= 1024;
		i++;
	}
	(void) snprintf(buf, 32,
			i == 0 || v >= 100 ? "%.0f%s"
			: v >= 10          ? "%.1f%s"
					   : "%.2f%s",
			v, units[i]);
	return buf;
}

char *format_age(char *buf, long long ms)
{
	static const struct {
		long long s;
		const char *name;
	} units[] = { { 86400, "day" }, { 3600, "hour" }, { 60, "minute" }, { 1, "second" } };
	long long s = MAX(ms, 0) / 1000;

	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		long long n = s / units[i].s;

		/* 90 minutes say more than 1 hour */
		if (n >= (i < 2 ? 2 : 1) || i + 1 == ARRAY_SIZE(units)) {
			(void) snprintf(buf, 32, "%lld %s%s", n, units[i].name, n == 1 ? "" : "s");
			break;
		}
	}
	return buf;
}
