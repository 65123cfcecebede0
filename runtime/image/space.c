/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/image/space.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	RATIO_TENTHS = 25,    /* of gzip and zstd, over layers of common images */
	INODES_PER_LAYER = 4, /* its directory, outline and record, and one file */
};

void space_add(struct space_need *n, const struct descriptor *blob)
{
	/* "…tar+gzip", "….tar.gzip", "…tar+zstd"; what ends with "tar" is just that, as is what
	 * docker save writes, without a type */
	const char *tar = blob->media_type ? strstr(blob->media_type, "tar") : NULL;
	bool packed = blob->media_type && (!tar || tar[3] != '\0');

	n->layers++;
	n->compressed += blob->size;
	n->at_least += blob->size;
	n->unpacked += packed ? blob->size / 10 * RATIO_TENTHS : blob->size;
	n->estimated |= packed;
}

static unsigned long long free_bytes(const struct statvfs *v)
{
	return (unsigned long long) v->f_bavail * v->f_frsize;
}

/* File systems without a table of inodes say that they have none at all. */
static bool inodes_suffice(const struct space_need *n, const struct statvfs *v)
{
	return v->f_files == 0 || (uint64_t) n->layers * INODES_PER_LAYER <= v->f_favail;
}

static int complain(const char *what, const struct space_need *n, const struct statvfs *v,
		    const char *dir, struct err *err)
{
	return err_set(
		err, ENOSPC,
		"%s: %lld layer%s to fetch take%s %lld bytes compressed and %s%lld unpacked; "
		"%llu of %llu bytes and %llu of %llu inodes are free in '%s'",
		what, (long long) n->layers, n->layers == 1 ? "" : "s", n->layers == 1 ? "s" : "",
		(long long) n->compressed, n->estimated ? "about " : "", (long long) n->unpacked,
		free_bytes(v), (unsigned long long) v->f_blocks * v->f_frsize,
		(unsigned long long) v->f_favail, (unsigned long long) v->f_files, dir);
}

int space_check(const struct space_need *n, const struct statvfs *v, const char *dir,
		struct err *err)
{
	if ((uint64_t) n->at_least <= free_bytes(v) && inodes_suffice(n, v))
		return 0;
	return complain("no space left on device", n, v, dir, err);
}

int space_explain(const struct space_need *n, const struct statvfs *v, const char *dir,
		  struct err *err)
{
	_cleanup_(freep) char *said = strdup(err_text(err));

	return said ? complain(said, n, v, dir, err) : -ENOSPC;
}
