/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options - the command line of ecs-agent. One dash or two, a value after '=' or as the next word,
 * as the reference agent's flags are written and as GNU users write theirs.
 */
#pragma once

#include <stdbool.h>

#include "common/err.h"

struct options {
	bool version, license, help, health_check, attributes;
	bool print_config, print_config_keys, json;
	bool doctor, repair, check_services;
	bool insecure;       /* -k */
	bool blackhole_imds; /* -blackhole-ec2-metadata */
	const char *config_file;
	const char *log_level, *log_level_file, *log_level_stream;
};

/* Strings are borrowed from @argv. Returns 0 or -EINVAL naming the flag. */
int options_parse(int argc, char **argv, struct options *ret, struct err *err);

const char *options_help(void);
