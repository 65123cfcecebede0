/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "runtime/rootfs/rootfs.h"
#include "runtime/rootfs/userdb.h"

enum { FILE_BYTES_MAX = 8 << 20, GROUPS_MAX = 1000 };

struct text {
	char *data; /* owned; "" when the file is absent */
	size_t len;
};

static void text_done(struct text *t)
{
	free(t->data);
}

/* A FIFO or device in the image must not hang or surprise us: regular files only. */
static int read_in_root(int root, const char *path, struct text *ret, struct err *err)
{
	_cleanup_(closep) int fd =
		fs_open_in_root(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, NULL);
	char self[32];
	struct stat st;

	if (fd < 0 && fd != -ENOENT && fd != -ENOTDIR)
		return err_set_errno(err, -fd, "open '%s' in the container's root", path);
	if (fd < 0) {
		ret->data = strdup("");
		return ret->data ? 0 : err_set(err, ENOMEM, "read '%s'", path);
	}
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(err, EINVAL, "'%s' in the container's root is no regular file",
			       path);
	(void) snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (fs_read_file(AT_FDCWD, self, FILE_BYTES_MAX, &ret->data, &ret->len, err) < 0)
		return err_wrap(err, "'%s' in the container's root", path);
	return 0;
}

static int add_group(struct user_ids *u, gid_t gid, struct err *err)
{
	gid_t *p;

	for (size_t i = 0; i < u->n_additional; i++)
		if (u->additional[i] == gid)
			return 0;
	if (u->n_additional == GROUPS_MAX)
		return err_set(err, EINVAL, "more than %d groups", GROUPS_MAX);
	p = realloc(u->additional, (u->n_additional + 1) * sizeof(*p));
	if (!p)
		return err_set(err, ENOMEM, "resolve user");
	u->additional = p;
	u->additional[u->n_additional++] = gid;
	return 0;
}

/* *ret_name: the name of the entry that matched, empty when there was none. */
static int resolve_uid(const char *user, const struct text *passwd, struct user_ids *u,
		       struct userdb_text *ret_name, struct err *err)
{
	const char *at = passwd->data, *end = at + passwd->len;
	uint32_t id = 0;
	int k = *user ? userdb_parse_id(user, strlen(user), &id) : 0;
	struct userdb_user e;

	while (userdb_next_user(&at, end, &e)) {
		if (k == 0 ? e.uid != id : !userdb_text_is(e.name, user))
			continue;
		u->uid = e.uid;
		u->gid = e.gid;
		*ret_name = e.name;
		u->home = strndup(e.home.len ? e.home.data : "/", e.home.len ? e.home.len : 1);
		return u->home ? 0 : err_set(err, ENOMEM, "resolve user");
	}
	if (k == -ERANGE)
		return err_set(
			err, EINVAL,
			"unable to find user %s: uids and gids must be in range 0-2147483647",
			user);
	if (k < 0)
		return err_set(err, ENOENT,
			       "unable to find user %s: no matching entries in passwd file", user);
	u->uid = id;
	u->home = strdup("/");
	return u->home ? 0 : err_set(err, ENOMEM, "resolve user");
}

/* "unable" as the user's own group is said in Docker, "Unable" as one of the additional ones. */
static int find_gid(const char *name, const struct text *group, const char *unable, gid_t *ret,
		    struct err *err)
{
	const char *at = group->data, *end = at + group->len;
	uint32_t id = 0;
	int k = userdb_parse_id(name, strlen(name), &id);
	struct userdb_group g;

	while (userdb_next_group(&at, end, &g)) {
		if (userdb_text_is(g.name, name) || (k == 0 && g.gid == id)) {
			*ret = g.gid;
			return 0;
		}
	}
	if (k == -ERANGE)
		return err_set(err, EINVAL,
			       "%s to find group %s: uids and gids must be in range 0-2147483647",
			       unable, name);
	if (k < 0)
		return err_set(err, ENOENT,
			       "%s to find group %s: no matching entries in group file", unable,
			       name);
	*ret = id;
	return 0;
}

static int add_memberships(struct userdb_text name, const struct text *group, struct user_ids *u,
			   struct err *err)
{
	const char *at = group->data, *end = at + group->len;
	struct userdb_group g;
	int k = 0;

	while (k == 0 && userdb_next_group(&at, end, &g))
		if (userdb_is_member(&g, name))
			k = add_group(u, g.gid, err);
	return k;
}

static int resolve(const char *user, const char *group_part, char *const *groups,
		   const struct text *passwd, const struct text *group, struct user_ids *u,
		   struct err *err)
{
	struct userdb_text name = {};
	int k = resolve_uid(user, passwd, u, &name, err);
	gid_t gid;

	if (k == 0 && *group_part)
		k = find_gid(group_part, group, "unable", &u->gid, err);
	if (k == 0)
		k = add_group(u, u->gid, err);
	if (k == 0 && !*group_part)
		k = add_memberships(name, group, u, err);
	for (size_t i = 0; k == 0 && groups && groups[i]; i++) {
		k = find_gid(groups[i], group, "Unable", &gid, err);
		if (k == 0)
			k = add_group(u, gid, err);
	}
	return k;
}

int rootfs_resolve_user(const char *rootfs, const char *user, char *const *groups,
			struct user_ids *ret, struct err *err)
{
	_cleanup_(closep) int root = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(text_done) struct text passwd = {}, group = {};
	_cleanup_(user_ids_done) struct user_ids u = {};
	_cleanup_(freep) char *name = strdup(user ? user : "");
	char *colon = name ? strchr(name, ':') : NULL;
	int k;

	if (!name)
		return err_set(err, ENOMEM, "resolve user");
	if (root < 0)
		return err_set_errno(err, errno, "open '%s'", rootfs);
	if (colon)
		*colon = '\0';
	k = read_in_root(root, "/etc/passwd", &passwd, err);
	if (k == 0)
		k = read_in_root(root, "/etc/group", &group, err);
	if (k == 0)
		k = resolve(name, colon ? colon + 1 : "", groups, &passwd, &group, &u, err);
	if (k < 0)
		return k;
	*ret = u;
	u = (struct user_ids){};
	return 0;
}

void user_ids_done(struct user_ids *u)
{
	free(u->additional);
	free(u->home);
	*u = (struct user_ids){};
}
