/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/engine/task.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/strv.h"

const char *task_status_name(enum task_status s)
{
	static const char *const names[_TASK_STATUS_MAX] = {
		[TASK_NONE] = "NONE",       [TASK_MANIFEST_PULLED] = "MANIFEST_PULLED",
		[TASK_CREATED] = "CREATED", [TASK_RUNNING] = "RUNNING",
		[TASK_STOPPED] = "STOPPED",
	};

	return s < _TASK_STATUS_MAX ? names[s] : "NONE";
}

const char *container_status_name(enum container_status s)
{
	static const char *const names[_CONTAINER_STATUS_MAX] = {
		[CONTAINER_NONE] = "NONE",       [CONTAINER_MANIFEST_PULLED] = "MANIFEST_PULLED",
		[CONTAINER_PULLED] = "PULLED",   [CONTAINER_CREATED] = "CREATED",
		[CONTAINER_RUNNING] = "RUNNING", [CONTAINER_STOPPED] = "STOPPED",
	};

	return s < _CONTAINER_STATUS_MAX ? names[s] : "NONE";
}

const char *task_status_for_service(enum task_status s)
{
	return s == TASK_RUNNING ? "RUNNING" : s == TASK_STOPPED ? "STOPPED" : "PENDING";
}

const char *container_status_for_service(enum container_status s)
{
	return s == CONTAINER_RUNNING ? "RUNNING" : s == CONTAINER_STOPPED ? "STOPPED" : "PENDING";
}

const char *network_mode_name(enum network_mode m)
{
	static const char *const names[_NETWORK_MODE_MAX] = {
		[NETWORK_BRIDGE] = "bridge",
		[NETWORK_HOST] = "host",
		[NETWORK_NONE] = "none",
		[NETWORK_AWSVPC] = "awsvpc",
	};

	return m < _NETWORK_MODE_MAX ? names[m] : "bridge";
}

const char *depend_condition_name(enum depend_condition c)
{
	static const char *const names[_DEPEND_MAX] = {
		[DEPEND_CREATE] = "CREATE",     [DEPEND_START] = "START",
		[DEPEND_COMPLETE] = "COMPLETE", [DEPEND_SUCCESS] = "SUCCESS",
		[DEPEND_HEALTHY] = "HEALTHY",
	};

	return c < _DEPEND_MAX ? names[c] : "?";
}

const char *health_status_name(enum health_status s)
{
	switch (s) {
	case HEALTH_UNKNOWN:
		return "UNKNOWN";
	case HEALTH_HEALTHY:
		return "HEALTHY";
	case HEALTH_UNHEALTHY:
		return "UNHEALTHY";
	default:
		return NULL;
	}
}

enum task_status task_status_parse(const char *name)
{
	for (enum task_status s = TASK_NONE; name && s < _TASK_STATUS_MAX; s++)
		if (strcmp(name, task_status_name(s)) == 0)
			return s;
	return name && strcmp(name, "DEAD") == 0 ? TASK_STOPPED : TASK_NONE;
}

int task_id_from_arn(const char *arn, char id[256], struct err *err)
{
	const char *slash = arn ? strrchr(arn, '/') : NULL;
	size_t n = slash ? strlen(slash + 1) : 0;

	/* It names files and cgroups, so nothing but these characters passes. */
	if (n == 0 || n > 255 || strspn(slash + 1, TASK_NAME_CHARS) != n)
		return err_set(err, EPROTO, "arn: '%.300s' has no task id after its last '/'",
			       arn ? arn : "");
	memcpy(id, slash + 1, n + 1);
	return 0;
}

bool task_is_local(const struct task *t)
{
	return strncmp(t->arn, TASK_LOCAL_ARN, strlen(TASK_LOCAL_ARN)) == 0;
}

bool container_health_is_tracked(const struct container *c)
{
	return c->health_check_type && strcmp(c->health_check_type, "docker") == 0;
}

void health_check_done(struct health_check *h)
{
	h->test = strv_free(h->test);
	*h = (struct health_check){};
}

void container_set_error(struct container *c, const char *name, const char *message)
{
	if (c->error_name)
		return;
	(void) strdup_to(&c->error_name, name);
	(void) strdup_to(&c->error_message, message);
}

static void volume_config_done(struct volume_config *v)
{
	free(v->driver);
	json_pairs_free(v->options, v->n_options);
	json_pairs_free(v->labels, v->n_labels);
}

void task_volume_done(struct task_volume *v)
{
	free(v->name);
	free(v->source);
	free(v->host_name);
	if (v->efs) {
		free(v->efs->file_system_id);
		free(v->efs->root_directory);
		free(v->efs->access_point);
	}
	free(v->efs);
	volume_config_done(&v->config);
	*v = (struct task_volume){};
}

void mount_point_done(struct mount_point *m)
{
	free(m->volume);
	free(m->source);
	free(m->container_path);
	free(m->options);
	volume_config_done(&m->config);
	*m = (struct mount_point){};
}

void container_done(struct container *c)
{
	char **const texts[] = { &c->name,
				 &c->image,
				 &c->user,
				 &c->working_directory,
				 &c->hostname,
				 &c->domainname,
				 &c->stop_signal,
				 &c->log_driver,
				 &c->container_arn,
				 &c->image_digest,
				 &c->image_id,
				 &c->error_name,
				 &c->error_message,
				 &c->health.output,
				 &c->health_check_type };
	char ***const vectors[] = {
		&c->command,   &c->entry_point, &c->cap_add,          &c->cap_drop,
		&c->dns,       &c->dns_search,  &c->dns_options,      &c->extra_hosts,
		&c->group_add, &c->links,       &c->environment_files
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		free(*texts[i]);
		*texts[i] = NULL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++)
		*vectors[i] = strv_free(*vectors[i]);
	for (size_t i = 0; i < c->n_environment; i++) /* may hold what people call configuration */
		explicit_bzero(c->environment[i].value, strlen(c->environment[i].value));
	json_pairs_free(c->environment, c->n_environment);
	docker_options_done(&c->docker);
	json_pairs_free(c->labels, c->n_labels);
	health_check_done(&c->health_check);
	registry_auth_done(&c->registry_auth);
	for (size_t i = 0; i < c->n_secrets; i++)
		secret_done(&c->secrets[i]);
	free(c->secrets);
	json_pairs_free(c->sysctls, c->n_sysctls);
	json_pairs_free(c->log_options, c->n_log_options);
	for (size_t i = 0; i < c->n_ulimits; i++)
		free(c->ulimits[i].name);
	free(c->ulimits);
	for (size_t i = 0; i < c->n_mounts; i++)
		mount_point_done(&c->mounts[i]);
	free(c->mounts);
	for (size_t i = 0; i < c->n_volumes_from; i++)
		free(c->volumes_from[i].source_container);
	free(c->volumes_from);
	for (size_t i = 0; i < c->n_depends; i++)
		free(c->depends[i].name);
	free(c->depends);
	free(c->restart.ignored_exit_codes);
	free(c->ports);
	free(c->bindings);
	*c = (struct container){};
}

struct task *task_free(struct task *t)
{
	if (!t)
		return NULL;
	for (size_t i = 0; i < t->n_containers; i++)
		container_done(&t->containers[i]);
	free(t->containers);
	for (size_t i = 0; i < t->n_volumes; i++)
		task_volume_done(&t->volumes[i]);
	free(t->volumes);
	if (t->eni)
		task_eni_done(t->eni);
	free(t->eni);
	free(t->arn);
	free(t->family);
	free(t->version);
	free(t->cluster_arn);
	free(t->launch_type);
	free(t->service_name);
	free(t->group);
	free(t->execution_credentials_id);
	free(t->role_credentials_id);
	free(t->reason);
	free(t->waiting_for);
	free(t);
	return NULL;
}

struct in6_addr container_address6(const struct container *c, const struct net6 *six)
{
	bool has = c->network_mode == NETWORK_BRIDGE && c->address.s_addr;

	return has ? net6_address(six, c->address) : (struct in6_addr){};
}
