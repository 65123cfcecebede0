/* SPDX-License-Identifier: Apache-2.0 */
/* register - the pure half of registration: what is sent, and what an error answer means. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "common/err.h"

struct config;
struct host_facts;
struct imds_identity;

struct register_input {
	const struct config *config;
	const struct host_facts *facts;
	const struct imds_identity *identity; /* NULL, or members NULL: none */
	const char *cluster;
	const char *saved_arn; /* NULL: first registration */
	const char *client_token;
};

/* The request and, apart, the attributes in it. New references. */
int register_build(const struct register_input *in, json_t **ret, json_t **ret_attributes,
		   struct err *err);

enum register_step {
	REGISTER_CREATE_CLUSTER,
	REGISTER_RETRY,
	REGISTER_TERMINAL, /* exit 5 */
	REGISTER_FAILED,   /* exit 1 */
};

/*
 * @status 0: nobody answered. @may_create: the cluster is
 * the default one and was not created yet.
 */
enum register_step register_judge(int status, const char *error, const char *message,
				  bool retriable, bool has_arn, bool may_create);
