/* SPDX-License-Identifier: Apache-2.0 */
/* command - what the subcommands of ecs-image share. Each returns the exit code. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "runtime/image/prune.h"
#include "runtime/image/pull.h"
#include "runtime/image/report.h"

struct options {
	const char *store_dir;
	const char *platform;
	char *username, *password; /* owned */
	bool plain_http;
	const char *mirrors, *certs_dir;
	enum image_pull_behavior behavior;
	int64_t inactivity_timeout_ms;
	char *unpacker_program; /* owned */
	struct report report;
	struct prune_params prune;
	char **keep; /* owned */
	bool repair;
	const char *output, *name;
	char **args; /* NULL-terminated */
	int n_args;
};

int command_pull(struct options *o, struct image_store *store, struct err *err);
int command_load(struct options *o, struct image_store *store, struct err *err);
int command_ls(struct options *o, struct image_store *store, struct err *err);
int command_rm(struct options *o, struct image_store *store, struct err *err);
int command_prune(struct options *o, struct image_store *store, struct err *err);
int command_du(struct options *o, struct image_store *store, struct err *err);
int command_verify(struct options *o, struct image_store *store, struct err *err);
int command_save(struct options *o, struct image_store *store, struct err *err);
int command_inspect(struct options *o, struct image_store *store, struct err *err);
