/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inputs - what AWS keeps for a task: parameters of SSM, secrets of Secrets Manager, environment
 * files of S3. Asked for all
 * at the same time, with the keys of the task's execution role, and kept in memory only, wiped when
 * freed. No message holds a value. Loop thread only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "agent/acs/credentials.h"
#include "common/cleanup.h"
#include "common/err.h"

struct http_client;
struct inputs; /* opaque: of one task */

enum input_kind { INPUT_SSM, INPUT_ASM, INPUT_FILE, _INPUT_MAX };

/* Once, from the loop; @err is empty when everything is there. The inputs may not be freed in it. */
typedef void (*inputs_fn)(void *userdata, const struct err *err);

struct inputs_params {
	sd_event *loop;
	struct http_client *http; /* borrowed, as all that follows */
	const struct role_store *roles;
	const char *credentials_id; /* of the execution role; NULL: none */
	const char *region;         /* of what names none */
	bool dual_stack;            /* asks endpoints of both families */
	int64_t role_wait_ms;       /* for the role's keys after a restart; 0: 60 s */
	int64_t deadline_ms;        /* for the rest; 0: 4 min */
	inputs_fn fn;
	void *userdata;
};

int inputs_new(const struct inputs_params *p, struct inputs **ret, struct err *err);
struct inputs *inputs_free(struct inputs *in); /* no callback follows */
DEFINE_CLEANUP(struct inputs *, inputs_free)

/*
 * Before the start. @what: name or ARN of a parameter; ARN of a secret, perhaps with
 * :json-key:version-stage:version-id; ARN of an object of S3. @region: NULL or "": that of the ARN, else the params'.
 * What was wanted before is not asked for twice. -EINVAL: they are too many.
 */
int inputs_want(struct inputs *in, enum input_kind kind, const char *region, const char *what,
		struct err *err);

/* Nothing is asked before this; the callback follows, also with bad news. */
int inputs_start(struct inputs *in, struct err *err);

/* Whether it is the role's keys that are missing. */
bool inputs_wait_for_role(const struct inputs *in);

/* The value, once all are there; borrowed. NULL: it was not wanted. */
const char *inputs_get(const struct inputs *in, enum input_kind kind, const char *region,
		       const char *what);

/*
 * secret-value.c: the ARN of a secret, taken apart. @ret's strings are owned; NULL: not said.
 * -EINVAL, in the reference's words.
 */
struct secret_arn {
	char *id, *json_key, *version_stage, *version_id;
};
int secret_arn_parse(const char *value_from, struct secret_arn *ret, struct err *err);
void secret_arn_done(struct secret_arn *a);

/* The member @key of the JSON object @text, as the reference prints it: owned, secret. */
int secret_json_member(const char *text, const char *key, char **ret, struct err *err);
