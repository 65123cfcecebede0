/* SPDX-License-Identifier: Apache-2.0 */
/*
 * payload - a task as an agent is told of it: the elements of PayloadMessage.tasks.
 *
 * Pure functions of the task, its task definition and its credentials; all as JSON, in the shapes
 * of DescribeTasks and DescribeTaskDefinition. What a task definition says about the container
 * engine travels in dockerConfig: two strings of JSON in the Docker Engine API's spelling.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "common/err.h"

struct payload_source {
	const json_t *task;           /* as DescribeTasks shows it */
	const json_t *definition;     /* as DescribeTaskDefinition shows it */
	const char *region, *account; /* of the control plane: defaults for what ARNs leave open */
	const json_t *role_credentials;      /* IAMRoleCredentials of taskRoleArn; NULL: none */
	const json_t *execution_credentials; /* of executionRoleArn; NULL: none */
	const json_t *interface;             /* ElasticNetworkInterface of mode awsvpc; NULL: none */
};

/*
 * Returns 0 with a new object; -EPROTO when task and definition do not fit together, naming the
 * member; -ENOMEM.
 */
int payload_task(const struct payload_source *src, json_t **ret, struct err *err);

/* One container of it: @definition is its ContainerDefinition. Answers as payload_task(). */
int payload_container(const struct payload_source *src, const json_t *definition,
		      const char *network_mode, json_t **ret, struct err *err);

/*
 * The dockerConfig of one container: @definition is its ContainerDefinition, @override its
 * ContainerOverride or NULL. @network_mode is the task's.
 */
int payload_docker_config(const json_t *definition, const json_t *override,
			  const char *network_mode, json_t **ret, struct err *err);

/* Role ARNs in force: the task's override, else the definition's, else NULL. Borrowed. */
const char *payload_role_arn(const json_t *task, const json_t *definition);
const char *payload_execution_role_arn(const json_t *task, const json_t *definition);

/*
 * "256", "1 vCPU", ".5 vcpu" in CPU units; "512", "1GB", "0.5 GB" in MiB. Returns -1 when it is
 * neither.
 */
int payload_cpu_units(const char *text);
int payload_memory_mib(const char *text);

/* Field @index of "arn:partition:service:region:account:…" into @buf, "" when there is none.
 * Returns @buf. */
const char *payload_arn_field(const char *arn, int index, char *buf, size_t size);

/* Small builders that this and its sibling files share: false when out of memory. @value is taken. */
bool payload_put(json_t *object, const char *key, json_t *value);
/* Copies @from_key of @from to @key unless absent or null. */
bool payload_copy(json_t *object, const char *key, const json_t *from, const char *from_key);
