/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file is read by two programs today: ecs-init, which splits each trimmed line at the first '='
 * and removes nothing, and systemd, which also strips quotes. A value that is quoted as a whole is
 * taken as systemd takes it, any other as ecs-init does, so JSON needs no escaping.
 */
#include <ctype.h>
#include <string.h>

#include "agent/config-internal.h"
#include "common/strv.h"

struct line_reader {
	const char *path;
	int number;
	config_line_note_fn note;
	void *userdata;
};

static void tell(const struct line_reader *r, const char *text)
{
	if (r->note)
		r->note(r->userdata, r->path, r->number, text);
}

static char *trim(char *s)
{
	char *end;

	while (isspace((unsigned char) *s))
		s++;
	end = s + strlen(s);
	while (end > s && isspace((unsigned char) end[-1]))
		end--;
	*end = '\0';
	return s;
}

/* Removes the quotes of a value that is quoted as a whole, in place. */
static char *unquote(const struct line_reader *r, char *v)
{
	char quote = *v, *in = v + 1, *out = v;

	if (quote != '"' && quote != '\'')
		return v;
	for (; *in && *in != quote; in++) {
		if (quote == '"' && *in == '\\' && in[1] && strchr("\"\\`$", in[1]))
			in++;
		*out++ = *in;
	}
	if (!*in)
		tell(r, "the value ends inside a quote");
	else if (in[1])
		tell(r, "text after the closing quote is dropped");
	*out = '\0';
	return v;
}

static bool name_is_valid(const char *s)
{
	if (!isalpha((unsigned char) *s) && *s != '_')
		return false;
	while (isalnum((unsigned char) *s) || *s == '_')
		s++;
	return !*s;
}

static int add_line(struct config_file *f, const char *key, const char *value, int number)
{
	struct config_line *lines = reallocarray(f->lines, f->n_lines + 1, sizeof(*lines));
	struct config_line *l;

	if (!lines)
		return -ENOMEM;
	f->lines = lines;
	l = &lines[f->n_lines];
	*l = (struct config_line){ .key = strdup(key), .value = strdup(value), .number = number };
	f->n_lines++;
	return l->key && l->value ? 0 : -ENOMEM;
}

static int read_line(struct config_file *f, const struct line_reader *r, char *line)
{
	char *key = trim(line), *eq;

	if (!*key || *key == '#' || *key == ';')
		return 0;
	if (strncmp(key, "export", 6) == 0 && isspace((unsigned char) key[6])) {
		tell(r, "'export' is not needed here");
		key = trim(key + 6);
	}
	eq = strchr(key, '=');
	if (!eq) {
		tell(r, "no '=' in this line, ignoring it");
		return 0;
	}
	*eq = '\0';
	key = trim(key);
	if (!name_is_valid(key)) {
		tell(r, "what stands before '=' is no variable name, ignoring the line");
		return 0;
	}
	return add_line(f, key, unquote(r, trim(eq + 1)), r->number);
}

int config_file_parse(const char *path, const char *text, struct config_file *ret,
		      config_line_note_fn note, void *userdata, struct err *err)
{
	_cleanup_(freep) char *copy = strdup(text);
	struct line_reader r = { .path = path, .note = note, .userdata = userdata };
	struct config_file f = { .path = path };
	char *next = copy, *line;

	if (!copy)
		return err_set(err, ENOMEM, "allocate %s", path);
	if (strncmp(next, "\xef\xbb\xbf", 3) == 0) /* editors of other systems start with it */
		next += 3;
	while ((line = strsep(&next, "\n"))) {
		r.number++;
		if (read_line(&f, &r, line) < 0) {
			config_file_done(&f);
			return err_set(err, ENOMEM, "allocate %s", path);
		}
	}
	*ret = f;
	return 0;
}

void config_file_done(struct config_file *f)
{
	for (size_t i = 0; i < f->n_lines; i++) {
		free(f->lines[i].key);
		/* a credential, maybe */
		if (f->lines[i].value)
			explicit_bzero(f->lines[i].value, strlen(f->lines[i].value));
		free(f->lines[i].value);
	}
	free(f->lines);
	*f = (struct config_file){};
}

const struct config_line *config_file_get(const struct config_file *f, const char *key)
{
	for (size_t i = f->n_lines; i-- > 0;)
		if (strcmp(f->lines[i].key, key) == 0 && *f->lines[i].value)
			return &f->lines[i];
	return NULL;
}
