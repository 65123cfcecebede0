/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/engine/rebuild.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/engine/internal.h"
#include "agent/engine/payload.h"
#include "agent/store/store.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/strv.h"

enum { RECORD_MAX = 4 << 20, ID_LENGTH = 64 };

/* ---- writing ---- */

static json_t *definition_of(const struct task *t, struct err *err)
{
	_cleanup_(freep) char *text = NULL;
	json_t *definition = NULL;

	if (t->run->insert)
		return json_incref(t->run->insert);
	if (store_get_definition(t->run->engine->store, t->arn, &text, err) < 0)
		return NULL;
	(void) json_parse(text ? text : "", text ? strlen(text) : 0, &definition, err);
	return definition;
}

static json_t *bindings_of(const struct container *c)
{
	json_t *list = json_array();

	for (size_t i = 0; i < c->n_bindings; i++)
		(void) json_array_append_new(
			list, json_pack("[i,i,i,i]", (int) c->bindings[i].container_port,
					(int) c->bindings[i].host_port, (int) c->bindings[i].proto,
					(int) c->bindings[i].range));
	return list;
}

static json_t *record_of(const struct container *c)
{
	char address[INET_ADDRSTRLEN] = "";

	if (c->address.s_addr)
		(void) inet_ntop(AF_INET, &c->address, address, sizeof(address));
	return json_pack("{s:s,s:s,s:s,s:s,s:s*,s:s*,s:s,s:I,s:o}", "name", c->name, "id", c->id,
			 "endpointId", c->endpoint_id, "dockerName", c->docker_name, "imageId",
			 c->image_id, "imageDigest", c->image_digest, "address", address,
			 "createdAt", (json_int_t) c->created_ms, "bindings", bindings_of(c));
}

int rebuild_note(const struct container *c, struct err *err)
{
	_cleanup_(freep) char *dir = container_data_dir(c), *text = NULL;
	_cleanup_(freep) char *path = dir ? path_join("%s/task.json", dir) : NULL;
	_cleanup_(json_decrefp) json_t *definition = definition_of(c->task, err), *o = NULL;
	_cleanup_(freep) char *instance = NULL;

	if (!definition)
		return err->code ? -err->code : err_set(err, ENOMEM, "write the task's record");
	if (store_get_meta(c->run->engine->store, STORE_EC2_INSTANCE, &instance, err) < 0)
		return -err->code;
	o = json_pack("{s:i,s:s*,s:o,s:O}", "version", 1, "ec2InstanceId", instance, "container",
		      record_of(c), "task", definition);
	text = o ? json_to_text(o) : NULL;
	if (!path || !text)
		return err_set(err, ENOMEM, "write the task's record");
	return fs_write_file_volatile(AT_FDCWD, path, text, strlen(text), 0600, err);
}

/* ---- reading ---- */

static const char *last_of(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	return slash ? slash + 1 : path;
}

/* A machine image made of a running instance carries the records of that one along. */
static bool is_of_this_instance(struct engine *e, const json_t *record)
{
	const char *then = json_get_string(record, "ec2InstanceId", NULL);
	_cleanup_(freep) char *now = NULL;

	return store_get_meta(e->store, STORE_EC2_INSTANCE, &now, NULL) == 0 &&
	       (!now || !then || strcmp(now, then) == 0);
}

/* The cluster of an ARN "…:task/CLUSTER/ID"; the old form "…:task/ID" names none. */
static bool is_of_our_cluster(const struct engine *e, const json_t *definition, const char *arn)
{
	const char *cluster = json_get_string(definition, "taskClusterArn", NULL);
	const char *ours = last_of(e->config->cluster), *begin = strstr(arn, ":task/"), *end;

	if (cluster && *cluster)
		return strcmp(last_of(cluster), ours) == 0;
	begin = begin ? begin + strlen(":task/") : NULL;
	end = begin ? strchr(begin, '/') : NULL;
	return !end || (strlen(ours) == (size_t) (end - begin) &&
			strncmp(ours, begin, (size_t) (end - begin)) == 0);
}

static int read_bindings(struct container *c, const json_t *list)
{
	size_t n = json_array_size(list);
	struct port_binding *b = n > 0 ? calloc(n, sizeof(*b)) : NULL;

	if (n > 0 && !b)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const json_t *one = json_array_get(list, i);

		b[i] = (struct port_binding){
			.container_port = (uint16_t) json_integer_value(json_array_get(one, 0)),
			.host_port = (uint16_t) json_integer_value(json_array_get(one, 1)),
			.proto = (uint8_t) json_integer_value(json_array_get(one, 2)),
			.range = (uint16_t) json_integer_value(json_array_get(one, 3)),
		};
	}
	free(c->bindings);
	c->bindings = b;
	c->n_bindings = n;
	return 0;
}

/* It was started: either its shim says what became of it, or nobody can. */
static int take_over(struct container *c, const json_t *o, const char *id)
{
	if (read_bindings(c, json_object_get(o, "bindings")) < 0 ||
	    strdup_to(&c->image_id, json_get_string(o, "imageId", NULL)) < 0 ||
	    strdup_to(&c->image_digest, json_get_string(o, "imageDigest", NULL)) < 0)
		return -ENOMEM;
	(void) snprintf(c->id, sizeof(c->id), "%s", id);
	(void) snprintf(c->docker_name, sizeof(c->docker_name), "%s",
			json_get_string(o, "dockerName", c->docker_name));
	(void) snprintf(c->endpoint_id, sizeof(c->endpoint_id), "%s",
			json_get_string(o, "endpointId", c->endpoint_id));
	if (inet_pton(AF_INET, json_get_string(o, "address", ""), &c->address) != 1)
		c->address.s_addr = 0;
	c->created_ms = json_get_int(o, "createdAt", 0);
	c->known = CONTAINER_RUNNING;
	c->run->save = true;
	return 0;
}

static struct container *container_by_name(struct task *t, const char *name)
{
	for (size_t i = 0; i < t->n_containers; i++)
		if (strcmp(t->containers[i].name, name) == 0)
			return &t->containers[i];
	return NULL;
}

/* One that cannot be run any further is known at least by its name, and told of once. */
static int decode(const json_t *definition, struct task **ret, struct err *err)
{
	_cleanup_(err_done) struct err why = {};
	int k = payload_decode_task(definition, ret, &why);

	if (k == 0 || k == -ENOMEM)
		return k == 0 ? 0 : err_move(err, &why);
	k = payload_decode_bare_task(definition, ret, err);
	if (k < 0)
		return k;
	(*ret)->desired = TASK_STOPPED;
	if (asprintf(&(*ret)->reason, "UnrecogniedTaskError: Error loading task - %s",
		     err_text(&why)) < 0)
		(*ret)->reason = NULL;
	return 0;
}

static int add_task(struct engine *e, const json_t *definition, struct task **ret, struct err *err)
{
	_cleanup_(task_freep) struct task *t = NULL;
	int k = decode(definition, &t, err);

	if (k == 0)
		k = engine_add_task(e, t, err);
	if (k < 0)
		return k;
	t->run->insert = json_deep_copy(definition);
	task_log(LOG_ERROR, t,
		 "Task '%s' is not in the database; it is known again from its containers' records",
		 t->id);
	*ret = TAKE_PTR(t); /* the engine's now */
	return 0;
}

static int use_record(struct engine *e, const json_t *record, const char *id, struct err *err)
{
	const json_t *definition = json_object_get(record, "task");
	const json_t *o = json_object_get(record, "container");
	const char *arn = json_get_string(definition, "arn", "");
	struct task *t = engine_task_by_arn(e, arn);
	struct container *c;
	int k = 0;

	if (!*arn || strcmp(json_get_string(o, "id", ""), id) != 0 ||
	    !is_of_our_cluster(e, definition, arn) || !is_of_this_instance(e, record))
		return 0;
	if (!t)
		k = add_task(e, definition, &t, err);
	c = k == 0 ? container_by_name(t, json_get_string(o, "name", "")) : NULL;
	/* A row that has another id, or has ended, is younger than the record. */
	if (!c || *c->id || c->known >= CONTAINER_RUNNING)
		return k;
	return take_over(c, o, id) < 0 ? err_set(err, ENOMEM, "read the record of '%s'", id) : 0;
}

static bool is_known(const struct engine *e, const char *id)
{
	for (size_t i = 0; i < e->n_tasks; i++)
		for (size_t j = 0; j < e->tasks[i]->n_containers; j++)
			if (strcmp(e->tasks[i]->containers[j].id, id) == 0)
				return true;
	return false;
}

/* What cannot be read is nobody's: its processes end with the collection of leftovers. */
static int read_record(struct engine *e, const char *id, struct err *err)
{
	_cleanup_(freep) char *path = path_join("%s/%s/task.json", e->data_dir, id), *text = NULL;
	_cleanup_(json_decrefp) json_t *record = NULL;
	_cleanup_(err_done) struct err why = {};
	size_t len = 0;

	if (!path)
		return err_set(err, ENOMEM, "make path");
	if (access(path, F_OK) < 0) /* it never came to a start */
		return 0;
	if (fs_read_file(AT_FDCWD, path, RECORD_MAX, &text, &len, &why) < 0 ||
	    json_parse(text, len, &record, &why) < 0 || use_record(e, record, id, &why) < 0) {
		if (why.code == ENOMEM)
			return err_move(err, &why);
		log_error("Failed to read the record of container '%s', it is removed: %s", id,
			  err_text(&why));
	}
	return 0;
}

int rebuild_tasks(struct engine *e, struct err *err)
{
	_cleanup_(closedirp) DIR *d = opendir(e->data_dir);
	const struct dirent *entry;
	int k = 0;

	while (k == 0 && d && (entry = readdir(d)))
		if (strlen(entry->d_name) == ID_LENGTH && !is_known(e, entry->d_name))
			k = read_record(e, entry->d_name, err);
	return k;
}
