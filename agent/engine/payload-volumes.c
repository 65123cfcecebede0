/* SPDX-License-Identifier: Apache-2.0 */
/* volumes, and which of them each mount means. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/payload.h"
#include "common/digest.h"
#include "common/fs.h"
#include "runtime/volume/volume.h"

enum { VOLUMES_MAX = 200, PAIRS_MAX = 100, NAME_DIGITS = 20 };

/* ---- volumes ---- */

struct volume {
	struct task_volume v;
	char *type, *scope;
	json_t *docker, *host, *efs; /* owned */
};

static int decode_enabled(const json_t *value, void *dst, const struct json_field *f,
			  struct err *err)
{
	const char *s = json_string_value(value);

	(void) f;
	if (!s || (strcmp(s, "ENABLED") != 0 && strcmp(s, "DISABLED") != 0 && *s))
		return err_set(err, EPROTO, "'%.32s' is neither ENABLED nor DISABLED", s ? s : "");
	*(bool *) dst = *s == 'E';
	return 0;
}

static const struct json_field authorization_fields[] = {
	{ "accessPointId", json_decode_string, offsetof(struct efs_config, access_point), false },
	{ "iam", decode_enabled, offsetof(struct efs_config, iam), false },
	{}
};

static const struct json_field efs_fields[] = {
	{ "fileSystemId", json_decode_string, offsetof(struct efs_config, file_system_id), true },
	{ "rootDirectory", json_decode_string, offsetof(struct efs_config, root_directory), false },
	{ "transitEncryption", decode_enabled, offsetof(struct efs_config, tls), false },
	{ "transitEncryptionPort", json_decode_int, offsetof(struct efs_config, tls_port), false,
	  NULL, 0, UINT16_MAX },
	{ "authorizationConfig", json_decode_object, 0, false, authorization_fields },
	{}
};

static int settle_efs(struct volume *vol, struct err *err)
{
	vol->v.efs = calloc(1, sizeof(*vol->v.efs));
	if (!vol->v.efs)
		return err_set(err, ENOMEM, "allocate volume");
	if (json_decode(vol->efs, efs_fields, vol->v.efs, err) < 0)
		return err_wrap(err, "efsVolumeConfiguration");
	return 0;
}

static int settle_docker(struct volume *vol, struct err *err)
{
	static const struct json_field fields[] = {
		{ "scope", json_decode_string, offsetof(struct volume, scope), false },
		{ "autoprovision", json_decode_bool,
		  offsetof(struct volume, v) + offsetof(struct task_volume, autoprovision), false },
		{ "driver", json_decode_string,
		  offsetof(struct volume, v) + offsetof(struct task_volume, config) +
			  offsetof(struct volume_config, driver),
		  false },
		{ "driverOpts", json_decode_pairs,
		  offsetof(struct volume, v) + offsetof(struct task_volume, config) +
			  offsetof(struct volume_config, options),
		  false },
		{ "labels", json_decode_pairs,
		  offsetof(struct volume, v) + offsetof(struct task_volume, config) +
			  offsetof(struct volume_config, labels),
		  false },
		{}
	};
	const struct volume_config *c = &vol->v.config;
	struct volume_spec spec;
	int k = json_decode(vol->docker, fields, vol, err);

	if (k == 0 && vol->scope && *vol->scope && strcmp(vol->scope, "task") != 0 &&
	    strcmp(vol->scope, "shared") != 0)
		k = err_set(err, EPROTO, "scope: '%.32s' is neither task nor shared", vol->scope);
	vol->v.shared = vol->scope && strcmp(vol->scope, "shared") == 0;
	if (k == 0 && (c->n_options > PAIRS_MAX || c->n_labels > PAIRS_MAX))
		k = err_set(err, EPROTO, "more than %d driverOpts or labels", PAIRS_MAX);
	spec = (struct volume_spec){ c->driver, c->options, c->n_options };
	if (k == 0)
		k = volume_check(&spec, err);
	if (k == 0 && vol->v.shared && !volume_name_is_valid(vol->v.name))
		k = err_set(err, EPROTO, "'%.100s' is no name that a volume can have", vol->v.name);
	return k < 0 ? err_wrap(err, "dockerVolumeConfiguration") : 0;
}

static int settle_host(struct volume *vol, struct err *err)
{
	static const struct json_field fields[] = { { "sourcePath", json_decode_string,
						      offsetof(struct task_volume, source), false },
						    {} };
	int k = json_decode(vol->host, fields, &vol->v, err);

	if (k == 0 && vol->v.source && !*vol->v.source) {
		free(vol->v.source);
		vol->v.source = NULL;
	}
	if (k == 0 && vol->v.source)
		k = payload_clean_path("sourcePath", vol->v.source, err);
	return k < 0 ? err_wrap(err, "host") : 0;
}

static int settle(struct volume *vol, struct err *err)
{
	const char *type = vol->type && *vol->type ? vol->type : "host";

	if (!*vol->v.name)
		return err_set(err, EPROTO, "name: is empty");
	if (strcmp(type, "host") == 0)
		return vol->host ? settle_host(vol, err) : err_set(err, EPROTO, "host: missing");
	if (strcmp(type, "docker") == 0)
		return vol->docker ? settle_docker(vol, err)
				   : err_set(err, EPROTO, "dockerVolumeConfiguration: missing");
	if (strcmp(type, "efs") == 0)
		return vol->efs ? settle_efs(vol, err)
				: err_set(err, EPROTO, "efsVolumeConfiguration: missing");
	if (strcmp(type, "fsxWindowsFileServer") == 0 || strcmp(type, "s3files") == 0)
		return err_set(err, ENOTSUP, "type: '%s' is not supported by this build", type);
	return err_set(err, EPROTO, "type: unrecognized volume type: %.64s", type);
}

static int decode_volume(const json_t *value, void *dst, const struct json_field *f,
			 struct err *err)
{
	static const struct json_field fields[] = {
		{ "name", json_decode_string,
		  offsetof(struct volume, v) + offsetof(struct task_volume, name), true },
		{ "type", json_decode_string, offsetof(struct volume, type), false },
		{ "host", json_decode_raw, offsetof(struct volume, host), false },
		{ "dockerVolumeConfiguration", json_decode_raw, offsetof(struct volume, docker),
		  false },
		{ "efsVolumeConfiguration", json_decode_raw, offsetof(struct volume, efs), false },
		{}
	};
	struct volume vol = {};
	int k = json_decode(value, fields, &vol, err);

	(void) f;
	if (k == 0)
		k = settle(&vol, err);
	free(vol.type);
	free(vol.scope);
	json_decref(vol.docker);
	json_decref(vol.host);
	json_decref(vol.efs);
	*(struct task_volume *) dst = vol.v;
	return k < 0 ? err_wrap(err, "InvalidVolumeError") : 0;
}

static void volume_done(void *element)
{
	task_volume_done(element);
}

static const struct json_array volume_array = {
	.size = sizeof(struct task_volume),
	.decode = decode_volume,
	.done = volume_done,
	.max = VOLUMES_MAX,
};

/* ---- what belongs together ---- */

/* What can stand in a file name everywhere. */
static void copy_plain(char *to, size_t size, const char *from)
{
	size_t n = 0;

	for (; *from && n + 1 < size; from++)
		if (strchr(TASK_NAME_CHARS, *from))
			to[n++] = *from;
	to[n] = '\0';
}

/*
 * ecs-<family>-<revision>-<name>-<20 digits>. The digits follow from the task and the name, so that
 * whoever finds the volume after a crash can tell whose it is, and none is made twice.
 */
static int name_volume(const struct task *t, struct task_volume *v, struct err *err)
{
	char name[128], family[64], version[24], hex[SHA256_HEX_MAX];
	_cleanup_(freep) char *key = path_join("%s\n%s", t->arn, v->name);

	if (v->source)
		return 0;
	copy_plain(name, sizeof(name), v->name);
	copy_plain(family, sizeof(family), t->family ? t->family : "");
	copy_plain(version, sizeof(version), t->version ? t->version : "");
	if (key)
		(void) sha256_hex(key, strlen(key), hex);
	if (key)
		v->host_name = v->shared ? strdup(v->name)
					 : path_join("ecs-%s-%s-%s-%.*s", family, version, name,
						     NAME_DIGITS, hex);
	return v->host_name ? 0 : err_set(err, ENOMEM, "name volume");
}

static int find_volume(const struct task *t, struct mount_point *m, struct err *err)
{
	if (m->kind != MOUNT_TASK_VOLUME)
		return 0;
	for (m->index = 0; m->index < t->n_volumes; m->index++)
		if (strcmp(t->volumes[m->index].name, m->volume) == 0)
			return 0;
	return err_set(err, EPROTO, "Invalid volume referenced: %.100s", m->volume);
}

/* An anonymous volume gives way to whatever else is at its path. */
static int check_alone(const struct container *c, size_t i, struct err *err)
{
	const struct mount_point *m = &c->mounts[i];

	for (size_t j = 0; j < i; j++)
		if (m->kind != MOUNT_ANONYMOUS && c->mounts[j].kind != MOUNT_ANONYMOUS &&
		    strcmp(c->mounts[j].container_path, m->container_path) == 0)
			return err_set(err, EPROTO, "Duplicate mount point: %.200s",
				       m->container_path);
	return 0;
}

static int check_names(const struct task *t, struct err *err)
{
	for (size_t i = 0; i < t->n_volumes; i++)
		for (size_t j = 0; j < i; j++)
			if (strcmp(t->volumes[i].name, t->volumes[j].name) == 0)
				return err_set(err, EPROTO,
					       "volumes[%zu]: InvalidVolumeError: name: '%.64s' is "
					       "taken by "
					       "volumes[%zu]",
					       i, t->volumes[i].name, j);
	return 0;
}

int payload_decode_volumes(const json_t *obj, struct task *t, struct err *err)
{
	static const struct json_field fields[] = { { "volumes", json_decode_array,
						      offsetof(struct task, volumes), false,
						      &volume_array },
						    {} };
	int k = json_decode(obj, fields, t, err);

	if (k == 0)
		k = check_names(t, err);
	for (size_t i = 0; k == 0 && i < t->n_volumes; i++)
		k = name_volume(t, &t->volumes[i], err);
	for (size_t i = 0; k == 0 && i < t->n_containers; i++) {
		struct container *c = &t->containers[i];

		for (size_t j = 0; k == 0 && j < c->n_mounts; j++)
			if (find_volume(t, &c->mounts[j], err) < 0 || check_alone(c, j, err) < 0)
				k = err_wrap(err, "containers[%zu]: mountPoints[%zu]", i, j);
	}
	return k;
}
