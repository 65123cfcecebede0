/* SPDX-License-Identifier: Apache-2.0 */
/* Members and their order as in the reference agent's file; JSON indented by tabs. */
#include "agent/engine/metadata-file.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/instance.h"
#include "agent/engine/internal.h"
#include "agent/engine/report.h"
#include "common/fs.h"
#include "common/log.h"

#define FILE_NAME "ecs-container-metadata.json"

enum { FILE_MAX = 256 * 1024 };

static const struct engine *engine_of(const struct container *c)
{
	return c->run->engine;
}

bool metadata_file_is_wanted(const struct container *c)
{
	return engine_of(c)->config->metadata_file && !c->internal && *c->endpoint_id;
}

static char *task_dir(const struct task *t)
{
	return path_join("%s/metadata/%s", t->run->engine->config->data_dir, t->id);
}

char *metadata_file_source(const struct container *c)
{
	return path_join("%s/metadata/%s/%s", engine_of(c)->config->data_dir, c->task->id, c->name);
}

char *metadata_file_target(const struct container *c)
{
	return path_join("/opt/ecs/metadata/%s", c->endpoint_id);
}

char *metadata_file_path(const struct container *c)
{
	return path_join("/opt/ecs/metadata/%s/" FILE_NAME, c->endpoint_id);
}

/* ---- what is in it ---- */

static void put_some(json_t *o, const char *key, const char *value)
{
	if (value && *value)
		(void) json_object_set_new(o, key, json_string(value));
}

static json_t *first_stage(const struct container *c)
{
	static const struct instance_facts nothing;
	const struct instance_facts *i = engine_of(c)->instance;
	json_t *o = json_object();

	i = i ? i : &nothing;
	put_some(o, "Cluster", *i->cluster ? i->cluster : engine_of(c)->config->cluster);
	put_some(o, "ContainerInstanceARN", i->arn);
	put_some(o, "TaskARN", c->task->arn);
	put_some(o, "TaskDefinitionFamily", c->task->family);
	put_some(o, "TaskDefinitionRevision", c->task->version);
	put_some(o, "ContainerName", c->name);
	if (!engine_of(c)->config->metadata_az_disabled)
		put_some(o, "AvailabilityZone", i->zone);
	put_some(o, "HostPrivateIPv4Address", i->private_ipv4);
	put_some(o, "HostPublicIPv4Address", i->public_ipv4);
	if (engine_of(c)->config->ipv6_only)
		put_some(o, "HostIPv6Address", i->ipv6);
	return o;
}

static json_t *port(const struct port_binding *b, const char *ip)
{
	return json_pack("{s:i, s:s, s:i, s:s, s:s}", "ContainerPort", b->container_port,
			 "ContainerPortRange", "", "HostPort", b->host_port, "BindIp", ip,
			 "Protocol", b->proto == IPPROTO_UDP ? "udp" : "tcp");
}

/* Of the families that the service is told of. */
static json_t *ports(const struct container *c)
{
	const struct config *config = engine_of(c)->config;
	json_t *list = json_array();

	for (size_t i = 0; i < c->n_bindings; i++) {
		if (report_names_ipv4(config))
			(void) json_array_append_new(list, port(&c->bindings[i], "0.0.0.0"));
		if (c->bindings[i].host_port && report_names_ipv6(config))
			(void) json_array_append_new(list, port(&c->bindings[i], "::"));
	}
	return list;
}

/* NULL for an empty list, which is taken. */
static json_t *filled(json_t *list)
{
	if (json_array_size(list) > 0)
		return list;
	json_decref(list);
	return NULL;
}

static void add_address(json_t *list, int family, const void *addr)
{
	char text[INET6_ADDRSTRLEN];

	(void) json_array_append_new(list,
				     json_string(inet_ntop(family, addr, text, sizeof(text))));
}

/* A mode without an address of its own has one empty one. A family without any is left out. */
static json_t *networks(const struct container *c)
{
	const struct in6_addr bridge6 = container_address6(c, &engine_of(c)->config->six);
	const struct task_eni *eni = c->task->eni;
	json_t *four = json_array(), *six = json_array();

	for (size_t i = 0; eni && i < eni->n_ipv4; i++)
		add_address(four, AF_INET, &eni->ipv4[i].addr);
	for (size_t i = 0; eni && i < eni->n_ipv6; i++)
		add_address(six, AF_INET6, &eni->ipv6[i].addr);
	if (!eni && c->address.s_addr)
		add_address(four, AF_INET, &c->address);
	else if (!eni)
		(void) json_array_append_new(four, json_string(""));
	if (!eni && !IN6_IS_ADDR_UNSPECIFIED(&bridge6))
		add_address(six, AF_INET6, &bridge6);
	return json_pack("[{s:s, s:o*, s:o*}]", "NetworkMode", network_mode_name(c->network_mode),
			 "IPv4Addresses", filled(four), "IPv6Addresses", filled(six));
}

static void second_stage(json_t *o, const struct container *c)
{
	put_some(o, "ContainerID", c->id);
	put_some(o, "DockerContainerName", c->docker_name);
	put_some(o, "ImageID", c->image_id);
	put_some(o, "ImageName", c->image);
	if (c->n_bindings > 0)
		(void) json_object_set_new(o, "PortMappings", ports(c));
	(void) json_object_set_new(o, "Networks", networks(c));
	(void) json_object_set_new(o, "MetadataFileStatus", json_string("READY"));
}

/* ---- the file ---- */

/* jansson indents by blanks. */
static char *to_text(const json_t *o)
{
	char *text = json_dumps(o, JSON_INDENT(1)), *to = text, *from = text;

	for (bool at_start = true; text && *from; from++) {
		bool indents = at_start && *from == ' ';

		at_start = *from == '\n' || indents;
		*to++ = (char) (indents ? '\t' : *from); /* which may be where it was read */
	}
	return text;
}

/* What is lost with the machine is made again with the container. Takes @o. */
static int write_file(const struct container *c, json_t *o, struct err *err)
{
	_cleanup_(json_decrefp) json_t *mine = o;
	_cleanup_(freep) char *dir = metadata_file_source(c);
	_cleanup_(freep) char *path = dir ? path_join("%s/" FILE_NAME, dir) : NULL;
	_cleanup_(freep) char *text = to_text(mine);
	int k;

	if (!path || !text)
		return err_set(err, ENOMEM, "write the metadata file");
	k = fs_mkdir_p(dir, 0755, err);
	if (k == 0)
		k = fs_write_file_volatile(AT_FDCWD, path, text, strlen(text), 0644, err);
	return k < 0 ? err_wrap(err, "metadata file") : 0;
}

int metadata_file_begin(const struct container *c, struct err *err)
{
	int k = metadata_file_is_wanted(c) ? write_file(c, first_stage(c), err) : 0;

	CRASH_POINT(METADATA_FILE_BEGUN);
	return k;
}

/* What an earlier run of the agent knew may not be known yet. */
static json_t *read_file(const struct container *c)
{
	_cleanup_(freep) char *dir = metadata_file_source(c);
	_cleanup_(freep) char *path = dir ? path_join("%s/" FILE_NAME, dir) : NULL;
	_cleanup_(freep) char *text = NULL;
	size_t len = 0;
	json_t *o = NULL;

	if (path && fs_read_file(AT_FDCWD, path, FILE_MAX, &text, &len, NULL) == 0)
		o = json_loadb(text, len, 0, NULL);
	if (json_is_object(o))
		return o;
	json_decref(o);
	return first_stage(c);
}

void metadata_file_finish(const struct container *c)
{
	_cleanup_(err_done) struct err err = {};
	json_t *o;

	if (!metadata_file_is_wanted(c))
		return;
	o = read_file(c);
	second_stage(o, c);
	if (write_file(c, o, &err) < 0)
		container_log(LOG_WARN, c, "Going on with what '%s' was told first: %s", c->name,
			      err_text(&err));
	CRASH_POINT(METADATA_FILE_READY);
}

int metadata_file_discard(const struct task *t)
{
	_cleanup_(freep) char *dir = task_dir(t);

	return dir ? cleanup_discard_dir(t->run->engine, dir) : -ENOMEM;
}

void metadata_file_collect(struct engine *e)
{
	_cleanup_(freep) char *dir = path_join("%s/metadata", e->config->data_dir);
	_cleanup_(closedirp) DIR *d = dir ? opendir(dir) : NULL;
	const struct dirent *entry;

	while (d && (entry = readdir(d))) {
		const struct task *t = engine_find_task(e, entry->d_name);
		_cleanup_(freep) char *path = NULL;

		if (entry->d_name[0] == '.' || (t && strcmp(t->id, entry->d_name) == 0))
			continue;
		path = path_join("%s/%s", dir, entry->d_name);
		if (path)
			(void) cleanup_discard_dir(e, path);
	}
}
