/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/image/fetch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/digest.h"
#include "common/strv.h"
#include "runtime/image/mirror.h"

struct fetch {
	const struct fetch_params *p;
	struct reference ref;
	struct platform platform;
	char *canonical; /* owned */
	struct registry *registry;
	struct image *cached; /* owned; NULL when there is none */
	char *cached_origin;
	char *digest;  /* owned: of what the reference stands for */
	bool resolved; /* and said so */
};

static void fetch_done(struct fetch *f)
{
	reference_done(&f->ref);
	platform_done(&f->platform);
	free(f->canonical);
	free(f->cached_origin);
	free(f->digest);
	(void) registry_close(f->registry);
	(void) image_free(f->cached);
}

static int prepare(struct fetch *f, struct err *err)
{
	_cleanup_(store_ref_done) struct store_ref ref = {};
	int k = reference_parse(f->p->reference, &f->ref, err);

	if (k == 0)
		k = f->p->platform ? platform_parse(f->p->platform, &f->platform, err)
				   : platform_host(&f->platform, err);
	if (k < 0)
		return k;
	f->canonical = reference_text(&f->ref);
	if (!f->canonical)
		return err_set(err, ENOMEM, "pull");
	k = store_get_ref(f->p->store, f->canonical, &ref, err);
	if (k == 0)
		k = image_store_lookup(f->p->store, f->canonical, &f->cached, err);
	if (k < 0 && k != -EBADMSG) /* what is damaged is fetched anew */
		return k;
	f->cached_origin = TAKE_PTR(ref.origin);
	return 0;
}

static bool fits_platform(const struct fetch *f)
{
	return f->cached && platform_fits(&f->platform, f->cached->os, f->cached->architecture);
}

/* Content named by its digest cannot have changed; the rest is the behaviour's choice. */
static bool cache_suffices(const struct fetch *f)
{
	if (!fits_platform(f))
		return false;
	if (f->ref.digest || f->p->behavior == IMAGE_PULL_PREFER_CACHED)
		return true;
	return f->p->behavior == IMAGE_PULL_ONCE && f->cached_origin &&
	       strcmp(f->cached_origin, "pull") == 0;
}

static void tell_digest(struct fetch *f)
{
	if (!f->resolved)
		report_resolved(f->p->report, f->digest);
	f->resolved = true;
}

/* What a HEAD tells, at no cost in rate-limited pulls. Absent headers are no error. */
static int ask_digest(struct fetch *f, const char *name, struct err *err)
{
	struct registry_call c;
	int k = registry_call_init(f->registry, &c, "manifests", name, err);

	if (k < 0)
		return k;
	c.req.head = true;
	c.req.accept = MANIFEST_ACCEPT;
	k = registry_run(f->registry, &c, err);
	if (k == 0 && c.req.content_digest && digest_is_valid(c.req.content_digest) &&
	    strdup_to(&f->digest, c.req.content_digest) < 0)
		k = err_set(err, ENOMEM, "pull");
	registry_call_done(&c);
	return k;
}

/* Fetches a small document whole; @digest, when not NULL, is what it has to have. */
static int get_document(struct fetch *f, const char *kind, const char *name, const char *digest,
			size_t max, struct registry_call *c, struct err *err)
{
	char hex[SHA256_HEX_MAX];
	int k = registry_call_init(f->registry, c, kind, name, err);

	if (k < 0)
		return k;
	c->req.accept = strcmp(kind, "manifests") == 0 ? MANIFEST_ACCEPT : NULL;
	c->req.body_max = max;
	k = registry_run(f->registry, c, err);
	if (k < 0 || !digest)
		return k;
	(void) sha256_hex(buf_str(&c->req.body), c->req.body.len, hex);
	if (strcmp(hex, digest + 7) != 0)
		return err_set(err, EBADMSG, "%s %s: the content has the digest sha256:%s: refused",
			       kind, digest, hex);
	return 0;
}

/* @digest NULL: by tag, and then f->digest is what the bytes say. */
static int get_manifest(struct fetch *f, const char *digest, struct manifest *ret, struct err *err)
{
	struct registry_call c = {};
	char hex[SHA256_HEX_MAX], found[7 + SHA256_HEX_MAX] = "sha256:";
	int k = get_document(f, "manifests", digest ? digest : f->ref.tag, digest,
			     MANIFEST_BYTES_MAX, &c, err);

	if (k == 0)
		k = manifest_decode(c.req.content_type, buf_str(&c.req.body), c.req.body.len, ret,
				    err);
	if (k == 0 && !digest) {
		memcpy(found + 7, sha256_hex(buf_str(&c.req.body), c.req.body.len, hex),
		       SHA256_HEX_MAX);
		if (strdup_to(&f->digest, found) < 0)
			k = err_set(err, ENOMEM, "pull");
	}
	registry_call_done(&c);
	return k;
}

static int get_entry(void *userdata, const struct descriptor *d, struct manifest *ret,
		     struct err *err)
{
	return get_manifest(userdata, d->digest, ret, err);
}

static int choose_manifest(struct fetch *f, struct manifest *m, struct err *err)
{
	int k = manifest_follow(m, &f->platform, get_entry, f, err);

	if (k == MANIFEST_E_NONE)
		return err_set(err, ENOENT,
			       "no matching manifest for %s/%s%s%s in the manifest list entries",
			       f->platform.os, f->platform.architecture,
			       f->platform.variant ? "/" : "",
			       f->platform.variant ? f->platform.variant : "");
	return k;
}

static int put_refs(struct fetch *f, const char *id, struct err *err)
{
	_cleanup_(freep) char *by_digest = reference_text_by_digest(&f->ref, f->digest);
	struct store_ref ref = { .reference = by_digest,
				 .digest = f->digest,
				 .id = (char *) id,
				 .origin = (char *) "pull",
				 .at_ms = clock_real_ms() };
	int k;

	if (!by_digest)
		return err_set(err, ENOMEM, "record reference");
	k = store_put_ref(f->p->store, &ref, err);
	if (k < 0 || strcmp(by_digest, f->canonical) == 0)
		return k;
	ref.reference = f->canonical;
	return store_put_ref(f->p->store, &ref, err);
}

/* The bytes that make the image, once the manifest is known. */
static int fetch_content(struct fetch *f, const struct manifest *m, struct err *err)
{
	_cleanup_(image_document_done) struct image_document doc = {};
	struct registry_call c = {};
	struct layer_env env = { .store = f->p->store,
				 .registry = f->registry,
				 .unpacker_program = f->p->unpacker_program,
				 .fetch_locks = -EBADF };
	_cleanup_(closep) int lock = -EBADF; /* against removal, until the references stand */
	const struct fetch_layers layers = { .env = &env,
					     .blobs = m->items,
					     .n_blobs = m->n_items,
					     .doc = &doc,
					     .id = m->config.digest,
					     .report = f->p->report };
	int k = get_document(f, "blobs", m->config.digest, m->config.digest,
			     MANIFEST_CONFIG_BYTES_MAX, &c, err);

	if (k == 0)
		k = image_document_decode(buf_str(&c.req.body), c.req.body.len, &doc, err);
	registry_call_done(&c);
	if (k == 0)
		k = store_lock(f->p->store, &lock, STORE_LOCK_USE, m->config.digest, false, true,
			       err);
	if (k == 0)
		k = fetch_layers(&layers, err);
	(void) unpacker_stop(env.unpacker);
	(void) safe_close(env.fetch_locks);
	return k == 0 ? put_refs(f, m->config.digest, err) : k;
}

static bool is_current(const struct fetch *f)
{
	return fits_platform(f) && f->digest && f->cached->digest &&
	       strcmp(f->cached->digest, f->digest) == 0;
}

static void on_retry(const char *text, void *userdata)
{
	report_retry(userdata, text);
}

static int run_pull(struct fetch *f, bool *ret_from_cache, bool *ret_got_manifest, struct err *err)
{
	_cleanup_(manifest_done) struct manifest m = {};
	_cleanup_(freep) char *mirror = NULL;
	struct registry_params rp = { .reference = &f->ref,
				      .username = f->p->username,
				      .password = f->p->password,
				      .plain_http = f->p->plain_http,
				      .certs_dir = f->p->certs_dir,
				      .inactivity_timeout_ms = f->p->inactivity_timeout_ms,
				      .interrupted = fetch_is_interrupted,
				      .on_retry = on_retry,
				      .userdata = f->p->report };
	int k = mirror_find(f->p->mirrors, f->ref.domain, &mirror, err);

	rp.mirror = mirror;
	if (k == 0)
		k = registry_open(&rp, &f->registry, err);

	if (k == 0 && f->ref.digest && strdup_to(&f->digest, f->ref.digest) < 0)
		k = err_set(err, ENOMEM, "pull");
	if (k == 0 && !f->digest)
		k = ask_digest(f, f->ref.tag, err);
	if (k == 0 && is_current(f)) {
		tell_digest(f);
		*ret_from_cache = true;
		return 0;
	}
	if (k == 0)
		k = get_manifest(f, f->digest, &m, err);
	if (k == 0)
		tell_digest(f);
	if (k == 0 && m.is_index)
		k = choose_manifest(f, &m, err);
	if (k < 0)
		return k;
	*ret_got_manifest = true;
	return fetch_content(f, &m, err);
}

static enum image_pull_failure kind_of(int code, bool got_manifest)
{
	switch (-code) {
	case ENOSPC:
	case EDQUOT:
		return IMAGE_PULL_E_NO_SPACE;
	case EACCES:
		return IMAGE_PULL_E_AUTH;
	case ECANCELED:
		return IMAGE_PULL_E_CANCELLED;
	case ETIMEDOUT:
		return got_manifest ? IMAGE_PULL_E_INACTIVE : IMAGE_PULL_E_MANIFEST;
	case ENOMEM:
	case EPERM:
		return IMAGE_PULL_E_INTERNAL;
	default:
		return got_manifest ? IMAGE_PULL_E_PULL : IMAGE_PULL_E_MANIFEST;
	}
}

static int use_cache(struct fetch *f, struct image **ret, bool *ret_from_cache, struct err *err)
{
	if (!f->digest && strdup_to(&f->digest, f->cached->digest) < 0)
		return err_set(err, ENOMEM, "pull");
	tell_digest(f);
	*ret_from_cache = true;
	*ret = TAKE_PTR(f->cached);
	return 0;
}

int fetch_image(const struct fetch_params *p, struct image **ret, bool *ret_from_cache,
		char **ret_why_cached, enum image_pull_failure *ret_kind, struct err *err)
{
	_cleanup_(fetch_done) struct fetch f = { .p = p };
	_cleanup_(err_done) struct err why = {};
	bool got_manifest = false;
	int k;

	*ret_from_cache = false;
	*ret_why_cached = NULL;
	*ret_kind = IMAGE_PULL_E_MANIFEST;
	k = prepare(&f, err);
	if (k < 0)
		return k;
	if (cache_suffices(&f))
		return use_cache(&f, ret, ret_from_cache, err);
	k = run_pull(&f, ret_from_cache, &got_manifest, &why);
	if (k == 0) {
		k = image_store_lookup(p->store, f.canonical, ret, &why);
		if (k == IMAGE_E_NOT_FOUND)
			k = err_set(&why, EIO, "the image was removed while it was pulled");
	}
	if (k == 0)
		return 0;
	*ret_kind = kind_of(k, got_manifest);
	if (fits_platform(&f) && p->behavior == IMAGE_PULL_DEFAULT && k != -ECANCELED) {
		/* What the tag stands for now could not be had; the digest told is the one used. */
		if (!f.resolved)
			(void) strdup_to(&f.digest, f.cached->digest);
		*ret_why_cached = strdup(err_text(&why));
		return use_cache(&f, ret, ret_from_cache, err);
	}
	return err_move(err, &why);
}
