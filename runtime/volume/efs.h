/* SPDX-License-Identifier: Apache-2.0 */
/*
 * efs - an Amazon EFS file system as driver and options of a volume, as the ECS agent writes them.
 */
#pragma once

#include <stdbool.h>

#include "common/err.h"
#include "common/json.h"

#define EFS_PLUGIN "amazon-ecs-volume-plugin"

struct efs_params {
	const char *file_system_id;
	const char *root_directory;  /* NULL or "": / */
	const char *access_point;    /* NULL or "": none */
	const char *server;          /* its host name; without the helper */
	const char *credentials_uri; /* of the task's role; for iam */
	int tls_port;                /* 0: the helper's choice */
	bool tls, iam;
	bool helper; /* amazon-efs-utils does the mount; else the kernel's NFS client alone */
};

/*
 * *ret_driver is static; the options (type, device, o) are owned. -EINVAL: a member has characters
 * that would become options of mount. -ENOTSUP: it takes the helper, or what is not there.
 */
int efs_options(const struct efs_params *p, const char **ret_driver, struct json_pair **ret_options,
		size_t *ret_n, struct err *err);
