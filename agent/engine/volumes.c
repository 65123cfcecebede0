/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes of ours: a row first, then the directory, then what is mounted on it (volume-mounts.c)
 * and what the image puts into it; all before the container starts. What may take long is a child.
 * Nothing counts users: a volume is in use while a task that names it has a container that has not
 * ended, so a crash has no count to lose.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/config.h"
#include "agent/engine/crash.h"
#include "agent/engine/efs-role.h"
#include "agent/engine/internal.h"
#include "agent/engine/mounts.h"
#include "agent/engine/volumes.h"
#include "agent/store/store.h"
#include "aws/call.h"
#include "common/buf.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/strv.h"
#include "runtime/rootfs/rootfs.h"
#include "runtime/volume/efs.h"
#include "runtime/volume/mountinfo.h"

enum { OWNER_MAX = 4096 };

static char *volume_dir(const struct engine *e, const char *name)
{
	return path_join("%s/%s", e->volumes_dir, name);
}

char *volumes_data_path(const struct engine *e, const char *name)
{
	return path_join("%s/%s/" VOLUME_DATA, e->volumes_dir, name);
}

const struct mount_list *container_volumes_mounts(const struct container *c)
{
	return c->run->volumes ? &c->run->volumes->mounts : NULL;
}

void container_volumes_free(struct container *c)
{
	struct container_volumes *v = c->run->volumes;

	c->run->volumes = NULL;
	if (!v)
		return;
	(void) volume_job_free(v->copy);
	mount_list_done(&v->mounts);
	free(v);
}

int64_t volumes_deadline_ms(const struct engine *e)
{
	return e->config->create_timeout_ms > 0 ? e->config->create_timeout_ms : 240000;
}

/* ---- rows ---- */

/* Go's way to print a map, which the reference agent's messages have. */
static char *map_text(const struct json_pair *pairs, size_t n)
{
	_cleanup_(json_decrefp) json_t *o = json_object();
	struct buf b = {};
	const char *key;
	json_t *v;

	for (size_t i = 0; o && i < n; i++)
		(void) json_object_set_new(o, pairs[i].key, json_string(pairs[i].value));
	(void) buf_puts(&b, "map[");
	for (size_t left = json_object_size(o); left > 0; left--) {
		const char *least = NULL;

		json_object_foreach(o, key, v)
			if (!least || strcmp(key, least) < 0)
				least = key;
		(void) buf_printf(&b, "%s%s:%s", b.len > 4 ? " " : "", least,
				  json_string_value(json_object_get(o, least)));
		(void) json_object_del(o, least);
	}
	(void) buf_puts(&b, "]");
	return buf_take(&b);
}

static int compare(const char *what, const struct json_pair *has, size_t n_has,
		   const struct json_pair *wanted, size_t n_wanted, struct err *err)
{
	_cleanup_(freep) char *existing = map_text(has, n_has),
			      *expected = map_text(wanted, n_wanted);

	if (!existing || !expected)
		return err_set(err, ENOMEM, "compare volumes");
	if (strcmp(existing, expected) == 0)
		return 0;
	return err_set(err, EEXIST,
		       "initialize volume: non-autoprovisioned volume does not match existing "
		       "volume %s: existing: %s, expected: %s",
		       what, existing, expected);
}

static int check_shared(const struct engine *e, const struct mount_item *m,
			const struct store_volume *row, struct err *err)
{
	const struct volume_config *c = m->config;
	int k;

	if (row->task_arn)
		return err_set(err, EEXIST, "volume '%s' belongs to a task", row->name);
	if (!e->config->shared_volume_match || !m->volume)
		return 0;
	k = compare("labels", row->labels, row->n_labels, c->labels, c->n_labels, err);
	return k < 0 ? k
		     : compare("options", row->options, row->n_options, c->options, c->n_options,
			       err);
}

/* A volume without a row whose directory is there: the database was lost, the volume was not. */
static int check_absent(const struct engine *e, const struct mount_item *m, struct err *err)
{
	_cleanup_(freep) char *data = volumes_data_path(e, m->name);

	if (m->autoprovision || (data && access(data, F_OK) == 0))
		return 0;
	return err_set(err, ENOENT,
		       "initialize volume: volume detection failed, volume '%s' does not exist and "
		       "autoprovision is set to false",
		       m->name);
}

/* Where an EFS file system is, and with what it is mounted. */
static int describe_efs(const struct engine *e, const struct task *t, const struct efs_config *f,
			struct store_volume *row, struct err *err)
{
	_cleanup_(freep) char *credentials = efs_role_uri(t);
	_cleanup_(freep) char *service = path_join("%s.efs", f->file_system_id);
	_cleanup_(freep) char *url = service && e->config->region
					     ? aws_endpoint(service, e->config->region, false, NULL)
					     : NULL;
	struct efs_params p = { .file_system_id = f->file_system_id,
				.root_directory = f->root_directory,
				.access_point = f->access_point,
				.credentials_uri = credentials,
				.server = url ? url + strlen("https://") : NULL,
				.tls_port = f->tls_port,
				.tls = f->tls,
				.iam = f->iam,
				.helper = strv_contains(e->config->volume_plugin_capabilities,
							"efsAuth") };
	const char *driver = NULL;
	int k = efs_options(&p, &driver, &row->options, &row->n_options, err);

	if (k < 0)
		return err_wrap(err, "efsVolumeConfiguration");
	return strdup_to(&row->driver, driver) < 0 ? err_set(err, ENOMEM, "copy driver") : 0;
}

static int put_row(struct engine *e, const struct container *c, const struct mount_item *m,
		   struct err *err)
{
	struct store_volume row = { .name = m->name,
				    .task_arn = m->shared ? NULL : c->task->arn,
				    .driver = m->config->driver,
				    .options = m->config->options,
				    .n_options = m->config->n_options,
				    .labels = m->config->labels,
				    .n_labels = m->config->n_labels };
	struct store_volume efs = {};
	int k = 0;

	if (m->volume && m->volume->efs) {
		k = describe_efs(e, c->task, m->volume->efs, &efs, err);
		row.driver = efs.driver;
		row.options = efs.options;
		row.n_options = efs.n_options;
	}
	if (k == 0)
		k = store_put_volume(e->store, &row, err);
	store_volume_done(&efs);
	return k;
}

/* Intent: the row is committed before anything of the volume is made. */
static int ensure_row(struct engine *e, const struct container *c, const struct mount_item *m,
		      struct store_volume *ret, struct err *err)
{
	int k = store_get_volume(e->store, m->name, ret, err);

	if (k > 0)
		k = m->shared ? check_shared(e, m, ret, err) : 0;
	else if (k == 0) {
		k = check_absent(e, m, err);
		if (k == 0)
			k = put_row(e, c, m, err);
		if (k == 0)
			k = store_get_volume(e->store, m->name, ret, err);
		k = k == 0 ? err_set(err, EIO, "the row of volume '%s' is not there", m->name)
			   : MIN(k, 0);
	}
	return k;
}

static int make_volume(struct engine *e, const struct container *c, const struct mount_item *m,
		       struct volume_args *ret, struct err *err)
{
	_cleanup_(store_volume_done) struct store_volume row = {};
	_cleanup_(freep) char *dir = volume_dir(e, m->name);
	int k = dir ? ensure_row(e, c, m, &row, err) : err_set(err, ENOMEM, "make path");
	struct volume_spec spec = { row.driver, row.options, row.n_options };

	CRASH_POINT(VOLUME_ROW_PUT);
	if (k == 0)
		k = fs_mkdir_p(e->volumes_dir, 0700, err);
	if (k == 0)
		k = volume_make(dir, row.task_arn, err);
	CRASH_POINT(VOLUME_MADE);
	return k < 0 ? k : volume_mount_args(&spec, &ret->args, err);
}

/* ---- what the image puts into it ---- */

/* Whether a copy could be due; cheap, and only for directories on a disk of this host. */
static bool may_copy(const struct engine *e, const struct container *c, const struct mount_item *m)
{
	_cleanup_(freep) char *data = volumes_data_path(e, m->name), *dir = container_data_dir(c);
	_cleanup_(freep) char *merged = dir ? path_join("%s/merged", dir) : NULL;
	_cleanup_(closep) int root =
		merged ? open(merged, O_PATH | O_DIRECTORY | O_CLOEXEC) : -EBADF;
	_cleanup_(closep) int source = -EBADF;
	_cleanup_(closedirp) DIR *d = NULL;
	const struct dirent *entry;

	if (root >= 0)
		source = fs_open_in_root(root, m->destination, O_PATH | O_DIRECTORY, 0, NULL);
	if (source < 0)
		return false; /* the image has nothing there */
	d = data ? opendir(data) : NULL;
	while (d && (entry = readdir(d)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			return strncmp(entry->d_name, ".ecs-", 5) == 0;
	return true;
}

static void on_copied(const struct volume_job_result *r, void *userdata)
{
	struct container *c = userdata;
	struct container_volumes *v = c->run->volumes;
	_cleanup_(err_done) struct err err = {};
	const struct mount_item *m = &v->mounts.items[v->next];

	v->copy = NULL;
	CRASH_POINT(VOLUME_COPIED);
	if (r->ok) {
		v->next++;
		volumes_resume(c);
		return;
	}
	(void) err_set(&err, EIO, "failed to copy the image's content of '%s' into volume %s: %s",
		       m->destination, m->name,
		       r->late    ? "timed out"
		       : *r->text ? r->text
				  : "the copying process was killed");
	volumes_fail(c, "CannotCreateContainerError", &err);
}

static int copy_up(struct container *c, const struct mount_item *m, bool mounted, struct err *err)
{
	struct container_volumes *v = c->run->volumes;
	struct engine *e = c->run->engine;
	_cleanup_(image_freep) struct image *image = NULL;
	_cleanup_(freep) char *data_dir = container_data_dir(c), *root = NULL;
	_cleanup_(freep) char *dir = volume_dir(e, m->name);
	char *args[] = { (char[]){ "populate" }, (char[]){ "--durably" }, NULL, NULL, NULL, NULL };
	struct rootfs_params rp = { .dir = data_dir };
	int k = data_dir && dir ? fs_mkdir_p(data_dir, 0700, err)
				: err_set(err, ENOMEM, "make path");

	if (k == 0 && image_store_lookup(e->images, c->image_id, &image, err) != 0)
		k = err_set(err, ENOENT, "No such image: %s", c->image);
	if (k < 0)
		return k;
	rp.layers = image->layers;
	k = rootfs_mount(&rp, &root, err);
	if (k < 0 || (!mounted && !may_copy(e, c, m)))
		return k;
	if (m->shared) { /* what outlives the task must be whole after a power cut, too */
		args[2] = root, args[3] = m->destination, args[4] = dir;
	} else {
		args[1] = root, args[2] = m->destination, args[3] = dir;
	}
	k = volume_job_start(&(struct volume_job_params){ .loop = e->loop,
							  .program = e->volume_program,
							  .args = args,
							  .deadline_ms = volumes_deadline_ms(e),
							  .fn = on_copied,
							  .userdata = c },
			     &v->copy, err);
	CRASH_POINT(VOLUME_COPY_BEGUN);
	return k < 0 ? k : 1;
}

/* ---- one after the other ---- */

/* 0: it is there, 1: a child is at work. */
static int make_ready(struct container *c, const struct mount_item *m, struct err *err)
{
	struct engine *e = c->run->engine;
	struct volume_args a = {};
	bool mounted;
	int k = make_volume(e, c, m, &a, err);

	if (k < 0) {
		/* the service knows this text; the cause is the container's reason */
		if (!c->task->reason)
			c->task->reason = strdup(
				"VolumeError: Agent could not create task's volume resources");
		c->task->run->save = true;
		container_set_error(c, "CannotCreateVolumeError", err_text(err));
		return k;
	}
	mounted = a.args != NULL;
	if (mounted)
		k = volumes_mount(e, m->name, a.args, err);
	a.args = strv_free(a.args);
	if (k == 0 && m->copy)
		k = copy_up(c, m, mounted, err);
	return k;
}

enum { SOURCE_READY, SOURCE_WAITED_FOR, SOURCE_GONE };

/* A container whose volumes another takes has made them once its runtime was started. */
static int source_state(const struct container *source)
{
	if (source->known >= CONTAINER_RUNNING && source->started_ms > 0)
		return SOURCE_READY;
	if (source->run->shim)
		return SOURCE_READY;
	return source->desired == CONTAINER_STOPPED ? SOURCE_GONE : SOURCE_WAITED_FOR;
}

static int check_sources(struct container *c, struct err *err)
{
	struct container_volumes *v = c->run->volumes;

	v->for_source = false;
	for (size_t i = 0; i < c->n_volumes_from; i++) {
		int state = source_state(&c->task->containers[c->volumes_from[i].index]);

		if (state == SOURCE_GONE)
			return err_set(err, ENOENT, "Volume target not available: %s",
				       c->volumes_from[i].source_container);
		v->for_source |= state == SOURCE_WAITED_FOR;
	}
	return v->for_source;
}

static int advance(struct container *c, struct err *err)
{
	struct container_volumes *v = c->run->volumes;
	int k = check_sources(c, err);

	for (; k == 0 && v->next < v->mounts.n; v->next += k == 0)
		if (v->mounts.items[v->next].name)
			k = make_ready(c, &v->mounts.items[v->next], err);
	v->waiting = k > 0;
	return k;
}

/* 0 and no c->run->volumes when it mounts nothing. */
static int list_mounts(struct container *c, const struct image *image, struct err *err)
{
	struct mount_list l = {};
	int k;

	container_volumes_free(c);
	if (c->n_mounts == 0 && c->n_volumes_from == 0 && strv_length(image->config.volumes) == 0)
		return 0;
	k = mounts_collect(c, image, &l, err);
	if (k < 0)
		return k;
	c->run->volumes = calloc(1, sizeof(*c->run->volumes));
	if (!c->run->volumes) {
		mount_list_done(&l);
		return err_set(err, ENOMEM, "allocate volumes");
	}
	c->run->volumes->mounts = l;
	return 0;
}

void container_volumes_adopt(struct container *c)
{
	_cleanup_(image_freep) struct image *image = NULL;

	if (c->image_id &&
	    image_store_lookup(c->run->engine->images, c->image_id, &image, NULL) == 0)
		(void) list_mounts(c, image, NULL); /* for those who ask what it sees */
}

json_t *engine_container_mounts(const struct engine *e, const struct container *c)
{
	return c->run->volumes ? mounts_to_json(&c->run->volumes->mounts, e->volumes_dir) : NULL;
}

int container_volumes_prepare(struct container *c, const struct image *image, struct err *err)
{
	int k = list_mounts(c, image, err);

	return k < 0 || !c->run->volumes ? k : advance(c, err);
}

void volumes_fail(struct container *c, const char *error_name, const struct err *err)
{
	_cleanup_(err_done) struct err told = {};

	(void) err_set(&told, err->code, "%s", err_text(err));
	efs_role_hide(c->task, told.msg);
	c->run->volumes->waiting = false;
	container_fail_start(c, error_name, &told);
}

void volumes_resume(struct container *c)
{
	_cleanup_(err_done) struct err err = {};
	int k = advance(c, &err);

	if (k < 0)
		container_fail_start(c, "CannotCreateContainerError", &err);
	else if (k == 0)
		container_start_rest(c);
}

void container_volumes_started(struct container *c)
{
	for (size_t i = 0; i < c->task->n_containers; i++) {
		struct container *other = &c->task->containers[i];

		if (other->run->volumes && other->run->volumes->for_source)
			volumes_resume(other);
	}
}

void container_volumes_review(struct container *c)
{
	struct container_volumes *v = c->run->volumes;
	_cleanup_(err_done) struct err err = {};

	if (!v || !v->waiting)
		return;
	if (c->desired != CONTAINER_STOPPED && !(v->for_source && check_sources(c, &err) < 0))
		return;
	v->waiting = v->for_source = false;
	v->copy = volume_job_free(v->copy);
	container_set_busy(c, BUSY_NOTHING);
	if (err.code)
		container_fail(c, "HostConfigError", "%s", err_text(&err));
}

/* ---- the end ---- */

static bool discard(struct engine *e, const char *name)
{
	_cleanup_(freep) char *dir = volume_dir(e, name);
	_cleanup_(err_done) struct err err = {};
	/* Below a mount may be anything: the host's own files, those of another host. */
	int k = dir ? mountinfo_is_used(dir, &err) : -ENOMEM;

	if (k > 0)
		volumes_unmount_orphan(e, name);
	if (k != 0)
		return false;
	k = cleanup_discard_dir(e, dir);
	CRASH_POINT(VOLUME_DISCARDED);
	if (k < 0)
		return false;
	if (store_delete_volume(e->store, name, &err) < 0) {
		log_warn("Failed to forget volume '%s', trying again: %s", name, err_text(&err));
		return false;
	}
	return true;
}

bool volumes_discard(struct engine *e, const struct task *t)
{
	_cleanup_(strv_freep) char **names = NULL;
	_cleanup_(err_done) struct err err = {};
	bool all = true;

	if (store_list_volumes(e->store, t->arn, &names, &err) < 0)
		return false;
	for (char **s = names; s && *s; s++)
		all &= discard(e, *s);
	return all;
}

/* ---- after a restart ---- */

/* Whose it is, as its directory says; NULL: nobody's in particular. */
static char *owner_of(const struct engine *e, const char *name)
{
	_cleanup_(freep) char *path = path_join("%s/%s/" VOLUME_OWNER, e->volumes_dir, name);
	char *text = NULL;
	size_t len = 0;

	if (!path || fs_read_file(AT_FDCWD, path, OWNER_MAX, &text, &len, NULL) < 0)
		return NULL;
	return text;
}

/*
 * A directory without a row goes when it says that it was a task's and that task is gone. One that
 * is known from its containers' records alone gets its row back.
 */
static void collect_dir(struct engine *e, const char *name)
{
	_cleanup_(freep) char *owner = owner_of(e, name);
	_cleanup_(store_volume_done) struct store_volume row = {};
	_cleanup_(err_done) struct err err = {};
	struct store_volume again = { .name = (char *) name, .task_arn = owner };

	if (!owner || store_get_volume(e->store, name, &row, &err) != 0)
		return;
	if (!engine_task_by_arn(e, owner)) {
		log_info("Removing volume '%s' that belongs to no task", name);
		(void) discard(e, name);
	} else if (store_put_volume(e->store, &again, &err) < 0) {
		log_warn("Failed to note volume '%s', going on: %s", name, err_text(&err));
	}
}

static void collect_row(struct engine *e, const char *name)
{
	_cleanup_(store_volume_done) struct store_volume row = {};

	if (store_get_volume(e->store, name, &row, NULL) > 0 &&
	    !engine_task_by_arn(e, row.task_arn))
		(void) discard(e, name);
}

void volumes_collect(struct engine *e)
{
	_cleanup_(strv_freep) char **names = NULL;
	_cleanup_(closedirp) DIR *d = opendir(e->volumes_dir);
	_cleanup_(err_done) struct err err = {};
	const struct dirent *entry;

	if (store_list_volumes(e->store, NULL, &names, &err) < 0)
		log_warn("Failed to list volumes, going on: %s", err_text(&err));
	for (char **s = names; s && *s; s++)
		collect_row(e, *s);
	while (d && (entry = readdir(d)))
		if (entry->d_name[0] != '.')
			collect_dir(e, entry->d_name);
}

static int note_mount(const char *path, void *userdata)
{
	struct engine *e = userdata;
	const char *rest = path + strlen(e->volumes_dir);
	_cleanup_(freep) char *name = *rest ? strndup(rest + 1, strcspn(rest + 1, "/")) : NULL;

	if (name && *name)
		volumes_found(e, name);
	return 0;
}

void volumes_restore(struct engine *e)
{
	_cleanup_(err_done) struct err err = {};

	if (mountinfo_below(e->volumes_dir, note_mount, e, &err) < 0)
		log_warn("Failed to look for mounted volumes, going on: %s", err_text(&err));
	volumes_collect(e);
}
