/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the instance metadata service knows of this host and its tasks are told: zone, network,
 * addresses. Nobody waits for it; what is not known is left out of the answers.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/store/store.h"
#include "aws/imds.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/macro.h"

#define META_DATA "latest/meta-data/"

static const struct fact {
	const char *path; /* NULL: of the interface whose mac is known */
	size_t offset, size;
} facts[] = {
#define FACT(path, member)                                                                         \
	{                                                                                          \
		path, offsetof(struct instance_facts, member),                                     \
			sizeof(((struct instance_facts *) 0)->member)                              \
	}
	FACT(META_DATA "placement/availability-zone", zone),
	FACT(META_DATA "placement/availability-zone-id", zone_id),
	FACT(META_DATA "local-ipv4", private_ipv4),
	FACT(META_DATA "public-ipv4", public_ipv4),
	FACT(META_DATA "ipv6", ipv6),
	FACT(META_DATA "mac", mac),
	FACT(NULL, vpc_id),
};

static void ask_next(struct agent *a);

/* What goes into a path, a file and a header is one short word. */
static bool is_word(const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (data[i] <= ' ' || data[i] > '~' || data[i] == '/' || data[i] == '"')
			return false;
	return len > 0;
}

static void on_fact(void *userdata, const char *data, size_t len, const struct err *err)
{
	struct agent *a = userdata;
	const struct fact *f = &facts[a->facts_known];

	a->facts_request = NULL;
	if (data && len < f->size && is_word(data, len)) {
		char *to = (char *) &a->instance + f->offset;

		memcpy(to, data, len);
		to[len] = '\0';
	} else if (!data && err->code != ENOENT) {
		log_debug("The instance metadata service did not say '%s', going on without: %s",
			  f->path ? f->path : "vpc-id", err_text(err));
		return; /* asked again with the registration */
	}
	a->facts_known++;
	ask_next(a);
}

static void ask_next(struct agent *a)
{
	_cleanup_(err_done) struct err err = {};
	_cleanup_(freep) char *vpc = NULL;
	const struct fact *f;

	if (a->facts_known >= ARRAY_SIZE(facts))
		return;
	f = &facts[a->facts_known];
	if (!f->path && !*a->instance.mac)
		return;
	vpc = path_join(META_DATA "network/interfaces/macs/%s/vpc-id", a->instance.mac);
	if (vpc &&
	    imds_get(a->imds, f->path ? f->path : vpc, on_fact, a, &a->facts_request, &err) < 0)
		log_debug("Failed to ask the instance metadata service: %s", err_text(&err));
}

void agent_learn_instance(struct agent *a)
{
	if (a->imds && !a->facts_request)
		ask_next(a);
}

/* Containers that were about to be made may be so before the registration. */
void agent_recall_instance(struct agent *a)
{
	_cleanup_(freep) char *arn = NULL, *cluster = NULL;

	if (store_get_meta(a->store, META_INSTANCE_ARN, &arn, NULL) == 0 && arn)
		(void) snprintf(a->instance.arn, sizeof(a->instance.arn), "%s", arn);
	if (store_get_meta(a->store, META_CLUSTER, &cluster, NULL) == 0 && cluster)
		(void) snprintf(a->instance.cluster, sizeof(a->instance.cluster), "%s", cluster);
}
