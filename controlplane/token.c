/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/token.h"

#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/json.h"
#include "controlplane/controlplane.h"
#include "controlplane/param.h"
#include "controlplane/store.h"

enum { TOKEN_MAX = 64 };

static int fingerprint_of(const json_t *in, char *hex, struct api_error *e)
{
	_cleanup_(freep) char *text = json_dumps(in, JSON_SORT_KEYS | JSON_COMPACT);

	if (!text)
		return answer_with(NULL, NULL, e);
	(void) sha256_hex(text, strlen(text), hex);
	return 0;
}

static int look_up(struct controlplane *cp, const struct token *t, json_t **out,
		   struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *stored = NULL;
	_cleanup_(err_done) struct err err = {};
	int k = store_token_get(cp->store, t->key, &stored, &err);

	if (k < 0)
		return api_fail_server(e, &err);
	if (k > 0)
		return 0;
	if (strcmp(json_get_string(stored, "request", ""), t->fingerprint) != 0)
		return api_fail(e, "ClientException",
				"The clientToken was used before with other parameters.");
	*out = json_incref(json_object_get(stored, "answer"));
	return 0;
}

int token_check(struct controlplane *cp, const json_t *in, const char *kind, const char *cluster,
		struct token *ret, json_t **out, struct api_error *e)
{
	const char *token = NULL;

	if (param_string(in, "clientToken", &token, e) < 0)
		return -1;
	if (!token || !*token)
		return 0;
	if (strlen(token) > TOKEN_MAX)
		return api_fail(e, "InvalidParameterException",
				"clientToken is longer than %d characters.", TOKEN_MAX);
	(void) snprintf(ret->key, sizeof(ret->key), "%s/%s/%s", kind, cluster, token);
	if (fingerprint_of(in, ret->fingerprint, e) < 0)
		return -1;
	return look_up(cp, ret, out, e);
}

int token_remember(struct controlplane *cp, const struct token *t, json_t *answer,
		   struct api_error *e)
{
	_cleanup_(json_decrefp) json_t *stored = NULL;
	_cleanup_(err_done) struct err err = {};

	if (!t->key[0])
		return 0;
	stored = json_pack("{s:s, s:O}", "request", t->fingerprint, "answer", answer);
	if (!stored || store_token_put(cp->store, t->key, stored, clock_real_ms(), &err) < 0)
		return api_fail_server(e, &err);
	return 0;
}
