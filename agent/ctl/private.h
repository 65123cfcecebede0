/* SPDX-License-Identifier: Apache-2.0 */
/* private - what the files of ctl/ know of struct ctl; nobody else includes it. */
#pragma once

#include "agent/ctl/ctl.h"
#include "aws/call.h"
#include "aws/imds.h"
#include "common/digest.h"

struct registration; /* under way; see register.c */

struct ctl {
	sd_event *event;
	const struct config *config;
	struct aws_client *ecs;
	struct imds *imds;
	void (*on_trouble)(void *userdata, const struct err *why);
	void *userdata;
	char client_token[UUID_TEXT_MAX]; /* one per process */
	char *arn, *cluster, *zone;       /* owned; never NULL */
	struct registration *registration;
	struct ctl_endpoints endpoints; /* members NULL: never discovered */
	int64_t endpoints_at_ms;        /* monotonic */
	struct aws_call *discovery;     /* the one request under way */
	struct ctl_op *ops;
};

/* Stops a registration under way. Always returns NULL. */
struct registration *registration_free(struct registration *r);
