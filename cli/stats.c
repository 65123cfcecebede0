/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/stats.h"
#include "cli/table.h"
#include "common/cleanup.h"
#include "common/json.h"

enum { REFRESH_MS = 2000, SECOND_SAMPLE_USEC = 250000, SECOND_SAMPLE_TRIES = 4 };

static void put_pair(struct table *t, const json_t *c, const char *in, const char *out)
{
	char a[32], b[32];

	if (!json_object_get(c, in)) {
		table_put(t, "-");
		return;
	}
	table_putf(t, "%s / %s", format_bytes(a, (unsigned long long) json_get_int(c, in, 0)),
		   format_bytes(b, (unsigned long long) json_get_int(c, out, 0)));
}

static void put_memory(struct table *t, const json_t *c)
{
	unsigned long long used = (unsigned long long) json_get_int(c, "memoryBytes", 0);
	unsigned long long limit = (unsigned long long) json_get_int(c, "memoryLimitBytes", 0);
	char a[32], b[32];

	if (limit)
		table_putf(t, "%s / %s (%.1f%%)", format_bytes(a, used), format_bytes(b, limit),
			   100.0 * (double) used / (double) limit);
	else
		table_put(t, format_bytes(a, used));
}

void print_stats(const json_t *answer, FILE *f)
{
	static const char *const headings[] = { "TASK",      "CONTAINER", "CPU",       "MEMORY",
						"NET RX/TX", "DISK R/W",  "PROCESSES", NULL };
	const json_t *c;
	struct table t;
	size_t i;

	table_init(&t, headings);
	json_array_foreach(json_object_get(answer, "containers"), i, c) {
		const json_t *cpu = json_object_get(c, "cpuPercent");

		table_putf(&t, "%.12s", json_get_string(c, "task", ""));
		table_put(&t, json_get_string(c, "container", ""));
		if (cpu)
			table_putf(&t, "%.1f%%", json_number_value(cpu));
		else
			table_put(&t, "-");
		put_memory(&t, c);
		put_pair(&t, c, "rxBytes", "txBytes");
		put_pair(&t, c, "readBytes", "writeBytes");
		table_putf(&t, "%lld", (long long) json_get_int(c, "processes", 0));
	}
	table_print(&t, f);
	table_done(&t);
}

/* A container that just started has one sample, and it takes two to say what it does. */
static bool lacks_cpu(const json_t *answer)
{
	const json_t *c;
	size_t i;

	json_array_foreach(json_object_get(answer, "containers"), i, c)
		if (!json_object_get(c, "cpuPercent"))
			return true;
	return false;
}

int stats_fetch(const struct invocation *i, bool patient, json_t **ret, struct err *err)
{
	int r = client_call(i->socket, "GET", "/v1/stats", ret, err);

	for (int n = 0; r == 0 && patient && n < SECOND_SAMPLE_TRIES && lacks_cpu(*ret); n++) {
		(void) usleep(SECOND_SAMPLE_USEC);
		json_decref(*ret);
		*ret = NULL;
		r = client_call(i->socket, "GET", "/v1/stats", ret, err);
	}
	return r;
}

/* ---- which of them, in which order ---- */

static double key_of(const json_t *c, enum stats_order order)
{
	const json_t *v = json_object_get(c, order == STATS_BY_CPU ? "cpuPercent" : "memoryBytes");

	return json_is_number(v) ? json_number_value(v) : -1;
}

/* What is equal keeps an order, too: rows that change places for nothing are hard to read. */
static int compare(const void *a, const void *b, void *order)
{
	const json_t *x = *(json_t *const *) a, *y = *(json_t *const *) b;
	enum stats_order by = *(const enum stats_order *) order;
	double dx = key_of(x, by), dy = key_of(y, by);
	int k = by != STATS_BY_NAME && dx != dy ? (dx < dy ? 1 : -1) : 0;

	if (k == 0)
		k = strcmp(json_get_string(x, "container", ""),
			   json_get_string(y, "container", ""));
	return k ? k : strcmp(json_get_string(x, "id", ""), json_get_string(y, "id", ""));
}

void stats_sort(json_t *answer, enum stats_order order)
{
	const json_t *list = json_object_get(answer, "containers");
	size_t n = json_array_size(list);
	_cleanup_(freep) json_t **rows = calloc(n + 1, sizeof(json_t *));
	json_t *sorted = json_array();

	for (size_t i = 0; rows && i < n; i++)
		rows[i] = json_array_get(list, i);
	if (rows && order != STATS_AS_IT_COMES)
		qsort_r(rows, n, sizeof(json_t *), compare, &order);
	for (size_t i = 0; rows && i < n; i++)
		(void) json_array_append(sorted, rows[i]);
	if (rows)
		(void) json_object_set_new(answer, "containers", sorted);
	else
		json_decref(sorted);
}

static bool is_named(char *const *tasks, const json_t *c)
{
	const char *id = json_get_string(c, "task", ""), *arn = json_get_string(c, "taskArn", "");

	for (; *tasks; tasks++)
		if (strncmp(id, *tasks, strlen(*tasks)) == 0 || strcmp(arn, *tasks) == 0)
			return true;
	return false;
}

void stats_narrow(json_t *answer, char *const *tasks)
{
	json_t *list = json_object_get(answer, "containers");

	for (size_t i = *tasks ? json_array_size(list) : 0; i-- > 0;)
		if (!is_named(tasks, json_array_get(list, i)))
			(void) json_array_remove(list, i);
}

/* ---- the commands ---- */

static int show_once(const struct invocation *i, const struct stats_words *w)
{
	_cleanup_(json_decrefp) json_t *answer = NULL;
	_cleanup_(err_done) struct err err = {};
	int r = stats_fetch(i, !w->stream, &answer, &err);

	if (r != 0)
		return report_error(r, &err);
	stats_narrow(answer, w->tasks);
	stats_sort(answer, w->order);
	if (i->json) {
		(void) json_dumpf(answer, stdout, w->stream ? JSON_COMPACT : JSON_INDENT(2));
		putchar('\n');
	} else
		print_stats(answer, stdout);
	return fflush(stdout) == 0 ? CTL_OK : CTL_FAILED;
}

static bool take_order(const char *value, struct stats_words *w)
{
	static const char *const names[] = {
		[STATS_BY_CPU] = "cpu", [STATS_BY_MEMORY] = "memory", [STATS_BY_NAME] = "name"
	};

	for (size_t n = STATS_BY_CPU; value && n < ARRAY_SIZE(names); n++)
		if (strcmp(value, names[n]) == 0) {
			w->order = (enum stats_order) n;
			return true;
		}
	return false;
}

static bool take_interval(const char *value, struct stats_words *w)
{
	char *end = NULL;
	double seconds = value ? strtod(value, &end) : 0;

	if (!value || *end || !(seconds >= 0.5 && seconds <= 3600))
		return false;
	w->interval_ms = (long) (seconds * 1000);
	return true;
}

static int parse(const struct invocation *i, struct stats_words *w)
{
	const char *value = NULL;
	size_t tasks = 0;

	for (int n = 0; n < i->argc; n++) {
		if (take_option(i, &n, "--no-stream", NULL))
			w->stream = false;
		else if (take_option(i, &n, "--sort", &value)) {
			if (!take_order(value, w))
				return usage_error(i, "--sort wants cpu, memory or name");
		} else if (take_option(i, &n, "--interval", &value)) {
			if (!take_interval(value, w))
				return usage_error(i, "--interval wants 0.5 to 3600 seconds");
		} else if (*i->argv[n] == '-')
			return usage_error(i, i->argv[n]);
		else
			w->tasks[tasks++] = i->argv[n];
	}
	return CTL_OK;
}

static int run(const struct invocation *i, enum stats_order order)
{
	_cleanup_(freep) char **tasks = calloc((size_t) i->argc + 1, sizeof(*tasks));
	struct stats_words w = {
		.stream = true, .order = order, .interval_ms = REFRESH_MS, .tasks = tasks
	};
	int code = tasks ? parse(i, &w) : CTL_FAILED;

	if (code == CTL_OK && w.stream && !i->json && isatty(STDOUT_FILENO)) {
		w.order = w.order == STATS_AS_IT_COMES ? STATS_BY_CPU : w.order;
		return top_run(i, &w);
	}
	while (code == CTL_OK && (code = show_once(i, &w)) == CTL_OK && w.stream)
		(void) usleep((useconds_t) w.interval_ms * 1000);
	return code;
}

int cmd_stats(const struct invocation *i)
{
	return run(i, STATS_AS_IT_COMES);
}

int cmd_top(const struct invocation *i)
{
	return run(i, STATS_BY_CPU);
}
