/* SPDX-License-Identifier: Apache-2.0 */
/* A file of environmentFiles: where its bucket is, then the object itself. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/env-file.h"
#include "agent/engine/inputs-private.h"
#include "aws/s3.h"

enum { FILE_BYTES_MAX = 1024 * 1024, OBJECT_TIMEOUT_MS = 30 * 1000 };

/* "arn:partition:s3:::bucket/key" */
static int parse(const char *what, char **bucket, char **key, struct err *err)
{
	const char *p = strncmp(what, "arn:", 4) == 0 ? strstr(what, ":s3:::") : NULL;
	const char *slash = p ? strchr(p + 6, '/') : NULL;

	if (!slash || slash == p + 6 || slash[1] == '\0')
		return err_set(err, EINVAL,
			       "unable to parse bucket and key from s3 ARN specified in "
			       "environmentFile %s, error: wanted is arn:PARTITION:s3:::BUCKET/KEY",
			       what);
	*bucket = strndup(p + 6, (size_t) (slash - p - 6));
	*key = strdup(slash + 1);
	return *bucket && *key ? 0 : err_set(err, ENOMEM, "take an ARN apart");
}

static int take(struct input *i, const struct s3_answer *a, struct err *err)
{
	if (memchr(a->body, '\0', a->len))
		return err_set(err, EINVAL, "it is no text: a NUL byte is in it");
	i->value = strndup(a->body, a->len);
	return i->value ? env_file_read(i->value, NULL, NULL, err)
			: err_set(err, ENOMEM, "keep it");
}

static void on_object(void *userdata, const struct s3_answer *a, const struct err *err)
{
	struct input_job *j = userdata;
	_cleanup_(freep) char *bucket = NULL, *key = NULL;
	_cleanup_(err_done) struct err why = {};
	int k = parse(j->inputs[0]->what, &bucket, &key, &why);

	j->object = NULL;
	if (k == 0 && err->code == EFBIG)
		k = err_set(&why, EFBIG, "it is larger than %d bytes", FILE_BYTES_MAX);
	else if (k == 0)
		k = err->code ? err_set(&why, err->code, "%s", err_text(err))
			      : take(j->inputs[0], a, &why);
	if (k < 0 && bucket && key) {
		_cleanup_(err_done) struct err bare = {};

		(void) err_move(&bare, &why);
		(void) err_set(&why, bare.code,
			       "unable to download env file with key %s from bucket %s, error: %s",
			       key, bucket, err_text(&bare));
	}
	input_job_done(j, &why);
}

/* S3 in @region about the bucket, or about the object in it. */
static int ask(struct input_job *j, const char *region, bool object, s3_fn fn, struct err *err)
{
	_cleanup_(freep) char *bucket = NULL, *key = NULL;
	struct s3_params p = { .http = j->owner->p.http,
			       .credentials = j->owner->role,
			       .method = object ? "GET" : "HEAD",
			       .region = region,
			       .endpoint = aws_endpoint_override("S3"),
			       .dual_stack = j->owner->p.dual_stack,
			       .max_bytes = FILE_BYTES_MAX,
			       .timeout_ms = OBJECT_TIMEOUT_MS };
	int k = parse(j->inputs[0]->what, &bucket, &key, err);

	p.bucket = bucket;
	p.key = object ? key : NULL;
	return k < 0 ? k : s3_request_new(&p, fn, j, &j->object, err);
}

/* Also an answer that refuses the bucket may say where it is; then the object decides. */
static void on_bucket(void *userdata, const struct s3_answer *a, const struct err *err)
{
	struct input_job *j = userdata;
	_cleanup_(freep) char *bucket = NULL, *key = NULL;
	_cleanup_(err_done) struct err why = {};

	j->object = NULL;
	if (err->code && !*a->region) {
		if (parse(j->inputs[0]->what, &bucket, &key, &why) == 0)
			(void) err_set(&why, err->code,
				       "unable to initialize s3 client for bucket %s, error: %s",
				       bucket, err_text(err));
	} else if (ask(j, *a->region ? a->region : j->inputs[0]->region, true, on_object, &why) ==
		   0) {
		return;
	}
	input_job_done(j, &why);
}

int input_ask_s3(struct input_job *j, struct err *err)
{
	return ask(j, j->inputs[0]->region, false, on_bucket, err);
}

bool input_s3_fits(const struct input *a, const struct input *b)
{
	(void) a, (void) b;
	return false;
}
