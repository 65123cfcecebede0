/* SPDX-License-Identifier: Apache-2.0 */
/* GetParameters: ten at a time, decrypted. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/inputs-private.h"
#include "common/buf.h"
#include "common/json.h"

static bool is_same(const char *wanted, const char *name, const char *selector)
{
	size_t n = strlen(name);

	return strncmp(wanted, name, n) == 0 && strcmp(wanted + n, selector) == 0;
}

/* By an ARN, too, "arn:…:parameter/name": the name was made with a slash in front or without. */
static bool is_named(const char *wanted, const char *name, const char *selector)
{
	const char *p = strncmp(wanted, "arn:", 4) == 0 ? strstr(wanted, ":parameter/") : NULL;

	if (is_same(wanted, name, selector))
		return true;
	return p && is_same(p + strlen(":parameter") + (*name != '/'), name, selector);
}

static const char *find_value(const json_t *body, const char *wanted)
{
	const json_t *p;
	size_t i;

	json_array_foreach(json_object_get(body, "Parameters"), i, p) {
		const char *selector = json_get_string(p, "Selector", "");

		if (strcmp(json_get_string(p, "ARN", ""), wanted) == 0 ||
		    is_named(wanted, json_get_string(p, "Name", ""), selector))
			return json_get_string(p, "Value", NULL);
	}
	return NULL;
}

/* What the service calls invalid, and what it says nothing of. */
static int take(struct input_job *j, const json_t *body, struct err *err)
{
	_cleanup_(buf_done) struct buf missing = {};
	int k = 0;

	for (size_t i = 0; k == 0 && i < j->n; i++) {
		const char *value = find_value(body, j->inputs[i]->what);

		if (value)
			k = input_keep(j->inputs[i], value, err);
		else
			(void) buf_printf(&missing, "%s%s", missing.len ? "," : "",
					  j->inputs[i]->what);
	}
	if (k == 0 && missing.len > 0)
		k = err_set(err, ENOENT, "invalid parameters: %s", buf_str(&missing));
	return k;
}

static void on_answer(void *userdata, const struct aws_result *r, const struct err *err)
{
	struct input_job *j = userdata;
	_cleanup_(err_done) struct err why = {};
	int k;

	if (r->body)
		k = take(j, r->body, &why);
	else if (r->status >= 200 && r->status < 300) /* what the parser says may quote a value */
		k = err_set(&why, EPROTO, "GetParameters: the answer cannot be read");
	else
		k = err_set(&why, EREMOTEIO, "%s", err_text(err));
	if (k < 0)
		(void) err_wrap(&why, "fetching secret data from SSM Parameter Store in %s",
				j->inputs[0]->region);
	input_job_done(j, &why);
}

int input_ask_ssm(struct input_job *j, struct err *err)
{
	_cleanup_(json_decrefp) json_t *names = json_array(), *body = NULL;
	_cleanup_(freep) char *text = NULL;
	int k = input_job_client(j, "ssm", "SSM", "AmazonSSM", err);

	if (k < 0)
		return k;
	for (size_t i = 0; i < j->n; i++)
		(void) json_array_append_new(names, json_string(j->inputs[i]->what));
	body = json_pack("{s:O, s:b}", "Names", names, "WithDecryption", 1);
	text = body ? json_to_text(body) : NULL;
	if (!text)
		return err_set(err, ENOMEM, "ask for parameters");
	return aws_call(j->client, "GetParameters", text, NULL, on_answer, j, NULL, err);
}
