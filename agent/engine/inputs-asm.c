/* SPDX-License-Identifier: Apache-2.0 */
/* GetSecretValue: one secret at a time, of it perhaps some members. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/inputs-private.h"
#include "common/buf.h"
#include "common/json.h"

static int take(struct input *i, const struct secret_arn *arn, const json_t *body, struct err *err)
{
	const char *text = json_get_string(body, "SecretString", NULL);
	char *member = NULL;
	int k;

	if (!text)
		return err_set(err, ENOENT, "the secret has no text (SecretString)");
	if (!arn->json_key)
		return input_keep(i, text, err);
	k = secret_json_member(text, arn->json_key, &member, err);
	if (k == 0)
		i->value = member;
	return k;
}

static int judge(struct input *i, const struct aws_result *r, const struct err *trouble,
		 struct err *err)
{
	_cleanup_(secret_arn_done) struct secret_arn arn = {};
	int k = secret_arn_parse(i->what, &arn, err);

	if (k < 0)
		return k;
	if (r->body)
		return take(i, &arn, r->body, err);
	if (r->status >= 200 && r->status < 300) /* what the parser says may quote a value */
		return err_set(err, EPROTO, "GetSecretValue: the answer cannot be read");
	if (strcmp(r->error, "ResourceNotFoundException") == 0)
		return err_set(err, ENOENT,
			       "ResourceNotFoundException: The task can't retrieve the secret with "
			       "ARN '%s' from AWS Secrets Manager. Check whether the secret exists "
			       "in the specified Region",
			       arn.id);
	return err_set(err, EREMOTEIO, "%s", err_text(trouble));
}

/* What went wrong with each of them; one after the other. */
static void complain(struct buf *b, const struct input *i, const struct err *err)
{
	(void) buf_printf(b, "%strying to retrieve secret with value %s resulted in error: %s",
			  b->len ? ";" : "", i->what, err_text(err));
}

static void on_answer(void *userdata, const struct aws_result *r, const struct err *err)
{
	struct input_job *j = userdata;
	_cleanup_(buf_done) struct buf text = {};
	_cleanup_(err_done) struct err why = {};

	for (size_t i = 0; i < j->n; i++) {
		_cleanup_(err_done) struct err one = {};

		if (judge(j->inputs[i], r, err, &one) < 0)
			complain(&text, j->inputs[i], &one);
	}
	if (text.len > 0)
		(void) err_set(&why, EREMOTEIO, "%s", buf_str(&text));
	input_job_done(j, &why);
}

static int ask(struct input_job *j, struct err *err)
{
	_cleanup_(secret_arn_done) struct secret_arn arn = {};
	_cleanup_(json_decrefp) json_t *body = NULL;
	_cleanup_(freep) char *text = NULL;
	int k = secret_arn_parse(j->inputs[0]->what, &arn, err);

	if (k == 0)
		k = input_job_client(j, "secretsmanager", "SECRETS_MANAGER", "secretsmanager", err);
	if (k < 0)
		return k;
	body = json_pack("{s:s, s:s*, s:s*}", "SecretId", arn.id, "VersionStage", arn.version_stage,
			 "VersionId", arn.version_id);
	text = body ? json_to_text(body) : NULL;
	if (!text)
		return err_set(err, ENOMEM, "ask for a secret");
	return aws_call(j->client, "GetSecretValue", text, NULL, on_answer, j, NULL, err);
}

int input_ask_asm(struct input_job *j, struct err *err)
{
	_cleanup_(err_done) struct err why = {};
	_cleanup_(buf_done) struct buf text = {};
	int k = ask(j, &why);

	if (k == 0)
		return 0;
	complain(&text, j->inputs[0], &why);
	return err_set(err, -k, "%s", buf_str(&text));
}

static bool same(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

bool input_asm_fits(const struct input *a, const struct input *b)
{
	_cleanup_(secret_arn_done) struct secret_arn one = {}, other = {};

	return secret_arn_parse(a->what, &one, NULL) == 0 &&
	       secret_arn_parse(b->what, &other, NULL) == 0 && same(one.id, other.id) &&
	       same(one.version_stage, other.version_stage) &&
	       same(one.version_id, other.version_id);
}
