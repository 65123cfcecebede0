/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/agent.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "agent/acs/acs.h"
#include "agent/attachments.h"
#include "agent/ctl/ctl.h"
#include "agent/ctl/outbox.h"
#include "agent/engine/engine.h"
#include "agent/families.h"
#include "agent/http/tasks-json.h"
#include "agent/store/store.h"
#include "agent/tcs/tcs.h"
#include "agent/watchdog.h"
#include "aws/call.h"
#include "aws/credentials.h"
#include "aws/http.h"
#include "aws/imds.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/json.h"
#include "common/log.h"
#include "common/strv.h"
#include "runtime/net/linkwatch.h"

enum { IDENTITY_AGAIN_USEC = 5 * 1000 * 1000 };

void agent_stop(struct agent *a, int code)
{
	(void) sd_event_exit(a->loop, code);
}

/* ---- one agent per directory ---- */

/* Holds @dir for this process; the kernel lets go of it when we end, however that may be. */
static int lock_dir(const char *dir, const char *key, int *ret_fd, struct err *err)
{
	_cleanup_(freep) char *path = path_join("%s/agent.lock", dir);
	_cleanup_(closep) int fd = -EBADF;
	char pid[32] = "";
	int r = fs_mkdir_p(dir, 0700, err);

	if (r < 0 || !path)
		return r < 0 ? r : err_set(err, ENOMEM, "allocate path");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set_errno(err, errno, "open %s", path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);

		pid[n > 0 ? strcspn(pid, "\n") : 0] = '\0';
		return err_set(err, EBUSY,
			       "another ecs-agent (pid %s) uses %s; a second one on this machine "
			       "needs its own %s",
			       *pid ? pid : "unknown", dir, key);
	}
	(void) snprintf(pid, sizeof(pid), "%d\n", (int) getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, strlen(pid), 0) < 0)
		return err_set_errno(err, errno, "write %s", path);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int agent_lock_dirs(struct agent *a, struct err *err)
{
	int r = lock_dir(a->config->run_dir, "ECS_RUN_DIR", &a->run_lock, err);

	return r < 0 ? r : lock_dir(a->config->data_dir, "ECS_DATADIR", &a->data_lock, err);
}

/* ---- state ---- */

/* A cluster may be given by name or by ARN. */
static const char *cluster_name(const char *cluster)
{
	const char *slash = strrchr(cluster, '/');

	return slash ? slash + 1 : cluster;
}

static int check_cluster(struct agent *a, struct err *err)
{
	_cleanup_(freep) char *saved = NULL;
	int r = store_get_meta(a->store, META_CLUSTER, &saved, err);

	if (r < 0 || !saved || !*saved)
		return r;
	if (a->config->cluster_is_default)
		return strdup_to(&a->config->cluster, saved) < 0
			       ? err_set(err, ENOMEM, "allocate cluster")
			       : 0;
	if (strcmp(cluster_name(saved), cluster_name(a->config->cluster)) == 0)
		return 0;
	return err_set(err, EINVAL,
		       "Data mismatch; saved cluster '%s' does not match configured cluster '%s'. "
		       "Perhaps you want to delete the configured checkpoint file? (%s/agent.db)",
		       saved, a->config->cluster, a->config->data_dir);
}

static int set_up_state(struct agent *a, struct err *err)
{
	int r = store_open(a->config->data_dir, &a->store, err);

	return r < 0 ? r : check_cluster(a, err);
}

/* ---- the loop and its signals ---- */

static int on_end_signal(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata)
{
	struct agent *a = userdata;

	(void) source;
	log_info("Ending because of signal %s, containers go on",
		 si->ssi_signo == SIGINT ? "INT" : "TERM");
	(void) sd_notify(0, "STOPPING=1");
	agent_say(a, "Ending; containers go on");
	agent_stop(a, EXIT_OK);
	return 0;
}

static void dump_sessions(struct agent *a)
{
	int64_t now = clock_mono_ms();

	agent_refresh_clocks(a);
	log_info("State: ACS is %s (down for %" PRId64 " ms in all), TCS is %s (%" PRId64
		 " ms), %zu tasks have undelivered reports, %zu containers are sampled",
		 a->acs_clock.connected ? "connected" : "not connected",
		 session_clock_down_ms(&a->acs_clock, now),
		 a->tcs_clock.connected ? "connected" : "not connected",
		 session_clock_down_ms(&a->tcs_clock, now),
		 a->outbox ? outbox_pending(a->outbox) : 0,
		 a->sampler ? sampler_count(a->sampler) : 0);
}

static int on_dump_signal(sd_event_source *source, const struct signalfd_siginfo *si,
			  void *userdata)
{
	struct agent *a = userdata;

	(void) source, (void) si;
	dump_sessions(a);
	for (size_t i = 0; i < engine_task_count(a->engine); i++) {
		_cleanup_(json_decrefp) json_t *o =
			task_to_json(&a->view, engine_task_at(a->engine, i));
		_cleanup_(freep) char *text = json_to_text(o);

		log_info("State: task %s", text ? text : "");
	}
	return 0;
}

/* Each sampled container keeps up to seven descriptors open, each held port one. */
static void raise_descriptor_limit(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur >= l.rlim_max)
		return;
	l.rlim_cur = l.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &l) < 0)
		log_debug("The limit of descriptors stays: %s", strerror(errno));
}

static int set_up_loop(struct agent *a, struct err *err)
{
	sigset_t mask;
	int r;

	raise_descriptor_limit();
	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGUSR1);
	/* libcurl and libmicrohttpd write to sockets that may be gone. */
	sigaddset(&mask, SIGPIPE);
	if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
		return err_set_errno(err, errno, "block signals");
	r = sd_event_new(&a->loop);
	if (r >= 0)
		r = sd_event_add_signal(a->loop, NULL, SIGTERM, on_end_signal, a);
	if (r >= 0)
		r = sd_event_add_signal(a->loop, NULL, SIGINT, on_end_signal, a);
	if (r >= 0)
		r = sd_event_add_signal(a->loop, NULL, SIGUSR1, on_dump_signal, a);
	if (r < 0)
		return err_set_errno(err, -r, "make the event loop");
	return agent_watch_progress(a, err);
}

/* ---- what speaks to the outside ---- */

static int set_up_credentials(struct agent *a, struct err *err)
{
	const struct config *c = a->config;
	struct aws_credentials_params p = {
		.event = a->loop,
		.access_key_id = c->access_key_id,
		.secret_access_key = c->secret_access_key,
		.session_token = c->session_token,
		.shared_file = c->shared_credentials_file ? c->shared_credentials_file
							  : "/root/.aws/credentials",
		.profile = c->profile ? c->profile : c->alternate_credential_profile,
		.imds = a->imds,
		.shared_before_imds = c->external,
	};

	return aws_credentials_new(&p, &a->credentials, err);
}

int agent_set_up_transport(struct agent *a, struct err *err)
{
	const struct config *c = a->config;
	_cleanup_(freep) char *agent_string = ctl_user_agent(c);
	struct http_options o = ctl_http_options(c, agent_string);
	struct imds_params i = { .expected = agent_on_ec2("/sys") };
	int r = http_client_new(a->loop, &o, &a->http, err);

	families_find(a->config);
	i.endpoint = families_imds_endpoint(c);
	i.http = a->http;
	if (r >= 0 && !c->imds_disabled && !c->external)
		r = imds_new(&i, &a->imds, err);
	if (r >= 0)
		r = role_store_new(&a->roles, err);
	return r < 0 ? r : set_up_credentials(a, err);
}

/* ---- who this host is, then everything that depends on it ---- */

/* What another start may mend is no reason to stay away, whichever step it hits. */
static int exit_code_of(int error, int otherwise)
{
	static const int passing[] = { ENOSPC, EDQUOT, EAGAIN, ENOMEM, EBUSY };

	for (size_t i = 0; i < ARRAY_SIZE(passing); i++)
		if (error == -passing[i])
			return EXIT_RETRY;
	return otherwise;
}

/* All but the last serve people of this host as well, who need no cluster for it. */
static const struct {
	int (*up)(struct agent *a, struct err *err);
	int exit_code;
	bool needs_region;
} late_steps[] = {
	{ agent_start_engine, EXIT_TERMINAL, false },
	{ agent_find_tasks_again, EXIT_TERMINAL, false },
	{ agent_start_servers, EXIT_RETRY, false },
	{ agent_join_cluster, EXIT_RETRY, true },
};

static int find_identity(struct agent *a, struct err *err);

static int on_identity_again(sd_event_source *source, uint64_t usec, void *userdata)
{
	_cleanup_(err_done) struct err err = {};
	struct agent *a = userdata;

	(void) source, (void) usec;
	if (find_identity(a, &err) < 0) {
		log_error("Failed to start: %s", err_text(&err));
		agent_stop(a, EXIT_RETRY);
	}
	return 0;
}

/* Without saying so each time: the line stays what it is. */
static void wait_for_identity(struct agent *a)
{
	_cleanup_(err_done) struct err err = {};

	if (agent_wait(a, IDENTITY_AGAIN_USEC, on_identity_again, &err) == 0)
		return;
	log_error("Failed to start: %s", err_text(&err));
	agent_stop(a, EXIT_RETRY);
}

static void wait_for_region(struct agent *a)
{
	if (!*a->status_line)
		log_error("Missing required fields: AWSRegion (set AWS_DEFAULT_REGION)");
	agent_say(a, "Waiting for a region: set AWS_DEFAULT_REGION in "
		     "/etc/ecs/ecs.config, or give this host instance metadata");
	wait_for_identity(a);
}

static void go_on(struct agent *a)
{
	_cleanup_(err_done) struct err err = {};

	for (; a->late_step < ARRAY_SIZE(late_steps); a->late_step++) {
		int r;

		if (late_steps[a->late_step].needs_region && !a->config->region) {
			wait_for_region(a);
			return;
		}
		r = late_steps[a->late_step].up(a, &err);
		if (r < 0) {
			log_error("Failed to start: %s", err_text(&err));
			agent_stop(a, exit_code_of(r, late_steps[a->late_step].exit_code));
			return;
		}
	}
}

static int note_instance(struct agent *a, const char *id, struct err *err)
{
	_cleanup_(freep) char *saved = NULL;
	int r = store_get_meta(a->store, STORE_EC2_INSTANCE, &saved, err);

	if (r < 0 || (saved && strcmp(saved, id) == 0))
		return r;
	if (saved) {
		log_warn("This is instance '%s', the state is of '%s': starting anew", id, saved);
		r = store_clear(a->store, err);
	}
	return r < 0 ? r : store_put_meta(a->store, STORE_EC2_INSTANCE, id, err);
}

static void on_identity(void *userdata, const struct imds_identity *id, const struct err *why)
{
	struct agent *a = userdata;

	if (!id)
		log_info("The instance metadata service tells nothing: %s", err_text(why));
	else if (!a->config->region && *id->region && a->late_step > 0) {
		agent_stop(a, EXIT_RELOAD); /* what is up already was made without it */
		return;
	} else if (!a->config->region && *id->region &&
		   strdup_to(&a->config->region, id->region) < 0)
		log_error("Out of memory");
	go_on(a);
}

static void on_instance_id(void *userdata, const char *data, size_t len, const struct err *why)
{
	_cleanup_(freep) char *id = data ? strndup(data, len) : NULL;
	_cleanup_(err_done) struct err err = {};
	struct agent *a = userdata;

	if (!id && why && why->code != ENOENT && agent_on_ec2("/sys")) {
		if (!*a->status_line)
			log_warn("The instance metadata service does not answer yet: %s",
				 err_text(why));
		agent_say(a, "Waiting for the instance metadata service: %s", err_text(why));
		wait_for_identity(a);
		return;
	}
	/* Once tasks run here, the state is of this host, whatever its metadata tells later. */
	if (id && *id && a->late_step == 0 && note_instance(a, id, &err) < 0) {
		log_error("Failed to start: %s", err_text(&err));
		agent_stop(a, exit_code_of(-err.code, EXIT_TERMINAL));
	} else if (a->config->region)
		go_on(a);
	else if (imds_get_identity(a->imds, on_identity, a, &err) < 0)
		on_identity(a, NULL, &err);
}

static int find_identity(struct agent *a, struct err *err)
{
	int r;

	if (!a->imds) {
		go_on(a);
		return 0;
	}
	families_find(a->config); /* routes may come late, and with them the place to ask */
	r = imds_set_endpoint(a->imds, families_imds_endpoint(a->config), err);
	return r < 0 ? r
		     : imds_get_once(a->imds, "latest/meta-data/instance-id", on_instance_id, a,
				     NULL, err);
}

/* ---- up, round, down ---- */

static const struct {
	int (*up)(struct agent *a, struct err *err);
	int exit_code;
} steps[] = {
	{ agent_lock_dirs, EXIT_RETRY },      { set_up_state, EXIT_TERMINAL },
	{ set_up_loop, EXIT_RETRY },          { agent_set_up_transport, EXIT_RETRY },
	{ agent_watch_settings, EXIT_RETRY }, { find_identity, EXIT_RETRY },
};

void agent_tear_down(struct agent *a)
{
	a->trim = sd_event_source_disable_unref(a->trim);
	a->watchdog = watchdog_stop(a->watchdog);
	agent_stop_waiting(a);
	agent_stop_draining(a);
	agent_stop_sessions(a);
	agent_stop_spot(a);
	a->introspection = introspection_free(a->introspection);
	a->metadata = metadata_free(a->metadata);
	a->control = control_free(a->control); /* and the checks it has under way */
	a->attachments = attachments_free(a->attachments);
	a->linkwatch = linkwatch_free(a->linkwatch);
	a->outbox = outbox_free(a->outbox);
	a->ctl = ctl_free(a->ctl);
	a->engine = engine_free(a->engine);
	agent_stop_metering(a);
	a->net = net_free(a->net);
	a->ecs = aws_client_free(a->ecs);
	a->credentials = aws_credentials_free(a->credentials);
	a->roles = role_store_free(a->roles);
	a->facts_request = imds_cancel(a->facts_request);
	a->imds = imds_free(a->imds);
	a->http = http_client_free(a->http);
	a->store = store_close(a->store);
	events_done(&a->events);
	a->loop = sd_event_unref(a->loop);
	a->run_lock = safe_close(a->run_lock);
	a->data_lock = safe_close(a->data_lock);
	a->config = config_free(a->config);
}

void agent_init(struct agent *a, struct config *config)
{
	*a = (struct agent){ .config = config,
			     .run_lock = -EBADF,
			     .data_lock = -EBADF,
			     .runtime_pidfd = -EBADF,
			     .started_ms = clock_real_ms(),
			     .started_mono_ms = clock_mono_ms() };
	a->acs_clock.since_ms = a->tcs_clock.since_ms = a->said_ms = a->started_mono_ms;
	counters_init(&a->counters);
	agent_init_view(a);
}

int agent_run(struct config *config)
{
	_cleanup_(err_done) struct err err = {};
	struct agent a;
	int code = EXIT_OK;

	agent_init(&a, config);
	for (size_t i = 0; code == EXIT_OK && i < ARRAY_SIZE(steps); i++) {
		int r = steps[i].up(&a, &err);

		if (r < 0) {
			log_error("Failed to start: %s", err_text(&err));
			code = exit_code_of(r, steps[i].exit_code);
		}
	}
	if (code == EXIT_OK) {
		code = sd_event_loop(a.loop);
		if (code < 0) {
			log_error("The event loop failed: %s", strerror(-code));
			code = EXIT_RETRY;
		}
	}
	agent_tear_down(&a);
	return code;
}
