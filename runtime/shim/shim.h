/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shim - the agent's side of ecs-shim, the parent of one container.
 * The shim starts `runc run --detach` with the container's stdio, writes its log, waits for the
 * exit, records it and removes runc's state. It outlives the agent. Agent and shim speak over a
 * SOCK_SEQPACKET socket in the container's run directory; the files there are the record:
 *   shim.sock  shim.pid        who serves the container
 *   started                    JSON: pid, start time (ms), boot id; written once the container runs
 *   exit                       JSON: exit code, signal, oom, finish time (ms); temp, fsync, rename
 *   error                      why it did not start, one line
 * When SHIM_EXITED comes the container's processes, output, cgroup and runc state are gone, unless a process
 * cannot be killed yet: then the shim goes on for a moment, and ends (its pidfd turns readable) after that.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "common/err.h"

struct shim; /* a connection to a running shim */

enum shim_log { SHIM_LOG_NONE, SHIM_LOG_JSON_FILE };

/*
 * The shim probes the container by itself, whether an agent listens or not. The probe is a process
 * as in config.json (args, user, env, …), in the file "health.json" in the run directory.
 */
struct shim_health_rules {
	int64_t interval_ms;         /* 0: no health check */
	int64_t timeout_ms, retries; /* 1.. */
	int64_t start_period_ms;
};

enum shim_health { SHIM_HEALTH_STARTING, SHIM_HEALTH_HEALTHY, SHIM_HEALTH_UNHEALTHY };

enum { SHIM_MESSAGE_MAX = 1025 }; /* with its NUL */

struct shim_params {
	const char *program;   /* path of ecs-shim */
	const char *runc;      /* path of runc */
	const char *runc_root; /* runc's --root, on tmpfs */
	const char *id;        /* container id, 64 hex digits */
	const char *run_dir;   /* on tmpfs, 0700, exists; the socket and record files go here */
	const char *bundle;    /* directory of config.json */
	enum shim_log log;
	const char *log_path;  /* …/<id>-json.log */
	int64_t log_max_bytes; /* 0: never rotated */
	int log_max_files;     /* 1..; rotated ones are <log_path>.1 … */
	int start_timeout_ms;
	bool terminal; /* the container gets a pty */
	bool open_stdin;
	bool init;                /* the container's first process is ecs-init */
	const char *cgroups_path; /* the container's own group as runc takes it, "/ecs/<task>/<id>";
				     NULL: unknown, then only init is killed and the runtime removes
				     the group */
	const char *memory_cgroup_dir; /* where memory.events or memory.oom_control is read at exit;
					  NULL: unknown */
	bool crowded; /* more runtimes start than there are cores: this one shall keep to one */
	int64_t stop_grace_ms; /* how long a stop ordered through the socket waits before KILL */
	struct shim_health_rules health;
};

enum shim_event_type {
	SHIM_STARTED, /* pid, started_ms */
	SHIM_FAILED,  /* message: what runc said */
	SHIM_EXITED,  /* exit_code, oom, finished_ms; comes after SHIM_STARTED */
	SHIM_GONE,    /* the shim is gone without a record; pid: the container's init if it still
			 lives, else 0.    Kill its cgroup, then runc_forget(). Comes after
			 SHIM_STARTED    where that is known */
	SHIM_HEALTH,  /* health, health_since_ms; of the last probe exit_code (-1: it did not run to
			 its end) and message (what it wrote). Between SHIM_STARTED and the end,
			 after each probe and on attaching. */
};

struct shim_event {
	enum shim_event_type type;
	pid_t pid;
	int exit_code;                   /* 0..255, 128+n for signal n */
	bool oom;                        /* this run's cgroup saw an OOM kill */
	int64_t started_ms, finished_ms; /* wall clock */
	enum shim_health health;
	int64_t health_since_ms;
	char message[SHIM_MESSAGE_MAX];
};

/*
 * Starts a shim. The container is not up yet: SHIM_STARTED or SHIM_FAILED follows. A run directory
 * serves one start only: -EEXIST when it holds a record of an earlier one, or a shim that lives.
 */
int shim_spawn(const struct shim_params *p, struct shim **ret, struct err *err);

/*
 * Finds the shim of @run_dir again (after an agent restart) by its socket. Returns 0 with a
 * connection whose first events repeat what happened (STARTED, maybe EXITED), also when the shim
 * ended meanwhile and left its record; 1 when nothing is there (it never started); a negative
 * errno when that cannot be told now (-EAGAIN: it lives, but does not take connections).
 */
enum { SHIM_E_ABSENT = 1 };
int shim_attach(const char *run_dir, struct shim **ret, struct err *err);

/* Whether a shim lives that serves @run_dir, whatever it has said; what cannot be told is a yes. */
bool shim_is_alive(const char *run_dir);

/*
 * Readable when an event waits. Put it into the loop; -EBADF
 * once SHIM_EXITED, _FAILED or _GONE was read.
 */
int shim_fd(const struct shim *s);

/*
 * The shim's pidfd, for tests and doctors. -EBADF until the
 * shim has said who it is, and when it is gone.
 */
int shim_pidfd(const struct shim *s);

/* Takes one event: 1 with *ret written, 0 when none waits, or a negative errno. Never blocks. */
int shim_next_event(struct shim *s, struct shim_event *ret, struct err *err);

/* Sends @sig to the container's init. Gone is fine. */
int shim_signal(struct shim *s, int sig, struct err *err);

/* Sends KILL to every process of the container. */
int shim_kill_all(struct shim *s, struct err *err);

/*
 * Sends @sig, and KILL to all when the container still runs stop_grace_ms later: the shim keeps the
 * time, so an agent that dies meanwhile leaves no container half stopped.
 */
int shim_stop(struct shim *s, int sig, struct err *err);

/* Lets go of the connection; the shim and its container go on. */
struct shim *shim_free(struct shim *s);
DEFINE_CLEANUP(struct shim *, shim_free)
