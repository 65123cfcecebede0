/* SPDX-License-Identifier: Apache-2.0 */
/* registryAuthentication: where a container's registry login comes from. */
#include "agent/engine/payload.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const struct json_field ecr_fields[] = {
	{ "registryId", json_decode_string, offsetof(struct registry_auth, registry_id), false },
	{ "region", json_decode_string, offsetof(struct registry_auth, region), false },
	{ "endpointOverride", json_decode_string, offsetof(struct registry_auth, endpoint_override),
	  false },
	{ "useExecutionRole", json_decode_bool, offsetof(struct registry_auth, use_execution_role),
	  false },
	{}
};

static const struct json_field asm_fields[] = { { "credentialsParameter", json_decode_string,
						  offsetof(struct registry_auth, secret), true },
						{ "region", json_decode_string,
						  offsetof(struct registry_auth, region), false },
						{} };

int payload_decode_registry(const json_t *value, void *dst, const struct json_field *f,
			    struct err *err)
{
	struct registry_auth *a = dst;
	const char *type = json_get_string(value, "type", "");
	bool ecr = strcmp(type, "ecr") == 0;
	const char *member = ecr ? "ecrAuthData" : "asmAuthData";
	const json_t *data = json_object_get(value, member);
	int k;

	(void) f;
	if (json_is_null(value) || (json_is_object(value) && json_object_size(value) == 0))
		return 0;
	if (!ecr && strcmp(type, "asm") != 0)
		return err_set(err, EPROTO, "type: '%.32s' is neither ecr nor asm", type);
	if (!json_is_object(data))
		return err_set(err, EPROTO, "%s: missing", member);
	k = json_decode(data, ecr ? ecr_fields : asm_fields, a, err);
	if (k < 0)
		return err_wrap(err, "%s", member);
	if (!ecr && !*a->secret)
		return err_set(err, EPROTO, "asmAuthData: credentialsParameter: is empty");
	a->type = ecr ? REGISTRY_AUTH_ECR : REGISTRY_AUTH_ASM;
	return 0;
}

void registry_auth_done(struct registry_auth *a)
{
	free(a->registry_id);
	free(a->region);
	free(a->endpoint_override);
	free(a->secret);
	*a = (struct registry_auth){};
}
