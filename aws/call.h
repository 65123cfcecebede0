/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call - AWS JSON 1.1 operations: POST /, X-Amz-Target, SigV4, retries as the SDKs do them.
 * One client per service. Three attempts, exponential with full jitter up to 20 s, out of a bucket
 * of 500 retry tokens; throttling, 5xx and connection trouble are worth another attempt.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "common/err.h"

struct aws_credentials;
struct http_client;
struct aws_client;
struct aws_call;

/*
 * The endpoint of @service ("ecs", "logs", "api.ecr", "secretsmanager", "ssm", "s3") in @region by
 * partition. @override ("" or NULL: none) wins, https:// is put in front of a bare host. Returns an
 * owned URL without a trailing slash, or NULL when out of memory.
 */
char *aws_endpoint(const char *service, const char *region, bool dual_stack, const char *override);

/* The override the environment has for a service id ("ECR", "SECRETS_MANAGER"):
 * AWS_ENDPOINT_URL_<SERVICE>, then AWS_ENDPOINT_URL, else NULL. */
const char *aws_endpoint_override(const char *service_id);

struct aws_client_params {
	struct http_client *http;            /* borrowed */
	struct aws_credentials *credentials; /* borrowed; NULL: unsigned */
	const char *service;                 /* signing name: "ecs" */
	const char *target_prefix;           /* "AmazonEC2ContainerServiceV20141113" */
	const char *region;
	const char *endpoint;       /* URL */
	const char *user_agent;     /* NULL: that of the http client */
	int64_t connect_timeout_ms; /* 0: 30 s */
	int64_t timeout_ms;         /* 0: 42 s */
	int max_attempts;           /* 0: 3 */
	int64_t retry_base_ms;      /* first back-off bound; 0: 1 s */
};

int aws_client_new(const struct aws_client_params *p, struct aws_client **ret, struct err *err);
struct aws_client *aws_client_free(struct aws_client *c);
DEFINE_CLEANUP(struct aws_client *, aws_client_free)

/* The service was just seen alive: calls that wait for their next attempt make it now. */
void aws_client_retry_now(struct aws_client *c);

sd_event *aws_client_event(struct aws_client *c);

struct aws_result {
	int status;         /* HTTP status, 0 when there was no answer */
	const json_t *body; /* of a 2xx answer; borrowed */
	const char *error;  /* "InvalidParameterException"; "" on success or when nobody answered */
	const char *message;
	const char *request_id; /* of an answer that is an error; NULL or "": it had none */
	bool retriable; /* throttled, 5xx or no answer: another call may do */
};

/* @err is set unless the call succeeded: "SubmitTaskStateChange: ClientException: …". */
typedef void (*aws_call_fn)(void *userdata, const struct aws_result *r, const struct err *err);

struct aws_call_options {
	int max_attempts;   /* 0: the client's */
	int64_t timeout_ms; /* of one attempt; 0: the client's */
	bool no_bucket; /* retries that do not draw on the bucket: the day-long submit schedule */
	/* Delay before retry @n (0: the first); NULL: the SDKs' */
	int64_t (*retry_delay_ms)(unsigned n);
};

/*
 * @body is a JSON object as text, copied. Calls back from the loop, once; *ret (may be NULL) is
 * valid until then.
 */
int aws_call(struct aws_client *c, const char *operation, const char *body,
	     const struct aws_call_options *options, aws_call_fn fn, void *userdata,
	     struct aws_call **ret, struct err *err);
struct aws_call *aws_call_cancel(struct aws_call *call);

struct aws_error {
	char name[128]; /* "" when the body has none */
	char *message;  /* owned, never NULL after decoding */
};
void aws_error_done(struct aws_error *e);

/*
 * Decodes an error answer: the x-amzn-ErrorType header @type goes before the body's __type; what
 * stands before '#' and after ':' is cut off. Garbage yields an empty name and an excerpt as
 * message.
 */
void aws_error_decode(const char *type, const char *body, size_t len, struct aws_error *ret);

/* Whether an answer of @status with error @name is worth another attempt. */
bool aws_error_retriable(int status, const char *name);
bool aws_error_throttling(const char *name);
