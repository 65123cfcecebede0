/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/arn.h"

#include <stdio.h>
#include <string.h>

#include "controlplane/controlplane.h"

/* Copies up to @stop (or the end) into @dst; returns what follows, NULL when it does not fit. */
static const char *take(const char *text, char stop, char *dst, size_t size)
{
	const char *end = strchr(text, stop);
	size_t len = end ? (size_t) (end - text) : strlen(text);

	if (len >= size)
		return NULL;
	memcpy(dst, text, len);
	dst[len] = '\0';
	return end ? end + 1 : text + len;
}

bool arn_parse(const char *text, struct arn *ret)
{
	struct arn a = {};
	char service[16];
	const char *p;

	if (strncmp(text, "arn:", 4) != 0)
		return false;
	p = take(text + 4, ':', a.partition, sizeof(a.partition));
	if (p)
		p = take(p, ':', service, sizeof(service));
	if (!p || strcmp(service, "ecs") != 0)
		return false;
	p = take(p, ':', a.region, sizeof(a.region));
	if (p)
		p = take(p, ':', a.account, sizeof(a.account));
	if (p)
		p = take(p, '/', a.type, sizeof(a.type));
	if (!p || !a.type[0] || !*p)
		return false;
	if (strchr(p, '/'))
		p = take(p, '/', a.cluster, sizeof(a.cluster));
	if (!p || strlen(p) >= sizeof(a.id) || strchr(p, '/') || !*p)
		return false;
	memcpy(a.id, p, strlen(p) + 1);
	if (strcmp(a.type, "cluster") == 0)
		memcpy(a.cluster, a.id, sizeof(a.cluster));
	*ret = a;
	return true;
}

static const char *partition(const struct controlplane *cp)
{
	const char *r = cp->settings.region;

	if (strncmp(r, "cn-", 3) == 0)
		return "aws-cn";
	return strncmp(r, "us-gov-", 7) == 0 ? "aws-us-gov" : "aws";
}

static char *format(const struct controlplane *cp, char *buf, const char *type, const char *a,
		    const char *b, const char *c)
{
	(void) snprintf(buf, ARN_MAX, "arn:%s:ecs:%s:%s:%s/%s%s%s%s%s", partition(cp),
			cp->settings.region, cp->settings.account, type, a, b ? "/" : "",
			b ? b : "", c ? "/" : "", c ? c : "");
	return buf;
}

char *arn_cluster(const struct controlplane *cp, const char *name, char *buf)
{
	return format(cp, buf, "cluster", name, NULL, NULL);
}

char *arn_task(const struct controlplane *cp, const char *cluster, const char *id, char *buf)
{
	return format(cp, buf, "task", cluster, id, NULL);
}

char *arn_instance(const struct controlplane *cp, const char *cluster, const char *id, char *buf)
{
	return format(cp, buf, "container-instance", cluster, id, NULL);
}

char *arn_service(const struct controlplane *cp, const char *cluster, const char *name, char *buf)
{
	return format(cp, buf, "service", cluster, name, NULL);
}

char *arn_container(const struct controlplane *cp, const char *cluster, const char *task_id,
		    const char *uuid, char *buf)
{
	return format(cp, buf, "container", cluster, task_id, uuid);
}

char *arn_taskdef(const struct controlplane *cp, const char *family, int revision, char *buf)
{
	char name[ARN_NAME_MAX + 16];

	(void) snprintf(name, sizeof(name), "%s:%d", family, revision);
	return format(cp, buf, "task-definition", name, NULL, NULL);
}

const char *arn_last(const char *text)
{
	const char *slash = strrchr(text, '/');

	return slash ? slash + 1 : text;
}
