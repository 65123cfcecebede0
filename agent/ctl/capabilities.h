/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capabilities - the attributes and resources this host registers with.
 * One row per attribute with the condition under which it is true of this agent: the scheduler
 * places tasks by these names, so what is not implemented is not in the table's truth.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct config;

struct host_facts {
	int cpus;                /* logical */
	int64_t memory_mib;      /* MemTotal, floor */
	const char *outpost_arn; /* NULL: none */
	const char *vpc_id, *subnet_id; /* of the primary interface; NULL: not known */
};

/* Reads /proc/meminfo text and the number of processors. */
int host_facts_read(struct host_facts *ret, struct err *err);
int64_t meminfo_total_mib(const char *text);

/* A new array of {name[, value]}. @first: with ECS_INSTANCE_ATTRIBUTES. */
int capabilities_build(const struct config *config, const struct host_facts *facts, bool first,
		       json_t **ret, struct err *err);

/* CPU, MEMORY, PORTS, PORTS_UDP in this order. -ERANGE when the reservation exceeds the memory. */
int resources_build(const struct config *config, const struct host_facts *facts, json_t **ret,
		    struct err *err);

/* The drivers of ECS_AVAILABLE_LOGGING_DRIVERS that this agent implements; for the engine too. */
bool capability_log_driver(const char *name);

/*
 * Whether every attribute of @sent came back in @echoed with the same value (absent = ""). Returns
 * 0 or -EPROTO naming the first that did not.
 */
int attributes_check_echo(const json_t *sent, const json_t *echoed, struct err *err);
