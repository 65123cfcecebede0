/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/unpack/sparse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/macro.h"

void sparse_done(struct sparse *s)
{
	free(s->extents);
	*s = (struct sparse){};
}

static int add_room(struct sparse *s, struct err *err)
{
	size_t n = MAX(s->allocated * 2, (size_t) 64);
	struct tar_extent *p;

	if (s->n_extents < s->allocated)
		return 0;
	if (s->n_extents == SPARSE_EXTENTS_MAX)
		return err_set(err, EPROTO, "a sparse file has more than %d parts",
			       SPARSE_EXTENTS_MAX);
	p = realloc(s->extents, n * sizeof(*p));
	if (!p)
		return err_set(err, ENOMEM, "read sparse file");
	s->extents = p;
	s->allocated = n;
	return 0;
}

int sparse_add(struct sparse *s, int64_t offset, int64_t len, struct err *err)
{
	const struct tar_extent *last = s->n_extents ? &s->extents[s->n_extents - 1] : NULL;
	int k;

	if (offset < 0 || len < 0 || offset > INT64_MAX - len ||
	    (last && offset < last->offset + last->len))
		return err_set(err, EPROTO,
			       "the parts of a sparse file overlap or are not in order");
	k = add_room(s, err);
	if (k < 0)
		return k;
	s->present = true;
	s->extents[s->n_extents++] = (struct tar_extent){ offset, len };
	return 0;
}

/* pax 0.1: "offset,length,offset,length" */
static int take_map(struct sparse *s, const char *text, struct err *err)
{
	while (*text) {
		int64_t pair[2];

		for (int i = 0; i < 2; i++) {
			char *end;

			errno = 0;
			pair[i] = *text >= '0' && *text <= '9' ? strtoll(text, &end, 10) : -1;
			if (pair[i] < 0 || errno || (*end != ',' && (i == 0 || *end != '\0')))
				return err_set(err, EPROTO,
					       "pax header: GNU.sparse.map is not a list of pairs");
			text = end + (*end == ',');
		}
		if (sparse_add(s, pair[0], pair[1], err) < 0)
			return err ? -err->code : -EPROTO;
	}
	return 0;
}

/* pax 0.0: an offset and a length take turns. */
static int take_half(struct sparse *s, bool is_offset, int64_t number, struct err *err)
{
	if (s->has_offset == is_offset)
		return err_set(err, EPROTO,
			       "pax header: GNU.sparse.offset and numbytes do not take turns");
	s->has_offset = is_offset;
	if (!is_offset)
		return sparse_add(s, s->offset, number, err);
	s->offset = number;
	return 0;
}

int sparse_take_record(struct sparse *s, const char *key, const char *value, struct err *err)
{
	int64_t number;

	s->present = true;
	if (strcmp(key, "map") == 0)
		return take_map(s, value, err);
	if (tar_parse_decimal(value, &number) < 0 || number < 0)
		return err_set(err, EPROTO, "pax header: 'GNU.sparse.%.20s' has the value '%.40s'",
			       key, value);
	if (strcmp(key, "offset") == 0 || strcmp(key, "numbytes") == 0)
		return take_half(s, *key == 'o', number, err);
	if (strcmp(key, "major") == 0)
		s->major = number;
	else if (strcmp(key, "minor") == 0)
		s->minor = number;
	else if (strcmp(key, "size") == 0 || strcmp(key, "realsize") == 0)
		s->size = number, s->has_size = true;
	else if (strcmp(key, "numblocks") != 0)
		return err_set(err, EPROTO, "pax header: 'GNU.sparse.%.20s' is not known", key);
	return 0;
}

static int take_number(struct sparse *s, struct sparse_text *t, struct err *err)
{
	int64_t number = t->number;

	t->number = 0;
	t->digits = false;
	if (!t->counted) {
		if (number > SPARSE_EXTENTS_MAX)
			return err_set(err, EPROTO, "a sparse file has more than %d parts",
				       SPARSE_EXTENTS_MAX);
		t->counted = true;
		t->wanted = 2 * number;
		t->done = number == 0;
		return 0;
	}
	t->done = --t->wanted == 0;
	t->odd = !t->odd;
	if (!t->odd)
		return sparse_add(s, t->offset, number, err);
	t->offset = number;
	return 0;
}

int sparse_take_text(struct sparse *s, struct sparse_text *t, const char *text, size_t len,
		     struct err *err)
{
	for (size_t i = 0; i < len && !t->done; i++) {
		int k = 0;

		if (text[i] == '\n' && t->digits)
			k = take_number(s, t, err);
		else if (text[i] < '0' || text[i] > '9' || t->number > INT64_MAX / 10 - 1)
			k = err_set(err, EPROTO, "the map of a sparse file is damaged");
		else
			t->number = t->number * 10 + (text[i] - '0'), t->digits = true;
		if (k < 0)
			return k;
	}
	return 0;
}

int sparse_check(const struct sparse *s, int64_t packed, struct err *err)
{
	const struct tar_extent *last = s->n_extents ? &s->extents[s->n_extents - 1] : NULL;
	int64_t sum = 0;

	if (!s->has_size || s->has_offset)
		return err_set(err, EPROTO, "%s",
			       s->has_size ? "the last part of a sparse file has no length"
					   : "a sparse file without its size");
	for (size_t i = 0; i < s->n_extents; i++)
		sum += s->extents[i].len; /* apart from each other: no overflow */
	if (last && last->offset + last->len > s->size)
		return err_set(err, EPROTO, "a sparse file has a part beyond its end");
	if (sum != packed)
		return err_set(err, EPROTO,
			       "the parts of a sparse file make %lld bytes, the archive has %lld",
			       (long long) sum, (long long) packed);
	return 0;
}
