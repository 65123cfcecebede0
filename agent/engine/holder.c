/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/engine/holder.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/engine/internal.h"
#include "common/fs.h"
#include "common/strv.h"
#include "runtime/cgroup/cgroup.h"

static const int64_t SHM_DEFAULT_BYTES = 64 << 20;

/* ---- in the definition ---- */

static int make_holder(struct task *t, struct container *h)
{
	*h = (struct container){ .task = t,
				 .internal = true,
				 .essential = true,
				 .desired = CONTAINER_RUNNING,
				 .network_mode = NETWORK_NONE,
				 .swappiness = -1,
				 .log_max_files = 1,
				 .name = strdup(HOLDER_NAME),
				 .image = strdup(""),
				 .log_driver = strdup("none"),
				 .stop_signal = strdup("KILL") };
	(void) snprintf(h->docker_name, sizeof(h->docker_name), "ecs-%.60s-%.20s-pause",
			t->family ? t->family : "", t->version ? t->version : "");
	/* Who asks for the most shared memory gets it: all of them see the same. */
	for (size_t i = 0; i < t->n_containers; i++)
		h->shm_size_bytes = MAX(h->shm_size_bytes, t->containers[i].shm_size_bytes);
	return h->name && h->image && h->log_driver && h->stop_signal ? 0 : -ENOMEM;
}

int holder_add(struct task *t, struct err *err)
{
	struct container *grown;

	if (t->pid_mode != NAMESPACE_TASK && t->ipc_mode != NAMESPACE_TASK)
		return 0;
	grown = reallocarray(t->containers, t->n_containers + 1, sizeof(*grown));
	if (!grown)
		return err_set(err, ENOMEM, "allocate the holder of namespaces");
	t->containers = grown;
	t->n_containers++;
	if (make_holder(t, &grown[t->n_containers - 1]) < 0)
		return err_set(err, ENOMEM, "allocate the holder of namespaces");
	return 0;
}

const struct container *holder_of(const struct task *t)
{
	const struct container *last =
		t->n_containers > 0 ? &t->containers[t->n_containers - 1] : NULL;

	return last && last->internal ? last : NULL;
}

/* ---- in its turn ---- */

static bool others_stopped(const struct task *t)
{
	for (size_t i = 0; i < t->n_containers; i++)
		if (!t->containers[i].internal && t->containers[i].known != CONTAINER_STOPPED)
			return false;
	return true;
}

bool holder_lets(const struct container *c, enum container_action action)
{
	const struct container *h = holder_of(c->task);

	if (!h)
		return true;
	if (c->internal)
		return action != ACTION_STOP || others_stopped(c->task);
	return (action != ACTION_PULL && action != ACTION_START) || h->known == CONTAINER_RUNNING;
}

void holder_note_end(struct container *c)
{
	struct task *t = c->task;

	if (!c->internal || t->desired == TASK_STOPPED || t->reason)
		return;
	if (asprintf(&t->reason, "pidMode, ipcMode: what held the namespaces of the task ended%s%s",
		     c->error_message ? ": " : "", c->error_message ? c->error_message : "") < 0)
		t->reason = NULL;
	t->run->save = true;
}

/* ---- on the host ---- */

static char *shm_path(const char *run_dir)
{
	return path_join("%s/shm", run_dir);
}

/* A mount of its own, so that it has a bound. What a cut start left is used again. */
static int mount_shm(const char *run_dir, int64_t bytes, struct err *err)
{
	_cleanup_(freep) char *path = shm_path(run_dir);
	char options[64];

	(void) snprintf(options, sizeof(options), "mode=1777,size=%" PRId64,
			bytes ? bytes : SHM_DEFAULT_BYTES);
	if (!path || fs_mkdir_p(path, 0700, err) < 0)
		return err_wrap(err, "shared memory");
	(void) umount2(path, MNT_DETACH);
	if (mount("shm", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) < 0)
		return err_set_errno(err, errno, "mount '%s'", path);
	return 0;
}

void holder_unmount(const char *run_dir)
{
	_cleanup_(freep) char *path = shm_path(run_dir);

	if (path)
		(void) umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
}

/* An empty root: the program is bound in, and nothing of the host is there. */
static int write_spec(const struct container *c, const char *run_dir, const char *rootfs,
		      struct err *err)
{
	static char program[] = "/ecs-pause", all[] = "ALL";
	char *const args[] = { program, NULL }, *const drop[] = { all, NULL };
	_cleanup_(freep) char *cgroup = container_cgroup_path(c);
	_cleanup_(freep) char *path = path_join("%s/config.json", run_dir);
	const struct spec_mount mount = { c->run->engine->pause_program, program, "bind",
					  "rbind,rprivate,ro" };
	struct container_spec s = {
		.args = args,
		.rootfs = rootfs,
		.readonly_rootfs = true,
		.hostname = "pause",
		.no_new_privileges = true,
		.cap_drop = drop,
		.mounts = &mount,
		.n_mounts = 1,
		.cgroups_path = cgroup,
		.cgroup_v2 = cgroup_mode() == CGROUP_V2,
		.swappiness = -1,
		.cpu_shares = 2,
	};
	_cleanup_(json_decrefp) json_t *spec = NULL;
	_cleanup_(freep) char *text = NULL;

	if (!cgroup || !path)
		return err_set(err, ENOMEM, "make paths");
	if (spec_build(&s, &spec, err) < 0)
		return err_wrap(err, "holder of namespaces");
	text = json_to_text(spec);
	return text ? fs_write_file_volatile(AT_FDCWD, path, text, strlen(text), 0600, err)
		    : err_set(err, ENOMEM, "write config.json");
}

int holder_make(struct container *c, struct err *err)
{
	_cleanup_(freep) char *run_dir = container_run_dir(c);
	_cleanup_(freep) char *data_dir = container_data_dir(c);
	_cleanup_(freep) char *rootfs = run_dir ? path_join("%s/rootfs", run_dir) : NULL;
	int k;

	if (!rootfs || !data_dir)
		return err_set(err, ENOMEM, "make paths");
	k = fs_mkdir_p(rootfs, 0700, err);
	if (k == 0)
		k = fs_mkdir_p(data_dir, 0700, err);
	if (k == 0 && c->task->ipc_mode == NAMESPACE_TASK)
		k = mount_shm(run_dir, c->shm_size_bytes, err);
	return k < 0 ? k : write_spec(c, run_dir, rootfs, err);
}

int holder_join(const struct container *c, struct container_spec *s, struct holder_paths *paths,
		struct err *err)
{
	const struct container *h = holder_of(c->task);
	_cleanup_(freep) char *run_dir = h ? container_run_dir(h) : NULL;

	if (!h)
		return 0;
	if (h->known != CONTAINER_RUNNING || h->pid <= 0 || !run_dir)
		return err_set(err, ESRCH, "pidMode, ipcMode: what holds the namespaces is gone");
	(void) snprintf(paths->pid, sizeof(paths->pid), "/proc/%d/ns/pid", (int) h->pid);
	(void) snprintf(paths->ipc, sizeof(paths->ipc), "/proc/%d/ns/ipc", (int) h->pid);
	if (snprintf(paths->shm, sizeof(paths->shm), "%s/shm", run_dir) >= (int) sizeof(paths->shm))
		return err_set(err, ENAMETOOLONG, "ipcMode: '%.100s…' is too long", run_dir);
	if (c->docker.pid == NAMESPACE_TASK) {
		s->pidns = SPEC_NS_PATH;
		s->pidns_path = paths->pid;
	}
	if (c->docker.ipc == NAMESPACE_TASK) {
		s->ipcns = SPEC_NS_PATH;
		s->ipcns_path = paths->ipc;
		s->shm_path = paths->shm;
	}
	return 0;
}
