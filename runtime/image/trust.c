/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/image/trust.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/fs.h"
#include "common/strv.h"

enum { PEM_MAX = 4 << 20 };

void trust_done(struct trust *t)
{
	free(t->authorities);
	free(t->client_cert);
	free(t->client_key);
	*t = (struct trust){};
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n > m && strcmp(text + n - m, end) == 0;
}

static int add_authority(struct buf *all, int dir_fd, const char *name, struct err *err)
{
	_cleanup_(freep) char *text = NULL;
	size_t len = 0;
	int k = fs_read_file(dir_fd, name, PEM_MAX, &text, &len, err);

	if (k < 0)
		return k;
	return buf_append(all, text, len) && buf_append(all, "\n", 1)
		       ? 0
		       : err_set(err, EFBIG, "'%s': too many authorities", name);
}

static int add_client(struct trust *t, int dir_fd, const char *dir, const char *name,
		      struct err *err)
{
	size_t stem = strlen(name) - strlen(".cert");
	_cleanup_(freep) char *key = path_join("%.*s.key", (int) stem, name);

	if (!key)
		return err_set(err, ENOMEM, "read certificates");
	if (faccessat(dir_fd, key, R_OK, 0) < 0)
		return err_set(err, errno, "'%s' has no readable key '%s' beside it", name, key);
	if (t->client_cert)
		return 0; /* one is what libcurl can show */
	t->client_cert = path_join("%s/%s", dir, name);
	t->client_key = path_join("%s/%s", dir, key);
	return t->client_cert && t->client_key ? 0 : err_set(err, ENOMEM, "read certificates");
}

static int read_all(DIR *d, const char *path, struct trust *t, struct err *err)
{
	_cleanup_(buf_done) struct buf all = { .max_bytes = PEM_MAX };
	struct dirent *e;
	int k = 0;

	while (k == 0 && (e = readdir(d))) {
		if (ends_with(e->d_name, ".crt"))
			k = add_authority(&all, dirfd(d), e->d_name, err);
		else if (ends_with(e->d_name, ".cert"))
			k = add_client(t, dirfd(d), path, e->d_name, err);
	}
	if (k == 0 && all.len > 0) {
		t->authorities_len = all.len;
		t->authorities = buf_take(&all);
	}
	return k;
}

int trust_load(const char *dir, const char *host, struct trust *ret, struct err *err)
{
	_cleanup_(freep) char *path = path_join("%s/%s", dir, host);
	struct trust t = {};
	DIR *d;
	int k;

	*ret = t;
	if (!path)
		return err_set(err, ENOMEM, "read certificates");
	if (*host == '.' || strchr(host, '/')) /* an address may come from a stranger */
		return 0;
	d = opendir(path);
	if (!d)
		return errno == ENOENT || errno == ENOTDIR
			       ? 0
			       : err_set_errno(err, errno, "certificates in '%s'", path);
	k = read_all(d, path, &t, err);
	(void) closedir(d);
	if (k < 0) {
		trust_done(&t);
		return err_wrap(err, "certificates in '%s'", path);
	}
	*ret = t;
	return 0;
}
