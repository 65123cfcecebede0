/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/shim/args.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/macro.h"

static const struct row {
	const char *name;
	size_t offset;
	enum { TEXT, TEXT_REQUIRED, NUMBER } kind;
} rows[] = {
	{ "id", offsetof(struct shim_args, id), TEXT_REQUIRED },
	{ "runc", offsetof(struct shim_args, runc), TEXT_REQUIRED },
	{ "runc-root", offsetof(struct shim_args, runc_root), TEXT_REQUIRED },
	{ "run-dir", offsetof(struct shim_args, run_dir), TEXT_REQUIRED },
	{ "bundle", offsetof(struct shim_args, bundle), TEXT_REQUIRED },
	{ "log-path", offsetof(struct shim_args, log_path), TEXT },
	{ "cgroups-path", offsetof(struct shim_args, cgroups_path), TEXT },
	{ "memory-cgroup-dir", offsetof(struct shim_args, memory_cgroup_dir), TEXT },
	{ "log-max-bytes", offsetof(struct shim_args, log_max_bytes), NUMBER },
	{ "log-max-files", offsetof(struct shim_args, log_max_files), NUMBER },
	{ "start-timeout-ms", offsetof(struct shim_args, start_timeout_ms), NUMBER },
	{ "stop-grace-ms", offsetof(struct shim_args, stop_grace_ms), NUMBER },
	{ "terminal", offsetof(struct shim_args, terminal), NUMBER },
	{ "init", offsetof(struct shim_args, init), NUMBER },
	{ "crowded", offsetof(struct shim_args, crowded), NUMBER },
	{ "open-stdin", offsetof(struct shim_args, open_stdin), NUMBER },
	{ "health-interval-ms", offsetof(struct shim_args, health_interval_ms), NUMBER },
	{ "health-timeout-ms", offsetof(struct shim_args, health_timeout_ms), NUMBER },
	{ "health-start-period-ms", offsetof(struct shim_args, health_start_period_ms), NUMBER },
	{ "health-retries", offsetof(struct shim_args, health_retries), NUMBER },
};

static bool parse_number(const char *text, int64_t *ret)
{
	char *end = NULL;

	errno = 0;
	*ret = strtoll(text, &end, 10);
	return errno == 0 && end != text && *end == '\0' && *ret >= 0;
}

static bool take(const struct row *r, const char *value, struct shim_args *a)
{
	char *at = (char *) a + r->offset;

	if (r->kind == NUMBER)
		return parse_number(value, (int64_t *) (void *) at);
	*(const char **) (void *) at = value;
	return *value != '\0';
}

const char *shim_args_parse(int argc, char **argv, struct shim_args *ret)
{
	struct shim_args a = { .log_max_files = 1,
			       .start_timeout_ms = 180000,
			       .stop_grace_ms = 30000 };

	for (int i = 1; i < argc; i++) {
		const char *eq = strchr(argv[i], '=');
		const struct row *r = NULL;

		for (size_t n = 0; n < ARRAY_SIZE(rows) && eq; n++)
			if (strlen(rows[n].name) == (size_t) (eq - argv[i]) &&
			    strncmp(argv[i], rows[n].name, (size_t) (eq - argv[i])) == 0)
				r = &rows[n];
		if (!r || !take(r, eq + 1, &a))
			return argv[i];
	}
	for (size_t n = 0; n < ARRAY_SIZE(rows); n++)
		if (rows[n].kind == TEXT_REQUIRED &&
		    !*(const char **) (void *) ((char *) &a + rows[n].offset))
			return rows[n].name;
	*ret = a;
	return NULL;
}
