/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/engine/registry-token.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "aws/call.h"
#include "aws/credentials.h"
#include "common/backoff.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/json.h"
#include "common/strv.h"

enum {
	CACHE_MAX = 100,
	TOKEN_BYTES_MAX = 64 * 1024,
	CALL_TIMEOUT_MS = 5000,
	ROLE_LOOK_MS = 250,
	ROLE_WAIT_MS = 60 * 1000,
	HALF_HOUR_MS = 30 * 60 * 1000,
	LIFE_MS = 12 * 60 * 60 * 1000,
};

struct entry {
	char *key; /* owned; NULL: free */
	struct registry_login login;
	int64_t until_ms; /* wall clock */
};

struct registry_tokens {
	struct registry_tokens_params p;
	struct registry_token *requests;
	struct entry cache[CACHE_MAX];
};

struct registry_token {
	struct registry_tokens *owner;
	struct registry_token *next;
	enum registry_auth_type type;
	char *key, *body, *region, *endpoint, *credentials_id, *image, *secret; /* owned */
	struct aws_credentials *role; /* owned; NULL: the instance's */
	struct aws_client *client;    /* owned */
	sd_event_source *timer;       /* owned: waits for the role's keys, later frees us */
	int64_t role_until_mono_ms;
	struct registry_token *asks; /* borrowed: who asks the same for us; NULL: we do */
	bool ended;
	registry_token_fn fn; /* NULL: called, or cancelled */
	void *userdata;
};

const char *registry_auth_error(enum registry_auth_type type)
{
	return type == REGISTRY_AUTH_ECR ? "CannotPullECRContainerError"
					 : "CannotPullContainerAuthError";
}

int registry_tokens_new(const struct registry_tokens_params *p, struct registry_tokens **ret,
			struct err *err)
{
	struct registry_tokens *t = calloc(1, sizeof(*t));

	if (!t)
		return err_set(err, ENOMEM, "allocate registry logins");
	t->p = *p;
	t->p.role_wait_ms = p->role_wait_ms > 0 ? p->role_wait_ms : ROLE_WAIT_MS;
	*ret = t;
	return 0;
}

static void token_free(struct registry_token *r)
{
	struct registry_token **at = &r->owner->requests;

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	(void) sd_event_source_disable_unref(r->timer);
	(void) aws_client_free(r->client);
	(void) aws_credentials_free(r->role);
	free(r->key);
	free(r->body);
	free(r->region);
	free(r->endpoint);
	free(r->credentials_id);
	free(r->image);
	free(r->secret);
	free(r);
}

static void entry_done(struct entry *e)
{
	free(e->key);
	registry_login_done(&e->login);
	*e = (struct entry){};
}

struct registry_tokens *registry_tokens_free(struct registry_tokens *t)
{
	if (!t)
		return NULL;
	while (t->requests)
		token_free(t->requests);
	for (size_t i = 0; i < CACHE_MAX; i++)
		entry_done(&t->cache[i]);
	free(t);
	return NULL;
}

char *registry_auth_key(const struct registry_auth *a, const struct role_store *roles,
			const char *credentials_id)
{
	bool by_role = a->type == REGISTRY_AUTH_ASM || a->use_execution_role;
	const struct role_credentials *role =
		by_role && credentials_id ? role_store_get(roles, credentials_id) : NULL;

	if (a->type == REGISTRY_AUTH_NONE)
		return strdup("");
	return path_join(
		"%d|%s|%s|%s|%s|%s|%s", a->type, a->registry_id ? a->registry_id : "",
		a->region ? a->region : "", a->endpoint_override ? a->endpoint_override : "",
		a->secret ? a->secret : "", by_role && credentials_id ? credentials_id : "",
		role && role->role_arn ? role->role_arn : "");
}

/* ---- the cache ---- */

static struct entry *find_entry(struct registry_tokens *t, const char *key)
{
	int64_t now = clock_real_ms();

	for (size_t i = 0; i < CACHE_MAX; i++) {
		struct entry *e = &t->cache[i];

		if (e->key && e->until_ms <= now)
			entry_done(e);
		if (e->key && strcmp(e->key, key) == 0)
			return e;
	}
	return NULL;
}

/* A free place, else that of the login which ends first. */
static struct entry *find_place(struct registry_tokens *t)
{
	struct entry *best = &t->cache[0];

	for (size_t i = 0; i < CACHE_MAX; i++) {
		if (!t->cache[i].key)
			return &t->cache[i];
		if (t->cache[i].until_ms < best->until_ms)
			best = &t->cache[i];
	}
	return best;
}

static int copy_login(const struct registry_login *from, struct registry_login *to)
{
	return strdup_to(&to->username, from->username) < 0 ||
			       strdup_to(&to->password, from->password) < 0
		       ? -ENOMEM
		       : 0;
}

static void keep(struct registry_tokens *t, const char *key, const struct registry_login *login,
		 int64_t expires_ms)
{
	int64_t now = clock_real_ms(), end = MIN(expires_ms, now + LIFE_MS);
	int64_t until = end - HALF_HOUR_MS - random_below(HALF_HOUR_MS);
	struct entry *e = find_entry(t, key);

	if (until <= now)
		return;
	e = e ? e : find_place(t);
	entry_done(e);
	e->key = strdup(key);
	e->until_ms = until;
	if (!e->key || copy_login(login, &e->login) < 0)
		entry_done(e);
}

void registry_tokens_forget(struct registry_tokens *t, const char *key)
{
	struct entry *e = find_entry(t, key);

	if (e)
		entry_done(e);
}

/* ---- answers ---- */

/* base64 of "AWS:password". */
static int decode_ecr_token(const char *text, struct registry_login *l, struct err *err)
{
	size_t n = strlen(text);
	unsigned char *plain =
		n > 0 && n <= TOKEN_BYTES_MAX && n % 4 == 0 ? calloc(1, n + 1) : NULL;
	char *colon = NULL;
	int k = 0;

	if (plain && EVP_DecodeBlock(plain, (const unsigned char *) text, (int) n) > 0)
		colon = strchr((char *) plain, ':');
	if (!colon) {
		k = err_set(err, EPROTO, "ecr auth: the authorization token is malformed");
	} else {
		*colon = '\0';
		if (strdup_to(&l->username, (char *) plain) < 0 ||
		    strdup_to(&l->password, colon + 1) < 0)
			k = err_set(err, ENOMEM, "ecr auth");
	}
	if (plain)
		explicit_bzero(plain, n);
	free(plain);
	return k;
}

static int decode_ecr(struct registry_token *r, const json_t *body, struct registry_login *l,
		      struct err *err)
{
	const json_t *data = json_array_get(json_object_get(body, "authorizationData"), 0);
	const char *token = json_get_string(data, "authorizationToken", NULL);
	double expires_s = json_number_value(json_object_get(data, "expiresAt"));
	int k;

	if (!token)
		return err_set(err, EPROTO, "ecr auth: AuthorizationData is nil for %s", r->image);
	k = decode_ecr_token(token, l, err);
	if (k == 0 && expires_s > 0 && expires_s < 1e11)
		keep(r->owner, r->key, l, (int64_t) (expires_s * 1000));
	return k;
}

static int decode_asm(const json_t *body, struct registry_login *l, struct err *err)
{
	static const char what[] = "asm fetching authorization data";
	_cleanup_(json_decrefp) json_t *secret = NULL;
	const char *text = json_get_string(body, "SecretString", NULL), *user, *password;

	if (!body)
		return err_set(err, EPROTO, "%s: empty response", what);
	if (!text || !*text)
		return err_set(err, EPROTO, "%s: empty secrets value", what);
	if (json_parse(text, strlen(text), &secret, NULL) < 0 || !json_is_object(secret))
		return err_set(err, EPROTO, "%s: unable to unmarshal secret value, invalid schema",
			       what);
	user = json_get_string(secret, "username", "");
	password = json_get_string(secret, "password", "");
	if (!*user || !*password)
		return err_set(err, EPROTO,
			       "asm fetching %s: AuthorizationData is malformed, empty field",
			       *user ? "password" : "username");
	return strdup_to(&l->username, user) < 0 || strdup_to(&l->password, password) < 0
		       ? err_set(err, ENOMEM, "asm fetching authorization data")
		       : 0;
}

static int on_free_time(sd_event_source *s, void *userdata)
{
	(void) s;
	token_free(userdata);
	return 0;
}

/* The client cannot be freed in its own callback. */
static void tell(struct registry_token *r, const struct registry_login *l, const struct err *err)
{
	registry_token_fn fn = r->fn;

	r->fn = NULL;
	r->asks = NULL;
	r->ended = true;
	r->timer = sd_event_source_disable_unref(r->timer);
	if (sd_event_add_defer(r->owner->p.loop, &r->timer, on_free_time, r) < 0)
		r->timer = NULL; /* freed with the owner */
	if (fn)
		fn(r->userdata, l, err);
}

static struct registry_token *find_joined(const struct registry_token *r)
{
	struct registry_token *other = r->owner->requests;

	while (other && other->asks != r)
		other = other->next;
	return other;
}

/* Who is told may cancel others, so each is looked for anew. */
static void finish(struct registry_token *r, const struct registry_login *l, const struct err *err)
{
	struct registry_token *other;

	tell(r, l, err);
	while ((other = find_joined(r)))
		tell(other, l, err);
}

static void on_answer(void *userdata, const struct aws_result *a, const struct err *err)
{
	_cleanup_(registry_login_done) struct registry_login l = {};
	_cleanup_(err_done) struct err why = {};
	struct registry_token *r = userdata;
	int k = 0;

	if (err && err->code)
		k = r->type == REGISTRY_AUTH_ECR
			    ? err_set(&why, err->code, "ecr auth: %s", err_text(err))
			    : err_set(&why, err->code,
				      "asm fetching secret from the service for %s: %s", r->secret,
				      err_text(err));
	else if (r->type == REGISTRY_AUTH_ECR)
		k = decode_ecr(r, a->body, &l, &why);
	else
		k = decode_asm(a->body, &l, &why);
	finish(r, k < 0 ? NULL : &l, &why);
}

/* ---- questions ---- */

static int make_client(struct registry_token *r, const struct role_credentials *role,
		       struct err *err)
{
	const struct registry_tokens_params *t = &r->owner->p;
	bool ecr = r->type == REGISTRY_AUTH_ECR;
	struct aws_client_params p = {
		.http = t->http,
		.credentials = t->credentials,
		.service = ecr ? "ecr" : "secretsmanager",
		.target_prefix = ecr ? "AmazonEC2ContainerRegistry_V20150921" : "secretsmanager",
		.region = r->region,
		.endpoint = r->endpoint,
		.connect_timeout_ms = CALL_TIMEOUT_MS,
		.timeout_ms = CALL_TIMEOUT_MS,
	};

	if (role) {
		const struct aws_credentials_params keys = {
			.event = t->loop,
			.access_key_id = role->access_key_id,
			.secret_access_key = role->secret_access_key,
			.session_token = role->session_token,
		};
		int k = aws_credentials_new(&keys, &r->role, err);

		if (k < 0)
			return k;
		p.credentials = r->role;
	}
	return aws_client_new(&p, &r->client, err);
}

static int on_role_time(sd_event_source *s, uint64_t usec, void *userdata);

static int wait_for_role(struct registry_token *r, struct err *err)
{
	r->timer = sd_event_source_disable_unref(r->timer);
	if (sd_event_add_time_relative(r->owner->p.loop, &r->timer, CLOCK_MONOTONIC,
				       ROLE_LOOK_MS * USEC_PER_MSEC, 0, on_role_time, r) < 0)
		return err_set(err, ENOMEM, "wait for the execution role's credentials");
	return 0;
}

/* Asks, as soon as there is something to sign with. */
static int ask(struct registry_token *r, struct err *err)
{
	const struct role_credentials *role = NULL;
	int k;

	if (r->credentials_id) {
		role = role_store_get(r->owner->p.roles, r->credentials_id);
		if ((!role || role->pending) && clock_mono_ms() < r->role_until_mono_ms)
			return wait_for_role(r, err);
		if (!role || role->pending)
			return err_set(
				err, ENOENT,
				"the credentials of the task's execution role have not come");
	}
	k = make_client(r, role, err);
	if (k < 0)
		return k;
	return aws_call(r->client,
			r->type == REGISTRY_AUTH_ECR ? "GetAuthorizationToken" : "GetSecretValue",
			r->body, NULL, on_answer, r, NULL, err);
}

static int on_role_time(sd_event_source *s, uint64_t usec, void *userdata)
{
	_cleanup_(err_done) struct err err = {};
	struct registry_token *r = userdata;

	(void) s, (void) usec;
	if (ask(r, &err) < 0)
		finish(r, NULL, &err);
	return 0;
}

static int describe(struct registry_token *r, const struct registry_token_params *p,
		    struct err *err)
{
	const struct registry_auth *a = p->auth;
	bool ecr = a->type == REGISTRY_AUTH_ECR, dual = r->owner->p.dual_stack;
	const char *region = a->region && *a->region ? a->region : r->owner->p.region;
	const char *override = ecr ? a->endpoint_override : NULL;
	_cleanup_(json_decrefp) json_t *body = NULL;

	if (!override || !*override)
		override = aws_endpoint_override(ecr ? "ECR" : "SECRETS_MANAGER");
	if (ecr && a->registry_id && *a->registry_id)
		body = json_pack("{s:[s]}", "registryIds", a->registry_id);
	else
		body = ecr ? json_object() : json_pack("{s:s}", "SecretId", a->secret);
	r->type = a->type;
	r->body = body ? json_to_text(body) : NULL;
	r->endpoint = region ? aws_endpoint(ecr ? (dual ? "ecr" : "api.ecr") : "secretsmanager",
					    region, dual, override)
			     : NULL;
	if (!r->body || !r->endpoint || strdup_to(&r->region, region) < 0 ||
	    strdup_to(&r->key, p->key) < 0 || strdup_to(&r->image, p->image) < 0 ||
	    strdup_to(&r->secret, a->secret) < 0)
		return err_set(err, ENOMEM, "ask for a registry login");
	if (ecr && !a->use_execution_role)
		return 0;
	if (!p->credentials_id)
		return err_set(err, EINVAL, "%s auth: the task has no execution role",
			       ecr ? "ecr" : "asm");
	return strdup_to(&r->credentials_id, p->credentials_id) < 0
		       ? err_set(err, ENOMEM, "ask for a registry login")
		       : 0;
}

/* A request for the same login that is under way: many first pulls at once make one question. */
static struct registry_token *find_asking(const struct registry_tokens *t, const char *key)
{
	struct registry_token *r = t->requests;

	while (r && (r->asks || r->ended || strcmp(r->key, key) != 0))
		r = r->next;
	return r;
}

int registry_token_get(struct registry_tokens *t, const struct registry_token_params *p,
		       registry_token_fn fn, void *userdata, struct registry_login *ret_login,
		       struct registry_token **ret, struct err *err)
{
	const struct entry *e = find_entry(t, p->key);
	struct registry_token *r;
	int k = 0;

	if (e)
		return copy_login(&e->login, ret_login) < 0
			       ? err_set(err, ENOMEM, "copy a registry login")
			       : 1;
	r = calloc(1, sizeof(*r));
	if (!r)
		return err_set(err, ENOMEM, "ask for a registry login");
	r->owner = t;
	r->asks = find_asking(t, p->key);
	r->next = t->requests;
	t->requests = r;
	r->fn = fn;
	r->userdata = userdata;
	r->role_until_mono_ms = clock_mono_ms() + t->p.role_wait_ms;
	if (!r->asks) {
		k = describe(r, p, err);
		if (k == 0)
			k = ask(r, err);
	}
	if (k < 0) {
		token_free(r);
		return k;
	}
	*ret = r;
	return 0;
}

struct registry_token *registry_token_cancel(struct registry_token *r)
{
	if (r && find_joined(r))
		r->fn = NULL; /* others wait for the same answer */
	else if (r)
		token_free(r);
	return NULL;
}
