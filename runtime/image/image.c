/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/image/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/strv.h"

void image_config_done(struct image_config *config)
{
	(void) strv_free(config->entrypoint);
	(void) strv_free(config->cmd);
	(void) strv_free(config->env);
	free(config->user);
	free(config->working_dir);
	free(config->stop_signal);
	(void) strv_free(config->volumes);
	(void) strv_free(config->exposed_ports);
	json_pairs_free(config->labels, config->n_labels);
	json_decref(config->healthcheck);
	*config = (struct image_config){};
}

struct image *image_free(struct image *image)
{
	if (!image)
		return NULL;
	free(image->reference);
	free(image->digest);
	free(image->id);
	free(image->os);
	free(image->architecture);
	(void) strv_free(image->layers);
	image_config_done(&image->config);
	free(image);
	return NULL;
}

/* {"80/tcp": {}, …}: a Go set of strings; the values say nothing. */
static int decode_set(const json_t *value, void *dst, const struct json_field *f, struct err *err)
{
	_cleanup_(strv_freep) char **v = NULL;
	const char *key;
	json_t *ignored;

	(void) f;
	if (!json_is_object(value))
		return err_set(err, EPROTO, "is not an object");
	if (json_object_size(value) > JSON_ARRAY_MAX)
		return err_set(err, EPROTO, "has %zu members, at most %d are taken",
			       json_object_size(value), JSON_ARRAY_MAX);
	json_object_foreach((json_t *) value, key, ignored) {
		(void) ignored;
		if (strv_append(&v, key) < 0)
			return err_set(err, ENOMEM, "copy member");
	}
	(void) strv_free(*(char ***) dst);
	*(char ***) dst = TAKE_PTR(v);
	return 0;
}

static int decode_healthcheck(const json_t *value, void *dst, const struct json_field *f,
			      struct err *err)
{
	if (!json_is_object(value))
		return err_set(err, EPROTO, "is not an object");
	return json_decode_raw(value, dst, f, err);
}

#define FIELD(name) offsetof(struct image_config, name)

static const struct json_field config_fields[] = {
	{ "Entrypoint", json_decode_strv, FIELD(entrypoint) },
	{ "Cmd", json_decode_strv, FIELD(cmd) },
	{ "Env", json_decode_strv, FIELD(env) },
	{ "User", json_decode_string, FIELD(user) },
	{ "WorkingDir", json_decode_string, FIELD(working_dir) },
	{ "StopSignal", json_decode_string, FIELD(stop_signal) },
	{ "Volumes", decode_set, FIELD(volumes) },
	{ "ExposedPorts", decode_set, FIELD(exposed_ports) },
	{ "Labels", json_decode_pairs, FIELD(labels) },
	{ "Healthcheck", decode_healthcheck, FIELD(healthcheck) },
	{}
};

static void drop_empty(char **s)
{
	if (*s && !**s) {
		free(*s);
		*s = NULL;
	}
}

int image_config_decode(const json_t *obj, struct image_config *ret, struct err *err)
{
	_cleanup_(image_config_done) struct image_config c = {};
	int k = 0;

	if (obj && !json_is_null(obj))
		k = json_decode(obj, config_fields, &c, err);
	if (k < 0)
		return k;
	drop_empty(&c.working_dir);
	drop_empty(&c.stop_signal);
	*ret = c;
	c = (struct image_config){};
	return 0;
}
