/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

#include "agent/config-internal.h"
#include "common/fs.h"
#include "common/strv.h"

enum { FILES_MAX = 8 };

struct loader {
	struct config *config;
	char *const *environ;
	struct config_file files[FILES_MAX]; /* the strongest last */
	size_t n_files;
	char **warned; /* strv: unknown keys told already */
};

static void note(struct config *c, enum log_level level, const char *fmt, ...) _printf_(3, 4);

/* What cannot be noted for lack of memory is lost; the value was dealt with all the same. */
static void note(struct config *c, enum log_level level, const char *fmt, ...)
{
	struct config_note *notes = reallocarray(c->notes, c->n_notes + 1, sizeof(*notes));
	va_list ap;

	if (!notes)
		return;
	c->notes = notes;
	notes[c->n_notes] = (struct config_note){ .level = level };
	va_start(ap, fmt);
	if (vasprintf(&notes[c->n_notes].text, fmt, ap) >= 0)
		c->n_notes++;
	va_end(ap);
}

void config_log_notes(const struct config *c)
{
	for (size_t i = 0; i < c->n_notes; i++)
		log_emit(c->notes[i].level, NULL, "%s", c->notes[i].text);
}

/* ---- unknown keys ---- */

static size_t edit_distance(const char *a, const char *b)
{
	size_t row[80], n = strlen(b);

	if (n >= ARRAY_SIZE(row))
		return SIZE_MAX;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t above = row[j], change = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = above;
			row[j] = MIN(change, MIN(above, row[j - 1]) + 1);
		}
	}
	return row[n];
}

static const char *nearest_key(const char *name)
{
	size_t best = 4; /* more edits than three are another word */
	const char *found = NULL;

	for (const struct config_key *k = config_keys; k->key; k++) {
		size_t d = edit_distance(name, k->key);

		if (k->type && d < best) {
			best = d;
			found = k->key;
		}
	}
	return found;
}

static void check_known(struct loader *l, const char *where, const char *name)
{
	const struct config_key *k = config_find_key(name);
	const char *near;

	if ((k && k->type) || strv_contains(l->warned, name))
		return;
	if (!k && strncmp(name, "ECS_", 4) != 0)
		return;
	if (strv_append(&l->warned, name) < 0)
		return;
	if (k) {
		note(l->config, LOG_INFO, "%s: %s has no effect: %s", where, name, k->help);
		return;
	}
	near = nearest_key(name);
	note(l->config, LOG_WARN, "%s: %.128s is not a setting of this agent, ignoring it%s%s%s",
	     where, name, near ? ": did you mean " : "", near ? near : "", near ? "?" : "");
}

static void check_unknown(struct loader *l)
{
	char where[256], name[160];

	for (char *const *e = l->environ; e && *e; e++) {
		size_t n = strcspn(*e, "=");

		if (n >= sizeof(name) || (*e)[n] != '=' || !(*e)[n + 1])
			continue;
		(void) snprintf(name, sizeof(name), "%.*s", (int) n, *e);
		check_known(l, "environment", name);
	}
	for (size_t i = 0; i < l->n_files; i++) {
		for (size_t j = 0; j < l->files[i].n_lines; j++) {
			(void) snprintf(where, sizeof(where), "%s:%d", l->files[i].path,
					l->files[i].lines[j].number);
			check_known(l, where, l->files[i].lines[j].key);
		}
	}
}

/* ---- keys that stand in a file twice ---- */

static void check_doubled(struct loader *l, const struct config_file *f)
{
	for (size_t i = 0; i < f->n_lines; i++) {
		const struct config_line *line = &f->lines[i],
					 *counts = config_file_get(f, line->key);

		if (*line->value && counts && counts != line && config_find_key(line->key))
			note(l->config, LOG_WARN,
			     "%s:%d: %.128s is set once more in line %d, which is the one that "
			     "counts",
			     f->path, line->number, line->key, counts->number);
	}
}

/* ---- one key ---- */

/* What cannot be kept for lack of memory passes for a default; the setting itself is in force. */
static void note_origin(struct config *c, const struct config_key *k, const char *where)
{
	struct config_origin *grown = reallocarray(c->origins, c->n_origins + 1, sizeof(*grown));

	if (!grown)
		return;
	c->origins = grown;
	grown[c->n_origins] = (struct config_origin){ .key = k->key, .where = strdup(where) };
	if (grown[c->n_origins].where)
		c->n_origins++;
}

const char *config_origin(const struct config *c, const char *key)
{
	for (size_t i = 0; i < c->n_origins; i++)
		if (strcmp(c->origins[i].key, key) == 0)
			return c->origins[i].where;
	return NULL;
}

/* Stores @text unless it is refused. Returns 1 when stored, 0 when refused, negative to give up. */
static int take(struct loader *l, const struct config_key *k, const char *where, const char *text,
		struct err *err)
{
	_cleanup_(err_done) struct err why = {};
	_cleanup_(freep) char *trimmed = strdup(text + strspn(text, " \t\r\n"));
	size_t n;
	int r;

	if (!trimmed)
		return err_set(err, ENOMEM, "allocate %s", k->key);
	for (n = strlen(trimmed); n > 0 && isspace((unsigned char) trimmed[n - 1]); n--)
		trimmed[n - 1] = '\0';
	if (!*trimmed)
		return 0;
	r = k->type->parse(l->config, k, trimmed, &why);
	if (r == 0)
		return 1;
	if (k->secret)
		(void) err_set(&why, why.code, "not a valid %s", k->type->name);
	if (r == CONFIG_E_ADJUSTED) {
		struct buf b = {};

		(void) k->type->format(l->config, k, &b);
		note(l->config, k->type == &config_path ? LOG_INFO : LOG_WARN,
		     "%s: %s: %s, using %s", where, k->key, err_text(&why), buf_str(&b));
		buf_done(&b);
		return 1;
	}
	if (r == -ENOMEM || r == -ENOTSUP || k->outside == OUTSIDE_FATAL) {
		(void) err_move(err, &why);
		return err_wrap(err, "%s: %s", where, k->key);
	}
	note(l->config, LOG_WARN, "%s: %s: %s, ignoring it", where, k->key, err_text(&why));
	return 0;
}

static void lower_case(char *to, size_t size, const char *from)
{
	size_t i;

	for (i = 0; from[i] && i + 1 < size; i++)
		to[i] = (char) tolower((unsigned char) from[i]);
	to[i] = '\0';
}

static const char *environment_get(char *const *list, const char *name)
{
	size_t n = strlen(name);

	for (char *const *e = list; e && *e; e++)
		if (strncmp(*e, name, n) == 0 && (*e)[n] == '=' && (*e)[n + 1])
			return *e + n + 1;
	return NULL;
}

static int take_from(struct loader *l, const struct config_key *k, const char *where,
		     const char *text, struct err *err)
{
	int r = take(l, k, where, text, err);

	if (r == 1)
		note_origin(l->config, k, where);
	return r;
}

static int load_name(struct loader *l, const struct config_key *k, const char *name,
		     struct err *err)
{
	const char *text = environment_get(l->environ, name);
	int r = text ? take_from(l, k, "environment", text, err) : 0;

	for (size_t i = l->n_files; r == 0 && i-- > 0;) {
		const struct config_line *line = config_file_get(&l->files[i], name);
		char where[256];

		if (!line)
			continue;
		(void) snprintf(where, sizeof(where), "%s:%d", l->files[i].path, line->number);
		r = take_from(l, k, where, line->value, err);
	}
	return r;
}

static int load_key(struct loader *l, const struct config_key *k, struct err *err)
{
	char lower[64];
	int r = load_name(l, k, k->key, err);

	if (r == 0 && k->any_case) {
		lower_case(lower, sizeof(lower), k->key);
		r = load_name(l, k, lower, err);
	}
	return MIN(r, 0);
}

static int load_defaults(struct config *c, struct err *err)
{
	for (const struct config_key *k = config_keys; k->key; k++) {
		if (!k->type || !k->fallback)
			continue;
		if (k->type->parse(c, k, k->fallback, err) < 0)
			return err_wrap(err, "default of %s", k->key);
	}
	return 0;
}

/* ---- what follows from other things ---- */

/*
 * Host ports for hostPort 0 come from outside the kernel's ephemeral range: out of that range an
 * outgoing connection may own the port at any time. Security groups written for ECS open 32768 and
 * up, so the ports above the range are preferred to those below.
 */
static void choose_dynamic_ports(struct config *c, const char *file)
{
	enum { ENOUGH = 1000, LOWEST = 10000 };
	_cleanup_(freep) char *text = NULL;
	unsigned lo = 32768, hi = 60999;

	if (fs_read_file(AT_FDCWD, file, 64, &text, NULL, NULL) < 0 ||
	    sscanf(text, "%u %u", &lo, &hi) != 2 || lo > hi || hi > UINT16_MAX) {
		lo = 32768;
		hi = 60999;
	}
	c->dynamic_port_first = 49153;
	c->dynamic_port_last = UINT16_MAX;
	if (UINT16_MAX - hi >= ENOUGH)
		c->dynamic_port_first = (uint16_t) (hi + 1);
	else if (lo >= LOWEST + ENOUGH) {
		c->dynamic_port_first = LOWEST;
		c->dynamic_port_last = (uint16_t) (lo - 1);
	}
}

static int os_family(const char *file, char **ret, struct err *err)
{
	_cleanup_(freep) char *text = NULL;
	struct config_file f = {};
	const struct config_line *id, *version;
	int r = 0;

	if (fs_read_file(AT_FDCWD, file, 65536, &text, NULL, NULL) < 0 ||
	    config_file_parse(file, text, &f, NULL, NULL, NULL) < 0)
		return strdup_to(ret, "linux") < 0 ? err_set(err, ENOMEM, "allocate value") : 0;
	id = config_file_get(&f, "ID");
	version = config_file_get(&f, "VERSION_ID");
	if (asprintf(ret, "%s%s%s", id ? id->value : "linux", id && version ? "_" : "",
		     id && version ? version->value : "") < 0)
		r = err_set(err, ENOMEM, "allocate value");
	config_file_done(&f);
	return r;
}

static int default_image_dir(struct config *c, struct err *err)
{
	/* The stock data directory has the store beside it; any other one holds its own. */
	bool stock = strcmp(c->data_dir, "/var/lib/ecs/data") == 0;

	c->image_dir = stock ? strdup("/var/lib/ecs/images") : path_join("%s/images", c->data_dir);
	return c->image_dir ? 0 : err_set(err, ENOMEM, "allocate image directory");
}

/* Where its mount helper is, amazon-efs-utils can do what efsAuth stands for. */
static int default_volume_capabilities(struct config *c, struct err *err)
{
	if (access("/sbin/mount.efs", X_OK) < 0 && access("/usr/sbin/mount.efs", X_OK) < 0)
		return 0;
	return strv_append(&c->volume_plugin_capabilities, "efsAuth") < 0
		       ? err_set(err, ENOMEM, "allocate capabilities")
		       : 0;
}

static int derive(struct config *c, const struct config_sources *s, struct err *err)
{
	int r = 0;

	c->cluster_is_default = !c->cluster;
	if (!c->cluster && strdup_to(&c->cluster, "default") < 0)
		return err_set(err, ENOMEM, "allocate cluster");
	if (!c->dynamic_port_first)
		choose_dynamic_ports(c, s->port_range_file
						? s->port_range_file
						: "/proc/sys/net/ipv4/ip_local_port_range");
	if (!c->detailed_os_family)
		r = os_family(s->os_release_file ? s->os_release_file : "/etc/os-release",
			      &c->detailed_os_family, err);
	if (r == 0 && !c->image_dir)
		r = default_image_dir(c, err);
	if (r == 0 && !c->volume_plugin_capabilities)
		r = default_volume_capabilities(c, err);
	if (r == 0 && c->http_proxy && !c->https_proxy &&
	    strdup_to(&c->https_proxy, c->http_proxy) < 0)
		r = err_set(err, ENOMEM, "allocate proxy");
	if (c->external)
		c->task_eni = false;
	if (r == 0 && c->external && !c->region)
		r = err_set(err, EINVAL,
			    "Missing required fields: AWSRegion (ECS_EXTERNAL needs "
			    "AWS_DEFAULT_REGION)");
	return r;
}

/* ---- loading ---- */

static void on_line_note(void *userdata, const char *path, int line, const char *text)
{
	note(userdata, LOG_WARN, "%s:%d: %s", path, line, text);
}

static int load_file(struct loader *l, const char *path, struct err *err)
{
	_cleanup_(err_done) struct err why = {};
	_cleanup_(freep) char *text = NULL;
	size_t len = 0;
	int r;

	if (l->n_files == FILES_MAX)
		return err_set(err, E2BIG, "more than %d configuration files", FILES_MAX);
	r = fs_read_file(AT_FDCWD, path, CONFIG_FILE_MAX, &text, &len, &why);
	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r < 0)
		return err_move(err, &why);
	if (strlen(text) != len)
		note(l->config, LOG_WARN, "%s: has a NUL byte, reading only up to it", path);
	r = config_file_parse(path, text, &l->files[l->n_files], on_line_note, l->config, err);
	explicit_bzero(text, len);
	if (r == 0)
		check_doubled(l, &l->files[l->n_files++]);
	return r;
}

static int load_all(struct loader *l, const struct config_sources *s, struct err *err)
{
	int r = 0;

	for (const char *const *f = s->files; r == 0 && f && *f; f++) {
		if (strv_append(&l->config->files, *f) < 0)
			return err_set(err, ENOMEM, "allocate configuration");
		r = load_file(l, *f, err);
	}
	for (const struct config_key *k = config_keys; r == 0 && k->key; k++)
		if (k->type)
			r = load_key(l, k, err);
	if (r == 0)
		check_unknown(l);
	return r;
}

int config_load(const struct config_sources *sources, struct config **ret, struct err *err)
{
	_cleanup_(config_freep) struct config *c = calloc(1, sizeof(*c));
	struct loader l = { .config = c, .environ = sources->environ };
	int r;

	if (!c)
		return err_set(err, ENOMEM, "allocate configuration");
	r = load_defaults(c, err);
	/* Whether these were set matters, so their defaults come last. */
	free(TAKE_PTR(c->cluster));
	c->log_level = _LOG_LEVEL_MAX;
	if (r == 0)
		r = load_all(&l, sources, err);
	if (r == 0)
		r = derive(c, sources, err);
	if (c->log_level == _LOG_LEVEL_MAX)
		c->log_level = c->log_level_file;
	for (size_t i = 0; i < l.n_files; i++)
		config_file_done(&l.files[i]);
	strv_free(l.warned);
	if (r < 0) {
		config_log_notes(c);
		return r;
	}
	*ret = TAKE_PTR(c);
	return 0;
}

struct config *config_free(struct config *c)
{
	if (!c)
		return NULL;
	for (const struct config_key *k = config_keys; k->key; k++)
		if (k->type && k->type->done)
			k->type->done(c, k);
	for (size_t i = 0; i < c->n_notes; i++)
		free(c->notes[i].text);
	free(c->notes);
	for (size_t i = 0; i < c->n_origins; i++)
		free(c->origins[i].where);
	free(c->origins);
	strv_free(c->files);
	gpu_inventory_done(&c->gpus);
	free(c);
	return NULL;
}

/* ---- printing ---- */

static json_t *value_json(const struct config_key *k, bool set, const char *text)
{
	if (!set)
		return json_null();
	if (k->secret)
		return json_string("(set)");
	if (k->type == &config_bool)
		return json_boolean(strcmp(text, "true") == 0);
	if (k->type == &config_int || k->type == &config_mib || k->type == &config_port)
		return json_integer(strtoll(text, NULL, 10));
	if (k->type == &config_ports || k->type == &config_drivers || k->type == &config_map)
		return json_loads(text, 0, NULL);
	return json_string(text);
}

static void print_line(const struct config *c, const struct config_key *k, const char *text,
		       FILE *f)
{
	const char *where = config_origin(c, k->key);

	if (where)
		fprintf(f, "# %s\n", where);
	fprintf(f, "%s=%s\n", k->key, text);
}

static json_t *origins_json(const struct config *c)
{
	json_t *o = json_object();

	for (size_t i = 0; i < c->n_origins; i++)
		json_object_set_new(o, c->origins[i].key, json_string(c->origins[i].where));
	return o;
}

void config_print(const struct config *c, FILE *f, bool json)
{
	_cleanup_(json_decrefp) json_t *all = json_object();

	if (!json)
		fputs("# A setting with a comment before it is set there; others are defaults.\n",
		      f);
	for (const struct config_key *k = config_keys; k->key; k++) {
		struct buf b = {};
		bool set;

		if (!k->type)
			continue;
		set = k->type->format(c, k, &b);
		if (json)
			json_object_set_new(all, k->key, value_json(k, set, buf_str(&b)));
		else
			print_line(c, k, set && k->secret ? "(set)" : buf_str(&b), f);
		buf_done(&b);
	}
	if (json) {
		json_object_set_new(all, "origins", origins_json(c));
		json_dumpf(all, f, JSON_INDENT(2));
		fputc('\n', f);
	}
}

void config_print_keys(FILE *f)
{
	for (const struct config_key *k = config_keys; k->key; k++) {
		fprintf(f, "%s\t%s\t%s", k->key, k->type ? k->type->name : "-",
			k->fallback ? k->fallback : "-");
		if (k->min || k->max)
			fprintf(f, "\t%lld\t%lld", (long long) k->min, (long long) k->max);
		else
			fprintf(f, "\t-\t-");
		fprintf(f, "\t%s\n", k->help);
	}
}
