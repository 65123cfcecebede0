/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/unpack/tar.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/macro.h"
#include "runtime/unpack/sparse.h"

enum { BLOCK = 512, BUFFER = 256 * 1024 };

/* The header block of POSIX.1; every field is text that may lack its NUL. */
struct header {
	char name[100];
	char mode[8];
	char uid[8];
	char gid[8];
	char size[12];
	char mtime[12];
	char checksum[8];
	char type;
	char link[100];
	char magic[6];
	char version[2];
	char uname[32];
	char gname[32];
	char dev_major[8];
	char dev_minor[8];
	union {
		struct {
			char prefix[155];
			char padding[12];
		};
		struct {
			char times[41]; /* and what else old GNU tar has here */
			struct gnu_extent {
				char offset[12];
				char len[12];
			} extents[4];
			char extended; /* blocks with more of them follow */
			char real_size[12];
		} gnu;
	};
};

/* What follows an old GNU header that is extended. */
struct gnu_extension {
	struct gnu_extent extents[21];
	char extended;
	char padding[7];
};

/* What a pax header (or a GNU long name) says about the next entry. */
struct extension {
	char *pax; /* owned: the records, cut up with NULs; the rest points into it */
	char *gnu_path, *gnu_link; /* owned */
	const char *path, *link, *sparse_name;
	bool has_size, has_uid, has_gid, has_mtime;
	int64_t size, uid, gid;
	struct timespec mtime;
	struct tar_xattr xattrs[TAR_XATTRS_MAX];
	size_t n_xattrs;
	struct sparse sparse;
};

struct tar {
	tar_read_fn read;
	void *userdata;
	void (*tap)(void *userdata, const void *data, size_t len);
	void *tap_userdata;
	uint8_t *buf; /* owned; BUFFER bytes, pos..end are unread */
	size_t pos, end;
	int64_t left;    /* of the current file */
	int64_t padding; /* after it */
	struct extension ext;
	char path[TAR_PATH_MAX + 1], link[TAR_PATH_MAX + 1];
};

int tar_open(tar_read_fn read, void *userdata, struct tar **ret, struct err *err)
{
	_cleanup_(tar_closep) struct tar *t = calloc(1, sizeof(*t));

	if (t)
		t->buf = malloc(BUFFER);
	if (!t || !t->buf)
		return err_set(err, ENOMEM, "allocate tar reader");
	t->read = read;
	t->userdata = userdata;
	*ret = TAKE_PTR(t);
	return 0;
}

static void drop_extension(struct tar *t)
{
	free(t->ext.pax);
	free(t->ext.gnu_path);
	free(t->ext.gnu_link);
	sparse_done(&t->ext.sparse);
	memset(&t->ext, 0, offsetof(struct extension, xattrs));
	t->ext.n_xattrs = 0;
}

struct tar *tar_close(struct tar *t)
{
	if (!t)
		return NULL;
	drop_extension(t);
	free(t->buf);
	free(t);
	return NULL;
}

/* Makes unread bytes available; *ret_len 0 at the end of the input. */
static int fill(struct tar *t, size_t *ret_len, struct err *err)
{
	if (t->pos == t->end) {
		ssize_t n = t->read(t->userdata, t->buf, BUFFER);

		if (n < 0)
			return err_set_errno(err, (int) -n, "read archive");
		t->pos = 0;
		t->end = (size_t) n;
	}
	*ret_len = t->end - t->pos;
	return 0;
}

void tar_set_tap(struct tar *t, void (*tap)(void *userdata, const void *data, size_t len),
		 void *userdata)
{
	t->tap = tap;
	t->tap_userdata = userdata;
}

/* @len of the unread bytes are done with. */
static void advance(struct tar *t, size_t len)
{
	if (t->tap)
		t->tap(t->tap_userdata, t->buf + t->pos, len);
	t->pos += len;
}

/*
 * Reads exactly @len bytes. Returns 0, TAR_E_END when the
 * input ended before the first, or -errno.
 */
static int take(struct tar *t, void *dst, size_t len, struct err *err)
{
	size_t got = 0;

	while (got < len) {
		size_t n = 0;
		int k = fill(t, &n, err);

		if (k < 0)
			return k;
		if (n == 0)
			return got == 0 ? TAR_E_END
					: err_set(err, EPROTO, "the archive is cut short");
		n = MIN(n, len - got);
		memcpy((char *) dst + got, t->buf + t->pos, n);
		advance(t, n);
		got += n;
	}
	return 0;
}

static int skip(struct tar *t, int64_t len, struct err *err)
{
	while (len > 0) {
		size_t n = 0;
		int k = fill(t, &n, err);

		if (k < 0)
			return k;
		if (n == 0)
			return err_set(err, EPROTO, "the archive is cut short");
		n = (size_t) MIN((int64_t) n, len);
		advance(t, n);
		len -= (int64_t) n;
	}
	return 0;
}

/* Octal text, or base 256 (two's complement, top bit of the first byte set) when it did not fit. */
int tar_parse_number(const char *field, size_t len, int64_t *ret)
{
	const unsigned char *p = (const unsigned char *) field;
	uint64_t v = 0;
	size_t i = 0;

	if (p[0] & 0x80) {
		uint64_t sign = p[0] & 0x40 ? UINT64_MAX : 0;

		v = sign << 6 | (p[0] & 0x3f);
		for (i = 1; i < len; i++) {
			if (v >> 55 != (sign & 0x1ff))
				return -ERANGE;
			v = v << 8 | p[i];
		}
		*ret = (int64_t) v;
		return 0;
	}
	while (i < len && p[i] == ' ')
		i++;
	for (; i < len && p[i] >= '0' && p[i] <= '7'; i++)
		v = v << 3 | (unsigned int) (p[i] - '0'); /* twelve digits fit */
	if (i < len && p[i] != ' ' && p[i] != '\0')
		return -EINVAL;
	*ret = (int64_t) v;
	return 0;
}

static bool checksum_is_right(const struct header *h)
{
	const unsigned char *p = (const unsigned char *) h;
	int64_t wanted, sum = 0, signed_sum = 0;

	if (tar_parse_number(h->checksum, sizeof(h->checksum), &wanted) < 0)
		return false;
	for (size_t i = 0; i < BLOCK; i++) {
		bool blank =
			i >= offsetof(struct header, checksum) && i < offsetof(struct header, type);

		sum += blank ? ' ' : p[i];
		signed_sum += blank ? ' ' : (signed char) p[i];
	}
	return wanted == sum || wanted == signed_sum;
}

static bool is_zero(const struct header *h)
{
	const char *p = (const char *) h;

	for (size_t i = 0; i < BLOCK; i++)
		if (p[i])
			return false;
	return true;
}

static int copy_path(char dst[TAR_PATH_MAX + 1], const char *prefix, size_t prefix_len,
		     const char *name, size_t name_len, struct err *err)
{
	size_t joint = prefix_len > 0 ? prefix_len + 1 : 0;

	if (joint + name_len > TAR_PATH_MAX)
		return err_set(err, EPROTO, "a path of %zu bytes is longer than %d",
			       joint + name_len, TAR_PATH_MAX);
	if (joint) {
		memcpy(dst, prefix, prefix_len);
		dst[prefix_len] = '/';
	}
	memcpy(dst + joint, name, name_len);
	dst[joint + name_len] = '\0';
	return 0;
}

/*
 * Some writers (umoci 0.4 insert) end the stream right behind the last file's content, with neither
 * padding nor end marker. Nothing of a file is missing then, and every reader takes it.
 */
static int skip_padding(struct tar *t, struct err *err)
{
	size_t n = 0;
	int k = t->padding > 0 ? fill(t, &n, err) : 0;

	return k < 0 || n == 0 ? k : skip(t, t->padding, err);
}

/* Reads the body of an extension header: owned, NUL-terminated. */
static int read_body(struct tar *t, int64_t size, char **ret, struct err *err)
{
	_cleanup_(freep) char *body = NULL;
	int k;

	if (size < 0 || size > TAR_EXTENSION_MAX)
		return err_set(err, EPROTO, "an extension header of %lld bytes is larger than %d",
			       (long long) size, TAR_EXTENSION_MAX);
	body = malloc((size_t) size + 1);
	if (!body)
		return err_set(err, ENOMEM, "read extension header");
	k = size > 0 ? take(t, body, (size_t) size, err) : 0;
	if (k == 0)
		k = skip(t, -size & (BLOCK - 1), err);
	if (k != 0)
		return k == TAR_E_END ? err_set(err, EPROTO, "the archive is cut short") : k;
	body[size] = '\0';
	*ret = TAKE_PTR(body);
	return 0;
}

int tar_parse_decimal(const char *text, int64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoll(text, &end, 10);
	return errno || end == text || *end ? -EINVAL : 0;
}

/* "1350244992.023960108", also negative. */
static int parse_time(const char *text, struct timespec *ret)
{
	long scale = 100000000, nsec = 0;
	char *dot;

	errno = 0;
	ret->tv_sec = strtoll(text, &dot, 10);
	if (errno || dot == text || (*dot && *dot != '.'))
		return -EINVAL;
	for (; *dot && *++dot >= '0' && *dot <= '9'; scale /= 10)
		nsec += (*dot - '0') * scale;
	if (*dot)
		return -EINVAL;
	if (*text == '-' && nsec > 0) {
		ret->tv_sec--;
		nsec = 1000000000 - nsec;
	}
	ret->tv_nsec = nsec;
	return 0;
}

static int add_xattr(struct extension *x, const char *name, const char *value, size_t len,
		     struct err *err)
{
	if (x->n_xattrs == TAR_XATTRS_MAX)
		return err_set(err, EPROTO, "an entry has more than %d extended attributes",
			       TAR_XATTRS_MAX);
	if (len > TAR_XATTR_VALUE_MAX || strlen(name) > 255)
		return err_set(err, EPROTO, "extended attribute '%.64s' is larger than %d bytes",
			       name, TAR_XATTR_VALUE_MAX);
	x->xattrs[x->n_xattrs++] = (struct tar_xattr){ name, value, len };
	return 0;
}

/* One record; @value is NUL-terminated and may hold NULs when it is an attribute's. */
static int apply_record(struct extension *x, const char *key, const char *value, size_t len,
			struct err *err)
{
	int k = 0;

	if (strncmp(key, "SCHILY.xattr.", 13) == 0)
		return add_xattr(x, key + 13, value, len, err);
	if (strncmp(key, "GNU.sparse.", 11) == 0 && strcmp(key + 11, "name") != 0)
		return sparse_take_record(&x->sparse, key + 11, value, err);
	if (len == 0) /* takes back what an earlier header said; the entry's own field serves */
		return 0;
	if (strcmp(key, "GNU.sparse.name") == 0) /* path is a name for readers that cannot */
		x->sparse_name = value;
	else if (strcmp(key, "path") == 0)
		x->path = value;
	else if (strcmp(key, "linkpath") == 0)
		x->link = value;
	else if (strcmp(key, "size") == 0)
		k = tar_parse_decimal(value, &x->size), x->has_size = true;
	else if (strcmp(key, "uid") == 0)
		k = tar_parse_decimal(value, &x->uid), x->has_uid = true;
	else if (strcmp(key, "gid") == 0)
		k = tar_parse_decimal(value, &x->gid), x->has_gid = true;
	else if (strcmp(key, "mtime") == 0)
		k = parse_time(value, &x->mtime), x->has_mtime = true;
	else
		return 0;
	if (k < 0 || strlen(value) != len)
		return err_set(err, EPROTO, "pax header: '%s' has the value '%.40s'", key, value);
	return 0;
}

/* "<length> <key>=<value>\n", the length counting itself. */
static int parse_pax(struct extension *x, size_t size, struct err *err)
{
	char *p = x->pax, *end = x->pax + size;

	while (p < end) {
		char *body, *equals;
		long len;

		if (*p < '1' || *p > '9')
			return err_set(err, EPROTO, "pax header: a record without its length");
		len = strtol(p, &body, 10);
		if (len < 5 || len > end - p || *body != ' ' || p[len - 1] != '\n')
			return err_set(err, EPROTO, "pax header: a record of a wrong length");
		body++;
		equals = body < p + len ? memchr(body, '=', (size_t) (p + len - body)) : NULL;
		if (!equals || equals == body)
			return err_set(err, EPROTO, "pax header: a record without '='");
		*equals = '\0';
		p[len - 1] = '\0';
		if (apply_record(x, body, equals + 1, (size_t) (p + len - 1 - (equals + 1)), err) <
		    0)
			return err ? -err->code : -EPROTO;
		p += len;
	}
	return 0;
}

/* Reads an extension. Returns 0, or 1 when @h is an entry. */
static int take_extension(struct tar *t, const struct header *h, struct err *err)
{
	struct extension *x = &t->ext;
	_cleanup_(freep) char *body = NULL;
	int64_t size;

	if (!strchr("xgXLK", h->type) || h->type == '\0')
		return 1;
	if (tar_parse_number(h->size, sizeof(h->size), &size) < 0)
		return err_set(err, EPROTO, "header: size is not a number");
	if (read_body(t, size, &body, err) < 0)
		return err ? -err->code : -EPROTO;
	if (h->type == 'g') /* defaults for all entries; image layers carry comments in them */
		return 0;
	if (h->type == 'L' || h->type == 'K') {
		char **slot = h->type == 'L' ? &x->gnu_path : &x->gnu_link;

		free(*slot);
		*slot = TAKE_PTR(body);
		return 0;
	}
	if (x->pax)
		return err_set(err, EPROTO, "two pax headers before one entry");
	x->pax = TAKE_PTR(body);
	return parse_pax(x, (size_t) size, err);
}

static int fill_names(struct tar *t, const struct header *h, struct err *err)
{
	const struct extension *x = &t->ext;
	bool posix = memcmp(h->magic, "ustar", 6) == 0;
	const char *path = x->sparse_name ? x->sparse_name : x->path ? x->path : x->gnu_path;
	const char *link = x->link ? x->link : x->gnu_link;
	int k;

	if (path)
		k = copy_path(t->path, NULL, 0, path, strlen(path), err);
	else
		k = copy_path(t->path, h->prefix, posix ? strnlen(h->prefix, sizeof(h->prefix)) : 0,
			      h->name, strnlen(h->name, sizeof(h->name)), err);
	if (k == 0 && link)
		k = copy_path(t->link, NULL, 0, link, strlen(link), err);
	else if (k == 0)
		k = copy_path(t->link, NULL, 0, h->link, strnlen(h->link, sizeof(h->link)), err);
	if (k == 0 && t->path[0] == '\0')
		k = err_set(err, EPROTO, "an entry without a name");
	return k;
}

static int fill_type(struct tar *t, const struct header *h, struct tar_entry *e, struct err *err)
{
	size_t len = strlen(t->path);

	switch (h->type) {
	case '0':
	case '\0':
	case '7':
		/* before ustar a directory was a file with a slash */
		e->type = t->path[len - 1] == '/' ? TAR_DIRECTORY : TAR_FILE;
		return 0;
	case '1':
	case '2':
	case '3':
	case '4':
	case '5':
	case '6':
		e->type = (enum tar_type)(h->type - '0');
		return 0;
	case 'S':
		e->type = TAR_FILE;
		return 0;
	default:
		return err_set(err, EPROTO, "'%.200s': entries of type 0x%02x are not supported",
			       t->path, (unsigned char) h->type);
	}
}

static int fill_numbers(struct tar *t, const struct header *h, struct tar_entry *e, struct err *err)
{
	const struct extension *x = &t->ext;
	int64_t mode = 0, uid = 0, gid = 0, mtime = 0, dmaj = 0, dmin = 0;
	int64_t size = 0;

	if (tar_parse_number(h->mode, sizeof(h->mode), &mode) < 0 ||
	    tar_parse_number(h->uid, sizeof(h->uid), &uid) < 0 ||
	    tar_parse_number(h->gid, sizeof(h->gid), &gid) < 0 ||
	    tar_parse_number(h->size, sizeof(h->size), &size) < 0 ||
	    tar_parse_number(h->mtime, sizeof(h->mtime), &mtime) < 0)
		return err_set(err, EPROTO, "'%.200s': a header field is not a number", t->path);
	if ((e->type == TAR_CHAR || e->type == TAR_BLOCK) &&
	    (tar_parse_number(h->dev_major, sizeof(h->dev_major), &dmaj) < 0 ||
	     tar_parse_number(h->dev_minor, sizeof(h->dev_minor), &dmin) < 0))
		return err_set(err, EPROTO, "'%.200s': a device number is not a number", t->path);
	uid = x->has_uid ? x->uid : uid;
	gid = x->has_gid ? x->gid : gid;
	size = x->has_size ? x->size : size;
	if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX)
		return err_set(err, EPROTO, "'%.200s': owner %lld:%lld is outside 0..4294967294",
			       t->path, (long long) uid, (long long) gid);
	if (size < 0 || size > INT64_MAX - BLOCK)
		return err_set(err, EPROTO, "'%.200s': size is outside 0..2^63", t->path);
	if (dmaj < 0 || dmaj > 0xfffff || dmin < 0 || dmin > 0xfffff)
		return err_set(err, EPROTO, "'%.200s': device number %lld:%lld is out of range",
			       t->path, (long long) dmaj, (long long) dmin);
	e->mode = (mode_t) (mode & 07777);
	e->uid = (uid_t) uid;
	e->gid = (gid_t) gid;
	e->size = e->type == TAR_FILE ? size : 0; /* other types have no body, whatever they say */
	e->mtime = x->has_mtime ? x->mtime : (struct timespec){ .tv_sec = mtime };
	e->dev_major = (uint32_t) dmaj;
	e->dev_minor = (uint32_t) dmin;
	return 0;
}

static int add_gnu_extents(struct sparse *s, const struct gnu_extent *x, size_t n, struct err *err)
{
	for (size_t i = 0; i < n && x[i].len[0] != '\0'; i++) {
		int64_t offset, len;
		int k;

		if (tar_parse_number(x[i].offset, sizeof(x[i].offset), &offset) < 0 ||
		    tar_parse_number(x[i].len, sizeof(x[i].len), &len) < 0)
			return err_set(err, EPROTO, "a part of a sparse file is not a number");
		k = sparse_add(s, offset, len, err);
		if (k < 0)
			return k;
	}
	return 0;
}

/* Blocks that are no part of the entry's size. */
static int read_gnu_sparse(struct tar *t, const struct header *h, struct err *err)
{
	struct sparse *s = &t->ext.sparse;
	struct gnu_extension more;
	bool extended = h->gnu.extended != '\0';
	int k = add_gnu_extents(s, h->gnu.extents, ARRAY_SIZE(h->gnu.extents), err);

	if (tar_parse_number(h->gnu.real_size, sizeof(h->gnu.real_size), &s->size) < 0)
		return err_set(err, EPROTO, "the size of a sparse file is not a number");
	s->present = s->has_size = true;
	while (k == 0 && extended) {
		k = take(t, &more, sizeof(more), err);
		if (k == TAR_E_END)
			k = err_set(err, EPROTO, "the archive is cut short");
		if (k == 0)
			k = add_gnu_extents(s, more.extents, ARRAY_SIZE(more.extents), err);
		extended = more.extended != '\0';
	}
	return k;
}

/* pax 1.0: whole blocks in front of the content. */
static int read_sparse_text(struct tar *t, struct err *err)
{
	struct sparse_text text = {};
	char block[BLOCK];

	while (!text.done) {
		int k = t->left < BLOCK ? TAR_E_END : take(t, block, sizeof(block), err);

		if (k == 0)
			k = sparse_take_text(&t->ext.sparse, &text, block, sizeof(block), err);
		if (k != 0)
			return k < 0 ? k
				     : err_set(err, EPROTO,
					       "the map of a sparse file is cut short");
		t->left -= BLOCK;
	}
	return 0;
}

static int fill_sparse(struct tar *t, const struct header *h, struct tar_entry *e, struct err *err)
{
	struct sparse *s = &t->ext.sparse;
	bool text = s->major == 1 && s->minor == 0;
	int k = 0;

	if (e->type != TAR_FILE)
		return err_set(err, EPROTO, "what is sparse is no file");
	if (s->present && !text && (s->major != 0 || s->minor > 1))
		return err_set(err, EPROTO, "sparse files of version %lld.%lld are not supported",
			       (long long) s->major, (long long) s->minor);
	if (text && s->n_extents > 0)
		return err_set(err, EPROTO, "a sparse file has two maps");
	if (h->type == 'S')
		k = s->present ? err_set(err, EPROTO, "a sparse file has two maps")
			       : read_gnu_sparse(t, h, err);
	else if (text)
		k = read_sparse_text(t, err);
	if (k == 0)
		k = sparse_check(s, t->left, err);
	if (k < 0)
		return k;
	e->size = s->size;
	e->sparse = true;
	e->extents = s->extents;
	e->n_extents = s->n_extents;
	return 0;
}

static int fill_entry(struct tar *t, const struct header *h, struct tar_entry *e, struct err *err)
{
	int k = fill_names(t, h, err);

	if (k == 0)
		k = fill_type(t, h, e, err);
	if (k == 0)
		k = fill_numbers(t, h, e, err);
	if (k < 0)
		return k;
	e->path = t->path;
	e->link = e->type == TAR_HARDLINK || e->type == TAR_SYMLINK ? t->link : "";
	e->xattrs = t->ext.xattrs;
	e->n_xattrs = t->ext.n_xattrs;
	t->left = e->size;
	t->padding = -e->size & (BLOCK - 1);
	if (h->type == 'S' || t->ext.sparse.present)
		k = fill_sparse(t, h, e, err);
	return k < 0 && err ? err_wrap(err, "'%.200s'", t->path) : k;
}

int tar_next(struct tar *t, struct tar_entry *ret, struct err *err)
{
	struct header h;
	int k = skip(t, t->left, err);

	if (k == 0)
		k = skip_padding(t, err);
	t->left = t->padding = 0;
	drop_extension(t);
	while (k == 0) {
		k = take(t, &h, sizeof(h), err);
		if (k != 0)
			return k;
		if (is_zero(&h))
			return TAR_E_END;
		if (!checksum_is_right(&h))
			return err_set(err, EPROTO, "not a tar archive, or a damaged header");
		k = take_extension(t, &h, err);
	}
	if (k < 0)
		return k;
	*ret = (struct tar_entry){};
	return fill_entry(t, &h, ret, err);
}

int tar_data(struct tar *t, const void **ret_data, size_t *ret_len, struct err *err)
{
	size_t n = 0;
	int k;

	*ret_len = 0;
	if (t->left == 0)
		return 0;
	k = fill(t, &n, err);
	if (k < 0)
		return k;
	if (n == 0)
		return err_set(err, EPROTO, "the archive is cut short");
	n = (size_t) MIN((int64_t) n, t->left);
	*ret_data = t->buf + t->pos;
	*ret_len = n;
	t->pos += n;
	t->left -= (int64_t) n;
	return 0;
}

int tar_drain(struct tar *t, struct err *err)
{
	size_t n = 1;
	int k = 0;

	while (k == 0 && n > 0) {
		advance(t, t->end - t->pos);
		k = fill(t, &n, err);
	}
	return k;
}
