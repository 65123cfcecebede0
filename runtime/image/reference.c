/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/image/reference.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/fs.h"
#include "common/strv.h"

static const char lower_digits[] = "abcdefghijklmnopqrstuvwxyz0123456789";
static const char alnum[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
static const char hex_digits[] = "0123456789abcdef";

void reference_done(struct reference *r)
{
	free(r->domain);
	free(r->repository);
	free(r->tag);
	free(r->digest);
	*r = (struct reference){};
}

bool digest_is_valid(const char *digest)
{
	return strncmp(digest, "sha256:", 7) == 0 && strspn(digest + 7, hex_digits) == 64 &&
	       digest[7 + 64] == '\0';
}

/*
 * One path component: words of lower-case letters and
 * digits, joined by ".", "_", "__" or dashes.
 */
static bool component_is_valid(const char *s, size_t len)
{
	size_t i = 0;

	for (;;) {
		size_t word = 0, joint = 0;

		while (i < len && strchr(lower_digits, s[i]))
			i++, word++;
		if (word == 0)
			return false;
		if (i == len)
			return true;
		if (s[i] == '-') {
			while (i < len && s[i] == '-')
				i++;
			continue;
		}
		while (i < len && s[i] == '_' && joint < 2)
			i++, joint++;
		if (joint == 0 && s[i] == '.')
			i++, joint++;
		if (joint == 0)
			return false;
	}
}

static bool path_is_valid(const char *path)
{
	for (;;) {
		size_t len = strcspn(path, "/");

		if (!component_is_valid(path, len))
			return false;
		if (path[len] == '\0')
			return true;
		path += len + 1;
	}
}

static bool host_is_valid(const char *host, size_t len)
{
	size_t label = 0;

	if (len > 2 && host[0] == '[' && host[len - 1] == ']')
		return strspn(host + 1, "0123456789abcdefABCDEF:.") == len - 2;
	for (size_t i = 0; i < len; i++) {
		if (strchr(alnum, host[i])) {
			label++;
		} else if (host[i] == '.' && label > 0 && host[i - 1] != '-') {
			label = 0;
		} else if (host[i] == '-' && label > 0) {
			label++;
		} else {
			return false;
		}
	}
	return label > 0 && host[len - 1] != '-';
}

static bool domain_is_valid(const char *domain)
{
	const char *bracket = strrchr(domain, ']'),
		   *colon = strchr(bracket ? bracket : domain, ':');
	size_t len = colon ? (size_t) (colon - domain) : strlen(domain);
	size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;
	long port = colon ? strtol(colon + 1, NULL, 10) : 1;

	if (colon && (digits == 0 || digits > 5 || colon[1 + digits] || port < 1 || port > 65535))
		return false;
	return host_is_valid(domain, len);
}

static bool tag_is_valid(const char *tag)
{
	size_t n = strspn(tag, "_-.ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789");

	return n > 0 && n <= REFERENCE_TAG_MAX && tag[n] == '\0' && *tag != '.' && *tag != '-';
}

/*
 * The first component is a domain when it could not be a
 * path: a dot, a port, upper case, or "localhost".
 */
static bool starts_with_domain(const char *name, size_t len)
{
	if (len == 9 && strncmp(name, "localhost", 9) == 0)
		return true;
	for (size_t i = 0; i < len; i++)
		if (name[i] == '.' || name[i] == ':' || (name[i] >= 'A' && name[i] <= 'Z'))
			return true;
	return false;
}

static int split_name(const char *name, struct reference *r)
{
	const char *slash = strchr(name, '/');
	size_t len = slash ? (size_t) (slash - name) : 0;
	const char *path = name;

	if (slash && starts_with_domain(name, len)) {
		r->domain = strndup(name, len);
		path = slash + 1;
		if (r->domain && strcmp(r->domain, "index.docker.io") == 0)
			(void) strdup_to(&r->domain, "docker.io");
	} else {
		r->domain = strdup("docker.io");
	}
	if (r->domain && strcmp(r->domain, "docker.io") == 0 && !strchr(path, '/'))
		r->repository = path_join("library/%s", path);
	else
		r->repository = strdup(path);
	return r->domain && r->repository ? 0 : -ENOMEM;
}

/* Cuts "@digest" and ":tag" off @name. */
static int split_suffixes(char *name, struct reference *r, const char *text, struct err *err)
{
	char *at = strchr(name, '@'), *slash, *colon;

	if (at) {
		*at++ = '\0';
		if (!digest_is_valid(at))
			return err_set(err, EINVAL,
				       "image reference '%.100s': the digest is not sha256: and 64 "
				       "lower-case hexadecimal digits",
				       text);
		r->digest = strdup(at);
		if (!r->digest)
			return err_set(err, ENOMEM, "parse reference");
	}
	slash = strrchr(name, '/');
	colon = strchr(slash ? slash : name, ':');
	if (colon) {
		*colon++ = '\0';
		if (!tag_is_valid(colon))
			return err_set(err, EINVAL,
				       "image reference '%.100s': the tag is not 1 to %d letters, "
				       "digits, '_', '.', '-'",
				       text, REFERENCE_TAG_MAX);
	}
	r->tag = colon ? strdup(colon) : at ? NULL : strdup("latest");
	return r->tag || (at && !colon) ? 0 : err_set(err, ENOMEM, "parse reference");
}

static int check_name(const struct reference *r, const char *name, const char *text,
		      struct err *err)
{
	if (!domain_is_valid(r->domain))
		return err_set(err, EINVAL,
			       "image reference '%.100s': the registry '%.100s' is not "
			       "host[:port]",
			       text, r->domain);
	if (strspn(name, hex_digits) == 64 && name[64] == '\0')
		return err_set(err, EINVAL,
			       "image reference '%.100s': 64 hexadecimal digits are an image id, "
			       "not a name",
			       text);
	if (!path_is_valid(r->repository))
		return err_set(
			err, EINVAL,
			"image reference '%.100s': the repository '%.100s' is not lower-case "
			"words joined by '.', '_', '-' or '/'",
			text, r->repository);
	if (strlen(r->domain) + 1 + strlen(r->repository) > REFERENCE_NAME_MAX)
		return err_set(err, EINVAL, "image reference '%.100s': the name is longer than %d",
			       text, REFERENCE_NAME_MAX);
	return 0;
}

int reference_parse(const char *text, struct reference *ret, struct err *err)
{
	_cleanup_(reference_done) struct reference r = {};
	_cleanup_(freep) char *name = NULL;
	int k;

	if (!*text)
		return err_set(err, EINVAL, "image reference: is empty");
	if (strlen(text) > REFERENCE_TEXT_MAX)
		return err_set(err, EINVAL, "image reference '%.40s…' is longer than %d", text,
			       REFERENCE_TEXT_MAX);
	name = strdup(text);
	if (!name)
		return err_set(err, ENOMEM, "parse reference");
	k = split_suffixes(name, &r, text, err);
	if (k < 0)
		return k;
	if (split_name(name, &r) < 0)
		return err_set(err, ENOMEM, "parse reference");
	k = check_name(&r, name, text, err);
	if (k < 0)
		return k;
	*ret = r;
	r = (struct reference){};
	return 0;
}

char *reference_text_by_digest(const struct reference *r, const char *digest)
{
	return path_join("%s/%s@%s", r->domain, r->repository, digest);
}

char *reference_text(const struct reference *r)
{
	if (r->digest)
		return reference_text_by_digest(r, r->digest);
	return path_join("%s/%s:%s", r->domain, r->repository, r->tag);
}

char *reference_familiar(const struct reference *r)
{
	const char *repository = r->repository;

	if (strcmp(r->domain, "docker.io") != 0)
		return path_join("%s/%s", r->domain, repository);
	if (strncmp(repository, "library/", 8) == 0 && !strchr(repository + 8, '/'))
		repository += 8;
	return strdup(repository);
}

const char *reference_api_host(const struct reference *r)
{
	return strcmp(r->domain, "docker.io") == 0 ? "registry-1.docker.io" : r->domain;
}

bool reference_is_loopback(const char *domain)
{
	size_t len = strcspn(domain, ":");
	unsigned int a, b, c, d;
	int n = 0;

	if (strncmp(domain, "[::1]", 5) == 0)
		return domain[5] == '\0' || domain[5] == ':';
	if (len == 9 && strncmp(domain, "localhost", 9) == 0)
		return true;
	return sscanf(domain, "%3u.%3u.%3u.%3u%n", &a, &b, &c, &d, &n) == 4 && (size_t) n == len &&
	       a == 127 && b < 256 && c < 256 && d < 256;
}
