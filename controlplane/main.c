/* SPDX-License-Identifier: Apache-2.0 */
/* ecs-controlplane: an ECS for one machine or a small lab. See ecs-controlplane(8). */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "common/clock.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "controlplane/controlplane.h"
#include "controlplane/credentials.h"
#include "controlplane/eni_wait.h"
#include "controlplane/server.h"
#include "controlplane/service.h"
#include "controlplane/store.h"
#include "controlplane/wire.h"

enum {
	STOPPED_TASKS_KEPT_MS = 3600 * 1000, /* as long as ECS shows them at least */
	PURGE_EVERY_S = 600,
	STOP_GRACE_S = 2, /* for agents to answer our close frames */
	OPT_FIRST = 0x100,
};

struct args {
	struct cp_settings settings;
	char *host; /* owned */
	enum log_level log_level;
	enum log_format log_format;
	bool print_port;
	int ready_fd; /* -1: none */
};

static void args_done(struct args *a)
{
	free(a->host);
}

static int usage(FILE *to)
{
	(void) fputs(
		"Usage: ecs-controlplane [OPTION]...\n"
		"An ECS-compatible control plane for one machine or a small lab.\n\n"
		"  --listen ADDRESS:PORT  where to serve (default 127.0.0.1:8080; port 0: any "
		"free)\n"
		"  --data DIR             where state is kept (default " LOCALSTATEDIR
		"/lib/ecs-controlplane)\n"
		"  --region NAME          region in ARNs (default us-east-1)\n"
		"  --account DIGITS       account in ARNs (default 123456789012)\n"
		"  --credentials FILE     demand valid signatures by the key pairs of FILE\n"
		"  --subnets FILE         subnets and network interfaces for tasks of mode "
		"awsvpc\n"
		"  --heartbeat-seconds N  between heartbeats to agents (default 60)\n"
		"  --eni-wait-seconds N   for a task's network interface to be attached (default "
		"300)\n"
		"  --fault-injection      serve POST /local/fault, for tests\n"
		"  --log-level LEVEL      crit, error, warn, info (default), debug, none\n"
		"  --log-format FORMAT    logfmt (default) or json\n"
		"  --print-port           print the port to standard output once ready\n"
		"  --ready-fd FD          write \"PORT\\n\" to FD once ready, and close it\n"
		"  --help, --version\n\n"
		"Point the AWS CLI at it: aws --endpoint-url http://ADDRESS:PORT ecs ...\n",
		to);
	return to == stdout ? EXIT_SUCCESS : 2;
}

static int parse_number(const char *text, long max, long *ret)
{
	char *end = NULL;
	long v;

	errno = 0;
	v = strtol(text, &end, 10);
	if (errno || end == text || *end || v < 0 || v > max)
		return -EINVAL;
	*ret = v;
	return 0;
}

/* "127.0.0.1:8080", "[::1]:8080" */
static int parse_listen(const char *text, struct args *a, struct err *err)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t) (colon - text) : 0;
	long port = 0;

	if (!colon || len == 0 || parse_number(colon + 1, 65535, &port) < 0)
		return err_set(err, EINVAL, "--listen: '%s' is not ADDRESS:PORT", text);
	if (text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	free(a->host);
	a->host = strndup(text, len);
	if (!a->host)
		return err_set(err, ENOMEM, "--listen");
	a->settings.listen_host = a->host;
	a->settings.listen_port = (uint16_t) port;
	return 0;
}

static int check_account(const char *text, struct err *err)
{
	if (strlen(text) != 12 || strspn(text, "0123456789") != 12)
		return err_set(err, EINVAL, "--account: '%s' is not twelve digits", text);
	return 0;
}

static int check_region(const char *text, struct err *err)
{
	size_t n = strlen(text);

	if (n == 0 || n > 31 || strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") != n)
		return err_set(err, EINVAL, "--region: '%s' is not the name of a region", text);
	return 0;
}

static const struct option options[] = {
	{ "listen", required_argument, NULL, OPT_FIRST },
	{ "data", required_argument, NULL, OPT_FIRST + 1 },
	{ "region", required_argument, NULL, OPT_FIRST + 2 },
	{ "account", required_argument, NULL, OPT_FIRST + 3 },
	{ "credentials", required_argument, NULL, OPT_FIRST + 4 },
	{ "log-level", required_argument, NULL, OPT_FIRST + 5 },
	{ "log-format", required_argument, NULL, OPT_FIRST + 6 },
	{ "print-port", no_argument, NULL, OPT_FIRST + 7 },
	{ "ready-fd", required_argument, NULL, OPT_FIRST + 8 },
	{ "heartbeat-seconds", required_argument, NULL, OPT_FIRST + 9 },
	{ "fault-injection", no_argument, NULL, OPT_FIRST + 10 },
	{ "subnets", required_argument, NULL, OPT_FIRST + 11 },
	{ "eni-wait-seconds", required_argument, NULL, OPT_FIRST + 12 },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'v' },
	{},
};

static int apply_option(int opt, struct args *a, struct err *err)
{
	long fd = 0; /* or another number */

	switch (opt) {
	case OPT_FIRST:
		return parse_listen(optarg, a, err);
	case OPT_FIRST + 1:
		a->settings.data_dir = optarg;
		return 0;
	case OPT_FIRST + 2:
		a->settings.region = optarg;
		return check_region(optarg, err);
	case OPT_FIRST + 3:
		a->settings.account = optarg;
		return check_account(optarg, err);
	case OPT_FIRST + 4:
		a->settings.credentials_file = optarg;
		return 0;
	case OPT_FIRST + 5:
		return log_level_parse(optarg, &a->log_level, err);
	case OPT_FIRST + 6:
		a->log_format = strcmp(optarg, "json") == 0 ? LOG_JSON : LOG_LOGFMT;
		if (a->log_format == LOG_LOGFMT && strcmp(optarg, "logfmt") != 0)
			return err_set(err, EINVAL, "--log-format: '%s' is not logfmt or json",
				       optarg);
		return 0;
	case OPT_FIRST + 7:
		a->print_port = true;
		return 0;
	case OPT_FIRST + 9:
		if (parse_number(optarg, 3600, &fd) < 0 || fd == 0)
			return err_set(err, EINVAL, "--heartbeat-seconds: '%s' is outside 1..3600",
				       optarg);
		a->settings.heartbeat_s = (int) fd;
		return 0;
	case OPT_FIRST + 12:
		if (parse_number(optarg, 3600, &fd) < 0 || fd == 0)
			return err_set(err, EINVAL, "--eni-wait-seconds: '%s' is outside 1..3600",
				       optarg);
		a->settings.eni_wait_s = (int) fd;
		return 0;
	case OPT_FIRST + 10:
		a->settings.fault_injection = true;
		return 0;
	case OPT_FIRST + 11:
		a->settings.subnets_file = optarg;
		return 0;
	default:
		if (parse_number(optarg, 1 << 20, &fd) < 0)
			return err_set(err, EINVAL, "--ready-fd: '%s' is not a descriptor", optarg);
		a->ready_fd = (int) fd;
		return 0;
	}
}

/* Returns -1 to go on, else the exit code. */
static int parse_args(int argc, char **argv, struct args *a)
{
	_cleanup_(err_done) struct err err = {};
	int opt;

	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (opt == 'h')
			return usage(stdout);
		if (opt == 'v') {
			(void) printf("ecs-controlplane %s (%s)\n", PACKAGE_VERSION, GIT_HASH);
			return EXIT_SUCCESS;
		}
		if (opt == '?')
			return usage(stderr);
		if (apply_option(opt, a, &err) < 0) {
			(void) fprintf(stderr, "ecs-controlplane: %s\n", err_text(&err));
			return 2;
		}
	}
	if (optind < argc) {
		(void) fprintf(stderr, "ecs-controlplane: '%s' is not an option\n", argv[optind]);
		return 2;
	}
	return -1;
}

/* Forgets tasks that stopped long ago, and credentials of stopped ones, now and then. */
static int on_purge(sd_event_source *source, uint64_t usec, void *userdata)
{
	_cleanup_(err_done) struct err err = {};
	struct controlplane *cp = userdata;

	(void) usec;
	if (store_tasks_purge(cp->store, clock_real_ms() - STOPPED_TASKS_KEPT_MS, &err) < 0 ||
	    store_services_purge(cp->store, clock_real_ms() - STOPPED_TASKS_KEPT_MS, &err) < 0 ||
	    credentials_purge(cp->store, &err) < 0)
		log_warn("Failed to forget old tasks, will try again: %s", err_text(&err));
	(void) sd_event_source_set_time_relative(source, PURGE_EVERY_S * 1000000ULL);
	(void) sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

static int on_stopping(sd_event_source *source, void *userdata)
{
	struct controlplane *cp = userdata;

	if (!cp->wire || !cp->wire->drained || cp->wire->drained(cp))
		(void) sd_event_exit(sd_event_source_get_event(source), 0);
	return 0;
}

/* Agents are told before the process goes, so that they see a close and not a broken connection. A
 * second signal does not wait for them. */
static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	struct controlplane *cp = userdata;

	(void) source, (void) info;
	if (cp->stopping)
		return sd_event_exit(cp->loop, 0);
	cp->stopping = true;
	log_info("Stopping");
	(void) sd_notify(0, "STOPPING=1");
	server_stop_listening(cp->server);
	if (sd_event_add_post(cp->loop, NULL, on_stopping, cp) < 0 ||
	    sd_event_add_time_relative(cp->loop, NULL, CLOCK_MONOTONIC, STOP_GRACE_S * 1000000ULL,
				       0, NULL, NULL) < 0)
		return sd_event_exit(cp->loop, 0);
	return 0;
}

static int make_loop(struct controlplane *cp, struct err *err)
{
	sigset_t set;
	int k;

	(void) sigemptyset(&set);
	(void) sigaddset(&set, SIGTERM);
	(void) sigaddset(&set, SIGINT);
	(void) sigaddset(&set, SIGPIPE);
	(void) sigprocmask(SIG_BLOCK, &set, NULL);
	k = sd_event_default(&cp->loop);
	if (k >= 0)
		k = sd_event_add_signal(cp->loop, NULL, SIGTERM, on_signal, cp);
	if (k >= 0)
		k = sd_event_add_signal(cp->loop, NULL, SIGINT, on_signal, cp);
	if (k >= 0)
		k = sd_event_add_time_relative(cp->loop, NULL, CLOCK_MONOTONIC, 1000000, 0,
					       on_purge, cp);
	if (k >= 0)
		k = sd_event_set_watchdog(cp->loop, 1);
	return k < 0 ? err_set_errno(err, -k, "make the event loop") : 0;
}

static void say_ready(const struct controlplane *cp, const struct args *a)
{
	unsigned port = server_port(cp->server);

	log_info("Serving on %s port %u, region %s, state in '%s'", a->host, port,
		 a->settings.region, a->settings.data_dir);
	if (a->print_port) {
		(void) printf("%u\n", port);
		(void) fflush(stdout);
	}
	if (a->ready_fd >= 0) {
		(void) dprintf(a->ready_fd, "%u\n", port);
		(void) close(a->ready_fd);
	}
	(void) sd_notifyf(0, "READY=1\nSTATUS=Serving on %s port %u", a->host, port);
}

static int serve(const struct args *a, struct controlplane *cp, struct err *err)
{
	int k = cp_init(cp, &a->settings, err);

	if (k == 0)
		k = make_loop(cp, err);
	if (k == 0)
		k = wire_start(cp, err);
	if (k == 0)
		k = services_start(cp, err);
	if (k == 0)
		k = eni_wait_start(cp, err);
	if (k == 0)
		k = server_start(cp, err);
	if (k < 0)
		return k;
	say_ready(cp, a);
	k = sd_event_loop(cp->loop);
	return k < 0 ? err_set_errno(err, -k, "run the event loop") : 0;
}

int main(int argc, char **argv)
{
	_cleanup_(err_done) struct err err = {};
	_cleanup_(args_done) struct args a = {
		.settings = { .region = "us-east-1",
			      .account = "123456789012",
			      .data_dir = LOCALSTATEDIR "/lib/ecs-controlplane" },
		.log_level = LOG_INFO,
		.ready_fd = -1,
	};
	struct controlplane cp = {};
	int k;

	if (parse_listen("127.0.0.1:8080", &a, &err) < 0)
		return EXIT_FAILURE;
	k = parse_args(argc, argv, &a);
	if (k >= 0)
		return k;
	(void) log_open(&(struct log_params){ .stream_level = a.log_level,
					      .file_level = LOG_NONE,
					      .format = a.log_format,
					      .stream_fd = STDERR_FILENO },
			NULL);
	k = serve(&a, &cp, &err);
	if (k < 0)
		log_error("Failed to serve: %s", err_text(&err));
	cp_done(&cp);
	log_close();
	return k < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
