/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints by region partition; the figures for ecs are those of the ECS API reference. */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/call.h"
#include "common/fs.h"
#include "common/macro.h"

static const struct {
	const char *regions; /* a pattern */
	const char *suffix;
	const char *dual_stack_suffix; /* NULL: the partition has none */
} partitions[] = {
	{ "cn-*", "amazonaws.com.cn", "api.amazonwebservices.com.cn" },
	{ "us-iso-*", "c2s.ic.gov", NULL },
	{ "us-isob-*", "sc2s.sgov.gov", NULL },
	{ "eu-isoe-*", "cloud.adc-e.uk", NULL },
	{ "us-isof-*", "csp.hci.ic.gov", NULL },
	{ "*", "amazonaws.com", "api.aws" },
};

static char *with_scheme(const char *endpoint)
{
	bool has = strncmp(endpoint, "http://", 7) == 0 || strncmp(endpoint, "https://", 8) == 0;
	char *url = path_join("%s%s", has ? "" : "https://", endpoint);
	size_t n = url ? strlen(url) : 0;

	while (n > 0 && url[n - 1] == '/')
		url[--n] = '\0';
	return url;
}

char *aws_endpoint(const char *service, const char *region, bool dual_stack, const char *override)
{
	size_t i = 0;
	bool dual;

	if (override && *override)
		return with_scheme(override);
	while (fnmatch(partitions[i].regions, region, 0) != 0)
		i++; /* the last row takes everything */
	dual = dual_stack && partitions[i].dual_stack_suffix;
	return path_join("https://%s.%s.%s", service, region,
			 dual ? partitions[i].dual_stack_suffix : partitions[i].suffix);
}

const char *aws_endpoint_override(const char *service_id)
{
	char name[64];
	const char *v;

	(void) snprintf(name, sizeof(name), "AWS_ENDPOINT_URL_%s", service_id);
	v = getenv(name);
	if (!v || !*v)
		v = getenv("AWS_ENDPOINT_URL");
	return v && *v ? v : NULL;
}
