/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/engine/doctor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "agent/engine/doctor-ports.h"
#include "agent/engine/holder.h"
#include "agent/engine/internal.h"
#include "agent/engine/volumes.h"
#include "agent/store/store.h"
#include "common/fs.h"
#include "common/strv.h"
#include "runtime/cgroup/cgroup.h"
#include "runtime/rootfs/rootfs.h"
#include "runtime/runc/runc.h"
#include "runtime/volume/mountinfo.h"
#include "runtime/volume/volume.h"

enum { ID_LENGTH = 64 };

/* ---- whose it is ---- */

static const struct container *container_by_id(const struct engine *e, const char *id)
{
	for (size_t i = 0; i < e->n_tasks; i++)
		for (size_t j = 0; j < e->tasks[i]->n_containers; j++)
			if (strcmp(e->tasks[i]->containers[j].id, id) == 0)
				return &e->tasks[i]->containers[j];
	return NULL;
}

/* Until it has ended and its traces were removed. */
static bool is_in_use(const struct engine *e, const char *id)
{
	const struct container *c = container_by_id(e, id);

	return c && (c->known < CONTAINER_STOPPED || c->run->teardown);
}

/* For as long as its task is kept. */
static bool is_kept(const struct engine *e, const char *id)
{
	return container_by_id(e, id) != NULL;
}

static bool is_of_a_task(const struct engine *e, const char *id)
{
	for (size_t i = 0; i < e->n_tasks; i++) {
		const struct task *t = e->tasks[i];

		if (strcmp(t->id, id) == 0)
			return t->known != TASK_STOPPED || t->run->teardown;
	}
	return false;
}

/* ---- what there may be ---- */

static int list_dir(const char *dir, char ***ret)
{
	_cleanup_(closedirp) DIR *d = opendir(dir);
	_cleanup_(strv_freep) char **names = NULL;
	const struct dirent *entry;

	while (d && (entry = readdir(d)))
		if (entry->d_name[0] != '.' && strv_append(&names, entry->d_name) < 0)
			return -ENOMEM;
	*ret = TAKE_PTR(names);
	return 0;
}

static int list_cgroups(struct engine *e, char ***ret)
{
	(void) e;
	return cgroup_list_tasks(ret, NULL);
}

static int remove_cgroup(struct engine *e, const char *name, struct err *err)
{
	_cleanup_(freep) char *path = path_join("%s/%s", cgroup_parent(), name);
	int k = path ? cgroup_kill(path, err) : err_set(err, ENOMEM, "make path");

	(void) e;
	/* What was killed takes a moment to die. */
	for (int i = 0; k == 0 && i < 50; i++) {
		err_done(err);
		k = cgroup_task_remove(name, err);
		if (k != -EBUSY)
			return k;
		k = usleep(2000);
	}
	return k < 0 ? k : err->code ? -err->code : 0;
}

static char *netns_dir(const struct engine *e)
{
	return path_join("%s/netns", e->config->run_dir);
}

static int list_namespaces(struct engine *e, char ***ret)
{
	_cleanup_(freep) char *dir = netns_dir(e);

	return dir ? list_dir(dir, ret) : -ENOMEM;
}

/* One of a task in mode awsvpc, or of a container. */
static bool namespace_is_in_use(const struct engine *e, const char *id)
{
	return task_net_is_id(id) ? task_net_in_use(e, id) : is_in_use(e, id);
}

static int remove_namespace(struct engine *e, const char *id, struct err *err)
{
	_cleanup_(freep) char *dir = netns_dir(e), *path = dir ? path_join("%s/%s", dir, id) : NULL;

	if (!path)
		return err_set(err, ENOMEM, "make path");
	if (e->net && task_net_is_id(id))
		return task_net_remove(e, id, err);
	if (e->net)
		(void) net_detach(e->net, id, NULL);
	(void) umount2(path, MNT_DETACH);
	return unlink(path) < 0 && errno != ENOENT ? err_set_errno(err, errno, "remove '%s'", path)
						   : 0;
}

static int list_run_dirs(struct engine *e, char ***ret)
{
	return list_dir(e->run_dir, ret);
}

static int remove_run_dir(struct engine *e, const char *id, struct err *err)
{
	_cleanup_(freep) char *path = path_join("%s/%s", e->run_dir, id);

	if (!path)
		return err_set(err, ENOMEM, "make path");
	holder_unmount(path);
	return fs_remove_tree(AT_FDCWD, path, err);
}

static int list_runtime_states(struct engine *e, char ***ret)
{
	return list_dir(e->runc_root, ret);
}

static int remove_runtime_state(struct engine *e, const char *id, struct err *err)
{
	return runc_forget(e->runc_root, id, err);
}

static int note_mount(const char *path, void *userdata)
{
	void **both = userdata;
	const struct engine *e = both[0];
	const char *id = path + strlen(e->data_dir) + 1;
	_cleanup_(freep) char *name =
		strlen(path) > strlen(e->data_dir) ? strndup(id, strcspn(id, "/")) : NULL;

	return name && !strv_contains(*(char ***) both[1], name) ? strv_append(both[1], name) : 0;
}

static int list_mounts(struct engine *e, char ***ret)
{
	return mountinfo_below(e->data_dir, note_mount, (void *[]){ e, ret }, NULL);
}

static int remove_mount(struct engine *e, const char *id, struct err *err)
{
	_cleanup_(freep) char *path = path_join("%s/%s", e->data_dir, id);

	return path ? rootfs_unmount(path, err) : err_set(err, ENOMEM, "make path");
}

static int list_data_dirs(struct engine *e, char ***ret)
{
	return list_dir(e->data_dir, ret);
}

/* It may be large: out of the way at once, and then removed by a child. */
static int remove_data_dir(struct engine *e, const char *id, struct err *err)
{
	_cleanup_(freep) char *path = path_join("%s/%s", e->data_dir, id);
	int k = path ? rootfs_unmount(path, err) : err_set(err, ENOMEM, "make path");

	if (k < 0)
		return k;
	k = cleanup_discard_dir(e, path);
	return k < 0 ? err_set(err, -k, "'%s' is still there", path) : 0;
}

static int note_pin(const char *name, const char *id, void *userdata, struct err *err)
{
	(void) id, (void) err;
	/* Others may pin, too; ours are named by 64 digits. */
	return strlen(name) == ID_LENGTH ? strv_append(userdata, name) : 0;
}

static int list_pins(struct engine *e, char ***ret)
{
	return image_store_list_pins(e->images, note_pin, ret, NULL);
}

static int remove_pin(struct engine *e, const char *name, struct err *err)
{
	return image_store_unpin(e->images, name, err);
}

static int list_volumes(struct engine *e, char ***ret)
{
	_cleanup_(strv_freep) char **all = NULL;
	int k = list_dir(e->volumes_dir, &all);

	for (char **s = all; k == 0 && s && *s; s++) {
		_cleanup_(freep) char *owner = path_join("%s/%s/" VOLUME_OWNER, e->volumes_dir, *s);

		/* Those of nobody but the host's administrator have no owner. */
		if (owner && access(owner, F_OK) == 0)
			k = strv_append(ret, *s);
	}
	return k;
}

static bool has_row(const struct engine *e, const char *name)
{
	_cleanup_(store_volume_done) struct store_volume row = {};

	return store_get_volume(e->store, name, &row, NULL) != 0;
}

static int remove_volume(struct engine *e, const char *name, struct err *err)
{
	_cleanup_(freep) char *path = path_join("%s/%s", e->volumes_dir, name);

	volumes_collect(e);
	if (!path || access(path, F_OK) == 0)
		return err_set(err, EBUSY, "volume '%s' is still there", name);
	return 0;
}

/* In this order: what holds others first. */
static const struct kind {
	const char *name;
	int (*list)(struct engine *e, char ***ret); /* appends to or sets *ret */
	bool (*belongs)(const struct engine *e, const char *name);
	int (*remove)(struct engine *e, const char *name, struct err *err);
} kinds[] = {
	{ "cgroup", list_cgroups, is_of_a_task, remove_cgroup },
	{ "published-port", doctor_list_ports, doctor_port_belongs, doctor_remove_port },
	{ "network-namespace", list_namespaces, namespace_is_in_use, remove_namespace },
	{ "run-directory", list_run_dirs, is_in_use, remove_run_dir },
	{ "runtime-state", list_runtime_states, is_in_use, remove_runtime_state },
	{ "mount", list_mounts, is_in_use, remove_mount },
	{ "data-directory", list_data_dirs, is_kept, remove_data_dir },
	{ "volume", list_volumes, has_row, remove_volume },
	{ "image-pin", list_pins, is_kept, remove_pin },
};

/* ---- the whole ---- */

struct finding_count {
	json_t *list; /* borrowed */
	json_int_t left;
};

static int examine(struct engine *e, const struct kind *kind, const char *name, bool repair,
		   struct finding_count *f)
{
	_cleanup_(err_done) struct err why = {};
	bool gone = repair && kind->remove(e, name, &why) == 0;
	json_t *o = json_pack("{s:s,s:s,s:b}", "kind", kind->name, "name", name, "repaired", gone);

	if (repair && !gone && o)
		(void) json_object_set_new(o, "error", json_string(err_text(&why)));
	f->left += !gone;
	return json_array_append_new(f->list, o) < 0 ? -ENOMEM : 0;
}

int engine_doctor(struct engine *e, bool repair, json_t **ret, struct err *err)
{
	_cleanup_(json_decrefp) json_t *list = json_array();
	struct finding_count f = { .list = list };
	int k = list ? 0 : -ENOMEM;

	for (size_t i = 0; k == 0 && i < ARRAY_SIZE(kinds); i++) {
		_cleanup_(strv_freep) char **names = NULL;

		k = kinds[i].list(e, &names) == -ENOMEM ? -ENOMEM : 0;
		for (char **s = names; k == 0 && s && *s; s++)
			if (!kinds[i].belongs(e, *s))
				k = examine(e, &kinds[i], *s, repair, &f);
	}
	*ret = k == 0 ? json_pack("{s:O,s:I}", "leftovers", list, "left", f.left) : NULL;
	return *ret ? 0 : err_set(err, ENOMEM, "list leftovers");
}
