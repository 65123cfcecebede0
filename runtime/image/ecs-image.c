/* SPDX-License-Identifier: Apache-2.0 */
/* ecs-image - pulls, loads, lists and removes images; see ecs-image(8). */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/json.h"
#include "common/spawn.h"
#include "common/strv.h"
#include "runtime/image/command.h"
#include "runtime/image/mirror.h"
#include "runtime/image/trust.h"
#include "runtime/image/store.h"

enum { CREDENTIALS_MAX = 64 * 1024, EXIT_USAGE = 2 };

static const char usage_text[] =
	"Usage: ecs-image [OPTION]... COMMAND [ARGUMENT]...\n"
	"Pulls and keeps container images.\n"
	"\n"
	"  pull REFERENCE        fetch an image from its registry\n"
	"  load FILE|DIRECTORY|- take images from an OCI layout, an OCI archive or docker save\n"
	"  ls                    list what is in the store\n"
	"  inspect REFERENCE|ID  show one image as JSON\n"
	"  rm REFERENCE|ID...    remove references, and what only they needed\n"
	"  prune                 remove images without a reference, and what killed pulls left\n"
	"  save REFERENCE|ID...  write an archive that is both an OCI archive and docker save's\n"
	"  verify                recompute every digest of the store\n"
	"  du                    how much of the disk each image takes, and shares\n"
	"\n"
	"  --store DIR           the store (default " IMAGE_STORE_DIR_DEFAULT ")\n"
	"  --behavior WHEN       pull: default, always, once or prefer-cached\n"
	"  --platform OS/ARCH[/VARIANT]   choose from a multi-platform image (default: this host)\n"
	"  --username NAME       log in to the registry …\n"
	"  --password-stdin      … with the password on standard input\n"
	"  --plain-http          no TLS (a registry on this machine needs no such option)\n"
	"  --mirrors LIST        registry=URL,…: whom to ask before the registry itself\n"
	"  --nice N              leave processor and disk to others first, as nice(1): 0 to 19\n"
	"  --certs-dir DIR       certificates by registry (default " TRUST_DIR_DEFAULT ")\n"
	"  --timeout SECONDS     give up when nothing arrives for so long (default 60)\n"
	"  --all                 prune: every image that no container has\n"
	"  --tracked             prune: those that containers had and a registry has\n"
	"  --untracked SECONDS   prune --tracked: the others, too, once pulled so long ago\n"
	"  --min-age SECONDS     prune: only images pulled so long ago\n"
	"  --limit N             prune: at most so many images, least recently used first\n"
	"  --keep REFERENCE|ID   prune: but not this one; may be repeated\n"
	"  --pressure HIGH:LOW   prune: when more than HIGH % of the disk is used, go on to LOW %\n"
	"  --dry-run             prune: only say what would go\n"
	"  --repair              verify: remove what is damaged; the next pull fetches it\n"
	"  --output FILE         save: not to standard output; DIRECTORY/ gets an OCI layout\n"
	"  --name REFERENCE      load: name of the image, whatever the archive says\n"
	"  --json                one JSON object per line\n"
	"  --quiet               only ids, no progress\n"
	"  --help, --version\n";

static const struct command {
	const char *name;
	int (*run)(struct options *o, struct image_store *store, struct err *err);
	int min_args, max_args;
} commands[] = {
	{ "pull", command_pull, 1, 1 },       { "load", command_load, 1, 1 },
	{ "ls", command_ls, 0, 0 },           { "rm", command_rm, 1, INT_MAX },
	{ "inspect", command_inspect, 1, 1 }, { "prune", command_prune, 0, 0 },
	{ "du", command_du, 0, 0 },           { "verify", command_verify, 0, 0 },
	{ "save", command_save, 1, INT_MAX },
};

enum option_id {
	OPT_STORE = 256,
	OPT_BEHAVIOR,
	OPT_PLATFORM,
	OPT_USERNAME,
	OPT_PASSWORD_STDIN,
	OPT_CREDENTIALS_FD,
	OPT_PLAIN_HTTP,
	OPT_MIRRORS,
	OPT_NICE,
	OPT_CERTS_DIR,
	OPT_TIMEOUT,
	OPT_ALL,
	OPT_TRACKED,
	OPT_UNTRACKED,
	OPT_MIN_AGE,
	OPT_LIMIT,
	OPT_KEEP,
	OPT_PRESSURE,
	OPT_DRY_RUN,
	OPT_REPAIR,
	OPT_OUTPUT,
	OPT_NAME,
	OPT_JSON,
	OPT_QUIET,
	OPT_HELP,
	OPT_VERSION,
};

static const struct option long_options[] = {
	{ "store", required_argument, NULL, OPT_STORE },
	{ "behavior", required_argument, NULL, OPT_BEHAVIOR },
	{ "platform", required_argument, NULL, OPT_PLATFORM },
	{ "username", required_argument, NULL, OPT_USERNAME },
	{ "password-stdin", no_argument, NULL, OPT_PASSWORD_STDIN },
	{ "credentials-fd", required_argument, NULL, OPT_CREDENTIALS_FD },
	{ "plain-http", no_argument, NULL, OPT_PLAIN_HTTP },
	{ "mirrors", required_argument, NULL, OPT_MIRRORS },
	{ "nice", required_argument, NULL, OPT_NICE },
	{ "certs-dir", required_argument, NULL, OPT_CERTS_DIR },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "all", no_argument, NULL, OPT_ALL },
	{ "tracked", no_argument, NULL, OPT_TRACKED },
	{ "untracked", required_argument, NULL, OPT_UNTRACKED },
	{ "min-age", required_argument, NULL, OPT_MIN_AGE },
	{ "limit", required_argument, NULL, OPT_LIMIT },
	{ "keep", required_argument, NULL, OPT_KEEP },
	{ "pressure", required_argument, NULL, OPT_PRESSURE },
	{ "dry-run", no_argument, NULL, OPT_DRY_RUN },
	{ "repair", no_argument, NULL, OPT_REPAIR },
	{ "output", required_argument, NULL, OPT_OUTPUT },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "quiet", no_argument, NULL, OPT_QUIET },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{}
};

static int read_all(int fd, struct buf *b, struct err *err)
{
	char chunk[4096];
	ssize_t n;

	b->max_bytes = CREDENTIALS_MAX;
	do {
		n = read(fd, chunk, sizeof(chunk));
		if (n > 0)
			(void) buf_append(b, chunk, (size_t) n);
	} while (n > 0 || (n < 0 && errno == EINTR));
	explicit_bzero(chunk, sizeof(chunk));
	if (n < 0)
		return err_set_errno(err, errno, "read credentials");
	return b->failed ? err_set(err, EFBIG, "credentials: more than %d bytes", CREDENTIALS_MAX)
			 : 0;
}

static int read_password(struct options *o, struct err *err)
{
	struct buf b = {};
	int k = read_all(STDIN_FILENO, &b, err);

	while (b.len > 0 && strchr("\r\n", b.data[b.len - 1]))
		b.data[--b.len] = '\0';
	if (k == 0 && strdup_to(&o->password, buf_str(&b)) < 0)
		k = err_set(err, ENOMEM, "read password");
	if (b.data)
		explicit_bzero(b.data, b.len);
	buf_done(&b);
	return k;
}

/* {"username": …, "password": …} */
static int read_credentials(struct options *o, const char *number, struct err *err)
{
	_cleanup_(json_decrefp) json_t *obj = NULL;
	struct buf b = {};
	char *end;
	long fd = strtol(number, &end, 10);
	int k;

	if (*end || end == number || fd < 3 || fd > 1023)
		return err_set(err, EINVAL, "--credentials-fd: '%.20s' is not a descriptor",
			       number);
	k = read_all((int) fd, &b, err);
	(void) close((int) fd);
	if (k == 0)
		k = json_parse(buf_str(&b), b.len, &obj, err);
	if (k == 0 && (strdup_to(&o->username, json_get_string(obj, "username", NULL)) < 0 ||
		       strdup_to(&o->password, json_get_string(obj, "password", NULL)) < 0))
		k = err_set(err, ENOMEM, "read credentials");
	if (b.data)
		explicit_bzero(b.data, b.len);
	buf_done(&b);
	return k < 0 ? err_wrap(err, "credentials") : 0;
}

static int parse_timeout(struct options *o, const char *text, struct err *err)
{
	char *end;
	long s = strtol(text, &end, 10);

	if (*end || end == text || s < 1 || s > 86400)
		return err_set(err, EINVAL, "--timeout: '%.20s' is not within 1..86400 seconds",
			       text);
	o->inactivity_timeout_ms = s * MSEC_PER_SEC;
	return 0;
}

static int parse_number(const char *option, const char *text, int64_t max, int64_t *ret,
			struct err *err)
{
	char *end;

	errno = 0;
	*ret = strtoll(text, &end, 10);
	if (errno || *end || end == text || *ret < 0 || *ret > max)
		return err_set(err, EINVAL, "%s: '%.20s' is not within 0..%lld", option, text,
			       (long long) max);
	return 0;
}

static int parse_age(const char *option, const char *text, int64_t *ret_ms, struct err *err)
{
	int k = parse_number(option, text, 100LL * 366 * 86400, ret_ms, err);

	*ret_ms *= MSEC_PER_SEC;
	return k;
}

static int parse_pressure(struct options *o, const char *text, struct err *err)
{
	int n = 0;

	if (sscanf(text, "%3d:%3d%n", &o->prune.high_percent, &o->prune.low_percent, &n) != 2 ||
	    text[n] || o->prune.low_percent < 0 || o->prune.high_percent > 100 ||
	    o->prune.low_percent > o->prune.high_percent)
		return err_set(err, EINVAL,
			       "--pressure: '%.20s' is not HIGH:LOW with 0 <= LOW <= HIGH <= 100",
			       text);
	return 0;
}

static int take_prune_option(struct options *o, int id, const char *value, struct err *err)
{
	struct prune_params *p = &o->prune;

	switch (id) {
	case OPT_ALL:
		p->what = PRUNE_ALL;
		return 0;
	case OPT_TRACKED:
		p->what = PRUNE_TRACKED;
		return 0;
	case OPT_UNTRACKED:
		p->untracked = true;
		return parse_age("--untracked", value, &p->untracked_min_age_ms, err);
	case OPT_MIN_AGE:
		return parse_age("--min-age", value, &p->min_age_ms, err);
	case OPT_LIMIT:
		return parse_number("--limit", value, 1000000, &p->max_images, err);
	case OPT_KEEP:
		return strv_append(&o->keep, value) < 0 ? err_set(err, ENOMEM, "--keep") : 0;
	case OPT_PRESSURE:
		return parse_pressure(o, value, err);
	case OPT_DRY_RUN:
		p->dry_run = true;
		return 0;
	case OPT_REPAIR:
		o->repair = true;
		return 0;
	case OPT_OUTPUT:
		o->output = value;
		return 0;
	case OPT_NAME:
		o->name = value;
		return 0;
	default:
		return err_set(err, EINVAL, "an option that is not dealt with");
	}
}

/* Also towards the disk: the lowest of the ordinary priorities. */
static int be_nice(const char *text, struct err *err)
{
	const int best_effort = 2 << 13 | 7, this_process = 1;
	char *end;
	long n = strtol(text, &end, 10);

	if (*end || end == text || n < 0 || n > 19)
		return err_set(err, EINVAL, "--nice: '%.20s' is not within 0..19", text);
	if (n > 0 && (setpriority(PRIO_PROCESS, 0, (int) n) < 0 ||
		      syscall(SYS_ioprio_set, this_process, 0, best_effort) < 0))
		return err_set_errno(err, errno, "--nice");
	return 0;
}

/* Returns 0, or -errno; ends the program for --help and --version. */
static int take_option(struct options *o, int id, const char *value, struct err *err)
{
	switch (id) {
	case OPT_STORE:
		o->store_dir = value;
		return 0;
	case OPT_BEHAVIOR:
		return image_pull_behavior_parse(value, &o->behavior, err);
	case OPT_PLATFORM:
		o->platform = value;
		return 0;
	case OPT_USERNAME:
		return strdup_to(&o->username, value) < 0 ? err_set(err, ENOMEM, "--username") : 0;
	case OPT_PASSWORD_STDIN:
		return read_password(o, err);
	case OPT_CREDENTIALS_FD:
		return read_credentials(o, value, err);
	case OPT_PLAIN_HTTP:
		o->plain_http = true;
		return 0;
	case OPT_MIRRORS:
		o->mirrors = value;
		return mirror_find(value, NULL, NULL, err);
	case OPT_NICE:
		return be_nice(value, err);
	case OPT_CERTS_DIR:
		o->certs_dir = value;
		return 0;
	case OPT_TIMEOUT:
		return parse_timeout(o, value, err);
	case OPT_JSON:
		o->report.json = true;
		return 0;
	case OPT_QUIET:
		o->report.quiet = true;
		return 0;
	case OPT_HELP:
		(void) fputs(usage_text, stdout);
		exit(0);
	case OPT_VERSION:
		(void) printf("ecs-image %s (%s)\n", PACKAGE_VERSION, GIT_HASH);
		exit(0);
	default:
		return take_prune_option(o, id, value, err);
	}
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(name, commands[i].name) == 0)
			return &commands[i];
	return NULL;
}

static int parse_arguments(int argc, char **argv, struct options *o, const struct command **ret,
			   struct err *err)
{
	int id;

	opterr = 0;
	while ((id = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		int k = id == '?'
				? err_set(err, EINVAL,
					  "%.64s: no option, or one without its value; see --help",
					  argv[optind - 1])
				: take_option(o, id, optarg, err);

		if (k < 0)
			return k;
	}
	if (optind >= argc)
		return err_set(err, EINVAL, "which command? see --help");
	*ret = find_command(argv[optind]);
	o->args = argv + optind + 1;
	o->n_args = argc - optind - 1;
	if (!*ret)
		return err_set(err, EINVAL, "'%.40s' is not a command; see --help", argv[optind]);
	if (o->n_args < (*ret)->min_args || o->n_args > (*ret)->max_args)
		return err_set(err, EINVAL, "%s: takes %s argument%s", (*ret)->name,
			       (*ret)->max_args == 0   ? "no"
			       : (*ret)->max_args == 1 ? "one"
						       : "at least one",
			       (*ret)->max_args == 0 ? "s" : "");
	return 0;
}

/* ecs-unpack stands beside us, in the build tree as when installed. */
static char *find_unpacker(void)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash, *path;

	self[MAX(n, 0)] = '\0';
	slash = strrchr(self, '/');
	path = slash ? path_join("%.*s/ecs-unpack", (int) (slash - self), self) : NULL;
	if (path && access(path, X_OK) == 0)
		return path;
	free(path);
	return strdup(PKGLIBEXECDIR "/ecs-unpack");
}

/* Go programs read HTTP_PROXY, libcurl only http_proxy: one setting shall serve both. */
static void adopt_proxy_setting(void)
{
	const char *proxy = getenv("HTTP_PROXY");

	if (proxy)
		(void) setenv("http_proxy", proxy, 0);
}

/* People give relative names, too. */
static int open_store(const char *dir, struct image_store **ret, struct err *err)
{
	_cleanup_(freep) char *cwd = *dir == '/' ? NULL : getcwd(NULL, 0);
	_cleanup_(freep) char *absolute = cwd ? path_join("%s/%s", cwd, dir) : strdup(dir);

	if (!absolute)
		return err_set(err, ENOMEM, "open image store");
	return image_store_open(absolute, ret, err);
}

static int run(const struct command *command, struct options *o)
{
	_cleanup_(image_store_closep) struct image_store *store = NULL;
	_cleanup_(err_done) struct err err = {};

	o->unpacker_program = find_unpacker();
	if (open_store(o->store_dir, &store, &err) < 0) {
		report_failed(&o->report, IMAGE_PULL_E_INTERNAL, err_text(&err));
		return 1;
	}
	return command->run(o, store, &err);
}

int main(int argc, char **argv)
{
	struct options o = { .store_dir = IMAGE_STORE_DIR_DEFAULT,
			     .prune = { .high_percent = 100, .low_percent = 100 } };
	_cleanup_(err_done) struct err err = {};
	const struct command *command = NULL;
	int code;

	(void) sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	adopt_proxy_setting();
	report_init(&o.report);
	if (parse_arguments(argc, argv, &o, &command, &err) < 0) {
		(void) fprintf(stderr, "ecs-image: %s\n", err_text(&err));
		return EXIT_USAGE;
	}
	spawn_end_with_parent(SIGTERM); /* what was fetched stays in the store for the next pull */
	code = run(command, &o);
	free(o.unpacker_program);
	(void) strv_free(o.keep);
	free(o.username);
	if (o.password)
		explicit_bzero(o.password, strlen(o.password));
	free(o.password);
	return code;
}
