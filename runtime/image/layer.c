/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/image/layer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/digest.h"
#include "common/fs.h"

enum { RESTARTS_MAX = 1 };

/* Most that one archive may unpack to; inodes are what a file system runs out of first. */
static const struct apply_limits layer_limits = { .mode = APPLY_LAYER,
						  .max_bytes = 256ULL << 30,
						  .max_entries = 4u << 20 };

void layer_init(struct layer *l, struct layer_env *env, const struct descriptor *blob,
		const char *diff_id, const char *lower_chain_id)
{
	char both[72 + 1 + 72];

	*l = (struct layer){ .env = env,
			     .blob = blob,
			     .diff_id = diff_id,
			     .job = UNPACK_JOB_INIT,
			     .tmp_fd = -EBADF,
			     .root_fd = -EBADF };
	(void) snprintf(l->chain_id, sizeof(l->chain_id), "%s", diff_id);
	if (!lower_chain_id)
		return;
	(void) snprintf(both, sizeof(both), "%s %s", lower_chain_id, diff_id);
	memcpy(l->chain_id, "sha256:", 7);
	(void) sha256_hex(both, strlen(both), l->chain_id + 7);
}

void layer_done(struct layer *l)
{
	parts_done(l);
	err_done(&l->why);
	EVP_MD_CTX_free(l->hash);
	buf_done(&l->pending);
	unpack_job_done(&l->job);
	free(l->result.implied);
	if (l->tmp)
		(void) fs_remove_tree(l->env->store->fd, l->tmp, NULL);
	free(l->tmp);
	l->root_fd = safe_close(l->root_fd);
	l->tmp_fd = safe_close(l->tmp_fd);
	if (l->locked)
		(void) store_unlock(l->env->fetch_locks, l->diff_id);
	l->hash = NULL;
	l->tmp = l->result.implied = NULL;
	l->locked = false;
}

int layer_find(struct layer *l, bool lowest, struct err *err)
{
	struct store_layer found;
	int k = store_get_layer(l->env->store, l->chain_id, &found, err);

	l->stored_as = l->chain_id;
	if (k == IMAGE_E_NOT_FOUND && !lowest) {
		k = store_get_layer(l->env->store, l->diff_id, &found, err);
		if (k == 0 && found.implied)
			k = IMAGE_E_NOT_FOUND;
		l->stored_as = l->diff_id;
	}
	if (k != 0)
		return k < 0 ? k : 0;
	l->size = found.size;
	l->state = LAYER_DONE;
	return 0;
}

int layer_lock(struct layer *l, struct err *err)
{
	int k = store_lock(l->env->store, &l->env->fetch_locks, STORE_LOCK_FETCH, l->diff_id, true,
			   false, err);

	l->locked = l->locked || k == 0;
	return k;
}

static int begin_unpack(struct layer *l, struct err *err)
{
	_cleanup_(closep) int outline = -EBADF;
	struct apply_limits limits = layer_limits;
	struct layer_env *env = l->env;
	int k = 0;

	if (!env->unpacker)
		k = unpacker_start(env->unpacker_program, &env->unpacker, err);
	if (k == 0)
		k = store_make_tmp(env->store, &l->tmp, &l->tmp_fd, err);
	if (k < 0)
		return k;
	if (mkdirat(l->tmp_fd, "root", 0755) < 0)
		return err_set_errno(err, errno, "make work directory");
	l->root_fd = openat(l->tmp_fd, "root", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (l->root_fd < 0)
		return err_set_errno(err, errno, "open work directory");
	outline = openat(l->tmp_fd, "outline", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (outline < 0)
		return err_set_errno(err, errno, "make outline");
	limits.outline_fd = outline;
	l->hash = EVP_MD_CTX_new();
	if (!l->hash || EVP_DigestInit_ex(l->hash, EVP_sha256(), NULL) != 1)
		return err_set(err, ENOMEM, "hash layer");
	return unpacker_begin(env->unpacker, l->root_fd, &limits, &l->job, err);
}

/* Writes what the pipe takes. -EPIPE is the unpacker's to explain. */
static int push(struct layer *l, const char *data, size_t len, size_t *ret_done, struct err *err)
{
	*ret_done = 0;
	while (*ret_done < len) {
		ssize_t n = write(l->job.input_fd, data + *ret_done, len - *ret_done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0 && errno == EPIPE) {
			*ret_done = len;
			return 0;
		}
		if (n < 0)
			return err_set_errno(err, errno, "hand layer to unpacker");
		*ret_done += (size_t) n;
	}
	return 0;
}

int layer_feed(struct layer *l, const void *data, size_t len, struct err *err)
{
	size_t done = 0;
	int k = 0;

	if (l->received + (int64_t) len > l->blob->size)
		return err_set(err, EPROTO,
			       "layer %.19s is longer than the %lld bytes its "
			       "manifest says",
			       l->blob->digest, (long long) l->blob->size);
	if (EVP_DigestUpdate(l->hash, data, len) != 1)
		return err_set(err, EIO, "hash layer");
	l->received += (int64_t) len;
	l->env->bytes += (int64_t) len;
	if (l->pending.len == 0)
		k = push(l, data, len, &done, err);
	if (k == 0 && !buf_append(&l->pending, (const char *) data + done, len - done))
		k = err_set(err, ENOMEM, "keep layer");
	return k;
}

static int check_digest(struct layer *l, struct err *err)
{
	uint8_t md[SHA256_BYTES];
	char hex[SHA256_HEX_MAX];

	if (l->received != l->blob->size)
		return err_set(err, EPROTO,
			       "layer %.19s has %lld bytes where its manifest says "
			       "%lld",
			       l->blob->digest, (long long) l->received, (long long) l->blob->size);
	if (EVP_DigestFinal_ex(l->hash, md, NULL) != 1)
		return err_set(err, EIO, "hash layer");
	if (strcmp(hex_encode(md, sizeof(md), hex), l->blob->digest + 7) != 0)
		return err_set(err, EBADMSG,
			       "layer %.19s: the content has the digest sha256:%s: refused",
			       l->blob->digest, hex);
	return 0;
}

int layer_fed(struct layer *l, struct err *err)
{
	int k = check_digest(l, err);

	if (k < 0)
		return k;
	l->verified = true;
	l->state = LAYER_UNPACKING;
	if (l->pending.len == 0)
		l->job.input_fd = safe_close(l->job.input_fd);
	return 0;
}

int layer_start_unpack(struct layer *l, struct err *err)
{
	int k = begin_unpack(l, err);

	if (k == 0)
		l->state = LAYER_FETCHING;
	return k;
}

int layer_start(struct layer *l, struct err *err)
{
	int k = layer_start_unpack(l, err);

	return k < 0 ? k : parts_start(l, l->restarts > 0, err);
}

static int flush(struct layer *l, struct err *err)
{
	size_t done = 0;
	int k = l->pending.len ? push(l, l->pending.data, l->pending.len, &done, err) : 0;

	if (k < 0)
		return k;
	buf_consume(&l->pending, done);
	if (l->pending.len > 0)
		return 0;
	if (l->state == LAYER_UNPACKING)
		l->job.input_fd = safe_close(l->job.input_fd);
	return 0;
}

static int take_result(struct layer *l, struct err *err)
{
	int k = unpack_job_finish(&l->job, &l->result, err);

	if (k < 0)
		return err ? err_wrap(err, "layer %.19s", l->blob->digest) : k;
	if (l->state != LAYER_UNPACKING)
		return err_set(err, EPROTO, "layer %.19s: the archive ended before its bytes did",
			       l->blob->digest);
	if (strcmp(l->result.digest, l->diff_id) != 0)
		return err_set(err, EBADMSG,
			       "layer %.19s: unpacks to %s where the image configuration says %s",
			       l->blob->digest, l->result.digest, l->diff_id);
	l->size = (int64_t) l->result.bytes;
	l->state = LAYER_UNPACKED;
	return 0;
}

/* What is damaged may have been damaged on the way (by a cache, by a proxy). */
static void start_over(struct layer *l)
{
	l->env->bytes -= l->received;
	layer_done(l);
	l->received = 0;
	l->restarts++;
	l->state = LAYER_WAITING;
}

static int advance(struct layer *l, struct err *err)
{
	int k = l->pending.len > 0 ? flush(l, err) : 0;

	if (k == 0 && l->state == LAYER_FETCHING && l->env->registry)
		k = parts_advance(l, err);
	if (k == 1)
		k = layer_fed(l, err);
	if (k == 0 && (l->state == LAYER_FETCHING || l->state == LAYER_UNPACKING) &&
	    unpack_job_advance(&l->job))
		k = take_result(l, err);
	return k;
}

int layer_advance(struct layer *l, struct err *err)
{
	int k = advance(l, err);

	if ((k != -EBADMSG && k != -EPROTO) || l->verified || l->refused || !l->env->registry ||
	    l->restarts >= RESTARTS_MAX)
		return k;
	registry_tell_restart(l->env->registry, err_text(err));
	err_done(err);
	start_over(l);
	return 0;
}

static int stat_beneath(int dir_fd, const char *path, struct stat *st)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC | O_NOFOLLOW,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
	_cleanup_(closep) int fd = (int) syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));

	return fd < 0 || fstat(fd, st) < 0 ? -errno : 0;
}

/* The directory as the layers below show it: 0 with @st, or 1 when there is none. */
static int find_below(struct layer *l, struct layer *lower, size_t n, const char *path,
		      struct stat *st)
{
	for (size_t i = n; i-- > 0;) {
		char name[STORE_LAYER_NAME_MAX], dir[64];
		_cleanup_(closep) int fd = -EBADF;
		int k;

		store_layer_name(lower[i].stored_as, name);
		(void) snprintf(dir, sizeof(dir), "layers/%s", name);
		fd = openat(l->env->store->fd, dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
		k = fd < 0 ? -errno : stat_beneath(fd, path, st);
		if (k == -ENOENT)
			continue;
		return k == 0 && S_ISDIR(st->st_mode) ? 0 : 1; /* else hidden by something */
	}
	return 1;
}

/* Gives the directories that the archive left out the looks they have below. */
static int dress_implied(struct layer *l, struct layer *lower, size_t n, struct err *err)
{
	const char *end = l->result.implied + l->result.implied_len;

	for (const char *path = l->result.implied; path < end; path += strlen(path) + 1) {
		struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
					.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
		_cleanup_(closep) int fd = -EBADF;
		struct stat st;

		if (find_below(l, lower, n, path, &st) != 0)
			continue;
		fd = (int) syscall(SYS_openat2, l->root_fd, path, &how, sizeof(how));
		if (fd < 0 && (errno == ENOTDIR || errno == ENOENT || errno == ELOOP))
			continue; /* a later entry took its place */
		if (fd < 0 || fchown(fd, st.st_uid, st.st_gid) < 0 ||
		    fchmod(fd, st.st_mode & 07777) < 0 ||
		    futimens(fd, (struct timespec[]){ st.st_mtim, st.st_mtim }) < 0)
			return err_set_errno(err, errno, "layer %.19s: '%.200s'", l->blob->digest,
					     path);
	}
	return 0;
}

int layer_commit(struct layer *l, struct layer *lower, size_t n_lower, struct err *err)
{
	struct store_layer layer = { .size = l->size, .implied = l->result.implied_len > 0 };
	_cleanup_(freep) char *root = path_join("%s/root", l->tmp);
	int k = root ? 0 : err_set(err, ENOMEM, "commit layer");

	(void) snprintf(layer.diff_id, sizeof(layer.diff_id), "%s", l->diff_id);

	if (k == 0 && layer.implied)
		k = dress_implied(l, lower, n_lower, err);
	l->stored_as = layer.implied ? l->chain_id : l->diff_id;
	if (k == 0)
		k = store_commit_layer(l->env->store, root, l->stored_as, &layer, err);
	if (k < 0)
		return k;
	l->state = LAYER_DONE;
	layer_done(l);
	return 0;
}
