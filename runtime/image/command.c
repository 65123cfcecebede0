/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/image/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/strv.h"
#include "runtime/image/fetch.h"
#include "runtime/image/load.h"
#include "runtime/image/store.h"

int command_pull(struct options *o, struct image_store *store, struct err *err)
{
	const struct fetch_params p = { .store = store,
					.reference = o->args[0],
					.username = o->username,
					.password = o->password,
					.platform = o->platform,
					.plain_http = o->plain_http,
					.mirrors = o->mirrors,
					.certs_dir = o->certs_dir,
					.behavior = o->behavior,
					.inactivity_timeout_ms = o->inactivity_timeout_ms,
					.unpacker_program = o->unpacker_program,
					.report = &o->report };
	_cleanup_(image_freep) struct image *image = NULL;
	_cleanup_(freep) char *why_cached = NULL;
	enum image_pull_failure kind = IMAGE_PULL_E_INTERNAL;
	bool from_cache = false;

	if (fetch_image(&p, &image, &from_cache, &why_cached, &kind, err) < 0) {
		report_failed(&o->report, kind, err_text(err));
		return 1;
	}
	report_pulled(&o->report, image, from_cache, why_cached);
	return 0;
}

static void print_loaded(const char *reference, const char *id, void *userdata)
{
	const struct options *o = userdata;

	if (o->report.json)
		(void) printf("{\"event\":\"loaded\",\"reference\":\"%s\",\"id\":\"%s\"}\n",
			      reference, id);
	else
		(void) printf("%s\n", o->report.quiet ? id : reference);
}

int command_load(struct options *o, struct image_store *store, struct err *err)
{
	struct report silent = { .quiet = true };
	const struct load_params p = { .store = store,
				       .path = o->args[0],
				       .name = o->name,
				       .platform = o->platform,
				       .unpacker_program = o->unpacker_program,
				       .report = &silent,
				       .on_loaded = print_loaded,
				       .userdata = o };
	int k = load_images(&p, err);

	if (k < 0)
		report_failed(&o->report, k == -ENOSPC ? IMAGE_PULL_E_NO_SPACE : IMAGE_PULL_E_PULL,
			      err_text(err));
	return k < 0;
}

static json_t *image_summary(const struct image *image)
{
	char pulled[CLOCK_RFC3339_MAX];

	(void) clock_format_rfc3339(image->pulled_at_ms, 0, pulled);
	return json_pack("{s:s, s:s, s:s*, s:s*, s:s*, s:I, s:s*}", "reference", image->reference,
			 "id", image->id, "digest", image->digest, "os", image->os, "architecture",
			 image->architecture, "size", (json_int_t) image->size_bytes, "pulled",
			 image->pulled_at_ms ? pulled : NULL);
}

struct rows {
	json_t *list; /* owned */
};

static int collect_row(const struct image *image, void *userdata, struct err *err)
{
	struct rows *r = userdata;

	return json_array_append_new(r->list, image_summary(image)) < 0
		       ? err_set(err, ENOMEM, "list images")
		       : 0;
}

static int by_reference(const void *a, const void *b)
{
	return strcmp(json_get_string(*(json_t *const *) a, "reference", ""),
		      json_get_string(*(json_t *const *) b, "reference", ""));
}

static void print_row(const json_t *row)
{
	const char *id = json_get_string(row, "id", "sha256:");

	(void) printf("%-60s %.12s %10.1f MB  %s\n", json_get_string(row, "reference", ""), id + 7,
		      (double) json_get_int(row, "size", 0) / 1e6,
		      json_get_string(row, "pulled", "-"));
}

/* A pull records the digest beside the tag; people want to see one line. */
static bool is_shadow(json_t *const *rows, size_t n, const json_t *row)
{
	const char *id = json_get_string(row, "id", "");

	if (!strchr(json_get_string(row, "reference", ""), '@'))
		return false;
	for (size_t i = 0; i < n; i++)
		if (strcmp(json_get_string(rows[i], "id", ""), id) == 0 &&
		    !strchr(json_get_string(rows[i], "reference", ""), '@'))
			return true;
	return false;
}

static int print_rows(struct options *o, json_t **rows, size_t n, struct err *err)
{
	qsort(rows, n, sizeof(*rows), by_reference);
	if (o->report.json) {
		_cleanup_(json_decrefp) json_t *sorted = json_array();
		_cleanup_(freep) char *text = NULL;

		for (size_t i = 0; sorted && i < n; i++)
			(void) json_array_append(sorted, rows[i]);
		text = sorted ? json_to_text(sorted) : NULL;
		if (!text)
			return err_set(err, ENOMEM, "list images");
		(void) printf("%s\n", text);
		return 0;
	}
	if (!o->report.quiet)
		(void) printf("%-60s %-12s %13s  %s\n", "REFERENCE", "ID", "SIZE", "PULLED");
	for (size_t i = 0; i < n; i++) {
		if (is_shadow(rows, n, rows[i]))
			continue;
		if (o->report.quiet)
			(void) printf("%s\n", json_get_string(rows[i], "id", ""));
		else
			print_row(rows[i]);
	}
	return 0;
}

int command_ls(struct options *o, struct image_store *store, struct err *err)
{
	_cleanup_(json_decrefp) json_t *list = json_array();
	_cleanup_(freep) json_t **rows = NULL;
	struct rows r = { list };
	size_t n;
	int k = image_store_list(store, collect_row, &r, err);

	n = json_array_size(list);
	rows = calloc(n + 1, sizeof(json_t *));
	if (k == 0 && !rows)
		k = err_set(err, ENOMEM, "list images");
	for (size_t i = 0; k == 0 && i < n; i++)
		rows[i] = json_array_get(list, i);
	if (k == 0)
		k = print_rows(o, rows, n, err);
	if (k < 0)
		(void) fprintf(stderr, "ecs-image: %s\n", err_text(err));
	return k < 0;
}

static void print_removed(const char *what, void *userdata)
{
	const struct options *o = userdata;

	if (o->report.json || o->report.quiet)
		return;
	(void) printf("%s\n", what);
}

int command_rm(struct options *o, struct image_store *store, struct err *err)
{
	int bad = 0;

	for (int i = 0; i < o->n_args; i++) {
		int k = store_remove(store, o->args[i], print_removed, o, err);

		if (k == IMAGE_E_NOT_FOUND)
			(void) err_set(err, ENOENT, "no such image: %s", o->args[i]);
		if (k != 0)
			(void) fprintf(stderr, "ecs-image: %s\n", err_text(err));
		bad |= k != 0;
	}
	return bad;
}

static json_t *strings(char *const *v)
{
	json_t *list = json_array();

	for (; list && v && *v; v++)
		(void) json_array_append_new(list, json_string(*v));
	return list;
}

int command_inspect(struct options *o, struct image_store *store, struct err *err)
{
	_cleanup_(image_freep) struct image *image = NULL;
	_cleanup_(json_decrefp) json_t *record = NULL, *obj = NULL;
	_cleanup_(freep) char *text = NULL;
	int k = image_store_lookup(store, o->args[0], &image, err);

	if (k == 0)
		k = store_get_record(store, image->id, &record, err);
	if (k == IMAGE_E_NOT_FOUND)
		k = err_set(err, ENOENT, "no such image: %s", o->args[0]);
	if (k < 0) {
		(void) fprintf(stderr, "ecs-image: %s\n", err_text(err));
		return 1;
	}
	obj = image_summary(image);
	(void) json_object_set_new(obj, "layers", strings(image->layers));
	(void) json_object_set(obj, "config", json_object_get(record, "config"));
	text = json_dumps(obj, o->report.json ? JSON_COMPACT : JSON_INDENT(2));
	(void) printf("%s\n", text ? text : "");
	return !text;
}
