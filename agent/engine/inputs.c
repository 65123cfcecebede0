/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/engine/inputs-private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "aws/credentials.h"
#include "aws/s3.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/macro.h"
#include "common/strv.h"

enum {
	ROLE_LOOK_MS = 250,
	ROLE_WAIT_MS = 60 * 1000,
	DEADLINE_MS = 4 * 60 * 1000,
	CALL_TIMEOUT_MS = 5000,
	IN_FLIGHT_MAX = 16,
	WANTED_MAX = 2000,
	ERROR_BYTES_MAX = 8192,
};

/* What the kinds differ in; the texts are the reference's. */
static const struct kind {
	int (*ask)(struct input_job *j, struct err *err);
	bool (*fits)(const struct input *a, const struct input *b); /* NULL: of a region, all do */
	const char *no_role, *late;
} kinds[_INPUT_MAX] = {
	[INPUT_SSM] = { input_ask_ssm, NULL,
			"ssm secret resource: unable to find execution role credentials",
			"fetching secret data from SSM Parameter Store" },
	[INPUT_ASM] = { input_ask_asm, input_asm_fits,
			"ASM secret resource: unable to find execution role credentials",
			"fetching secret data from AWS Secrets Manager" },
	[INPUT_FILE] = { input_ask_s3, input_s3_fits,
			 "environment file resource: unable to find execution role credentials",
			 "unable to download env file" },
};

int inputs_new(const struct inputs_params *p, struct inputs **ret, struct err *err)
{
	_cleanup_(inputs_freep) struct inputs *in = calloc(1, sizeof(*in));

	if (!in || strdup_to(&in->credentials_id, p->credentials_id) < 0 ||
	    strdup_to(&in->region, p->region) < 0)
		return err_set(err, ENOMEM, "allocate inputs");
	in->p = *p;
	in->p.role_wait_ms = p->role_wait_ms > 0 ? p->role_wait_ms : ROLE_WAIT_MS;
	in->p.deadline_ms = p->deadline_ms > 0 ? p->deadline_ms : DEADLINE_MS;
	*ret = TAKE_PTR(in);
	return 0;
}

static void job_free(struct input_job *j)
{
	(void) aws_client_free(j->client);
	(void) s3_request_cancel(j->object);
	free(j->error);
	free(j);
}

static void input_free(struct input *i)
{
	if (i->value)
		explicit_bzero(i->value, strlen(i->value));
	free(i->value);
	free(i->region);
	free(i->what);
	free(i);
}

struct inputs *inputs_free(struct inputs *in)
{
	if (!in)
		return NULL;
	(void) sd_event_source_disable_unref(in->timer);
	while (in->jobs) {
		struct input_job *j = in->jobs;

		in->jobs = j->next;
		job_free(j);
	}
	while (in->all) {
		struct input *i = in->all;

		in->all = i->next;
		input_free(i);
	}
	(void) aws_credentials_free(in->role);
	free(in->credentials_id);
	free(in->region);
	err_done(&in->outcome);
	free(in);
	return NULL;
}

/* ---- what is wanted ---- */

/* "arn:partition:service:region:…"; in @buf, "" when it has none. */
static const char *region_of_arn(const char *what, char buf[64])
{
	const char *p = what;
	size_t n;

	buf[0] = '\0';
	if (strncmp(what, "arn:", 4) != 0)
		return buf;
	for (int i = 0; i < 3; i++) {
		p = strchr(p, ':');
		if (!p)
			return buf;
		p++;
	}
	n = strcspn(p, ":");
	if (n > 0 && n < 64)
		(void) snprintf(buf, 64, "%.*s", (int) n, p);
	return buf;
}

static const char *region_for(const struct inputs *in, const char *region, const char *what,
			      char buf[64])
{
	if (region && *region)
		return region;
	if (*region_of_arn(what, buf))
		return buf;
	return in->region ? in->region : "";
}

static struct input *find(const struct inputs *in, enum input_kind kind, const char *region,
			  const char *what)
{
	char buf[64];

	region = region_for(in, region, what, buf);
	for (struct input *i = in->all; i; i = i->next)
		if (i->kind == kind && strcmp(i->what, what) == 0 && strcmp(i->region, region) == 0)
			return i;
	return NULL;
}

int inputs_want(struct inputs *in, enum input_kind kind, const char *region, const char *what,
		struct err *err)
{
	struct input **at = &in->all, *i;
	char buf[64];
	size_t n = 0;

	if (find(in, kind, region, what))
		return 0;
	for (; *at; at = &(*at)->next)
		n++;
	if (n >= WANTED_MAX)
		return err_set(err, EINVAL, "a task may name %d values at most", WANTED_MAX);
	i = calloc(1, sizeof(*i));
	if (!i || strdup_to(&i->region, region_for(in, region, what, buf)) < 0 ||
	    strdup_to(&i->what, what) < 0) {
		if (i)
			input_free(i);
		return err_set(err, ENOMEM, "note a value");
	}
	i->kind = kind;
	*at = i;
	return 0;
}

int input_keep(struct input *in, const char *value, struct err *err)
{
	return strdup_to(&in->value, value) < 0 ? err_set(err, ENOMEM, "keep a value") : 0;
}

const char *inputs_get(const struct inputs *in, enum input_kind kind, const char *region,
		       const char *what)
{
	const struct input *i = find(in, kind, region, what);

	return i ? i->value : NULL;
}

bool inputs_wait_for_role(const struct inputs *in)
{
	return in->started && !in->over && !in->role;
}

/* ---- the end ---- */

static int on_end(sd_event_source *s, void *userdata)
{
	struct inputs *in = userdata;

	(void) s;
	in->timer = sd_event_source_disable_unref(in->timer);
	in->p.fn(in->p.userdata, &in->outcome);
	return 0;
}

/* Told from the loop, so that no caller is still at work on what it may free. */
static void end(struct inputs *in)
{
	in->over = true;
	in->timer = sd_event_source_disable_unref(in->timer);
	if (sd_event_add_defer(in->p.loop, &in->timer, on_end, in) < 0)
		in->p.fn(in->p.userdata, &in->outcome);
}

/* All of one kind have ended, and some of them badly: each complaint once. */
static bool kind_failed(struct inputs *in, enum input_kind kind)
{
	_cleanup_(buf_done) struct buf b = { .max_bytes = ERROR_BYTES_MAX };

	for (const struct input_job *j = in->jobs; j; j = j->next) {
		if (j->kind != kind)
			continue;
		if (!j->done)
			return false;
		if (j->error && (b.len == 0 || !strstr(buf_str(&b), j->error))) {
			size_t before = b.len;

			if (!buf_printf(&b, "%s%s", before ? ";" : "", j->error))
				break;
		}
	}
	if (b.len == 0)
		return false;
	(void) err_set(&in->outcome, EREMOTEIO, "%s", buf_str(&b));
	return true;
}

static bool all_done(const struct inputs *in)
{
	for (const struct input_job *j = in->jobs; j; j = j->next)
		if (!j->done)
			return false;
	return true;
}

static void begin_jobs(struct inputs *in)
{
	for (struct input_job *j = in->jobs; j && in->in_flight < IN_FLIGHT_MAX; j = j->next) {
		_cleanup_(err_done) struct err err = {};

		if (j->begun)
			continue;
		j->begun = true;
		in->in_flight++;
		if (kinds[j->kind].ask(j, &err) < 0) {
			in->in_flight--;
			j->done = true;
			(void) strdup_to(&j->error, err_text(&err));
		}
	}
}

static void go_on(struct inputs *in)
{
	if (in->over)
		return;
	begin_jobs(in);
	for (enum input_kind k = 0; k < _INPUT_MAX; k++) {
		if (kind_failed(in, k)) {
			end(in);
			return;
		}
	}
	if (all_done(in))
		end(in);
}

void input_job_done(struct input_job *j, const struct err *err)
{
	j->done = true;
	j->owner->in_flight--;
	if (err && err->code)
		(void) strdup_to(&j->error, err_text(err));
	go_on(j->owner);
}

/* ---- the beginning ---- */

static int add_job(struct inputs *in, struct input *i, struct err *err)
{
	struct input_job **at = &in->jobs;

	for (; *at; at = &(*at)->next) {
		struct input_job *j = *at;

		if (j->kind != i->kind || j->n == JOB_BATCH_MAX ||
		    strcmp(j->inputs[0]->region, i->region) != 0 ||
		    (kinds[i->kind].fits && !kinds[i->kind].fits(j->inputs[0], i)))
			continue;
		j->inputs[j->n++] = i;
		return 0;
	}
	*at = calloc(1, sizeof(**at));
	if (!*at)
		return err_set(err, ENOMEM, "ask for values");
	(*at)->owner = in;
	(*at)->kind = i->kind;
	(*at)->inputs[(*at)->n++] = i;
	return 0;
}

static int on_late(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct inputs *in = userdata;
	enum input_kind kind = in->all->kind;

	(void) s, (void) usec;
	for (const struct input_job *j = in->jobs; j; j = j->next)
		if (!j->done)
			kind = j->kind;
	(void) err_set(&in->outcome, ETIMEDOUT, "%s: no answer within %lld s", kinds[kind].late,
		       (long long) (in->p.deadline_ms / MSEC_PER_SEC));
	end(in);
	return 0;
}

static int set_timer(struct inputs *in, int64_t ms, sd_event_time_handler_t fn, struct err *err)
{
	in->timer = sd_event_source_disable_unref(in->timer);
	if (sd_event_add_time_relative(in->p.loop, &in->timer, CLOCK_MONOTONIC,
				       (uint64_t) ms * USEC_PER_MSEC, 0, fn, in) < 0)
		return err_set(err, ENOMEM, "wait for values");
	(void) sd_event_source_set_description(in->timer, "task-inputs");
	return 0;
}

static int on_role_time(sd_event_source *s, uint64_t usec, void *userdata);

/* Asks, as soon as there is something to sign with. */
static int ask(struct inputs *in, struct err *err)
{
	const struct role_credentials *role =
		in->credentials_id ? role_store_get(in->p.roles, in->credentials_id) : NULL;
	struct aws_credentials_params keys = { .event = in->p.loop };
	int k;

	if (in->credentials_id && (!role || role->pending) && clock_mono_ms() < in->role_until_ms)
		return set_timer(in, ROLE_LOOK_MS, on_role_time, err);
	if (!role || role->pending)
		return err_set(err, ENOENT, "%s", kinds[in->all->kind].no_role);
	keys.access_key_id = role->access_key_id;
	keys.secret_access_key = role->secret_access_key;
	keys.session_token = role->session_token;
	k = aws_credentials_new(&keys, &in->role, err);
	if (k == 0)
		k = set_timer(in, in->p.deadline_ms, on_late, err);
	if (k == 0)
		go_on(in);
	return k;
}

static int on_role_time(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct inputs *in = userdata;

	(void) s, (void) usec;
	if (ask(in, &in->outcome) < 0)
		end(in);
	return 0;
}

int inputs_start(struct inputs *in, struct err *err)
{
	int k = 0;

	for (struct input *i = in->all; k == 0 && i; i = i->next)
		k = add_job(in, i, err);
	if (k < 0)
		return k;
	in->started = true;
	in->role_until_ms = clock_mono_ms() + in->p.role_wait_ms;
	if (!in->all || ask(in, &in->outcome) < 0)
		end(in);
	return 0;
}

int input_job_client(struct input_job *j, const char *service, const char *service_id,
		     const char *target_prefix, struct err *err)
{
	const char *region = j->inputs[0]->region;
	_cleanup_(freep) char *endpoint = aws_endpoint(service, region, j->owner->p.dual_stack,
						       aws_endpoint_override(service_id));
	struct aws_client_params p = {
		.http = j->owner->p.http,
		.credentials = j->owner->role,
		.service = service,
		.target_prefix = target_prefix,
		.region = region,
		.endpoint = endpoint,
		.connect_timeout_ms = CALL_TIMEOUT_MS,
		.timeout_ms = CALL_TIMEOUT_MS,
	};

	return endpoint ? aws_client_new(&p, &j->client, err)
			: err_set(err, ENOMEM, "ask %s", service);
}
