/* SPDX-License-Identifier: Apache-2.0 */
/* secrets[], environmentFiles[]: what of a container's environment AWS keeps. */
#include "agent/engine/payload.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/strv.h"

enum { SECRETS_MAX = 1000, FILES_MAX = 100 };

static const struct json_field secret_fields[] = {
	{ "name", json_decode_string, offsetof(struct secret, name), true },
	{ "valueFrom", json_decode_string, offsetof(struct secret, value_from), true },
	{ "region", json_decode_string, offsetof(struct secret, region), false },
	{}
};

void secret_done(void *secret)
{
	struct secret *s = secret;

	free(s->name);
	free(s->value_from);
	free(s->region);
	*s = (struct secret){};
}

/* What says nothing is a variable of the container; nothing else is done with a secret. */
static int check_use(const json_t *value, struct err *err)
{
	const char *type = json_get_string(value, "type", "");
	const char *target = json_get_string(value, "target", "");

	if (strcmp(target, "LOG_DRIVER") == 0)
		return err_set(err, ENOTSUP,
			       "target: LOG_DRIVER: the log drivers of this build take no secrets");
	if (*target && strcmp(target, "CONTAINER") != 0)
		return err_set(err, EPROTO, "target: '%.32s' is neither CONTAINER nor LOG_DRIVER",
			       target);
	if (*type && strcmp(type, "ENVIRONMENT_VARIABLE") != 0)
		return err_set(err, ENOTSUP, "type: '%.32s': not supported by this build", type);
	return 0;
}

static int decode_provider(const json_t *value, struct secret *s, struct err *err)
{
	const char *provider = json_get_string(value, "provider", "");

	if (strcmp(provider, "asm") == 0 ||
	    (!*provider && strstr(s->value_from, ":secretsmanager:")))
		s->provider = SECRET_ASM;
	else if (*provider && strcmp(provider, "ssm") != 0)
		return err_set(err, EPROTO, "provider: '%.32s' is neither ssm nor asm", provider);
	return 0;
}

static int decode_secret(const json_t *value, void *dst, const struct json_field *f,
			 struct err *err)
{
	struct secret *s = dst;
	int k = json_decode(value, secret_fields, s, err);

	(void) f;
	if (k == 0)
		k = check_use(value, err);
	if (k == 0)
		k = decode_provider(value, s, err);
	if (k < 0)
		return k;
	if (!*s->name || strchr(s->name, '='))
		return err_set(err, EPROTO, "name: '%.64s' is no name of a variable", s->name);
	return *s->value_from ? 0 : err_set(err, EPROTO, "valueFrom: is empty");
}

const struct json_array payload_secrets = {
	.size = sizeof(struct secret),
	.decode = decode_secret,
	.done = secret_done,
	.max = SECRETS_MAX,
};

static int decode_file(const json_t *value, char ***files, struct err *err)
{
	const char *type = json_get_string(value, "type", "");
	const char *arn = json_get_string(value, "value", "");

	if (strcmp(type, "s3") != 0)
		return err_set(err, EPROTO, "type: '%.32s' is not s3", type);
	if (!*arn || strlen(arn) > JSON_STRING_MAX)
		return err_set(err, EPROTO, "value: missing, or too long");
	return strv_append(files, arn) < 0 ? err_set(err, ENOMEM, "note a file") : 0;
}

int payload_decode_environment_files(const json_t *value, void *dst, const struct json_field *f,
				     struct err *err)
{
	char ***files = dst;
	const json_t *file;
	size_t i;

	(void) f;
	if (!json_is_array(value) || json_array_size(value) > FILES_MAX)
		return err_set(err, EPROTO, "is no list of at most %d files", FILES_MAX);
	json_array_foreach((json_t *) value, i, file)
		if (decode_file(file, files, err) < 0)
			return err_wrap(err, "[%zu]", i);
	return 0;
}
