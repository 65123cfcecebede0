/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record - the files that a shim leaves in its run directory, and what it reads there from runc.
 * No allocation.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { RECORD_BOOT_ID_MAX = 40 };

/* Whole or absent: temporary file, fsync, rename. 0 or -errno. */
int record_write(int dirfd, const char *name, const char *data, size_t len);

int record_write_started(int dirfd, pid_t pid, uint64_t start_ticks, const char *boot_id,
			 int64_t started_ms);
int record_write_exit(int dirfd, int exit_code, bool oom, int64_t finished_ms);

/* Reads a small file into @buf, NUL-terminated and without its last newline. Length or -errno. */
ssize_t record_read(int dirfd, const char *name, char *buf, size_t size);

/*
 * The kernel's start time of @pid in clock ticks: with the
 * boot id it names a process for ever. 0: gone.
 */
uint64_t record_start_ticks(pid_t pid);

/* Whether @pid has executed a program since it was forked: the runtime's own child has not yet. True
 * when there is no telling. */
bool record_has_execed(pid_t pid);
bool record_awaits_signals(pid_t pid);                /* ecs-init holds them back to pass them on */
bool record_parse_awaits_signals(const char *status); /* of the text of /proc/PID/status */
bool record_parse_has_execed(const char *stat);       /* of the text of /proc/PID/stat */

/* Whether @pid is a child of ours, dead or alive, that was not reaped. */
bool record_is_our_child(pid_t pid);

/* A decimal process id and nothing else; 0 when it is none. */
pid_t record_parse_pid(const char *text);

/*
 * The message of the last line of level error or fatal in runc's JSON log @text; false when there
 * is none. Control bytes become blanks.
 */
bool record_parse_runc_error(const char *text, size_t len, char *ret, size_t size);
