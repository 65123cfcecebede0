/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/engine/efs-role.h"

#include <string.h>

#include "agent/engine/internal.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"

static const char waits[] = "the credentials of its task's role, to mount a file system with";

static bool is_by_role(const struct task_volume *v)
{
	return v->efs && v->efs->iam;
}

static const char *role_id(const struct task *t)
{
	return t->role_credentials_id && *t->role_credentials_id ? t->role_credentials_id : NULL;
}

bool efs_role_is_used(const struct task *t)
{
	for (size_t i = 0; i < t->n_volumes; i++)
		if (is_by_role(&t->volumes[i]))
			return true;
	return false;
}

char *efs_role_uri(const struct task *t)
{
	return role_id(t) ? path_join("/v2/credentials/%s", role_id(t)) : NULL;
}

static bool mounts_by_role(const struct container *c)
{
	for (size_t i = 0; i < c->n_mounts; i++)
		if (c->mounts[i].kind == MOUNT_TASK_VOLUME &&
		    is_by_role(&c->task->volumes[c->mounts[i].index]))
			return true;
	return false;
}

/* Without a role there is nothing to wait for: the mount says what is missing. */
static bool are_pending(const struct container *c)
{
	const struct role_store *roles = c->run->engine->roles;
	const char *id = role_id(c->task);
	const struct role_credentials *role = roles && id ? role_store_get(roles, id) : NULL;

	return roles && id && (!role || role->pending);
}

bool efs_role_lets(struct container *c, enum container_action action)
{
	if (action != ACTION_START)
		return true;
	if (!mounts_by_role(c) || !are_pending(c)) {
		c->waits_note = c->waits_note == waits ? NULL : c->waits_note;
		return true;
	}
	if (c->waits_note != waits) {
		c->waits_since_ms = clock_real_ms();
		c->waits_note = waits;
		container_log(LOG_INFO, c, "Container '%s' waits for %s", c->name, waits);
	}
	return false;
}

void efs_role_hide(const struct task *t, char *text)
{
	const char *id = role_id(t);
	size_t len = id ? strlen(id) : 0;

	if (!efs_role_is_used(t) || !text || !id)
		return;
	for (char *p = text; (p = strstr(p, id)); p += len)
		(void) memset(p, '*', len);
}
