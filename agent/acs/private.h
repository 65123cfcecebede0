/* SPDX-License-Identifier: Apache-2.0 */
/* private - what the files of acs/ and their tests know of struct acs; nobody else includes it. */
#pragma once

#include "agent/acs/acs.h"
#include "agent/ctl/session.h"

struct acs {
	struct acs_params p;
	struct session *session;
	bool was_connected; /* once in this process: credentials need not be sent again */
	int64_t last_message_ms;
	int64_t manifest_seq; /* highest seqNum or timeline seen */
	char *manifest_id;    /* owned; of the manifest whose stops are being verified */
	/* How answers leave; takes the reference to @message. Tests put their own here. */
	int (*send)(struct acs *a, const char *type, json_t *message, struct err *err);
};

int acs_send_frame(struct acs *a, const char *type, json_t *message, struct err *err);

/* Owned; NULL when out of memory. */
char *acs_url(const char *endpoint, const char *cluster, const char *instance_arn,
	      bool send_credentials);

/*
 * Handles one message and sends what it is answered with. Returns 0, also for types nobody knows,
 * or a negative errno: then nothing was acknowledged.
 */
int acs_dispatch(struct acs *a, const char *type, const json_t *message, struct err *err);

/* What nearly every message has, for acs_require(). */
extern const char *const acs_common_members[];

/* -EPROTO names the first of @keys (NULL ends them) that is no string in @m, or empty. */
int acs_require(const json_t *m, const char *const *keys, struct err *err);
int acs_send_ack(struct acs *a, const json_t *m, struct err *err);

/* attach.c: AttachTask- and AttachInstanceNetworkInterfacesMessage, ConfirmAttachmentMessage. */
int acs_on_attach_task(struct acs *a, const json_t *m, struct err *err);
int acs_on_attach_instance(struct acs *a, const json_t *m, struct err *err);
int acs_on_attach_volume(struct acs *a, const json_t *m, struct err *err);
