/* SPDX-License-Identifier: Apache-2.0 */
/*
 * payload - the tasks of an ACS PayloadMessage, decoded with field tables.
 * The members are those of ACS PayloadMessage.tasks[]. dockerConfig's two JSON strings (Docker Engine
 * API ContainerConfig and HostConfig) are laid over the container's own members, keys matching
 * without regard to case. What a payload asks for and this build cannot do is in one table,
 * payload-unsupported.c: a value other than an empty one refuses the task and names the field.
 */
#pragma once

#include <jansson.h>

#include "agent/engine/task.h"
#include "common/err.h"
#include "common/json.h"

/*
 * Decodes one element of tasks[]. Returns 0 with a new task (desired set, everything else of the
 * state half at its beginning) or a negative errno with @err set:
 * -EPROTO: malformed; "containers[0]: cpu: 70000000 is outside …".
 * -ENOTSUP: well-formed, but beyond this build; "containers[0]: links: not supported by this
 * build".
 */
int payload_decode_task(const json_t *obj, struct task **ret, struct err *err);

/*
 * A task without containers for one that cannot or need not be decoded: ARN, id, family, version,
 * the desired status as it was sent. -EPROTO when it has no usable ARN.
 */
int payload_decode_bare_task(const json_t *obj, struct task **ret, struct err *err);

/* A json_field's decoder of registryAuthentication into a struct registry_auth. */
int payload_decode_registry(const json_t *value, void *dst, const struct json_field *f,
			    struct err *err);

/* secrets[], for json_decode_array: struct secret. */
extern const struct json_array payload_secrets;

/* environmentFiles[], a json_field's decoder into a vector of their values. */
int payload_decode_environment_files(const json_t *value, void *dst, const struct json_field *f,
				     struct err *err);

/* A copy of the task object for the store: without role credentials but for their ids. */
json_t *payload_without_secrets(const json_t *obj);

enum payload_place { PAYLOAD_TASK, PAYLOAD_CONTAINER, PAYLOAD_CONFIG, PAYLOAD_HOST_CONFIG };

/* -ENOTSUP when @obj asks, at @place, for something of the table; 0 otherwise. */
int payload_check_unsupported(enum payload_place place, const json_t *obj, struct err *err);

/* Whether @key is a row of the table at @place; compares without regard to case. */
bool payload_key_is_unsupported(enum payload_place place, const char *key);

/* null, false, 0, "", [], {} and arrays or objects of nothing but those. */
bool payload_value_is_empty(const json_t *v);

/* dependsOn[] and volumesFrom[], for json_decode_array: struct depend, struct volumes_from. */
extern const struct json_array payload_depends_on, payload_volumes_from;

/* HealthCheck of dockerConfig and of an image: a struct health_check. */
extern const struct json_field payload_health_fields[];
int payload_check_health(const struct health_check *h, struct err *err);
int payload_decode_health_check(const json_t *obj, struct health_check *ret, struct err *err);

/*
 * payload-mounts.c: the ways to say that something of the host appears in a container. All end in
 * container.mounts (and volumes_from), their paths clean. The decoders take a struct container.
 */
extern const struct json_array payload_mount_points;
int payload_decode_binds(const json_t *value, void *c, const struct json_field *f, struct err *err);
int payload_decode_mounts(const json_t *value, void *c, const struct json_field *f,
			  struct err *err);
int payload_decode_host_volumes_from(const json_t *value, void *c, const struct json_field *f,
				     struct err *err);
int payload_decode_anonymous_volumes(const json_t *value, void *c, const struct json_field *f,
				     struct err *err);
int payload_decode_volume_driver(const json_t *value, void *c, const struct json_field *f,
				 struct err *err);

/* "//a/./b/" becomes "/a/b". -EPROTO, named @what: not absolute, or it climbs: what that means depends on links. */
int payload_clean_path(const char *what, char *path, struct err *err);

/*
 * elasticNetworkInterfaces[], for json_decode_array: struct task_eni, done by task_eni_done(). The
 * same in a task and in the messages that announce an interface (ACS
 * AttachTaskNetworkInterfacesMessage, AttachInstanceNetworkInterfacesMessage).
 */
extern const struct json_array payload_enis;

/* The same of the task at @dst, which takes at most one. */
int payload_decode_task_eni(const json_t *value, void *dst, const struct json_field *f,
			    struct err *err);

/* volumes[] of the task object @obj; then every mount finds its volume, and its path for itself. */
int payload_decode_volumes(const json_t *obj, struct task *t, struct err *err);

/* restartPolicy{}, for json_decode_object: struct restart_policy. */
extern const struct json_field payload_restart_policy[];

/* Sets a key in `struct json_pair *items; size_t n`, which stand in this order at @pairs. -ENOMEM. */
int payload_pairs_set(void *pairs, const char *key, const char *value);

/* portMappings of the container at @dst. */
int payload_decode_port_mappings(const json_t *value, void *dst, const struct json_field *f,
				 struct err *err);

/*
 * When the network mode is known: ranges that nothing has to be published for go, and what is
 * left has to be few enough to be held.
 */
int payload_settle_ports(struct container *c, struct err *err);

/* PortBindings of hostConfig, laid over the ports of the container at @dst. */
int payload_decode_port_bindings(const json_t *value, void *dst, const struct json_field *f,
				 struct err *err);

/* Lays dockerConfig {config, hostConfig} over @c. */
int payload_decode_docker_config(const json_t *obj, struct container *c, struct err *err);

/* After all members are in: limits in both units, the log driver and its options. */
int payload_settle_container(struct container *c, struct err *err);

/* "10m", "512k", "1g", "123": bytes. -EINVAL. */
int payload_parse_size(const char *text, int64_t *ret, struct err *err);

/* "SIGTERM", "TERM", "15", "SIGRTMIN+3": its number, or -EINVAL. */
int payload_parse_signal(const char *text);
