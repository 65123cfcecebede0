/* SPDX-License-Identifier: Apache-2.0 */
/* What belongs to no task, or to none that lives, goes when the agent starts; what resists goes later. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/holder.h"
#include "agent/engine/internal.h"
#include "agent/engine/metadata-file.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/strv.h"
#include "runtime/cgroup/cgroup.h"
#include "runtime/rootfs/rootfs.h"
#include "runtime/runc/runc.h"

enum { LINGERING_MIN_MS = 10, LINGERING_MAX_MS = 30000 };

bool container_is_live(const struct container *c)
{
	return (c->run->shim || c->restarting) && c->known < CONTAINER_STOPPED;
}

static struct container *container_by_id(const struct engine *e, const char *id)
{
	for (size_t i = 0; i < e->n_tasks; i++)
		for (size_t j = 0; j < e->tasks[i]->n_containers; j++)
			if (strcmp(e->tasks[i]->containers[j].id, id) == 0)
				return &e->tasks[i]->containers[j];
	return NULL;
}

static int on_lingering(sd_event_source *s, uint64_t usec, void *userdata);

/* What was killed takes a moment to die; what cannot be killed yet may take longer. */
static void look_again(struct engine *e)
{
	e->lingering_ms = CLAMP(e->lingering_ms * 2, LINGERING_MIN_MS, LINGERING_MAX_MS);
	e->lingering = sd_event_source_disable_unref(e->lingering);
	if (sd_event_add_time_relative(e->loop, &e->lingering, CLOCK_MONOTONIC,
				       (uint64_t) e->lingering_ms * USEC_PER_MSEC, 0, on_lingering,
				       e) >= 0)
		(void) sd_event_source_set_description(e->lingering, "engine-lingering");
}

static bool collect_cgroups(struct engine *e)
{
	_cleanup_(strv_freep) char **names = NULL;
	_cleanup_(err_done) struct err err = {};
	bool left = false;

	if (cgroup_list_tasks(&names, &err) < 0)
		log_warn("Failed to list cgroups, going on: %s", err_text(&err));
	for (char **s = names; s && *s; s++) {
		const struct task *t = engine_find_task(e, *s);
		_cleanup_(freep) char *path = NULL;

		if (t && strcmp(t->id, *s) == 0 && t->known != TASK_STOPPED && t->n_containers > 0)
			continue;
		path = path_join("%s/%s", cgroup_parent(), *s);
		log_info("Removing what is left of '%s'", *s);
		left |= !path || cgroup_kill(path, &err) < 0 || cgroup_task_remove(*s, &err) < 0;
		err_done(&err);
	}
	return left;
}

static void collect_namespaces(struct engine *e)
{
	_cleanup_(strv_freep) char **ids = NULL;
	_cleanup_(err_done) struct err err = {};

	if (net_ns_list(e->net, &ids, &err) < 0)
		log_warn("Failed to list network namespaces, going on: %s", err_text(&err));
	for (char **s = ids; s && *s; s++) {
		const struct container *c = container_by_id(e, *s);

		if (task_net_is_id(*s)) {
			if (!task_net_in_use(e, *s) && task_net_remove(e, *s, &err) < 0)
				log_warn("Failed to take the network of no task down, going on: %s",
					 err_text(&err));
			err_done(&err);
			continue;
		}
		if (c && container_is_live(c))
			continue;
		(void) net_detach(e->net, *s, NULL);
		(void) net_ns_remove(e->net, *s, NULL);
	}
}

/* @fn tells whether something is left of an entry; so does this, of any. */
static bool each_entry(const char *dir,
		       bool (*fn)(struct engine *e, const char *dir, const char *id),
		       struct engine *e)
{
	_cleanup_(closedirp) DIR *d = opendir(dir);
	const struct dirent *entry;
	bool left = false;

	while (d && (entry = readdir(d)))
		if (entry->d_name[0] != '.')
			left |= fn(e, dir, entry->d_name);
	return left;
}

/* A shim whose processes were just killed may still write there. */
static bool collect_run_dir(struct engine *e, const char *dir, const char *id)
{
	const struct container *c = container_by_id(e, id);
	_cleanup_(freep) char *path = path_join("%s/%s", dir, id);

	if ((c && container_is_live(c)) || !path)
		return false;
	holder_unmount(path);
	return fs_remove_tree(AT_FDCWD, path, NULL) < 0;
}

static bool collect_runtime_state(struct engine *e, const char *dir, const char *id)
{
	const struct container *c = container_by_id(e, id);

	return (!c || !container_is_live(c)) && runc_forget(dir, id, NULL) < 0;
}

/* Those of tasks that came since the start are none of these. */
static bool collect_stray_run_dir(struct engine *e, const char *dir, const char *id)
{
	return !container_by_id(e, id) && collect_run_dir(e, dir, id);
}

static bool collect_stray_runtime_state(struct engine *e, const char *dir, const char *id)
{
	return !container_by_id(e, id) && collect_runtime_state(e, dir, id);
}

static int on_lingering(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct engine *e = userdata;
	bool left = collect_cgroups(e);

	(void) s, (void) usec;
	left |= each_entry(e->run_dir, collect_stray_run_dir, e);
	left |= each_entry(e->runc_root, collect_stray_runtime_state, e);
	if (left)
		look_again(e);
	return 0;
}

static bool collect_data_dir(struct engine *e, const char *dir, const char *id)
{
	const struct container *c = container_by_id(e, id);
	_cleanup_(freep) char *path = path_join("%s/%s", dir, id);

	if ((c && container_is_live(c)) || !path)
		return false;
	(void) rootfs_unmount(path, NULL);
	return !c && cleanup_discard_dir(e, path) < 0;
}

static int collect_pin(const char *name, const char *id, void *userdata, struct err *err)
{
	struct engine *e = userdata;

	(void) id;
	/* Others may pin, too; ours are named by 64 digits. */
	if (strlen(name) != 64 || container_by_id(e, name))
		return 0;
	return image_store_unpin(e->images, name, err);
}

void engine_collect(struct engine *e)
{
	_cleanup_(err_done) struct err err = {};
	bool left = collect_cgroups(e);

	if (e->net)
		collect_namespaces(e);
	left |= each_entry(e->run_dir, collect_run_dir, e);
	left |= each_entry(e->runc_root, collect_runtime_state, e);
	(void) each_entry(e->data_dir, collect_data_dir, e);
	if (left)
		look_again(e);
	metadata_file_collect(e);
	volumes_restore(e);
	if (image_store_list_pins(e->images, collect_pin, e, &err) < 0)
		log_warn("Failed to look through the image pins, going on: %s", err_text(&err));
}
