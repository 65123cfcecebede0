/* SPDX-License-Identifier: Apache-2.0 */
/* ecs-agent: the command line, the settings, the log; agent.c is the rest. */
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/ctl/capabilities.h"
#include "agent/options.h"
#include "agent/trim.h"
#include "common/log.h"
#include "common/strv.h"

extern char **environ;

/* As we were started: settings are exported over it, and must not outlive a change of them. */
static char **environment; /* owned */
static char **arguments;   /* borrowed */

static int load_config(const struct options *o, struct config **ret, struct err *err)
{
	static const char *const usual[] = { "/var/lib/ecs/ecs.config", "/etc/ecs/ecs.config",
					     NULL };
	const char *const named[] = { o->config_file, NULL };
	struct config_sources s = { .files = o->config_file ? named : usual, .environ = environ };
	_cleanup_(config_freep) struct config *c = NULL;
	uint64_t fingerprint = agent_fingerprint(s.files); /* before: what changes later is seen */
	int r;

	if (o->config_file && access(o->config_file, R_OK) < 0)
		return err_set_errno(err, errno, "read %s", o->config_file);
	r = config_load(&s, &c, err);
	if (r >= 0 && o->log_level) {
		r = log_level_parse(o->log_level, &c->log_level, err);
		c->log_level_file = c->log_level;
	}
	if (r >= 0 && o->log_level_file)
		r = log_level_parse(o->log_level_file, &c->log_level_file, err);
	if (r >= 0 && o->log_level_stream)
		r = log_level_parse(o->log_level_stream, &c->log_level, err);
	if (r < 0)
		return r;
	c->files_fingerprint = fingerprint;
	c->tls_insecure |= o->insecure;
	c->imds_disabled |= o->blackhole_imds;
	*ret = TAKE_PTR(c);
	return 0;
}

static int open_log(const struct config *c, struct err *err)
{
	struct log_params p = {
		.stream_level = c->log_level,
		.file_level = c->log_file ? c->log_level_file : LOG_NONE,
		.format = c->log_format,
		.file = c->log_file,
		.rollover = c->log_rollover,
		.max_file_bytes = (int64_t) (c->log_max_file_mb * 1e6),
		.max_files = (int) c->log_max_roll_count,
		.stream_fd = STDOUT_FILENO,
	};

	return log_open(&p, err);
}

/* What our children and libraries read from the environment may stand in a file. */
static void export_settings(const struct config *c)
{
	const struct {
		const char *name, *value;
	} all[] = {
		{ "AWS_DEFAULT_REGION", c->region },
		{ "AWS_ENDPOINT_URL", c->endpoint_url },
		{ "AWS_ENDPOINT_URL_ECR", c->endpoint_url_ecr },
		{ "AWS_ENDPOINT_URL_LOGS", c->endpoint_url_logs },
		{ "AWS_ENDPOINT_URL_SECRETS_MANAGER", c->endpoint_url_secrets_manager },
		{ "AWS_ENDPOINT_URL_SSM", c->endpoint_url_ssm },
		{ "AWS_ENDPOINT_URL_S3", c->endpoint_url_s3 },
		{ "http_proxy", c->http_proxy },
		{ "https_proxy", c->https_proxy },
		{ "no_proxy", c->no_proxy },
		{ "SSL_CERT_DIR", c->ca_dir },
		{ "SSL_CERT_FILE", c->ca_file },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i].value && setenv(all[i].name, all[i].value, 1) < 0)
			log_warn("Failed to export %s", all[i].name);
}

/* Another program of the same process: systemd goes on watching it. */
static int start_anew(void)
{
	(void) execve("/proc/self/exe", arguments, environment);
	log_error("Failed to start anew: %s", strerror(errno));
	return EXIT_RETRY;
}

static int run(struct config *config)
{
	_cleanup_(config_freep) struct config *c = config;
	_cleanup_(err_done) struct err err = {};
	int code;

	if (open_log(c, &err) < 0) {
		log_error("Failed to open the log: %s", err_text(&err));
		return EXIT_RETRY;
	}
	log_info("Starting ecs-agent " PACKAGE_VERSION " (" GIT_HASH "), cluster '%s'", c->cluster);
	config_log_notes(c);
	export_settings(c);
	code = agent_run(TAKE_PTR(c));
	return code == EXIT_RELOAD ? start_anew() : code;
}

/* ---- what is done instead of running ---- */

static int health_check(const struct config *c)
{
	char url[512];
	CURL *curl = curl_easy_init();
	CURLcode k;

	if (!curl)
		return EXIT_RETRY;
	(void) snprintf(url, sizeof(url), "http://%s:%u/v1/metadata", c->health_check_host,
			c->introspection_port);
	(void) curl_easy_setopt(curl, CURLOPT_URL, url);
	(void) curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
	(void) curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	(void) curl_easy_setopt(curl, CURLOPT_TIMEOUT, 25L);
	k = curl_easy_perform(curl);
	curl_easy_cleanup(curl);
	if (k != CURLE_OK)
		fprintf(stderr, "ecs-agent: no answer from %s: %s\n", url, curl_easy_strerror(k));
	return k == CURLE_OK ? EXIT_OK : EXIT_RETRY;
}

static int print_attributes(const struct config *c)
{
	_cleanup_(json_decrefp) json_t *attributes = NULL;
	_cleanup_(err_done) struct err err = {};
	struct host_facts facts = {};

	if (host_facts_read(&facts, &err) < 0 ||
	    capabilities_build(c, &facts, true, &attributes, &err) < 0) {
		fprintf(stderr, "ecs-agent: %s\n", err_text(&err));
		return EXIT_RETRY;
	}
	json_dumpf(attributes, stdout, JSON_INDENT(2));
	putchar('\n');
	return EXIT_OK;
}

/* Without them the host is still good for all other tasks. */
static void find_gpus(struct config *c)
{
	_cleanup_(err_done) struct err err = {};

	if (c->gpu_support && gpu_inventory_read("", &c->gpus, &err) < 0)
		log_warn("ECS_ENABLE_GPU_SUPPORT: Failed to read what GPUs there are, going on "
			 "without: %s",
			 err_text(&err));
}

static int with_config(const struct options *o, struct config *config)
{
	_cleanup_(config_freep) struct config *c = config;

	find_gpus(c);
	if (o->doctor)
		return agent_doctor(TAKE_PTR(c), o->repair, o->json);
	if (o->check_services) {
		export_settings(c);
		return agent_check_services(TAKE_PTR(c), o->json);
	}
	if (o->print_config)
		config_print(c, stdout, o->json);
	else if (o->health_check)
		return health_check(c);
	else if (o->attributes)
		return print_attributes(c);
	else
		return run(TAKE_PTR(c));
	config_log_notes(c);
	return EXIT_OK;
}

int main(int argc, char **argv)
{
	_cleanup_(err_done) struct err err = {};
	struct options o = {};
	struct config *c = NULL;

	arguments = argv;
	environment = strv_copy(environ, NULL);
	trim_configure();
	(void) umask(0022);
	if (options_parse(argc, argv, &o, &err) < 0) {
		fprintf(stderr, "ecs-agent: %s\nTry 'ecs-agent --help'.\n", err_text(&err));
		return EXIT_TERMINAL;
	}
	if (o.help)
		fputs(options_help(), stdout);
	else if (o.version)
		puts("Amazon ECS Agent - v" PACKAGE_VERSION " (" GIT_HASH ")");
	else if (o.license)
		fputs(license_text(), stdout);
	else if (o.print_config_keys)
		config_print_keys(stdout);
	else if (load_config(&o, &c, &err) < 0) {
		log_error("Failed to load the settings: %s", err_text(&err));
		return EXIT_RETRY;
	} else
		return with_config(&o, c);
	return EXIT_OK;
}
