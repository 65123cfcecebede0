/* SPDX-License-Identifier: Apache-2.0 */
/* inputs-private - what the files of inputs share: a job is one question to a service. */
#pragma once

#include "agent/engine/inputs.h"
#include "aws/call.h"

/* One thing that is wanted. */
struct input {
	struct input *next;
	enum input_kind kind;
	char *region, *what; /* owned */
	char *value;         /* owned, secret; NULL: not there yet */
};

enum { JOB_BATCH_MAX = 10 }; /* the names that GetParameters takes */

struct input_job {
	struct inputs *owner;
	struct input_job *next;
	enum input_kind kind;
	struct input *inputs[JOB_BATCH_MAX]; /* borrowed */
	size_t n;
	bool begun, done;
	char *error;               /* owned; NULL: none */
	struct aws_client *client; /* owned, while it is under way */
	struct s3_request *object; /* owned, the same */
};

struct inputs {
	struct inputs_params p;
	char *credentials_id, *region; /* owned */
	struct input *all;             /* owned, in the order in which they were wanted */
	struct input_job *jobs;        /* owned, in order */
	size_t in_flight;
	struct aws_credentials *role; /* owned; NULL: not there yet */
	sd_event_source *timer;       /* owned */
	int64_t role_until_ms;        /* monotonic */
	bool started, over;
	struct err outcome;
};

/* A client for a JSON service of AWS, signing with the role's keys. */
int input_job_client(struct input_job *j, const char *service, const char *service_id,
		     const char *target_prefix, struct err *err);

/* Keeps @value, which is the caller's, for @in. -ENOMEM. */
int input_keep(struct input *in, const char *value, struct err *err);

/* The job is over, well or not: the loop goes on with the others. */
void input_job_done(struct input_job *j, const struct err *err);

/* Asks; input_job_done() follows unless it fails. */
int input_ask_ssm(struct input_job *j, struct err *err);
int input_ask_asm(struct input_job *j, struct err *err);
int input_ask_s3(struct input_job *j, struct err *err);

/* Whether one question answers both, of the same region. */
bool input_asm_fits(const struct input *a, const struct input *b);
bool input_s3_fits(const struct input *a, const struct input *b);
