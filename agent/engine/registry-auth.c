/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/engine/registry-auth.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"

enum { AUTH_MAX = 64 * 1024 };

static const char hub_key[] = "index.docker.io/v1/";

static void wipe(char **s)
{
	if (*s)
		explicit_bzero(*s, strlen(*s));
	free(*s);
	*s = NULL;
}

void registry_login_done(struct registry_login *l)
{
	wipe(&l->username);
	wipe(&l->password);
}

static const char *without_scheme(const char *key)
{
	if (strncmp(key, "https://", 8) == 0)
		return key + 8;
	return strncmp(key, "http://", 7) == 0 ? key + 7 : key;
}

/* Length of the registry in front of an image, 0: it is Docker Hub's. */
static size_t registry_length(const char *image)
{
	size_t n = strcspn(image, "/");

	if (image[n] != '/')
		return 0;
	if (n == strlen("docker.io") && strncmp(image, "docker.io", n) == 0)
		return 0;
	if (memchr(image, '.', n) || memchr(image, ':', n) ||
	    (n == strlen("localhost") && strncmp(image, "localhost", n) == 0))
		return n;
	return 0;
}

/* How well a key fits: 0 not at all, more is better. */
static size_t fit(const char *key, const char *image)
{
	size_t host = registry_length(image), n = strlen(key);

	if (host == 0)
		return strcmp(key, hub_key) == 0;
	while (n > 0 && key[n - 1] == '/')
		n--;
	if (n < host || strncmp(key, image, n) != 0)
		return 0;
	return image[n] == '/' ? n : 0;
}

static int from_dockercfg(const json_t *entry, struct registry_login *l, struct err *err)
{
	const char *text = json_get_string(entry, "auth", NULL);
	_cleanup_(freep) unsigned char *plain = NULL;
	size_t n = text ? strlen(text) : 0;
	const char *colon;
	int len;

	if (n == 0 || n % 4 != 0 || n > AUTH_MAX)
		return err_set(err, EINVAL, "auth: is no base64");
	plain = calloc(1, n + 1);
	if (!plain)
		return err_set(err, ENOMEM, "decode auth");
	len = EVP_DecodeBlock(plain, (const unsigned char *) text, (int) n);
	if (len < 0)
		return err_set(err, EINVAL, "auth: is no base64");
	/* Padding decodes to NUL bytes, which end the string. */
	colon = strchr((char *) plain, ':');
	if (colon) {
		l->username = strndup((char *) plain, (size_t) (colon - (char *) plain));
		l->password = strdup(colon + 1);
	}
	explicit_bzero(plain, n);
	if (!colon)
		return err_set(err, EINVAL, "auth: holds no ':'");
	return l->username && l->password ? 1 : err_set(err, ENOMEM, "copy login");
}

static int from_docker(const json_t *entry, struct registry_login *l, struct err *err)
{
	const char *user = json_get_string(entry, "username", NULL);
	const char *password = json_get_string(entry, "password", "");

	if (!user)
		return err_set(err, EINVAL, "username: missing");
	l->username = strdup(user);
	l->password = strdup(password);
	return l->username && l->password ? 1 : err_set(err, ENOMEM, "copy login");
}

int registry_auth_find(const char *type, const char *data, const char *image,
		       struct registry_login *ret, struct err *err)
{
	_cleanup_(json_decrefp) json_t *all = NULL;
	struct registry_login l = {};
	const json_t *best = NULL;
	size_t best_fit = 0;
	const char *key;
	json_t *entry;
	int k;

	if (!type || !*type || !data || !*data)
		return 0;
	if (strcmp(type, "docker") != 0 && strcmp(type, "dockercfg") != 0)
		return err_set(err, EINVAL,
			       "ECS_ENGINE_AUTH_TYPE: '%.32s' is neither docker nor dockercfg",
			       type);
	if (json_parse(data, strlen(data), &all, NULL) < 0 || !json_is_object(all))
		return err_set(err, EINVAL, "ECS_ENGINE_AUTH_DATA: is no JSON object");
	json_object_foreach(all, key, entry) {
		size_t f = fit(without_scheme(key), image);

		if (f > best_fit) {
			best_fit = f;
			best = entry;
		}
	}
	if (!best)
		return 0;
	k = strcmp(type, "docker") == 0 ? from_docker(best, &l, err)
					: from_dockercfg(best, &l, err);
	if (k < 0) {
		registry_login_done(&l);
		return err_wrap(err, "ECS_ENGINE_AUTH_DATA");
	}
	*ret = l;
	return 1;
}
