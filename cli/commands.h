/* SPDX-License-Identifier: Apache-2.0 */
/* commands - what each command of ecsctl does, and what they share. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "common/err.h"

enum {
	CTL_OK = 0,
	CTL_FAILED = 1,
	CTL_USAGE = 2,
	CTL_UNREACHABLE = 3, /* no agent at the socket */
	CTL_LEFT = 4,        /* the doctor found something that is still there */
};

struct invocation {
	const char *socket;
	bool json;
	const struct command *command;
	int argc;    /* what follows the command's name, options taken out by itself */
	char **argv; /* NULL-terminated */
};

struct command {
	const char *name, *arguments, *summary;
	int (*run)(const struct invocation *i);
	const char *help; /* options and remarks, whole lines */
	bool verbatim;    /* options behind the first argument are somebody else's */
};

int cmd_status(const struct invocation *i);
int cmd_drain(const struct invocation *i);
int cmd_ps(const struct invocation *i);
int cmd_top(const struct invocation *i);
int cmd_stats(const struct invocation *i);
int cmd_run(const struct invocation *i);
int cmd_rm(const struct invocation *i);
int cmd_exec(const struct invocation *i);
int cmd_logs(const struct invocation *i);
int cmd_inspect(const struct invocation *i);
int cmd_stop(const struct invocation *i);
int cmd_events(const struct invocation *i);
int cmd_doctor(const struct invocation *i);
int cmd_image(const struct invocation *i);
int cmd_version(const struct invocation *i);

void print_help(const struct command *c, FILE *f);

/* Says what is wrong with the words and how it should be. Returns CTL_USAGE. */
int usage_error(const struct invocation *i, const char *what);
/* Prints @err and picks the exit code for @r, an error of the client. */
int report_error(int r, const struct err *err);

/* Whether word @at is the option @name ("--tail"). With @ret_value it takes one: "--tail N" moves
 * *at, "--tail=N" does not. */
bool take_option(const struct invocation *i, int *at, const char *name, const char **ret_value);

/* "ID", an ARN, and either with "/CONTAINER" behind it. Both owned; *ret_container NULL: none. */
int split_target(const char *text, char **ret_task, char **ret_container);

/* GET /v1/tasks/@task, exit code. */
int fetch_task(const struct invocation *i, const char *task, json_t **ret);

/*
 * The container @name of a task's JSON, or the only one when @name is NULL; borrowed. -ENOENT: said which
 * there are.
 */
int pick_container(const json_t *task, const char *name, const json_t **ret);

void print_json(const json_t *o);

struct ps_wish {
	bool all, whole_ids;
	const char *filters[8]; /* "key=value" */
	size_t n_filters;
};

/* The tables; @now_ms is the wall clock. */
void print_ps(const json_t *answer, const struct ps_wish *w, long long now_ms, FILE *f);
void print_stats(const json_t *answer, FILE *f);
