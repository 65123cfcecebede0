/* SPDX-License-Identifier: Apache-2.0 */
/* arn - names of clusters, tasks, instances and task definitions, in the long ARN format. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct controlplane;

enum {
	ARN_MAX = 512,      /* longest ARN text with its NUL */
	ARN_NAME_MAX = 256, /* longest cluster or family name (255) with its NUL */
	ARN_PARTITION_MAX = 16,
	ARN_REGION_MAX = 32,
	ARN_ACCOUNT_MAX = 16,
	ARN_ID_DIGITS = 32, /* of a task or container instance */
};

/* "arn:PARTITION:ecs:REGION:ACCOUNT:TYPE/A[/B]" taken apart; absent parts are "". */
struct arn {
	char partition[ARN_PARTITION_MAX];
	char region[ARN_REGION_MAX];
	char account[ARN_ACCOUNT_MAX];
	char type[32];              /* "cluster", "task", "container-instance", "task-definition", "service" */
	char cluster[ARN_NAME_MAX]; /* of tasks and instances in the long format, of a cluster */
	char id[ARN_NAME_MAX];      /* last component: id, cluster name, "family:revision" */
};

/* Returns false, leaving *ret, when @text is not an ARN of the ecs service. */
bool arn_parse(const char *text, struct arn *ret);

/* Each writes into @buf of ARN_MAX bytes and returns it. */
char *arn_cluster(const struct controlplane *cp, const char *name, char *buf);
char *arn_task(const struct controlplane *cp, const char *cluster, const char *id, char *buf);
char *arn_instance(const struct controlplane *cp, const char *cluster, const char *id, char *buf);
char *arn_service(const struct controlplane *cp, const char *cluster, const char *name, char *buf);
char *arn_container(const struct controlplane *cp, const char *cluster, const char *task_id,
		    const char *uuid, char *buf);
char *arn_taskdef(const struct controlplane *cp, const char *family, int revision, char *buf);

/* The last component of an ARN, or the text itself: borrowed from @text. */
const char *arn_last(const char *text);
