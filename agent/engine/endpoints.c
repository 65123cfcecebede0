/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/engine/endpoints.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/fs.h"
#include "common/strv.h"

#define BASE "http://169.254.170.2"

static char **find(char **env, const char *key)
{
	size_t n = strlen(key);

	for (; env && *env; env++)
		if (strncmp(*env, key, n) == 0 && (*env)[n] == '=')
			return env;
	return NULL;
}

static int set(char ***env, const char *key, const char *head, const char *tail)
{
	_cleanup_(freep) char *entry = path_join("%s=%s%s", key, head, tail);
	char **there = find(*env, key);

	if (!entry)
		return -ENOMEM;
	return there ? strdup_to(there, entry) : strv_append(env, entry);
}

int endpoints_add(const struct container *c, const char *region, char ***env)
{
	int k;

	if (c->internal)
		return 0;
	k = set(env, "ECS_CONTAINER_METADATA_URI", BASE "/v3/", c->endpoint_id);
	if (k == 0)
		k = set(env, "ECS_CONTAINER_METADATA_URI_V4", BASE "/v4/", c->endpoint_id);
	if (k == 0)
		k = set(env, "ECS_AGENT_URI", BASE "/api/", c->endpoint_id);
	if (k == 0 && c->task->role_credentials_id && *c->task->role_credentials_id)
		k = set(env, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/",
			c->task->role_credentials_id);
	/* Both or neither: tools that read one of them must not be told another than the rest. */
	if (!region || find(*env, "AWS_REGION") || find(*env, "AWS_DEFAULT_REGION"))
		return k;
	if (k == 0)
		k = set(env, "AWS_REGION", region, "");
	return k == 0 ? set(env, "AWS_DEFAULT_REGION", region, "") : k;
}
