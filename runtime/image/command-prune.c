/* SPDX-License-Identifier: Apache-2.0 */
/* What takes room, and making some: ecs-image prune and du. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/json.h"
#include "common/strv.h"
#include "runtime/image/command.h"
#include "runtime/image/store.h"

/* Takes the reference to @line. */
static void put_line(json_t *line)
{
	_cleanup_(freep) char *text = line ? json_to_text(line) : NULL;

	if (text)
		(void) printf("%s\n", text);
	(void) fflush(stdout);
	json_decref(line);
}

static json_t *strings(char *const *v)
{
	json_t *list = json_array();

	for (; list && v && *v; v++)
		(void) json_array_append_new(list, json_string(*v));
	return list;
}

static json_t *usage_json(const struct store_usage *u)
{
	return json_pack("{s:i, s:i, s:I, s:I, s:I}", "bytesPercent", u->bytes_percent,
			 "inodesPercent", u->inodes_percent, "freeBytes",
			 (json_int_t) u->free_bytes, "totalBytes", (json_int_t) u->total_bytes,
			 "freeInodes", (json_int_t) u->free_inodes);
}

/* ---- prune ---- */

static void print_pruned(const struct prune_image *image, void *userdata)
{
	const struct options *o = userdata;
	char used[CLOCK_RFC3339_MAX];

	(void) clock_format_rfc3339(image->used_at_ms, 0, used);
	if (o->report.json)
		put_line(json_pack("{s:s, s:s, s:o, s:I, s:s*, s:s}", "event", "removed", "id",
				   image->id, "references", strings(image->references), "size",
				   (json_int_t) image->size_bytes, "lastUsed",
				   image->used_at_ms ? used : NULL, "reason",
				   image->reason == PRUNE_PRESSURE ? "pressure" : "unused"));
	else if (o->report.quiet)
		(void) printf("%s\n", image->id);
	else
		(void) printf("%s %.19s %s (%.1f MB)\n",
			      o->prune.dry_run ? "would remove" : "removed", image->id,
			      image->references ? image->references[0] : "",
			      (double) image->size_bytes / 1e6);
}

int command_prune(struct options *o, struct image_store *store, struct err *err)
{
	struct prune_result r;

	o->prune.keep = o->keep;
	if (prune(store, &o->prune, print_pruned, o, &r, err) < 0) {
		report_failed(&o->report, IMAGE_PULL_E_INTERNAL, err_text(err));
		return 1;
	}
	if (o->report.json)
		put_line(json_pack("{s:s, s:I, s:I, s:o, s:b}", "event", "pruned", "images",
				   (json_int_t) r.images, "freed", (json_int_t) r.freed_bytes,
				   "usage", usage_json(&r.usage), "pressure", r.pressure));
	else if (!o->report.quiet && !o->prune.dry_run)
		(void) printf("%zu image%s, %.1f MB freed; %d %% of the disk is used\n", r.images,
			      r.images == 1 ? "" : "s", (double) r.freed_bytes / 1e6,
			      r.usage.bytes_percent);
	return 0;
}

/* ---- du ---- */

struct layer_use {
	char name[STORE_LAYER_NAME_MAX];
	int64_t size;
	size_t images; /* that have it */
};

struct image_use {
	char *id;        /* owned */
	char *reference; /* owned: one of them; NULL */
	json_t *record;  /* owned; NULL when damaged */
	bool pinned;
};

struct survey {
	struct image_store *store;
	struct layer_use *layers; /* sorted by name */
	size_t n_layers;
	struct image_use *images;
	size_t n_images;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct layer_use *) a)->name, ((const struct layer_use *) b)->name);
}

static int64_t layer_size(struct image_store *s, const char *name)
{
	_cleanup_(freep) char *path = path_join("layers/%s.json", name), *text = NULL;
	_cleanup_(json_decrefp) json_t *obj = NULL;
	size_t len = 0;

	if (!path || fs_read_file(s->fd, path, 4096, &text, &len, NULL) < 0 ||
	    json_parse(text, len, &obj, NULL) < 0)
		return 0;
	return json_get_int(obj, "size", 0);
}

static int survey_layers(struct survey *v, struct err *err)
{
	int fd = openat(v->store->fd, "layers", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(closedirp) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		(void) safe_close(fd);
		return err_set_errno(err, errno, "image store '%s': open layers", v->store->dir);
	}
	while ((e = readdir(d))) {
		struct layer_use *grown;

		if (e->d_name[0] == '.' || strlen(e->d_name) != STORE_LAYER_NAME_MAX - 1)
			continue;
		grown = reallocarray(v->layers, v->n_layers + 1, sizeof(*grown));
		if (!grown)
			return err_set(err, ENOMEM, "survey the store");
		v->layers = grown;
		grown += v->n_layers++;
		*grown = (struct layer_use){ .size = layer_size(v->store, e->d_name) };
		memcpy(grown->name, e->d_name, sizeof(grown->name));
	}
	if (v->n_layers > 0)
		qsort(v->layers, v->n_layers, sizeof(*v->layers), by_name);
	return 0;
}

static struct layer_use *find_layer(const struct survey *v, const char *name)
{
	struct layer_use key = {};

	(void) snprintf(key.name, sizeof(key.name), "%s", name);
	return v->n_layers == 0
		       ? NULL
		       : bsearch(&key, v->layers, v->n_layers, sizeof(*v->layers), by_name);
}

static int survey_image(const char *id, void *userdata, struct err *err)
{
	struct survey *v = userdata;
	struct image_use *grown = reallocarray(v->images, v->n_images + 1, sizeof(*grown)), *u;
	const json_t *layers;

	if (!grown)
		return err_set(err, ENOMEM, "survey the store");
	v->images = grown;
	u = &grown[v->n_images++];
	*u = (struct image_use){ .id = strdup(id) };
	if (!u->id)
		return err_set(err, ENOMEM, "survey the store");
	if (store_get_record(v->store, id, &u->record, NULL) != 0)
		return 0;
	layers = json_object_get(u->record, "layers");
	for (size_t i = 0; i < json_array_size(layers); i++) {
		struct layer_use *l = find_layer(v, json_string_value(json_array_get(layers, i)));

		if (l)
			l->images++;
	}
	return 0;
}

static struct image_use *find_image(const struct survey *v, const char *id)
{
	for (size_t i = 0; i < v->n_images; i++)
		if (strcmp(v->images[i].id, id) == 0)
			return &v->images[i];
	return NULL;
}

/* The tag is the better name. */
static int survey_ref(const struct store_ref *ref, void *userdata, struct err *err)
{
	struct image_use *u = find_image(userdata, ref->id);

	if (!u || (u->reference && strchr(ref->reference, '@')))
		return 0;
	return strdup_to(&u->reference, ref->reference) < 0
		       ? err_set(err, ENOMEM, "survey the store")
		       : 0;
}

static int survey_pin(const char *name, const char *id, void *userdata, struct err *err)
{
	struct image_use *u = find_image(userdata, id);

	(void) name, (void) err;
	if (u)
		u->pinned = true;
	return 0;
}

/* Bytes that only this image has. */
static int64_t own_bytes(const struct survey *v, const struct image_use *u)
{
	const json_t *layers = json_object_get(u->record, "layers");
	int64_t sum = 0;

	for (size_t i = 0; i < json_array_size(layers); i++) {
		const struct layer_use *l =
			find_layer(v, json_string_value(json_array_get(layers, i)));

		sum += l && l->images == 1 ? l->size : 0;
	}
	return sum;
}

static json_t *image_json(const struct survey *v, const struct image_use *u)
{
	int64_t size = json_get_int(u->record, "size", 0), own = own_bytes(v, u);
	char used[CLOCK_RFC3339_MAX];
	struct timespec ts;
	bool ever = store_last_used(v->store, u->id, &ts, NULL) == 0;

	if (ever)
		(void) clock_format_rfc3339((int64_t) ts.tv_sec * MSEC_PER_SEC, 0, used);
	return json_pack("{s:s, s:s*, s:I, s:I, s:I, s:b, s:s*}", "id", u->id, "reference",
			 u->reference, "size", (json_int_t) size, "unique", (json_int_t) own,
			 "shared", (json_int_t) (size - own), "inUse", u->pinned, "lastUsed",
			 ever ? used : NULL);
}

static void print_image(const json_t *row)
{
	const char *id = json_get_string(row, "id", "sha256:");

	(void) printf("%-60s %.12s %10.1f MB %10.1f MB  %-6s  %s\n",
		      json_get_string(row, "reference", "-"), id + 7,
		      (double) json_get_int(row, "size", 0) / 1e6,
		      (double) json_get_int(row, "unique", 0) / 1e6,
		      json_is_true(json_object_get(row, "inUse")) ? "yes" : "no",
		      json_get_string(row, "lastUsed", "-"));
}

static int print_survey(const struct survey *v, bool json, struct err *err)
{
	_cleanup_(json_decrefp) json_t *images = json_array(), *whole = NULL;
	_cleanup_(freep) char *text = NULL;
	int64_t all = 0, unused = 0;
	struct store_usage usage = {};

	for (size_t i = 0; i < v->n_layers; i++) {
		all += v->layers[i].size;
		unused += v->layers[i].images == 0 ? v->layers[i].size : 0;
	}
	(void) store_usage_get(v->store->fd, &usage);
	for (size_t i = 0; i < v->n_images; i++)
		(void) json_array_append_new(images, image_json(v, &v->images[i]));
	whole = json_pack("{s:O, s:I, s:I, s:I, s:o}", "images", images, "layers",
			  (json_int_t) v->n_layers, "bytes", (json_int_t) all, "unusedBytes",
			  (json_int_t) unused, "usage", usage_json(&usage));
	text = whole ? json_to_text(whole) : NULL;
	if (!text)
		return err_set(err, ENOMEM, "survey the store");
	if (json) {
		(void) printf("%s\n", text);
		return 0;
	}
	(void) printf("%-60s %-12s %13s %13s  %-6s  %s\n", "REFERENCE", "ID", "SIZE", "UNIQUE",
		      "IN USE", "LAST USED");
	for (size_t i = 0; i < json_array_size(images); i++)
		print_image(json_array_get(images, i));
	(void) printf("%zu layers, %.1f MB, of which %.1f MB no image names; "
		      "%.1f of %.1f MB (%d %%) of the disk and %d %% of its inodes are used\n",
		      v->n_layers, (double) all / 1e6, (double) unused / 1e6,
		      (double) (usage.total_bytes - usage.free_bytes) / 1e6,
		      (double) usage.total_bytes / 1e6, usage.bytes_percent, usage.inodes_percent);
	return 0;
}

static void survey_done(struct survey *v)
{
	for (size_t i = 0; i < v->n_images; i++) {
		free(v->images[i].id);
		free(v->images[i].reference);
		json_decref(v->images[i].record);
	}
	free(v->images);
	free(v->layers);
}

int command_du(struct options *o, struct image_store *store, struct err *err)
{
	_cleanup_(survey_done) struct survey v = { .store = store };
	int k = survey_layers(&v, err);

	if (k == 0)
		k = store_each_image(store, survey_image, &v, err);
	if (k == 0)
		k = store_each_ref(store, survey_ref, &v, err);
	if (k == 0)
		k = image_store_list_pins(store, survey_pin, &v, err);
	if (k == 0)
		k = print_survey(&v, o->report.json, err);
	if (k < 0)
		(void) fprintf(stderr, "ecs-image: %s\n", err_text(err));
	return k < 0;
}
