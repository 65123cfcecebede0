/* SPDX-License-Identifier: Apache-2.0 */
/* mountPoints, and the same in Docker's words: Binds, Mounts, VolumesFrom, VolumeDriver, Volumes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/payload.h"
#include "common/fs.h"
#include "common/strv.h"
#include "runtime/volume/volume.h"

enum { MOUNTS_MAX = 200, PATH_BYTES_MAX = 4095 };

/* ---- paths ---- */

int payload_clean_path(const char *what, char *path, struct err *err)
{
	char *to = path;

	if (*path != '/')
		return err_set(err, EPROTO, "%s: '%.100s' is not absolute", what, path);
	if (strlen(path) > PATH_BYTES_MAX)
		return err_set(err, EPROTO, "%s: is longer than %d bytes", what, PATH_BYTES_MAX);
	for (const char *p = path; *p;) {
		size_t n;

		p += strspn(p, "/");
		n = strcspn(p, "/");
		if (n == 2 && p[0] == '.' && p[1] == '.')
			return err_set(err, EPROTO, "%s: '%.100s' holds '..'", what, path);
		if (n > 0 && !(n == 1 && *p == '.')) {
			*to++ = '/';
			memmove(to, p, n);
			to += n;
		}
		p += n;
	}
	if (to == path)
		*to++ = '/';
	*to = '\0';
	return 0;
}

static int check_target(const char *what, char *path, struct err *err)
{
	int k = payload_clean_path(what, path, err);

	if (k == 0 && strcmp(path, "/") == 0)
		k = err_set(err, EPROTO, "%s: invalid mount: destination can't be '/'", what);
	return k;
}

/* ---- mountPoints ---- */

static const struct json_field mount_fields[] = {
	{ "sourceVolume", json_decode_string, offsetof(struct mount_point, volume), true },
	{ "containerPath", json_decode_string, offsetof(struct mount_point, container_path), true },
	{ "readOnly", json_decode_bool, offsetof(struct mount_point, read_only), false },
	{}
};

static int decode_mount_point(const json_t *value, void *dst, const struct json_field *f,
			      struct err *err)
{
	struct mount_point *m = dst;
	int k = json_decode(value, mount_fields, m, err);

	(void) f;
	return k < 0 ? k : check_target("containerPath", m->container_path, err);
}

static void mount_done(void *element)
{
	mount_point_done(element);
}

const struct json_array payload_mount_points = {
	.size = sizeof(struct mount_point),
	.decode = decode_mount_point,
	.done = mount_done,
	.max = MOUNTS_MAX,
};

/* ---- Docker's ---- */

/* Takes what @m owns over, whether it succeeds or not. */
static int append_mount(struct container *c, struct mount_point *m, struct err *err)
{
	struct mount_point *grown;

	if (c->n_mounts >= MOUNTS_MAX) {
		mount_point_done(m);
		return err_set(err, EPROTO, "more than %d mounts", MOUNTS_MAX);
	}
	grown = reallocarray(c->mounts, c->n_mounts + 1, sizeof(*grown));
	if (!grown) {
		mount_point_done(m);
		return err_set(err, ENOMEM, "add mount");
	}
	c->mounts = grown;
	c->mounts[c->n_mounts++] = *m;
	return 0;
}

static bool is_propagation(const char *s)
{
	static const char *const kinds[] = { "shared", "rshared", "slave",
					     "rslave", "private", "rprivate" };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strcmp(kinds[i], s) == 0)
			return true;
	return false;
}

/* One word of the third part of "source:path:words". */
static int apply_bind_word(struct mount_point *m, const char *word, struct err *err)
{
	static const char *const idle[] = {
		"rw", "consistent", "cached", "delegated", /* words for other platforms */
		"z",  "Z" /* containers here run without an SELinux label of their own */
	};

	for (size_t i = 0; i < ARRAY_SIZE(idle); i++)
		if (strcmp(idle[i], word) == 0)
			return 0;
	if (strcmp(word, "ro") == 0)
		m->read_only = true;
	else if (strcmp(word, "nocopy") == 0 && m->kind == MOUNT_NAMED_VOLUME)
		m->no_copy = true;
	else if (is_propagation(word) && m->kind == MOUNT_HOST_PATH && !m->options)
		return strdup_to(&m->options, word) < 0 ? err_set(err, ENOMEM, "copy option") : 0;
	else
		return err_set(err, EPROTO, "invalid mode: %.64s", word);
	return 0;
}

static int parse_bind(char *text, struct mount_point *m, struct err *err)
{
	char *source = strsep(&text, ":"), *path = strsep(&text, ":"), *words = text, *word;
	int k;

	if (!path || !*source || !*path || (words && (!*words || strchr(words, ':'))))
		return err_set(err, EPROTO, "invalid volume specification");
	m->kind = *source == '/' ? MOUNT_HOST_PATH : MOUNT_NAMED_VOLUME;
	if (m->kind == MOUNT_NAMED_VOLUME && !volume_name_is_valid(source))
		return err_set(err, EPROTO, "'%.100s' is no name of a volume and no absolute path",
			       source);
	k = strdup_to(m->kind == MOUNT_HOST_PATH ? &m->source : &m->volume, source);
	if (k == 0)
		k = strdup_to(&m->container_path, path);
	if (k < 0)
		return err_set(err, ENOMEM, "copy bind");
	k = m->source ? payload_clean_path("source", m->source, err) : 0;
	if (k == 0)
		k = check_target("destination", m->container_path, err);
	while (k == 0 && (word = strsep(&words, ",")))
		k = apply_bind_word(m, word, err);
	return k;
}

int payload_decode_binds(const json_t *value, void *c, const struct json_field *f, struct err *err)
{
	_cleanup_(strv_freep) char **list = NULL;
	int k = json_decode_strv(value, &list, f, err);

	for (size_t i = 0; k == 0 && list && list[i]; i++) {
		struct mount_point m = {};

		k = parse_bind(list[i], &m, err);
		if (k == 0)
			k = append_mount(c, &m, err);
		else
			mount_point_done(&m);
		if (k < 0)
			(void) err_wrap(err, "[%zu]", i);
	}
	return k;
}

int payload_decode_volume_driver(const json_t *value, void *c, const struct json_field *f,
				 struct err *err)
{
	struct volume_spec v = { .driver = json_string_value(value) };

	(void) c, (void) f;
	if (!v.driver)
		return err_set(err, EPROTO, "is no string");
	return *v.driver && strcmp(v.driver, "local") != 0
		       ? err_set(err, ENOTSUP, "'%.64s' is not supported by this build", v.driver)
		       : 0;
}

/* {"/path": {}, …} */
int payload_decode_anonymous_volumes(const json_t *value, void *c, const struct json_field *f,
				     struct err *err)
{
	const char *path;
	json_t *v;
	int k = 0;

	(void) f;
	json_object_foreach((json_t *) value, path, v) {
		struct mount_point m = { .kind = MOUNT_ANONYMOUS };

		if (k < 0)
			break;
		k = strdup_to(&m.container_path, path) < 0
			    ? err_set(err, ENOMEM, "copy path")
			    : check_target("path", m.container_path, err);
		if (k == 0)
			k = append_mount(c, &m, err);
		else
			mount_point_done(&m);
	}
	return k;
}

/* "container[:ro|rw]" */
int payload_decode_host_volumes_from(const json_t *value, void *dst, const struct json_field *f,
				     struct err *err)
{
	_cleanup_(strv_freep) char **list = NULL;
	struct container *c = dst;
	int k = json_decode_strv(value, &list, f, err);

	for (size_t i = 0; k == 0 && list && list[i]; i++) {
		char *mode = list[i], *name = strsep(&mode, ":");
		struct volumes_from *grown;

		if (mode && strcmp(mode, "ro") != 0 && strcmp(mode, "rw") != 0)
			return err_set(err, EPROTO, "[%zu]: invalid mode: %.64s", i, mode);
		grown = c->n_volumes_from < MOUNTS_MAX
				? reallocarray(c->volumes_from, c->n_volumes_from + 1,
					       sizeof(*grown))
				: NULL;
		if (!grown)
			return err_set(err, ENOMEM, "add volumes");
		c->volumes_from = grown;
		grown += c->n_volumes_from;
		*grown = (struct volumes_from){ .source_container = strdup(name),
						.read_only = mode && mode[1] == 'o' };
		if (!grown->source_container)
			return err_set(err, ENOMEM, "add volumes");
		c->n_volumes_from++;
	}
	return k;
}

/* ---- Mounts: [{Type, Source, Target, ReadOnly, BindOptions{}, VolumeOptions{}, TmpfsOptions{}}] */

struct mount {
	char *type, *source, *target, *consistency, *propagation, *subpath, *driver;
	bool read_only, non_recursive, create, no_copy;
	struct json_pair *options;
	size_t n_options;
	struct json_pair *labels;
	size_t n_labels;
	int64_t size_bytes;
	int mode;
};

static const struct json_field bind_options[] = {
	{ "Propagation", json_decode_string, offsetof(struct mount, propagation), false },
	{ "NonRecursive", json_decode_bool, offsetof(struct mount, non_recursive), false },
	{ "CreateMountpoint", json_decode_bool, offsetof(struct mount, create), false },
	{}
};

static const struct json_field driver_config[] = {
	{ "Name", json_decode_string, offsetof(struct mount, driver), false },
	{ "Options", json_decode_pairs, offsetof(struct mount, options), false },
	{}
};

static const struct json_field volume_options[] = {
	{ "NoCopy", json_decode_bool, offsetof(struct mount, no_copy), false },
	{ "Labels", json_decode_pairs, offsetof(struct mount, labels), false },
	{ "DriverConfig", json_decode_object, 0, false, driver_config },
	{ "Subpath", json_decode_string, offsetof(struct mount, subpath), false },
	{}
};

static const struct json_field tmpfs_options[] = {
	{ "SizeBytes", json_decode_i64, offsetof(struct mount, size_bytes), false, NULL, 0,
	  INT64_MAX / 2 },
	{ "Mode", json_decode_int, offsetof(struct mount, mode), false, NULL, 0, 07777 },
	{}
};

static const struct json_field docker_mount_fields[] = {
	{ "Type", json_decode_string, offsetof(struct mount, type), true },
	{ "Source", json_decode_string, offsetof(struct mount, source), false },
	{ "Target", json_decode_string, offsetof(struct mount, target), true },
	{ "ReadOnly", json_decode_bool, offsetof(struct mount, read_only), false },
	{ "Consistency", json_decode_string, offsetof(struct mount, consistency), false },
	{ "BindOptions", json_decode_object, 0, false, bind_options },
	{ "VolumeOptions", json_decode_object, 0, false, volume_options },
	{ "TmpfsOptions", json_decode_object, 0, false, tmpfs_options },
	{}
};

static void docker_mount_done(struct mount *d)
{
	free(d->type);
	free(d->source);
	free(d->target);
	free(d->consistency);
	free(d->propagation);
	free(d->subpath);
	free(d->driver);
	json_pairs_free(d->options, d->n_options);
	json_pairs_free(d->labels, d->n_labels);
}

static int settle_bind(struct mount *d, struct mount_point *m, struct err *err)
{
	if (!d->source || !*d->source)
		return err_set(err, EPROTO, "Source: missing");
	if (d->non_recursive)
		return err_set(err, ENOTSUP,
			       "BindOptions: NonRecursive: not supported by this build");
	if (d->propagation && *d->propagation && !is_propagation(d->propagation))
		return err_set(err, EPROTO, "BindOptions: Propagation: '%.32s' is none",
			       d->propagation);
	m->kind = MOUNT_HOST_PATH;
	m->must_exist = !d->create;
	m->source = TAKE_PTR(d->source);
	if (d->propagation && *d->propagation)
		m->options = TAKE_PTR(d->propagation);
	return payload_clean_path("Source", m->source, err);
}

static int settle_volume(struct mount *d, struct mount_point *m, struct err *err)
{
	struct volume_spec v = { d->driver, d->options, d->n_options };

	m->kind = d->source && *d->source ? MOUNT_NAMED_VOLUME : MOUNT_ANONYMOUS;
	if (m->kind == MOUNT_NAMED_VOLUME && !volume_name_is_valid(d->source))
		return err_set(err, EPROTO, "Source: '%.100s' is no name of a volume", d->source);
	if (d->subpath && *d->subpath)
		return err_set(err, ENOTSUP, "VolumeOptions: Subpath: not supported by this build");
	if (volume_check(&v, err) < 0)
		return err_wrap(err, "VolumeOptions: DriverConfig");
	m->no_copy = d->no_copy;
	m->volume = m->kind == MOUNT_NAMED_VOLUME ? TAKE_PTR(d->source) : NULL;
	m->config.driver = TAKE_PTR(d->driver);
	m->config.options = TAKE_PTR(d->options);
	m->config.n_options = d->n_options;
	m->config.labels = TAKE_PTR(d->labels);
	m->config.n_labels = d->n_labels;
	d->n_options = d->n_labels = 0;
	return 0;
}

static int settle_tmpfs(struct mount *d, struct mount_point *m, struct err *err)
{
	char size[40] = "", mode[20] = "";

	if (d->source && *d->source)
		return err_set(err, EPROTO, "Source: a tmpfs has none");
	if (d->size_bytes > 0)
		(void) snprintf(size, sizeof(size), ",size=%lld", (long long) d->size_bytes);
	if (d->mode > 0)
		(void) snprintf(mode, sizeof(mode), ",mode=%o", (unsigned) d->mode);
	m->kind = MOUNT_TMPFS;
	m->options = path_join("nosuid,noexec,nodev%s%s", size, mode);
	return m->options ? 0 : err_set(err, ENOMEM, "copy options");
}

static int decode_docker_mount(const json_t *value, struct mount *d, struct mount_point *m,
			       struct err *err)
{
	int k = json_decode(value, docker_mount_fields, d, err);

	if (k < 0)
		return k;
	m->read_only = d->read_only;
	if (strcmp(d->type, "bind") == 0)
		k = settle_bind(d, m, err);
	else if (strcmp(d->type, "volume") == 0)
		k = settle_volume(d, m, err);
	else if (strcmp(d->type, "tmpfs") == 0)
		k = settle_tmpfs(d, m, err);
	else
		k = err_set(err, ENOTSUP, "Type: '%.32s' is not supported by this build", d->type);
	m->container_path = TAKE_PTR(d->target);
	return k < 0 ? k : check_target("Target", m->container_path, err);
}

int payload_decode_mounts(const json_t *value, void *c, const struct json_field *f, struct err *err)
{
	size_t i;
	json_t *v;

	(void) f;
	if (!json_is_array(value))
		return err_set(err, EPROTO, "is no array");
	json_array_foreach((json_t *) value, i, v) {
		struct mount_point m = {};
		struct mount d = {};
		int k = decode_docker_mount(v, &d, &m, err);

		docker_mount_done(&d);
		if (k == 0)
			k = append_mount(c, &m, err);
		else
			mount_point_done(&m);
		if (k < 0)
			return err_wrap(err, "[%zu]", i);
	}
	return 0;
}
