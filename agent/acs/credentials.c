/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/acs/credentials.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/macro.h"
#include "common/strv.h"

#define IS_ANOTHERS "credentialsId: it is that of another task or role"

enum { ROLES_MAX = 20000, ID_MAX = 128 };

struct role_store {
	struct role_credentials *items; /* owned */
	size_t n, allocated;
};

#define FIELD(key, member, must)                                                                   \
	{                                                                                          \
		key, json_decode_string, offsetof(struct role_credentials, member), must, NULL, 0, \
			0                                                                          \
	}

static const struct json_field fields[] = {
	FIELD("credentialsId", id, true),
	FIELD("roleArn", role_arn, false),
	FIELD("accessKeyId", access_key_id, true),
	FIELD("secretAccessKey", secret_access_key, true),
	FIELD("sessionToken", session_token, false),
	FIELD("expiration", expiration, false),
	FIELD("credentialScope", scope, false),
	{},
};

static void wipe(char *s)
{
	if (s)
		explicit_bzero(s, strlen(s));
	free(s);
}

static void role_done(struct role_credentials *r)
{
	free(r->id);
	free(r->role_arn);
	wipe(r->access_key_id);
	wipe(r->secret_access_key);
	wipe(r->session_token);
	free(r->expiration);
	free(r->scope);
	free(r->task_arn);
	*r = (struct role_credentials){};
}

int role_store_new(struct role_store **ret, struct err *err)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : err_set(err, ENOMEM, "allocate role credentials");
}

struct role_store *role_store_free(struct role_store *s)
{
	if (!s)
		return NULL;
	for (size_t i = 0; i < s->n; i++)
		role_done(&s->items[i]);
	free(s->items);
	free(s);
	return NULL;
}

static struct role_credentials *find(const struct role_store *s, const char *id)
{
	size_t len = strlen(id);

	for (size_t i = 0; i < s->n; i++)
		if (strlen(s->items[i].id) == len && CRYPTO_memcmp(s->items[i].id, id, len) == 0)
			return &s->items[i];
	return NULL;
}

/* An id stands for one role of one task, whatever comes later. */
static bool is_another(const struct role_credentials *known, const struct role_credentials *r)
{
	return known->type != r->type || strcmp(known->task_arn, r->task_arn) != 0;
}

/* Takes @r over. */
static int insert(struct role_store *s, struct role_credentials *r, struct err *err)
{
	struct role_credentials *known = find(s, r->id), *p;
	size_t n = MAX(s->allocated * 2, 8);

	if (known && is_another(known, r))
		return err_set(err, EPROTO, IS_ANOTHERS);
	if (!known && s->n == s->allocated) {
		p = s->n < ROLES_MAX ? calloc(n, sizeof(*p)) : NULL;
		if (!p)
			return err_set(err, ENOMEM, "%zu sets of role credentials", s->n);
		if (s->n)
			memcpy(p, s->items, s->n * sizeof(*p));
		free(s->items);
		s->items = p;
		s->allocated = n;
	}
	if (!known)
		known = &s->items[s->n++];
	else
		role_done(known);
	*known = *r;
	*r = (struct role_credentials){};
	return 0;
}

static int default_to_empty(struct role_credentials *r)
{
	char **members[] = { &r->role_arn,      &r->access_key_id, &r->secret_access_key,
			     &r->session_token, &r->expiration,    &r->scope };

	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (!*members[i] && strdup_to(members[i], "") < 0)
			return -ENOMEM;
	return 0;
}

/* @r starts as {}, and is the caller's to free also on failure. */
static int decode(const char *task_arn, enum role_type type, const json_t *credentials,
		  struct role_credentials *r, struct err *err)
{
	int k = json_decode(credentials, fields, r, err);

	r->type = type;
	if (k < 0)
		return k;
	if (!*r->id || strlen(r->id) > ID_MAX)
		return err_set(err, EPROTO, "credentialsId: %s", *r->id ? "too long" : "empty");
	if (strdup_to(&r->task_arn, task_arn) < 0 || default_to_empty(r) < 0)
		return err_set(err, ENOMEM, "role credentials");
	return 0;
}

int role_store_put(struct role_store *s, const char *task_arn, enum role_type type,
		   const json_t *credentials, struct err *err)
{
	_cleanup_(role_done) struct role_credentials r = {};
	int k = decode(task_arn, type, credentials, &r, err);

	return k < 0 ? k : insert(s, &r, err);
}

int role_store_check(const struct role_store *s, const char *task_arn, enum role_type type,
		     const json_t *credentials, struct err *err)
{
	_cleanup_(role_done) struct role_credentials r = {};
	int k = decode(task_arn, type, credentials, &r, err);
	const struct role_credentials *known = k == 0 ? find(s, r.id) : NULL;

	return known && is_another(known, &r) ? err_set(err, EPROTO, IS_ANOTHERS) : k;
}

int role_store_put_pending(struct role_store *s, const char *task_arn, enum role_type type,
			   const char *id, struct err *err)
{
	_cleanup_(role_done) struct role_credentials r = { .type = type, .pending = true };

	if (find(s, id))
		return 0;
	if (strdup_to(&r.id, id) < 0 || strdup_to(&r.task_arn, task_arn) < 0 ||
	    default_to_empty(&r) < 0)
		return err_set(err, ENOMEM, "role credentials");
	return insert(s, &r, err);
}

const struct role_credentials *role_store_get(const struct role_store *s, const char *id)
{
	return find(s, id);
}

static void remove_at(struct role_store *s, size_t i)
{
	role_done(&s->items[i]);
	s->items[i] = s->items[--s->n];
	explicit_bzero(&s->items[s->n], sizeof(s->items[0]));
}

void role_store_remove(struct role_store *s, const char *id)
{
	struct role_credentials *r = find(s, id);

	if (r)
		remove_at(s, (size_t) (r - s->items));
}

void role_store_remove_task(struct role_store *s, const char *task_arn)
{
	for (size_t i = s->n; i-- > 0;)
		if (strcmp(s->items[i].task_arn, task_arn) == 0)
			remove_at(s, i);
}

size_t role_store_count(const struct role_store *s)
{
	return s->n;
}
