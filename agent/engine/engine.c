/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/engine/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/image-cleanup.h"
#include "agent/engine/internal.h"
#include "agent/engine/prefetch.h"
#include "agent/engine/registry-token.h"
#include "agent/store/store.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "runtime/cgroup/cgroup.h"
#include "runtime/runc/runc.h"

enum { STOP_LIMIT_MS = 120000 };

/* ---- tasks ---- */

static void run_done(struct container_run *r)
{
	slots_give_back(r->container);
	pulls_leave(r->container);
	container_volumes_free(r->container);
	r->shim_io = sd_event_source_disable_unref(r->shim_io);
	r->timer = sd_event_source_disable_unref(r->timer);
	r->shim = shim_free(r->shim);
	r->check = image_check_free(r->check);
	free(r->netns_path);
	r->netns_path = NULL;
}

static void task_run_free(struct task *t)
{
	if (!t->run)
		return;
	for (size_t i = 0; i < t->n_containers; i++) {
		run_done(&t->run->containers[i]);
		t->containers[i].run = NULL;
	}
	task_inputs_free(t);
	task_net_free(t);
	json_decref(t->run->insert);
	(void) sd_event_source_disable_unref(t->run->wake);
	free(t->run->cgroup_path);
	free(t->run);
	t->run = NULL;
}

int engine_add_task(struct engine *e, struct task *t, struct err *err)
{
	struct task **grown = reallocarray(e->tasks, e->n_tasks + 1, sizeof(*grown));

	if (grown)
		e->tasks = grown;
	t->run = calloc(1, sizeof(*t->run) + t->n_containers * sizeof(t->run->containers[0]));
	if (!grown || !t->run) {
		free(t->run);
		t->run = NULL;
		return err_set(err, ENOMEM, "add task '%s'", t->id);
	}
	t->run->engine = e;
	t->run->dirty = true;
	t->run->durable_sent = t->sent;
	t->run->arrived_mono_ms = clock_mono_ms();
	for (size_t i = 0; i < t->n_containers; i++) {
		struct container *c = &t->containers[i];

		c->run = &t->run->containers[i];
		*c->run = (struct container_run){ .engine = e,
						  .container = c,
						  .durable_sent = c->sent };
	}
	if (t->sequence == 0)
		t->sequence = e->next_sequence;
	e->next_sequence = MAX(e->next_sequence, t->sequence) + 1;
	e->tasks[e->n_tasks++] = t;
	return 0;
}

void engine_drop_task(struct engine *e, size_t i)
{
	struct task *t = e->tasks[i];

	memmove(&e->tasks[i], &e->tasks[i + 1], (e->n_tasks - i - 1) * sizeof(e->tasks[0]));
	e->n_tasks--;
	task_run_free(t);
	(void) task_free(t);
}

struct task *engine_task_by_arn(const struct engine *e, const char *arn)
{
	for (size_t i = 0; i < e->n_tasks; i++)
		if (strcmp(e->tasks[i]->arn, arn) == 0)
			return e->tasks[i];
	return NULL;
}

size_t engine_task_count(const struct engine *e)
{
	return e->n_tasks;
}

const struct task *engine_task_at(const struct engine *e, size_t i)
{
	return i < e->n_tasks ? e->tasks[i] : NULL;
}

const struct task *engine_find_task(const struct engine *e, const char *name)
{
	const struct task *found = engine_task_by_arn(e, name);
	size_t n = strlen(name), matches = 0;

	if (found)
		return found;
	for (size_t i = 0; i < e->n_tasks; i++) {
		if (strcmp(e->tasks[i]->id, name) == 0)
			return e->tasks[i];
		if (n < 4 || strncmp(e->tasks[i]->id, name, n) != 0)
			continue;
		found = e->tasks[i];
		matches++;
	}
	return matches == 1 ? found : NULL;
}

void engine_tell(struct engine *e, const struct task *t, const struct container *c,
		 const char *type)
{
	_cleanup_(json_decrefp) json_t *o = NULL;
	char time[CLOCK_RFC3339_MAX];

	if (!e->callbacks.on_event || (c && c->internal))
		return;
	o = json_pack("{s:s,s:s,s:s,s:s,s:s}", "time",
		      clock_format_rfc3339(clock_real_ms(), 1, time), "type", type, "task", t->arn,
		      "status", c ? container_status_name(c->known) : task_status_name(t->known),
		      "desiredStatus",
		      c ? container_status_name(c->desired) : task_status_name(t->desired));
	if (!o)
		return;
	if (c)
		(void) json_object_set_new(o, "container", json_string(c->name));
	if (c && c->has_exit_code)
		(void) json_object_set_new(o, "exitCode", json_integer(c->exit_code));
	if (t->reason)
		(void) json_object_set_new(o, "reason", json_string(t->reason));
	e->callbacks.on_event(e->callbacks.userdata, o);
}

/* ---- making and freeing ---- */

static int make_paths(struct engine *e, struct err *err)
{
	const struct config *c = e->config;
	const char *libexec = c->libexec_dir ? c->libexec_dir : PKGLIBEXECDIR;
	int k;

	e->run_dir = path_join("%s/containers", c->run_dir);
	e->data_dir = path_join("%s/containers", c->data_dir);
	e->trash = path_join("%s/trash", c->data_dir);
	e->runc_root = path_join("%s/runc", c->run_dir);
	e->shim_program = path_join("%s/ecs-shim", libexec);
	e->pause_program = path_join("%s/ecs-pause", libexec);
	e->init_program = path_join("%s/ecs-init", libexec);
	e->image_program = path_join("%s/ecs-image", libexec);
	e->volume_program = path_join("%s/ecs-volume", libexec);
	e->volumes_dir = path_join("%s/volumes", c->data_dir);
	if (!e->run_dir || !e->data_dir || !e->trash || !e->runc_root || !e->shim_program ||
	    !e->pause_program || !e->init_program || !e->image_program || !e->volume_program ||
	    !e->volumes_dir)
		return err_set(err, ENOMEM, "make paths");
	k = runc_find(c->runc, &e->runc, err);
	if (k == 0)
		k = fs_mkdir_p(e->run_dir, 0700, err);
	if (k == 0)
		k = fs_mkdir_p(e->data_dir, 0700, err);
	return k < 0 ? k : fs_mkdir_p(e->runc_root, 0700, err);
}

static int add_sources(struct engine *e, struct err *err)
{
	int k = pass_start(e, err);

	if (k == 0)
		k = packet_filter_watch(e, err);
	if (k == 0)
		k = slots_start(e, err);
	if (k == 0)
		k = cleanup_start(e, err);
	return k < 0 ? k : image_cleanup_start(e, &e->image_cleanup, err);
}

int engine_new(const struct engine_params *p, struct engine **ret, struct err *err)
{
	_cleanup_(engine_freep) struct engine *e = calloc(1, sizeof(*e));
	int k;

	if (!e)
		return err_set(err, ENOMEM, "allocate engine");
	e->loop = sd_event_ref(p->loop);
	e->config = p->config;
	e->store = p->store;
	e->net = p->net;
	e->http = p->http;
	e->roles = p->roles;
	e->instance = p->instance;
	e->callbacks = p->callbacks;
	e->next_sequence = 1;
	e->stop_limit_ms = STOP_LIMIT_MS;
	e->eni_wait_ms = TASK_NET_WAIT_MS;
	e->ledger.gpus = p->config->gpus.ids;
	e->ledger.reserved_tcp = &p->config->reserved_ports;
	e->ledger.reserved_udp = &p->config->reserved_ports_udp;
	k = make_paths(e, err);
	if (k == 0 && p->http)
		k = registry_tokens_new(
			&(struct registry_tokens_params){ .loop = p->loop,
							  .dual_stack = p->config->ipv6_only,
							  .http = p->http,
							  .credentials = p->credentials,
							  .roles = p->roles,
							  .region = p->config->region },
			&e->registry_tokens, err);
	if (k == 0)
		k = image_store_open(e->config->image_dir, &e->images, err);
	if (k == 0)
		k = cgroup_setup(e->config->cgroup_root, e->config->cgroup_parent, err);
	if (k == 0)
		k = add_sources(e, err);
	if (k == 0)
		k = prefetch_start(e, &e->prefetch, err);
	if (k < 0)
		return err_wrap(err, "start the engine");
	*ret = TAKE_PTR(e);
	return 0;
}

struct engine *engine_free(struct engine *e)
{
	if (!e)
		return NULL;
	if (e->store)
		store_overlap_end(e->store);
	e->pass = sd_event_source_disable_unref(e->pass);
	(void) sd_event_source_disable_unref(e->limits);
	e->teardown = sd_event_source_disable_unref(e->teardown);
	e->ticker = sd_event_source_disable_unref(e->ticker);
	e->filter_monitor = sd_event_source_disable_unref(e->filter_monitor);
	e->filter_check = sd_event_source_disable_unref(e->filter_check);
	e->cleanup = sd_event_source_disable_unref(e->cleanup);
	e->retry = sd_event_source_disable_unref(e->retry);
	e->slots = sd_event_source_disable_unref(e->slots);
	e->trash_work = sd_event_source_disable_unref(e->trash_work);
	e->lingering = sd_event_source_disable_unref(e->lingering);
	while (e->n_tasks > 0)
		engine_drop_task(e, e->n_tasks - 1);
	e->linkwatch = linkwatch_free(e->linkwatch);
	pulls_free(e);
	e->prefetch = prefetch_free(e->prefetch);
	e->registry_tokens = registry_tokens_free(e->registry_tokens);
	volumes_free(e);
	(void) image_cleanup_free(e->image_cleanup);
	free(e->tasks);
	(void) image_store_close(e->images);
	free(e->run_dir);
	free(e->data_dir);
	free(e->trash);
	free(e->runc);
	free(e->runc_root);
	free(e->shim_program);
	free(e->pause_program);
	free(e->init_program);
	free(e->image_program);
	free(e->volume_program);
	free(e->volumes_dir);
	sd_event_unref(e->loop);
	free(e);
	return NULL;
}

void engine_set_host_resources(struct engine *e, const struct host_resources *r)
{
	e->ledger.bounded = true;
	e->ledger.cpu_total = r->cpu;
	e->ledger.memory_total_mib = r->memory_mib;
	for (size_t i = 0; i < e->n_tasks; i++)
		if (e->tasks[i]->waiting_for)
			engine_touch(e, e->tasks[i]);
}

void engine_note_usage(const struct container *c, const struct past_usage *past)
{
	c->run->container->past = *past;
	c->run->save = true;
	engine_touch(c->run->engine, c->task);
}

char *engine_log_path(const struct engine *e, const struct container *c)
{
	if (!*c->id || strcmp(c->log_driver ? c->log_driver : "json-file", "json-file") != 0)
		return NULL;
	return path_join("%s/%s/%s-json.log", e->data_dir, c->id, c->id);
}

char *engine_cgroup_dir(const struct container *c, const char *controller)
{
	_cleanup_(freep) char *path =
		*c->id ? path_join("%s/%s/%s", cgroup_parent(), c->task->id, c->id) : NULL;

	return path ? cgroup_controller_dir(controller, path) : NULL;
}
