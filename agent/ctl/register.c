/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registration: identity document -> RegisterContainerInstance -> check of the echo. What may pass
 * is tried again for an hour; a missing default cluster is created; the rest is the caller's exit
 * code.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/config.h"
#include "agent/ctl/capabilities.h"
#include "agent/ctl/private.h"
#include "agent/ctl/register.h"
#include "common/backoff.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/macro.h"
#include "common/strv.h"

enum { TRY_FOR_MS = 3600 * 1000, FACT_BYTES_MAX = 256 };

enum fact { FACT_OUTPOST, FACT_MAC, FACT_VPC, FACT_SUBNET, _FACT_MAX };

struct registration {
	struct ctl *ctl;
	char *saved_arn; /* owned; NULL: first registration */
	struct host_facts facts;
	/* owned; what the instance metadata service says, in the order of questions[]; NULL: nothing */
	char *told[_FACT_MAX];
	int question;
	struct imds_identity identity;
	json_t *attributes; /* as sent */
	struct backoff backoff;
	int64_t until_ms; /* monotonic */
	bool cluster_created;
	struct aws_call *call;
	struct imds_request *imds_request;
	sd_event_source *timer;
	ctl_register_fn fn;
	void *userdata;
};

static int send_registration(struct registration *r, struct err *err);

struct registration *registration_free(struct registration *r)
{
	if (!r)
		return NULL;
	(void) aws_call_cancel(r->call);
	(void) imds_cancel(r->imds_request);
	(void) sd_event_source_disable_unref(r->timer);
	imds_identity_done(&r->identity);
	json_decref(r->attributes);
	for (size_t i = 0; i < _FACT_MAX; i++)
		free(r->told[i]);
	free(r->saved_arn);
	free(r);
	return NULL;
}

static void finish(struct registration *r, enum ctl_register_outcome outcome, const struct err *err)
{
	struct ctl *c = r->ctl;
	ctl_register_fn fn = r->fn;
	void *userdata = r->userdata;
	struct ctl_registration result = {
		.outcome = outcome,
		.container_instance_arn = c->arn,
		.cluster = c->cluster,
		.availability_zone = c->zone,
	};

	c->registration = registration_free(r);
	fn(userdata, &result, err);
}

static void fail(struct registration *r, const struct err *err)
{
	finish(r, CTL_REGISTER_FAILED, err);
}

enum register_step register_judge(int status, const char *error, const char *message,
				  bool retriable, bool has_arn, bool may_create)
{
	if (may_create && !has_arn &&
	    (strcmp(error, "ClusterNotFoundException") == 0 ||
	     (status != 0 && strstr(message, "Cluster not found."))))
		return REGISTER_CREATE_CLUSTER;
	if (strcmp(error, "InvalidParameterException") == 0 ||
	    strcmp(error, "ClientException") == 0)
		return REGISTER_TERMINAL;
	if (has_arn && strstr(message, "Container instance type changes are not supported."))
		return REGISTER_TERMINAL;
	return retriable ? REGISTER_RETRY : REGISTER_FAILED;
}

static int on_retry(sd_event_source *s, uint64_t usec, void *userdata)
{
	_cleanup_(err_done) struct err err = {};
	struct registration *r = userdata;

	(void) s, (void) usec;
	if (send_registration(r, &err) < 0)
		fail(r, &err);
	return 0;
}

static void retry(struct registration *r, const struct err *why)
{
	_cleanup_(err_done) struct err err = {};
	int64_t delay = backoff_next_ms(&r->backoff);
	int k;

	if (clock_mono_ms() + delay > r->until_ms) {
		fail(r, why);
		return;
	}
	log_warn("Failed to register, retrying in %lld ms: %s", (long long) delay, err_text(why));
	if (r->ctl->on_trouble)
		r->ctl->on_trouble(r->ctl->userdata, why);
	r->timer = sd_event_source_disable_unref(r->timer);
	k = sd_event_add_time_relative(r->ctl->event, &r->timer, CLOCK_MONOTONIC,
				       (uint64_t) delay * USEC_PER_MSEC, 10000, on_retry, r);
	if (k < 0) {
		(void) err_set_errno(&err, -k, "registration timer");
		fail(r, &err);
	}
}

static void on_cluster(void *userdata, const struct aws_result *result, const struct err *call_err)
{
	_cleanup_(err_done) struct err err = {};
	struct registration *r = userdata;
	const char *name;

	r->call = NULL;
	if (call_err->code) {
		fail(r, call_err);
		return;
	}
	name = json_get_string(json_object_get(result->body, "cluster"), "clusterName", "");
	if (*name && strdup_to(&r->ctl->cluster, name) == 0) {
		log_info("Created cluster '%s'", name);
		if (send_registration(r, &err) == 0)
			return;
	} else {
		(void) err_set(&err, EPROTO, "CreateCluster: cluster.clusterName: missing");
	}
	fail(r, &err);
}

static int create_cluster(struct registration *r, struct err *err)
{
	json_auto_t *body = json_pack("{s:s}", "clusterName", r->ctl->cluster);
	_cleanup_(freep) char *text = body ? json_to_text(body) : NULL;

	if (!text)
		return err_set(err, ENOMEM, "CreateCluster");
	r->cluster_created = true;
	return aws_call(r->ctl->ecs, "CreateCluster", text, NULL, on_cluster, r, &r->call, err);
}

static int take_answer(struct registration *r, const json_t *body, struct err *err)
{
	const json_t *instance = json_object_get(body, "containerInstance"), *a, *echoed;
	const char *arn = json_get_string(instance, "containerInstanceArn", "");
	struct ctl *c = r->ctl;
	size_t i;

	if (!*arn)
		return err_set(err, EPROTO,
			       "RegisterContainerInstance: "
			       "containerInstance.containerInstanceArn: missing");
	echoed = json_object_get(instance, "attributes");
	if (attributes_check_echo(r->attributes, echoed, err) < 0)
		return -EPROTO;
	json_array_foreach((json_t *) echoed, i, a) {
		const char *zone = json_get_string(a, "value", "");

		if (strcmp(json_get_string(a, "name", ""), "ecs.availability-zone") == 0 &&
		    strdup_to(&c->zone, zone) < 0)
			return err_set(err, ENOMEM, "RegisterContainerInstance");
	}
	return strdup_to(&c->arn, arn) < 0 ? err_set(err, ENOMEM, "RegisterContainerInstance") : 0;
}

static void on_registered(void *userdata, const struct aws_result *result,
			  const struct err *call_err)
{
	_cleanup_(err_done) struct err err = {};
	struct registration *r = userdata;

	r->call = NULL;
	if (!call_err->code) {
		int k = take_answer(r, result->body, &err);

		finish(r, k == 0 ? CTL_REGISTERED : CTL_REGISTER_TERMINAL, &err);
		return;
	}
	switch (register_judge(result->status, result->error, result->message, result->retriable,
			       r->saved_arn != NULL,
			       r->ctl->config->cluster_is_default && !r->cluster_created)) {
	case REGISTER_CREATE_CLUSTER:
		if (create_cluster(r, &err) < 0)
			fail(r, &err);
		break;
	case REGISTER_RETRY:
		retry(r, call_err);
		break;
	case REGISTER_TERMINAL:
		finish(r, CTL_REGISTER_TERMINAL, call_err);
		break;
	case REGISTER_FAILED:
		fail(r, call_err);
		break;
	}
}

static json_t *tags_build(const struct config *c)
{
	json_t *list = json_array();

	for (size_t i = 0; i < c->n_instance_tags; i++)
		(void) json_array_append_new(list,
					     json_pack("{s:s, s:s}", "key", c->instance_tags[i].key,
						       "value", c->instance_tags[i].value));
	return list;
}

static json_t *devices_build(char *const *gpus)
{
	json_t *list = json_array();

	for (; gpus && *gpus; gpus++)
		(void) json_array_append_new(list,
					     json_pack("{s:s, s:s}", "id", *gpus, "type", "GPU"));
	return list;
}

int register_build(const struct register_input *in, json_t **ret, json_t **ret_attributes,
		   struct err *err)
{
	json_auto_t *attributes = NULL, *resources = NULL, *body = NULL;
	const struct imds_identity *id = in->identity;
	int k = capabilities_build(in->config, in->facts, !in->saved_arn, &attributes, err);

	if (k == 0)
		k = resources_build(in->config, in->facts, &resources, err);
	if (k < 0)
		return k;
	body = json_pack(
		"{s:s, s:O, s:s, s:s, s:O, s:s}", "cluster", in->cluster, "attributes", attributes,
		"instanceIdentityDocument", id && id->document ? id->document : "",
		"instanceIdentityDocumentSignature", id && id->signature ? id->signature : "",
		"totalResources", resources, "clientToken", in->client_token);
	if (body && in->saved_arn)
		(void) json_object_set_new(body, "containerInstanceArn",
					   json_string(in->saved_arn));
	if (body && in->config->gpu_support)
		(void) json_object_set_new(body, "platformDevices",
					   devices_build(in->config->gpus.ids));
	if (body && in->config->n_instance_tags)
		(void) json_object_set_new(body, "tags", tags_build(in->config));
	if (!body)
		return err_set(err, ENOMEM, "build registration");
	*ret = json_incref(body);
	*ret_attributes = json_incref(attributes);
	return 0;
}

static int send_registration(struct registration *r, struct err *err)
{
	const struct register_input in = {
		.config = r->ctl->config,
		.facts = &r->facts,
		.identity = &r->identity,
		.cluster = r->ctl->cluster,
		.saved_arn = r->saved_arn,
		.client_token = r->ctl->client_token,
	};
	json_auto_t *body = NULL, *attributes = NULL;
	_cleanup_(freep) char *text = NULL;
	int k = register_build(&in, &body, &attributes, err);

	if (k < 0)
		return k;
	text = json_to_text(body);
	if (!text)
		return err_set(err, ENOMEM, "RegisterContainerInstance");
	json_decref(r->attributes);
	r->attributes = json_incref(attributes);
	return aws_call(r->ctl->ecs, "RegisterContainerInstance", text, NULL, on_registered, r,
			&r->call, err);
}

/* ---- what else the instance metadata service knows ---- */

#define MACS "latest/meta-data/network/interfaces/macs/"

/* The MAC of the primary interface stands between the two. What has no answer is left out. */
static const struct {
	const char *before, *after;
} questions[_FACT_MAX] = {
	[FACT_OUTPOST] = { "latest/meta-data/outpost-arn", "" },
	[FACT_MAC] = { "latest/meta-data/mac", "" },
	[FACT_VPC] = { MACS, "/vpc-id" },
	[FACT_SUBNET] = { MACS, "/subnet-id" },
};

static int ask(struct registration *r, struct err *err);

static void on_answer(void *userdata, const char *data, size_t len, const struct err *imds_err)
{
	_cleanup_(err_done) struct err err = {};
	struct registration *r = userdata;

	(void) imds_err;
	r->imds_request = NULL;
	if (data && len > 0 && len < FACT_BYTES_MAX)
		r->told[r->question] = strndup(data, len);
	r->question++;
	if (ask(r, &err) < 0)
		fail(r, &err);
}

/* The MAC becomes part of a path. */
static bool is_mac(const char *s)
{
	return s && strspn(s, "0123456789abcdefABCDEF:") == strlen(s);
}

static int take_facts(struct registration *r, struct err *err)
{
	r->facts.outpost_arn = r->told[FACT_OUTPOST];
	r->facts.vpc_id = r->told[FACT_VPC];
	r->facts.subnet_id = r->told[FACT_SUBNET];
	return send_registration(r, err);
}

/* Where the instance is matters to tasks that get an interface of their own there. */
static int ask(struct registration *r, struct err *err)
{
	const struct ctl *c = r->ctl;
	char path[FACT_BYTES_MAX + 128];

	if (r->question == _FACT_MAX || (r->question > FACT_OUTPOST && !c->config->task_eni) ||
	    (r->question > FACT_MAC && !is_mac(r->told[FACT_MAC])))
		return take_facts(r, err);
	(void) snprintf(path, sizeof(path), "%s%s%s", questions[r->question].before,
			r->question > FACT_MAC ? r->told[FACT_MAC] : "",
			questions[r->question].after);
	return imds_get_once(c->imds, path, on_answer, r, &r->imds_request, err);
}

static void on_identity(void *userdata, const struct imds_identity *id, const struct err *imds_err)
{
	_cleanup_(err_done) struct err err = {};
	struct ctl *c = userdata;
	struct registration *r = c->registration;
	int k;

	if (!r)
		return;
	if (!id) {
		log_info("Registering without an instance identity document: %s",
			 err_text(imds_err));
		k = send_registration(r, &err);
	} else if (imds_identity_decode(id->document, strlen(id->document), &r->identity, &err) <
			   0 ||
		   strdup_to(&r->identity.signature, id->signature) < 0) {
		k = err.code ? -err.code : err_set(&err, ENOMEM, "instance identity");
	} else {
		k = ask(r, &err);
	}
	if (k < 0)
		fail(r, &err);
}

int ctl_register(struct ctl *c, const char *saved_arn, ctl_register_fn fn, void *userdata,
		 struct err *err)
{
	struct registration *r;
	int k;

	if (c->registration)
		return err_set(err, EBUSY, "a registration is under way");
	r = calloc(1, sizeof(*r));
	if (!r)
		return err_set(err, ENOMEM, "allocate registration");
	*r = (struct registration){ .ctl = c, .fn = fn, .userdata = userdata };
	r->backoff = (struct backoff){ 3000, 192000, 0.2, 2, 0 };
	r->until_ms = clock_mono_ms() + TRY_FOR_MS;
	k = host_facts_read(&r->facts, err);
	if (k == 0 && saved_arn && *saved_arn && strdup_to(&r->saved_arn, saved_arn) < 0)
		k = err_set(err, ENOMEM, "allocate registration");
	c->registration = r;
	if (k == 0)
		k = c->imds && !c->config->external
			    ? imds_get_identity(c->imds, on_identity, c, err)
			    : send_registration(r, err);
	if (k < 0)
		c->registration = registration_free(r);
	return k;
}
