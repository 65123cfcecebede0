/* SPDX-License-Identifier: Apache-2.0 */
/* args - what a shim is told on its command line: words of the form name=value. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct shim_args { /* pointers into argv */
	const char *id, *runc, *runc_root, *run_dir, *bundle;
	const char *log_path;          /* NULL: output is thrown away */
	const char *cgroups_path;      /* NULL: unknown */
	const char *memory_cgroup_dir; /* NULL: unknown */
	int64_t log_max_bytes, log_max_files, start_timeout_ms, stop_grace_ms;
	int64_t terminal, open_stdin, crowded, init; /* 0 or 1 */
	int64_t health_interval_ms;                  /* 0: no health check */
	int64_t health_timeout_ms, health_start_period_ms, health_retries;
};

/* Returns NULL, or the name of the word at fault. */
const char *shim_args_parse(int argc, char **argv, struct shim_args *ret);
