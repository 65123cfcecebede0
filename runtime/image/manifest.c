/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/image/manifest.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/utsname.h>

#include "common/json.h"
#include "common/strv.h"
#include "runtime/image/image.h"
#include "runtime/image/reference.h"

void platform_done(struct platform *p)
{
	free(p->os);
	free(p->architecture);
	free(p->variant);
	*p = (struct platform){};
}

int platform_parse(const char *text, struct platform *ret, struct err *err)
{
	_cleanup_(platform_done) struct platform p = {};
	size_t os = strcspn(text, "/"), arch;
	const char *rest = text + os + (text[os] == '/');

	arch = strcspn(rest, "/");
	if (os == 0 || arch == 0 || text[os] != '/' || strlen(text) > 100 ||
	    (rest[arch] && (!rest[arch + 1] || strchr(rest + arch + 1, '/'))))
		return err_set(err, EINVAL, "platform '%.64s': not os/architecture[/variant]",
			       text);
	p.os = strndup(text, os);
	p.architecture = strndup(rest, arch);
	if (rest[arch])
		p.variant = strdup(rest + arch + 1);
	if (!p.os || !p.architecture || (rest[arch] && !p.variant))
		return err_set(err, ENOMEM, "parse platform");
	*ret = p;
	p = (struct platform){};
	return 0;
}

int platform_host(struct platform *ret, struct err *err)
{
	static const struct {
		const char *machine, *platform;
	} names[] = {
		{ "x86_64", "linux/amd64" },
		{ "aarch64", "linux/arm64/v8" },
		{ "armv7l", "linux/arm/v7" },
		{ "armv6l", "linux/arm/v6" },
		{ "i686", "linux/386" },
		{ "riscv64", "linux/riscv64" },
		{ "ppc64le", "linux/ppc64le" },
		{ "s390x", "linux/s390x" },
		{ "loongarch64", "linux/loong64" },
	};
	struct utsname u;

	if (uname(&u) < 0)
		return err_set_errno(err, errno, "uname");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(u.machine, names[i].machine) == 0)
			return platform_parse(names[i].platform, ret, err);
	return err_set(err, ENOTSUP, "no platform is known for the machine '%s'", u.machine);
}

bool platform_fits(const struct platform *p, const char *os, const char *architecture)
{
	return (!os || strcmp(os, p->os) == 0) &&
	       (!architecture || strcmp(architecture, p->architecture) == 0);
}

static void descriptor_done(struct descriptor *d)
{
	free(d->media_type);
	free(d->digest);
	platform_done(&d->platform);
}

void manifest_done(struct manifest *m)
{
	descriptor_done(&m->config);
	for (size_t i = 0; i < m->n_items; i++)
		descriptor_done(&m->items[i]);
	free(m->items);
	*m = (struct manifest){};
}

static void item_done(void *item)
{
	descriptor_done(item);
}

static int decode_digest(const json_t *value, void *dst, const struct json_field *f,
			 struct err *err)
{
	int k = json_decode_string(value, dst, f, err);

	if (k == 0 && !digest_is_valid(*(char **) dst))
		k = err_set(err, EPROTO,
			    "'%.80s' is not sha256: and 64 lower-case hexadecimal digits",
			    *(char **) dst);
	return k;
}

#define PLATFORM(name) offsetof(struct platform, name)
#define DESCRIPTOR(name) offsetof(struct descriptor, name)

static const struct json_field platform_fields[] = {
	{ "os", json_decode_string, PLATFORM(os), true },
	{ "architecture", json_decode_string, PLATFORM(architecture), true },
	{ "variant", json_decode_string, PLATFORM(variant) },
	{}
};

static const struct json_field descriptor_fields[] = {
	{ "mediaType", json_decode_string, DESCRIPTOR(media_type), true },
	{ "digest", decode_digest, DESCRIPTOR(digest), true },
	{ "size", json_decode_i64, DESCRIPTOR(size), true, NULL, 0, MANIFEST_BLOB_BYTES_MAX },
	{ "platform", json_decode_object, DESCRIPTOR(platform), false, platform_fields },
	{}
};

static const struct json_array layer_array = { sizeof(struct descriptor), descriptor_fields, NULL,
					       item_done, MANIFEST_LAYERS_MAX };
static const struct json_array entry_array = { sizeof(struct descriptor), descriptor_fields, NULL,
					       item_done, MANIFEST_ENTRIES_MAX };

static const struct json_field image_fields[] = {
	{ "config", json_decode_object, offsetof(struct manifest, config), true,
	  descriptor_fields },
	{ "layers", json_decode_array, offsetof(struct manifest, items), true, &layer_array },
	{}
};

static const struct json_field index_fields[] = {
	{ "manifests", json_decode_array, offsetof(struct manifest, items), true, &entry_array }, {}
};

enum kind { KIND_UNKNOWN, KIND_IMAGE, KIND_INDEX, KIND_OLD };

static const struct media_type {
	const char *type;
	enum kind kind;
} types[] = {
	{ "application/vnd.oci.image.manifest.v1+json", KIND_IMAGE },
	{ "application/vnd.docker.distribution.manifest.v2+json", KIND_IMAGE },
	{ "application/vnd.oci.image.index.v1+json", KIND_INDEX },
	{ "application/vnd.docker.distribution.manifest.list.v2+json", KIND_INDEX },
	{ "application/vnd.docker.distribution.manifest.v1+json", KIND_OLD },
	{ "application/vnd.docker.distribution.manifest.v1+prettyjws", KIND_OLD },
};

/* By media type, without its parameters. Never NULL. */
static const struct media_type *find_type(const char *type)
{
	static const struct media_type unknown = { NULL, KIND_UNKNOWN };
	size_t len = type ? strcspn(type, "; \t") : 0;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (len == strlen(types[i].type) && strncasecmp(type, types[i].type, len) == 0)
			return &types[i];
	return &unknown;
}

bool manifest_type_is_known(const char *type)
{
	return find_type(type)->kind != KIND_UNKNOWN;
}

bool manifest_type_is_index(const char *type)
{
	return find_type(type)->kind == KIND_INDEX;
}

static int refuse_old(struct err *err)
{
	return err_set(err, EPROTO,
		       "Docker image manifest version 1 (schema 1) is not supported: push the "
		       "image again with a current tool");
}

/* Which kind all the evidence agrees on. */
static int agree(const char *content_type, const json_t *doc, struct media_type *ret,
		 struct err *err)
{
	const char *claimed = json_get_string(doc, "mediaType", NULL);
	const struct media_type *in_header = find_type(content_type),
				*in_document = find_type(claimed);
	enum kind served = in_header->kind, said = in_document->kind, looks;
	bool layers = json_object_get(doc, "layers") || json_object_get(doc, "config");
	bool manifests = json_object_get(doc, "manifests");
	json_int_t version = json_get_int(doc, "schemaVersion", 0);

	if (served == KIND_OLD || said == KIND_OLD || version == 1)
		return refuse_old(err);
	if (version != 2)
		return err_set(err, EPROTO, "schemaVersion: %lld is not 2", (long long) version);
	if (layers == manifests)
		return err_set(err, EPROTO, "%s",
			       layers ? "both an image manifest and an index: refused"
				      : "neither an image manifest nor an index");
	looks = layers ? KIND_IMAGE : KIND_INDEX;
	if (claimed && said != looks)
		return err_set(err, EPROTO, "mediaType '%.100s' does not fit the fields", claimed);
	if (served != KIND_UNKNOWN && served != looks)
		return err_set(err, EPROTO, "Content-Type '%.100s' does not fit the fields",
			       content_type);
	/* An OCI manifest served as Docker's (or the other way round) has two readings, too. */
	if (served != KIND_UNKNOWN && said != KIND_UNKNOWN && in_header != in_document)
		return err_set(err, EPROTO, "Content-Type '%.100s' does not fit mediaType '%.100s'",
			       content_type, claimed);
	*ret = (struct media_type){ in_document->type ? in_document->type : in_header->type,
				    looks };
	return 0;
}

/* Layers that say to be fetched from somewhere else are not. */
static int check_layers(const struct manifest *m, struct err *err)
{
	for (size_t i = 0; i < m->n_items; i++) {
		const char *type = m->items[i].media_type;

		if (strstr(type, "foreign") || strstr(type, "nondistributable"))
			return err_set(err, EPROTO,
				       "layers[%zu]: mediaType '%.100s': layers kept outside of "
				       "the registry are not supported",
				       i, type);
		if (!strstr(type, "tar"))
			return err_set(err, EPROTO,
				       "layers[%zu]: mediaType '%.100s' is not a layer's (the "
				       "artifact is no container image)",
				       i, type);
	}
	return 0;
}

int manifest_decode(const char *content_type, const char *data, size_t len, struct manifest *ret,
		    struct err *err)
{
	_cleanup_(manifest_done) struct manifest m = {};
	_cleanup_(json_decrefp) json_t *doc = NULL;
	struct media_type type = {};
	int k;

	if (len > MANIFEST_BYTES_MAX)
		return err_set(err, EPROTO, "manifest: %zu bytes are more than %d", len,
			       MANIFEST_BYTES_MAX);
	k = json_parse(data, len, &doc, err);
	if (k == 0 && !json_is_object(doc))
		k = err_set(err, EPROTO, "is not an object");
	if (k == 0)
		k = agree(content_type, doc, &type, err);
	if (k == 0)
		k = json_decode(doc, type.kind == KIND_INDEX ? index_fields : image_fields, &m,
				err);
	if (k == 0 && type.kind == KIND_IMAGE)
		k = check_layers(&m, err);
	if (k < 0)
		return err ? err_wrap(err, "manifest") : k;
	m.is_index = type.kind == KIND_INDEX;
	m.media_type = type.type;
	*ret = m;
	m = (struct manifest){};
	return 0;
}

/* 2: the very variant, 1: one that runs as well, 0: does not. */
static int rank_variant(const struct platform *have, const struct platform *want)
{
	const char *h = have->variant ? have->variant : "", *w = want->variant ? want->variant : "";

	if (strcmp(have->architecture, "arm64") == 0) { /* v8 is what "" means */
		h = *h ? h : "v8";
		w = *w ? w : "v8";
	}
	if (strcmp(have->architecture, "amd64") == 0) {
		h = *h ? h : "v1";
		w = *w ? w : "v1";
	}
	if (strcmp(h, w) == 0)
		return 100;
	if (!*h || !*w)
		return 1;
	/* "v6" runs on v7: lower ones do, the nearest is best */
	return strcmp(have->architecture, "arm") == 0 && h[0] == 'v' && w[0] == 'v' &&
			       h[1] < w[1] && isdigit((unsigned char) h[1])
		       ? 10 + (h[1] - '0')
		       : 0;
}

const struct descriptor *manifest_choose(const struct manifest *index, const struct platform *want)
{
	const struct descriptor *best = NULL;
	int best_rank = 0;

	for (size_t i = 0; i < index->n_items; i++) {
		const struct descriptor *d = &index->items[i];
		int rank;

		if (!d->platform.os || strcmp(d->platform.os, want->os) != 0 ||
		    strcmp(d->platform.architecture, want->architecture) != 0)
			continue;
		rank = rank_variant(&d->platform, want);
		if (rank > best_rank) {
			best = d;
			best_rank = rank;
		}
	}
	return best;
}

void image_document_done(struct image_document *d)
{
	platform_done(&d->platform);
	(void) strv_free(d->diff_ids);
	json_decref(d->config);
	free(d->text);
	*d = (struct image_document){};
}

static int decode_diff_ids(const json_t *doc, struct image_document *d, struct err *err)
{
	const json_t *rootfs = json_object_get(doc, "rootfs");
	static const struct json_field fields[] = {
		{ "diff_ids", json_decode_strv, offsetof(struct image_document, diff_ids), true },
		{}
	};
	int k;

	if (strcmp(json_get_string(rootfs, "type", ""), "layers") != 0)
		return err_set(err, EPROTO, "rootfs: type: is not 'layers'");
	k = json_decode(rootfs, fields, d, err);
	if (k < 0)
		return err_wrap(err, "rootfs");
	if (strv_length(d->diff_ids) > MANIFEST_LAYERS_MAX)
		return err_set(err, EPROTO, "rootfs: diff_ids: has more than %d elements",
			       MANIFEST_LAYERS_MAX);
	for (size_t i = 0; d->diff_ids[i]; i++)
		if (!digest_is_valid(d->diff_ids[i]))
			return err_set(err, EPROTO,
				       "rootfs: diff_ids[%zu]: '%.80s' is not a sha256 digest", i,
				       d->diff_ids[i]);
	return 0;
}

static int decode_document(const json_t *doc, struct image_document *d, struct err *err)
{
	struct image_config config = {};
	json_t *c = json_object_get(doc, "config");
	int k;

	if (!json_is_object(doc))
		return err_set(err, EPROTO, "is not an object");
	k = json_decode(doc, platform_fields, &d->platform, err);
	if (k == 0)
		k = decode_diff_ids(doc, d, err);
	if (k == 0) {
		k = image_config_decode(c, &config, err);
		image_config_done(&config);
		if (k < 0)
			return err_wrap(err, "config");
	}
	if (k == 0 && json_is_object(c))
		d->config = json_incref(c);
	return k;
}

int image_document_decode(const char *data, size_t len, struct image_document *ret, struct err *err)
{
	_cleanup_(image_document_done) struct image_document d = {};
	_cleanup_(json_decrefp) json_t *doc = NULL;
	int k = 0;

	if (len > MANIFEST_CONFIG_BYTES_MAX)
		k = err_set(err, EPROTO, "%zu bytes are more than %d", len,
			    MANIFEST_CONFIG_BYTES_MAX);
	if (k == 0)
		k = json_parse(data, len, &doc, err);
	if (k == 0)
		k = decode_document(doc, &d, err);
	if (k == 0) {
		d.text = malloc(len + 1);
		k = d.text ? 0 : err_set(err, ENOMEM, "decode");
	}
	if (k == 0) {
		memcpy(d.text, data, len);
		d.text[len] = '\0';
		d.text_len = len;
	}
	if (k < 0)
		return err ? err_wrap(err, "image configuration") : k;
	*ret = d;
	d = (struct image_document){};
	return 0;
}
