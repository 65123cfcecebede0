/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "common/cleanup.h"
#include "common/json.h"

enum { REFRESH_S = 2, SECOND_SAMPLE_USEC = 250000, SECOND_SAMPLE_TRIES = 4 };

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

static int fetch(const struct invocation *i, bool patient, json_t **ret)
{
	_cleanup_(err_done) struct err err = {};
	int r = client_call(i->socket, "GET", "/v1/stats", ret, &err);

	for (int n = 0; r == 0 && patient && n < SECOND_SAMPLE_TRIES && lacks_cpu(*ret); n++) {
		(void) usleep(SECOND_SAMPLE_USEC);
		json_decref(*ret);
		*ret = NULL;
		r = client_call(i->socket, "GET", "/v1/stats", ret, &err);
	}
	return r ? report_error(r, &err) : CTL_OK;
}

static int show_once(const struct invocation *i, bool once, bool clear)
{
	_cleanup_(json_decrefp) json_t *answer = NULL;
	int r = fetch(i, once, &answer);

	if (r != CTL_OK)
		return r;
	if (clear)
		fputs("\033[H\033[J", stdout);
	if (i->json)
		print_json(answer);
	else
		print_stats(answer, stdout);
	return fflush(stdout) == 0 ? CTL_OK : CTL_FAILED;
}

int cmd_stats(const struct invocation *i)
{
	bool stream = true;
	int r;

	for (int n = 0; n < i->argc; n++) {
		if (take_option(i, &n, "--no-stream", NULL))
			stream = false;
		else
			return usage_error(i, i->argv[n]);
	}
	while ((r = show_once(i, !stream, stream && !i->json && isatty(STDOUT_FILENO))) == CTL_OK &&
	       stream)
		sleep(REFRESH_S);
	return r;
}
