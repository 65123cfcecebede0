/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a container sees of the host: its own mounts, those of others (volumesFrom) and what its
 * image declares, merged by path as Docker does. A pure function of definitions and images; it can
 * be asked again at any time.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/internal.h"
#include "agent/engine/mounts.h"
#include "common/digest.h"
#include "common/fs.h"
#include "common/strv.h"

enum { MOUNTS_MAX = 1000, IMAGE_VOLUMES_MAX = 100 };

void mount_list_done(struct mount_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->items[i].destination);
		free(l->items[i].source);
		free(l->items[i].name);
	}
	free(l->items);
	*l = (struct mount_list){};
}

static struct mount_item *find(const struct mount_list *l, const char *destination)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->items[i].destination, destination) == 0)
			return &l->items[i];
	return NULL;
}

/* Takes what @item owns over. What stands at the same path already goes. */
static int put(struct mount_list *l, struct mount_item *item, struct err *err)
{
	struct mount_item *old = find(l, item->destination), *grown;

	if (old) {
		free(old->destination);
		free(old->source);
		free(old->name);
		*old = *item;
		return 0;
	}
	grown = l->n < MOUNTS_MAX ? reallocarray(l->items, l->n + 1, sizeof(*grown)) : NULL;
	if (!grown) {
		free(item->destination);
		free(item->source);
		free(item->name);
		return err_set(err, l->n < MOUNTS_MAX ? ENOMEM : E2BIG, "list mounts");
	}
	l->items = grown;
	l->items[l->n++] = *item;
	return 0;
}

/* 64 digits, as Docker's anonymous volumes have, that follow from the container and the path. */
static char *anonymous_name(const struct container *c, const char *path)
{
	_cleanup_(freep) char *key = path_join("%s\n%s", c->id, path);
	char hex[SHA256_HEX_MAX];

	return key ? strdup(sha256_hex(key, strlen(key), hex)) : NULL;
}

static bool is_plain(const struct volume_config *c)
{
	return !c->driver && c->n_options == 0 && c->n_labels == 0;
}

/* @m may be gone before the list: only what is in the definition of the task is borrowed. */
static int add(const struct container *c, const struct mount_point *m, struct mount_list *l,
	       struct err *err)
{
	static const struct volume_config plain;
	const struct task_volume *tv =
		m->kind == MOUNT_TASK_VOLUME ? &c->task->volumes[m->index] : NULL;
	const char *source = tv ? tv->source : m->kind == MOUNT_HOST_PATH ? m->source : NULL;
	struct mount_item item = { .kind = m->kind,
				   .volume = tv,
				   .config = tv                     ? &tv->config
					     : is_plain(&m->config) ? &plain
								    : &m->config,
				   .options = m->options,
				   .read_only = m->read_only,
				   .must_exist = m->must_exist,
				   .shared = m->kind == MOUNT_NAMED_VOLUME || (tv && tv->shared),
				   .autoprovision = !tv || !tv->shared || tv->autoprovision };

	item.copy = !source && m->kind != MOUNT_TMPFS && !m->no_copy;
	item.destination = strdup(m->container_path);
	if (source)
		item.source = strdup(source);
	else if (m->kind == MOUNT_ANONYMOUS)
		item.name = anonymous_name(c, m->container_path);
	else if (m->kind != MOUNT_TMPFS)
		item.name = strdup(tv ? tv->host_name : m->volume);
	if (item.destination && (item.source || item.name || m->kind == MOUNT_TMPFS))
		return put(l, &item, err);
	free(item.destination);
	free(item.source);
	free(item.name);
	return err_set(err, ENOMEM, "list mounts");
}

static int collect(const struct container *c, const struct image *image, size_t depth,
		   struct mount_list *l, struct err *err);

static int add_others(const struct container *c, const struct volumes_from *from, size_t depth,
		      struct mount_list *l, struct err *err)
{
	const struct container *source = &c->task->containers[from->index];
	_cleanup_(image_freep) struct image *image = NULL;
	struct mount_list theirs = {};
	int k;

	if (from->index >= c->task->n_containers || source == c || !*source->id ||
	    depth > c->task->n_containers)
		return err_set(err, ENOENT, "Volume target not available: %s",
			       from->source_container);
	if (source->image_id)
		(void) image_store_lookup(c->run->engine->images, source->image_id, &image, NULL);
	k = collect(source, image, depth + 1, &theirs, err);
	for (size_t i = 0; k == 0 && i < theirs.n; i++) {
		struct mount_item item = theirs.items[i];

		if (item.kind == MOUNT_TMPFS)
			continue;
		item.read_only |= from->read_only;
		item.copy = false;
		theirs.items[i] = (struct mount_item){};
		k = put(l, &item, err);
	}
	mount_list_done(&theirs);
	return k;
}

static bool is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && strchr("/", path[n]);
}

/* A stranger wrote these: none climbs, none covers what the runtime mounts. */
static int check_image_volume(const char *path, struct err *err)
{
	if (*path != '/' || strcmp(path, "/") == 0 || strlen(path) > 4095)
		return err_set(err, EINVAL, "the image's volume '%.100s' is no path", path);
	for (const char *p = strchr(path, '/'); p; p = strchr(p + 1, '/')) {
		size_t n = strcspn(p + 1, "/");

		if (strncmp(p + 1, "..", n) == 0)
			return err_set(err, EINVAL, "the image's volume '%.100s' is not clean",
				       path);
	}
	if (is_below(path, "/proc") || is_below(path, "/sys") || is_below(path, "/dev"))
		return err_set(err, EINVAL,
			       "the image's volume '%.100s' is below /proc, /sys or "
			       "/dev",
			       path);
	return 0;
}

static int add_anonymous(const struct container *c, const struct mount_point *m,
			 struct mount_list *l, struct err *err)
{
	return find(l, m->container_path) ? 0 : add(c, m, l, err);
}

static int add_image_volumes(const struct container *c, const struct image *image,
			     struct mount_list *l, struct err *err)
{
	char *const *list = image ? image->config.volumes : NULL;
	int k = 0;

	if (strv_length(list) > IMAGE_VOLUMES_MAX)
		return err_set(err, E2BIG, "the image has more than %d volumes", IMAGE_VOLUMES_MAX);
	for (char *const *s = list; k == 0 && s && *s; s++) {
		_cleanup_(freep) char *path = strdup(*s);
		struct mount_point m = { .kind = MOUNT_ANONYMOUS, .container_path = path };

		for (size_t n = path ? strlen(path) : 0; n > 1 && path[n - 1] == '/'; n--)
			path[n - 1] = '\0';
		k = path ? check_image_volume(path, err) : err_set(err, ENOMEM, "list mounts");
		if (k == 0)
			k = add_anonymous(c, &m, l, err);
	}
	return k;
}

static int collect(const struct container *c, const struct image *image, size_t depth,
		   struct mount_list *l, struct err *err)
{
	int k = 0;

	for (size_t i = 0; k == 0 && i < c->n_volumes_from; i++)
		k = add_others(c, &c->volumes_from[i], depth, l, err);
	for (size_t i = 0; k == 0 && i < c->n_mounts; i++)
		if (c->mounts[i].kind != MOUNT_ANONYMOUS)
			k = add(c, &c->mounts[i], l, err);
	for (size_t i = 0; k == 0 && i < c->n_mounts; i++)
		if (c->mounts[i].kind == MOUNT_ANONYMOUS)
			k = add_anonymous(c, &c->mounts[i], l, err);
	return k < 0 ? k : add_image_volumes(c, image, l, err);
}

int mounts_collect(const struct container *c, const struct image *image, struct mount_list *ret,
		   struct err *err)
{
	struct mount_list l = {};
	int k = collect(c, image, 0, &l, err);

	if (k < 0)
		mount_list_done(&l);
	else
		*ret = l;
	return k;
}

bool mounts_task_has(const struct task *t, const char *name)
{
	for (size_t i = 0; i < t->n_volumes; i++)
		if (t->volumes[i].host_name && strcmp(t->volumes[i].host_name, name) == 0)
			return true;
	for (size_t i = 0; i < t->n_containers; i++)
		for (size_t j = 0; j < t->containers[i].n_mounts; j++) {
			const struct mount_point *m = &t->containers[i].mounts[j];
			_cleanup_(freep) char *own =
				m->kind == MOUNT_ANONYMOUS && m->config.n_options > 0
					? anonymous_name(&t->containers[i], m->container_path)
					: NULL;

			if ((m->kind == MOUNT_NAMED_VOLUME && strcmp(m->volume, name) == 0) ||
			    (own && strcmp(own, name) == 0))
				return true;
		}
	return false;
}

/* ---- for people ---- */

json_t *mounts_to_json(const struct mount_list *l, const char *volumes_dir)
{
	json_t *list = json_array();

	for (size_t i = 0; i < l->n; i++) {
		const struct mount_item *m = &l->items[i];
		_cleanup_(freep) char *data =
			m->name ? path_join("%s/%s/" VOLUME_DATA, volumes_dir, m->name) : NULL;
		const char *source = m->source ? m->source : data ? data : "tmpfs";
		const char *type = m->name ? "volume" : m->source ? "bind" : "tmpfs";

		(void) json_array_append_new(list, json_pack("{s:s, s:s*, s:s, s:s, s:b}", "type",
							     type, "name", m->name, "source",
							     source, "destination", m->destination,
							     "readOnly", (int) m->read_only));
	}
	return list;
}
