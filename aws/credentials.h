/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credentials - the AWS keys this host signs with, from the first source of the chain that has
 * some: static (configuration, environment), the rotating shared file, the instance role (IMDSv2),
 * or none at all (requests go out unsigned: a local control plane takes them). Loop thread only.
 * Keys are never logged and are wiped when freed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "common/err.h"

struct imds;

struct aws_keys {
	char *access_key_id;     /* owned */
	char *secret_access_key; /* owned, secret */
	char *session_token;     /* owned, secret; NULL for long-term keys */
	int64_t expires_ms;      /* wall clock; 0: never */
};

/* Wipes and empties. */
void aws_keys_done(struct aws_keys *k);
/* Deep copy. Returns 0 or -ENOMEM, leaving @dst empty. */
int aws_keys_copy(struct aws_keys *dst, const struct aws_keys *src);

/*
 * Decodes the answer of IMDS security-credentials/ROLE: Code, AccessKeyId, SecretAccessKey, Token,
 * Expiration. Returns 0 or -EPROTO naming the member.
 */
int aws_keys_decode_imds(const char *data, size_t len, struct aws_keys *ret, struct err *err);

/*
 * Reads @profile out of a shared credentials file's text. Returns 0, -ENOENT when the profile is
 * not there, -EPROTO when it lacks a key.
 */
int aws_keys_parse_shared(const char *text, const char *profile, struct aws_keys *ret,
			  struct err *err);

/*
 * How long to wait, after @now_ms, before keys that end at @expires_ms are fetched again: ahead of
 * their end by 5 minutes and up to 5 more of @jitter_ms; at once (0) when that has passed.
 */
int64_t aws_keys_refresh_in_ms(int64_t now_ms, int64_t expires_ms, int64_t jitter_ms);

struct aws_credentials;
struct aws_credentials_request;

struct aws_credentials_params {
	sd_event *event;
	const char *access_key_id; /* static keys; NULL or "": none */
	const char *secret_access_key;
	const char *session_token;
	const char *shared_file; /* NULL: not consulted */
	const char *profile;     /* NULL: "default" */
	struct imds *imds;       /* borrowed; NULL: not asked */
	bool shared_before_imds; /* external instances; otherwise the file is the last resort */
};

int aws_credentials_new(const struct aws_credentials_params *p, struct aws_credentials **ret,
			struct err *err);
struct aws_credentials *aws_credentials_free(struct aws_credentials *c);
DEFINE_CLEANUP(struct aws_credentials *, aws_credentials_free)

/*
 * @keys is borrowed for the call; NULL with @err empty: no source has any, go unsigned. With @err
 * set a source that should have keys could not be reached.
 */
typedef void (*aws_credentials_fn)(void *userdata, const struct aws_keys *keys,
				   const struct err *err);

/* Calls back from the loop, or at once when the answer is at hand (*ret is NULL then). */
int aws_credentials_get(struct aws_credentials *c, aws_credentials_fn fn, void *userdata,
			struct aws_credentials_request **ret, struct err *err);
struct aws_credentials_request *aws_credentials_cancel(struct aws_credentials_request *r);

/* The keys as they are now, or NULL: not fetched yet, or none at all. */
const struct aws_keys *aws_credentials_current(const struct aws_credentials *c);
/* Where those are from, for people: "settings", "instance role", "shared file"; "" without any. */
const char *aws_credentials_source(const struct aws_credentials *c);

/* Forgets fetched keys: the next get asks the source again. */
void aws_credentials_invalidate(struct aws_credentials *c);
