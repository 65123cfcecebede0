/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the task definition says, the image and the defaults, merged as Docker does it, become a
 * root file system, three files in /etc and a config.json. The latter lies on the run directory's
 * tmpfs and only until the container runs.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/engine/endpoints.h"
#include "agent/engine/health.h"
#include "agent/engine/gpus.h"
#include "agent/engine/holder.h"
#include "agent/engine/internal.h"
#include "agent/engine/metadata-file.h"
#include "agent/engine/links.h"
#include "agent/engine/mounts.h"
#include "agent/engine/payload.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/strv.h"
#include "runtime/cgroup/cgroup.h"
#include "runtime/net/etcfiles.h"
#include "runtime/rootfs/rootfs.h"
#include "runtime/spec/spec.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

enum { ETC_FILES = 3, HOSTNAME_BYTES = 256 };

struct bundle {
	const struct image *image;                            /* borrowed */
	char *data_dir, *run_dir, *etc_dir, *rootfs, *cgroup; /* owned */
	char **args, **env;                                   /* owned */
	char hostname[HOSTNAME_BYTES];
	struct user_ids user;
	struct spec_mount *mounts; /* owned, strings borrowed but for etc_paths */
	size_t n_mounts;
	char *etc_paths[ETC_FILES];  /* owned */
	struct links links;
	char **paths;                /* owned: sources and options of the others */
	struct spec_rlimit *rlimits; /* owned */
	size_t n_rlimits;
};

static void bundle_done(struct bundle *b)
{
	free(b->data_dir);
	free(b->run_dir);
	free(b->etc_dir);
	free(b->rootfs);
	free(b->cgroup);
	b->args = strv_free(b->args);
	for (char **s = b->env; s && *s; s++)
		explicit_bzero(*s, strlen(*s)); /* there may be secrets among them */
	b->env = strv_free(b->env);
	user_ids_done(&b->user);
	free(b->mounts);
	for (size_t i = 0; i < ETC_FILES; i++)
		free(b->etc_paths[i]);
	links_done(&b->links);
	b->paths = strv_free(b->paths);
	free(b->rlimits);
}

/* ---- merging ---- */

/* Sets KEY in a vector of KEY=value. */
static int env_set(char ***env, const char *key, const char *value)
{
	size_t n = strlen(key);
	_cleanup_(freep) char *entry = path_join("%s=%s", key, value);

	if (!entry)
		return -ENOMEM;
	for (char **s = *env; s && *s; s++)
		if (strncmp(*s, key, n) == 0 && (*s)[n] == '=')
			return strdup_to(s, entry);
	return strv_append(env, entry);
}

static int env_set_all(char ***env, char *const *from)
{
	int k = 0;

	for (; k == 0 && from && *from; from++) {
		_cleanup_(freep) char *key = strndup(*from, strcspn(*from, "="));

		if (!key)
			return -ENOMEM;
		if ((*from)[strlen(key)] == '=')
			k = env_set(env, key, *from + strlen(key) + 1);
	}
	return k;
}

static int name_metadata_file(const struct container *c, struct bundle *b)
{
	_cleanup_(freep) char *path = metadata_file_path(c);

	return path ? env_set(&b->env, "ECS_CONTAINER_METADATA_FILE", path) : -ENOMEM;
}

/* Strongest last: defaults, links, image, files, task definition, endpoints, secrets. HOME: runc. */
static int merge_env(const struct container *c, const struct image *image, struct bundle *b)
{
	_cleanup_(freep) char *gpus = gpus_visible(c);
	int k = env_set(&b->env, "PATH", DEFAULT_PATH);

	if (k == 0)
		k = env_set(&b->env, "HOSTNAME", b->hostname);
	if (k == 0 && c->terminal)
		k = env_set(&b->env, "TERM", "xterm");
	if (k == 0)
		k = env_set_all(&b->env, b->links.env);
	if (k == 0)
		k = env_set_all(&b->env, image->config.env);
	if (k == 0)
		k = task_inputs_set_files(c, &b->env, env_set);
	for (size_t i = 0; k == 0 && i < c->n_environment; i++)
		k = env_set(&b->env, c->environment[i].key, c->environment[i].value);
	if (k == 0 && gpus)
		k = env_set(&b->env, "NVIDIA_VISIBLE_DEVICES", gpus);
	if (k == 0)
		k = endpoints_add(c, c->run->engine->config->region, &b->env);
	if (k == 0 && metadata_file_is_wanted(c))
		k = name_metadata_file(c, b);
	return k == 0 ? task_inputs_set_secrets(c, &b->env, env_set) : k;
}

static const char *first_text(const char *a, const char *b, const char *fallback)
{
	return a && *a ? a : b && *b ? b : fallback;
}

static void choose_hostname(const struct container *c, struct bundle *b)
{
	const struct task_eni *eni = c->task->eni;

	if (eni && eni->private_dns_name && *eni->private_dns_name) /* that of all the task's */
		(void) snprintf(b->hostname, sizeof(b->hostname), "%s", eni->private_dns_name);
	else if (c->hostname && *c->hostname)
		(void) snprintf(b->hostname, sizeof(b->hostname), "%s", c->hostname);
	else if ((c->network_mode != NETWORK_HOST && c->docker.uts != NAMESPACE_HOST) ||
		 gethostname(b->hostname, sizeof(b->hostname)) < 0)
		(void) snprintf(b->hostname, sizeof(b->hostname), "%.12s", c->id);
	b->hostname[sizeof(b->hostname) - 1] = '\0';
}

/* ---- files ---- */

static int make_directories(struct container *c, struct bundle *b, struct err *err)
{
	int k;

	b->data_dir = container_data_dir(c);
	b->run_dir = container_run_dir(c);
	b->etc_dir = b->data_dir ? path_join("%s/etc", b->data_dir) : NULL;
	b->cgroup = container_cgroup_path(c);
	if (!b->etc_dir || !b->run_dir || !b->cgroup)
		return err_set(err, ENOMEM, "make paths");
	k = fs_mkdir_p(b->etc_dir, 0700, err);
	return k < 0 ? k : fs_mkdir_p(b->run_dir, 0700, err);
}

/* The addresses of the task's interface, as extra hosts are written; the first one is found first. */
static int list_eni_hosts(const struct container *c, const struct bundle *b, char ***ret)
{
	const struct task_eni *eni = c->task->eni;
	int k = 0;

	for (size_t i = 0; k == 0 && i < eni->n_ipv4 + eni->n_ipv6; i++) {
		bool six = i >= eni->n_ipv4;
		char text[INET6_ADDRSTRLEN];
		_cleanup_(freep) char *entry = NULL;

		(void) inet_ntop(six ? AF_INET6 : AF_INET,
				 six ? (const void *) &eni->ipv6[i - eni->n_ipv4].addr
				     : (const void *) &eni->ipv4[i].addr,
				 text, sizeof(text));
		entry = path_join("%s:%s", b->hostname, text);
		k = entry ? strv_append(ret, entry) : -ENOMEM;
	}
	for (char **s = c->extra_hosts; k == 0 && s && *s; s++)
		k = strv_append(ret, *s);
	return k;
}

static int write_eni_files(const struct container *c, const struct bundle *b,
			   struct etcfiles_params *p, struct err *err)
{
	const struct task_eni *eni = c->task->eni;
	_cleanup_(strv_freep) char **hosts = NULL;

	if (list_eni_hosts(c, b, &hosts) < 0)
		return err_set(err, ENOMEM, "list addresses");
	p->extra_hosts = hosts;
	if (!p->dns && eni->dns && *eni->dns)
		p->dns = eni->dns;
	if (!p->dns_search && eni->dns_search && *eni->dns_search)
		p->dns_search = eni->dns_search;
	return etcfiles_write(p, err);
}

static int write_etc_files(const struct container *c, const struct bundle *b, struct err *err)
{
	struct in6_addr six = container_address6(c, &c->run->engine->config->six);
	char address[INET_ADDRSTRLEN], address6[INET6_ADDRSTRLEN];
	struct etcfiles_params p = {
		.dir = b->etc_dir,
		.hostname = b->hostname,
		.domainname = c->domainname && *c->domainname ? c->domainname : NULL,
		.extra_hosts = c->extra_hosts,
		.links = b->links.hosts,
		.n_links = b->links.n_hosts,
		.dns = c->dns && *c->dns ? c->dns : NULL,
		.dns_search = c->dns_search && *c->dns_search ? c->dns_search : NULL,
		.dns_options = c->dns_options && *c->dns_options ? c->dns_options : NULL,
		.host_resolv_conf = "/etc/resolv.conf",
		.host_hosts = c->network_mode == NETWORK_HOST ? "/etc/hosts" : NULL,
		.keep_loopback_dns = c->network_mode == NETWORK_HOST,
	};

	if (c->task->eni)
		return write_eni_files(c, b, &p, err);
	if (c->address.s_addr)
		p.address = inet_ntop(AF_INET, &c->address, address, sizeof(address));
	if (!IN6_IS_ADDR_UNSPECIFIED(&six))
		p.address6 = inet_ntop(AF_INET6, &six, address6, sizeof(address6));
	return etcfiles_write(&p, err);
}

/* Docker makes a missing source: root's, 0755. */
static int make_source(const struct mount_item *m, struct err *err)
{
	struct stat st;

	if (stat(m->source, &st) == 0)
		return 0;
	if (errno != ENOENT)
		return err_set_errno(err, errno, "look at '%s'", m->source);
	if (m->must_exist)
		return err_set(err, ENOENT,
			       "invalid mount config for type \"bind\": bind source path does not "
			       "exist: %s",
			       m->source);
	return fs_mkdir_p(m->source, 0755, err);
}

/* Whether the kernel makes what is mounted below a read-only mount read-only, too (Linux 5.12). */
static bool has_recursive_read_only(void)
{
	static int has = -1;

	if (has < 0)
		has = syscall(SYS_mount_setattr, -EBADF, "", 0, NULL, 0) == 0 || errno != ENOSYS;
	return has;
}

static int add_path(struct bundle *b, char *path, struct err *err)
{
	if (!path || strv_append(&b->paths, path) < 0) {
		free(path);
		return err_set(err, ENOMEM, "make paths");
	}
	free(path);
	return 0;
}

/* The last of b->paths: the options, and before it the source. */
static int add_mount(const struct container *c, const struct mount_item *m, struct bundle *b,
		     struct err *err)
{
	const char *type = m->source || m->name ? "bind" : "tmpfs";
	const char *ro = !m->read_only                            ? "rw"
			 : m->source && has_recursive_read_only() ? "rro"
								  : "ro";
	char **last;
	int k = m->source ? make_source(m, err) : 0;

	if (k == 0)
		k = add_path(b,
			     m->source ? strdup(m->source)
			     : m->name ? volumes_data_path(c->run->engine, m->name)
				       : strdup("tmpfs"),
			     err);
	if (k == 0)
		k = add_path(b,
			     *type == 'b' ? path_join("rbind,%s,%s",
						      m->options ? m->options : "rprivate", ro)
					  : path_join("%s,%s", m->options, ro),
			     err);
	if (k < 0)
		return k;
	last = b->paths + strv_length(b->paths) - 1;
	b->mounts[b->n_mounts++] = (struct spec_mount){ last[-1], m->destination, type, last[0] };
	return 0;
}

/* Its directory, so that another file of the same name is seen. */
static int add_metadata_file(const struct container *c, struct bundle *b, struct err *err)
{
	char **last;
	int k = metadata_file_begin(c, err);

	if (k < 0 || !metadata_file_is_wanted(c))
		return k;
	k = add_path(b, metadata_file_source(c), err);
	if (k == 0)
		k = add_path(b, metadata_file_target(c), err);
	if (k < 0)
		return k;
	last = b->paths + strv_length(b->paths) - 1;
	b->mounts[b->n_mounts++] =
		(struct spec_mount){ last[-1], last[0], "bind", "rbind,rprivate,ro" };
	return 0;
}

static int list_mounts(const struct container *c, struct bundle *b, struct err *err)
{
	static const char *const files[ETC_FILES] = { "hosts", "resolv.conf", "hostname" };
	static const char *const targets[ETC_FILES] = { "/etc/hosts", "/etc/resolv.conf",
							"/etc/hostname" };
	const struct mount_list *l = container_volumes_mounts(c);
	int k = 0;

	b->mounts = calloc(ETC_FILES + 1 + (l ? l->n : 0), sizeof(*b->mounts));
	if (!b->mounts)
		return err_set(err, ENOMEM, "allocate mounts");
	for (size_t i = 0; i < ETC_FILES; i++) {
		b->etc_paths[i] = path_join("%s/%s", b->etc_dir, files[i]);
		if (!b->etc_paths[i])
			return err_set(err, ENOMEM, "make paths");
		b->mounts[b->n_mounts++] =
			(struct spec_mount){ b->etc_paths[i], targets[i], "bind",
					     c->readonly_rootfs ? "rbind,rprivate,ro"
								: "rbind,rprivate,rw" };
	}
	for (size_t i = 0; k == 0 && l && i < l->n; i++)
		k = add_mount(c, &l->items[i], b, err);
	return k < 0 ? k : add_metadata_file(c, b, err);
}

/* As Docker does it: a program of the host's, at a place that images leave alone. */
static int add_init(const struct container *c, struct bundle *b, struct err *err)
{
	static const char target[] = "/sbin/docker-init";
	const char *program = c->run->engine->init_program;
	_cleanup_(strv_freep) char **args = NULL;
	struct spec_mount *grown;
	int k;

	if (!c->init)
		return 0;
	if (access(program, X_OK) < 0)
		return err_set_errno(err, errno, "initProcessEnabled: '%s'", program);
	grown = reallocarray(b->mounts, b->n_mounts + 1, sizeof(*grown));
	if (!grown)
		return err_set(err, ENOMEM, "allocate mounts");
	b->mounts = grown;
	b->mounts[b->n_mounts++] =
		(struct spec_mount){ program, target, "bind", "bind,rprivate,ro" };
	k = strv_append(&args, target);
	if (k == 0)
		k = strv_append(&args, "--");
	for (char **s = b->args; k == 0 && *s; s++)
		k = strv_append(&args, *s);
	if (k < 0)
		return err_set(err, ENOMEM, "copy the command");
	(void) strv_free(b->args);
	b->args = TAKE_PTR(args);
	return 0;
}

/* ---- limits ---- */

/*
 * A task that does not say gets what the ECS-optimised images give it: the agent's own limit is far
 * higher, and there are programs that close every descriptor up to it when they start.
 */
static struct spec_rlimit default_descriptors(void)
{
	struct rlimit ours = { .rlim_max = 65536 };

	(void) getrlimit(RLIMIT_NOFILE, &ours); /* more than this not every host lets us give */
	return (struct spec_rlimit){ .name = "nofile",
				     .soft = MIN(ours.rlim_max, (rlim_t) 32768),
				     .hard = MIN(ours.rlim_max, (rlim_t) 65536) };
}

static int list_rlimits(const struct container *c, struct bundle *b, struct err *err)
{
	bool has_nofile = false;

	b->rlimits = calloc(c->n_ulimits + 1, sizeof(*b->rlimits));
	if (!b->rlimits)
		return err_set(err, ENOMEM, "allocate ulimits");
	for (size_t i = 0; i < c->n_ulimits; i++) {
		const struct ulimit *u = &c->ulimits[i];

		has_nofile |= strcmp(u->name, "nofile") == 0;
		b->rlimits[b->n_rlimits++] = (struct spec_rlimit){
			.name = u->name,
			.soft = u->soft < 0 ? UINT64_MAX : (uint64_t) u->soft,
			.hard = u->hard < 0 ? UINT64_MAX : (uint64_t) u->hard,
		};
	}
	if (!has_nofile)
		b->rlimits[b->n_rlimits++] = default_descriptors();
	return 0;
}

static void set_network(const struct container *c, struct container_spec *s)
{
	if (c->network_mode == NETWORK_BRIDGE) {
		s->netns = SPEC_NS_PATH;
		s->netns_path = c->run->netns_path;
	} else if (c->network_mode == NETWORK_AWSVPC) {
		s->netns = SPEC_NS_PATH;
		s->netns_path = c->task->run->net.path;
	} else {
		s->netns = c->network_mode == NETWORK_HOST ? SPEC_NS_HOST : SPEC_NS_PRIVATE;
	}
}

static int write_spec(struct container *c, const struct bundle *b, const char *cwd, struct err *err)
{
	struct container_spec s = {
		.args = b->args,
		.env = b->env,
		.cwd = cwd,
		.uid = b->user.uid,
		.gid = b->user.gid,
		.additional_gids = b->user.additional,
		.n_additional_gids = b->user.n_additional,
		.rootfs = b->rootfs,
		.readonly_rootfs = c->readonly_rootfs,
		.hostname = b->hostname,
		.domainname = c->domainname && *c->domainname ? c->domainname : NULL,
		.terminal = c->terminal,
		.privileged = c->privileged,
		.no_new_privileges = c->no_new_privileges,
		.cap_add = c->cap_add,
		.cap_drop = c->cap_drop,
		.rlimits = b->rlimits,
		.n_rlimits = b->n_rlimits,
		.mounts = b->mounts,
		.n_mounts = b->n_mounts,
		.sysctls = c->sysctls,
		.n_sysctls = c->n_sysctls,
		.cgroups_path = b->cgroup,
		.cgroup_v2 = cgroup_mode() == CGROUP_V2,
		.memory_limit_bytes = c->memory_limit_bytes,
		.memory_reservation_bytes = c->memory_reservation_bytes,
		.memory_swap_bytes = c->memory_swap_bytes,
		.swappiness = c->swappiness,
		.cpu_shares = CLAMP(c->cpu_shares, CPU_SHARES_MIN, CPU_SHARES_MAX),
		.pids_limit = c->pids_limit,
		.shm_size_bytes = c->shm_size_bytes,
		.oom_score_adj = c->oom_score_adj,
		.unconfined_seccomp = c->unconfined_seccomp,
	};
	_cleanup_(docker_scratch_freep) struct docker_scratch *scratch = NULL;
	_cleanup_(gpus_scratch_done) struct gpus_scratch gpus = {};
	struct holder_paths shared;
	_cleanup_(json_decrefp) json_t *spec = NULL;
	_cleanup_(freep) char *text = NULL, *path = path_join("%s/config.json", b->run_dir);
	int k = docker_options_apply(c, &s, &scratch, err);

	if (k == 0)
		k = holder_join(c, &s, &shared, err);
	if (k == 0)
		k = gpus_apply(c, &s, &gpus, err);
	if (k < 0)
		return k;
	set_network(c, &s);
	k = spec_build(&s, &spec, err);
	if (k < 0)
		return k;
	text = json_to_text(spec);
	if (!text || !path)
		return err_set(err, ENOMEM, "write config.json");
	k = fs_write_file_volatile(AT_FDCWD, path, text, strlen(text), 0600, err);
	explicit_bzero(text, strlen(text));
	return k < 0 ? k : health_add_probe(c, b->image, spec, b->run_dir, err);
}

/* ---- the whole ---- */

static int make(struct container *c, const struct image *image, struct bundle *b, struct err *err)
{
	const struct image_config *ic = &image->config;
	const char *cwd = first_text(c->working_directory, ic->working_dir, "/");
	struct rootfs_params root = { .layers = image->layers };
	int k;

	if (spec_merge_command(ic->entrypoint, ic->cmd, c->entry_point, c->command, &b->args, err) <
	    0)
		return err->code == ENOENT ? err_set(err, ENOENT, "No command specified")
					   : -err->code;
	k = links_make(c, &b->links, err);
	if (k < 0)
		return k;
	choose_hostname(c, b);
	k = merge_env(c, image, b);
	if (k < 0)
		return err_set_errno(err, -k, "merge environment");
	k = make_directories(c, b, err);
	root.dir = b->data_dir;
	if (k == 0)
		k = rootfs_mount(&root, &b->rootfs, err);
	if (k == 0)
		k = rootfs_resolve_user(b->rootfs, first_text(c->user, ic->user, ""), c->group_add,
					&b->user, err);
	if (k == 0)
		k = rootfs_make_dir(b->rootfs, cwd, b->user.uid, b->user.gid, err) < 0
			    ? err_wrap(err, "workingDirectory")
			    : 0;
	if (k == 0)
		k = write_etc_files(c, b, err);
	if (k == 0)
		k = list_mounts(c, b, err);
	if (k == 0)
		k = add_init(c, b, err);
	if (k == 0)
		k = list_rlimits(c, b, err);
	return k < 0 ? k : write_spec(c, b, cwd, err);
}

int bundle_make(struct container *c, const struct image *image, struct err *err)
{
	_cleanup_(err_done) struct err mine = {};
	struct bundle b = { .image = image };
	int k = make(c, image, &b, &mine);

	bundle_done(&b);
	return k < 0 ? err_move(err, &mine) : 0;
}

int bundle_stop_signal(const struct container *c)
{
	_cleanup_(image_freep) struct image *image = NULL;
	_cleanup_(err_done) struct err err = {};
	const char *text = c->stop_signal;
	int sig;

	if ((!text || !*text) && c->image_id &&
	    image_store_lookup(c->run->engine->images, c->image_id, &image, &err) == 0)
		text = image->config.stop_signal;
	if (!text || !*text)
		return SIGTERM;
	sig = payload_parse_signal(text);
	if (sig > 0)
		return sig;
	container_log(LOG_WARN, c, "Stop signal '%s' of '%s' is none, using SIGTERM", text,
		      c->name);
	return SIGTERM;
}
