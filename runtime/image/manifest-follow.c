/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From an index to the manifest of an image. An entry may be an index again (the standard allows
 * it, some build tools write it); how deep that goes and how many documents are read has an end.
 */
#include <errno.h>
#include <string.h>

#include "runtime/image/manifest.h"

struct walk {
	const struct platform *want;
	manifest_get_fn get;
	void *userdata;
	size_t documents;
	const char *above[MANIFEST_DEPTH_MAX]; /* borrowed: digests of the indexes we are in */
};

static int follow(struct walk *w, const struct manifest *index, size_t depth, struct manifest *ret,
		  struct err *err);

static int enter(struct walk *w, const struct descriptor *d, size_t depth, struct manifest *ret,
		 struct err *err)
{
	_cleanup_(manifest_done) struct manifest m = {};
	int k;

	for (size_t i = 0; i < depth; i++)
		if (strcmp(w->above[i], d->digest) == 0)
			return err_set(err, EPROTO, "manifest: the index %.19s leads to itself",
				       d->digest);
	if (++w->documents > MANIFEST_DOCUMENTS_MAX)
		return err_set(err, EPROTO, "manifest: more than %d documents within an index",
			       MANIFEST_DOCUMENTS_MAX);
	k = w->get(w->userdata, d, &m, err);
	if (k == 0 && m.media_type && manifest_type_is_known(d->media_type) &&
	    strcmp(m.media_type, d->media_type) != 0)
		k = err_set(err, EPROTO,
			    "manifest: %.19s is of type '%s' where its index says '%.100s'",
			    d->digest, m.media_type, d->media_type);
	if (k == 0 && m.is_index && depth == MANIFEST_DEPTH_MAX)
		k = err_set(err, EPROTO, "manifest: an index within an index goes deeper than %d",
			    MANIFEST_DEPTH_MAX);
	if (k == 0 && m.is_index) {
		w->above[depth] = d->digest;
		return follow(w, &m, depth + 1, ret, err);
	}
	if (k == 0) {
		*ret = m;
		m = (struct manifest){};
	}
	return k;
}

/* What says to be for the platform comes first; then indexes that leave it to their entries. */
static int follow(struct walk *w, const struct manifest *index, size_t depth, struct manifest *ret,
		  struct err *err)
{
	const struct descriptor *d = manifest_choose(index, w->want);
	int k = MANIFEST_E_NONE;

	if (d)
		return enter(w, d, depth, ret, err);
	for (size_t i = 0; i < index->n_items && k == MANIFEST_E_NONE; i++) {
		d = &index->items[i];
		if (!d->platform.os && manifest_type_is_index(d->media_type))
			k = enter(w, d, depth, ret, err);
	}
	return k;
}

int manifest_follow(struct manifest *m, const struct platform *want, manifest_get_fn get,
		    void *userdata, struct err *err)
{
	struct walk w = { .want = want, .get = get, .userdata = userdata };
	struct manifest found = {};
	int k;

	if (!m->is_index)
		return 0;
	k = follow(&w, m, 0, &found, err);
	if (k != 0)
		return k;
	manifest_done(m);
	*m = found;
	return 0;
}
