/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/eni.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/digest.h"
#include "common/json.h"
#include "common/log.h"
#include "controlplane/arn.h"
#include "controlplane/controlplane.h"
#include "controlplane/instance_expr.h"
#include "controlplane/param.h"
#include "controlplane/store.h"
#include "controlplane/subnets.h"

enum { REQUEST_SUBNETS_MAX = 16, REQUEST_GROUPS_MAX = 5 };

#define TYPE "ElasticNetworkInterface"

/* ---- what a request may ask for ---- */

static int check_subnets(struct controlplane *cp, const json_t *config, const json_t **ret,
			 struct api_error *e)
{
	const json_t *v;
	size_t i;

	if (param_list(config, "subnets", JSON_STRING, 1000, ret, e) < 0)
		return -1;
	if (json_array_size(*ret) == 0)
		return api_fail(e, "InvalidParameterException", "subnets can not be empty.");
	if (json_array_size(*ret) > REQUEST_SUBNETS_MAX)
		return api_fail(e, "InvalidParameterException",
				"subnets can have at most %d items.", REQUEST_SUBNETS_MAX);
	json_array_foreach(*ret, i, v)
		if (!subnets_find(cp->subnets, json_string_value(v)))
			return api_fail(e, "InvalidParameterException",
					"Error retrieving subnet information for [%.64s]: The "
					"subnet ID '%.64s' does not exist (ErrorCode: "
					"InvalidSubnetID.NotFound)",
					json_string_value(v), json_string_value(v));
	return 0;
}

static int check_groups(struct controlplane *cp, const json_t *config, struct api_error *e)
{
	const json_t *list = NULL, *v;
	size_t i;

	if (param_list(config, "securityGroups", JSON_STRING, 1000, &list, e) < 0)
		return -1;
	if (json_array_size(list) > REQUEST_GROUPS_MAX)
		return api_fail(e, "InvalidParameterException",
				"securityGroups can have at most %d items.", REQUEST_GROUPS_MAX);
	json_array_foreach(list, i, v)
		if (!subnets_have_group(cp->subnets, json_string_value(v)))
			return api_fail(e, "InvalidParameterException",
					"Error retrieving security group information for [%.64s]: "
					"The security group '%.64s' does not exist (ErrorCode: "
					"InvalidGroup.NotFound)",
					json_string_value(v), json_string_value(v));
	return 0;
}

int eni_check_request(struct controlplane *cp, const json_t *in, const json_t *td,
		      const json_t **ret, struct api_error *e)
{
	static const char *const choices[] = { "ENABLED", "DISABLED", NULL };
	const json_t *given = NULL, *config = NULL;
	const char *public_ip = NULL;

	if (param_object(in, "networkConfiguration", &given, e) < 0)
		return -1;
	if (strcmp(json_get_string(td, "networkMode", ""), "awsvpc") != 0)
		return given ? api_fail(e, "InvalidParameterException",
					"Network Configuration is not valid for the given "
					"networkMode of this task definition.")
			     : 0;
	if (!given)
		return api_fail(e, "InvalidParameterException",
				"Network Configuration must be provided when networkMode 'awsvpc' "
				"is specified.");
	if (param_object(given, "awsvpcConfiguration", &config, e) < 0)
		return -1;
	if (!config)
		return api_fail(e, "InvalidParameterException",
				"awsvpcConfiguration can not be empty.");
	if (param_choice(config, "assignPublicIp", choices, "DISABLED", &public_ip, e) < 0)
		return -1;
	if (strcmp(public_ip, "ENABLED") == 0)
		return api_fail(e, "InvalidParameterException",
				"Assign public IP is not supported for this launch type.");
	return check_subnets(cp, config, ret, e) < 0 ? -1 : check_groups(cp, config, e);
}

/* ---- who gets which ---- */

static int fits(struct controlplane *cp, const json_t *instance, const json_t *eni, bool *ret,
		struct err *err)
{
	const char *expression = json_get_string(eni, "instances", NULL);
	bool taken = false;
	int k;

	*ret = true;
	if (expression) {
		k = instance_expr_match(cp, instance, expression, ret, err);
		if (k < 0)
			return err_wrap(err, "network interface '%s': instances",
					json_get_string(eni, "networkInterfaceId", ""));
	}
	if (!*ret)
		return 0;
	k = store_eni_is_taken(cp->store, json_get_string(eni, "networkInterfaceId", ""), &taken,
			       err);
	*ret = !taken;
	return k;
}

static int find_free(struct controlplane *cp, const json_t *instance, const json_t *ids,
		     const json_t **ret_subnet, const json_t **ret_eni, struct err *err)
{
	const json_t *id, *eni;
	size_t i, j;

	*ret_subnet = *ret_eni = NULL;
	json_array_foreach(ids, i, id) {
		const json_t *subnet = subnets_find(cp->subnets, json_string_value(id));

		json_array_foreach(json_object_get(subnet, "networkInterfaces"), j, eni) {
			bool ok = false;
			int k = fits(cp, instance, eni, &ok, err);

			if (k < 0)
				return k;
			if (!ok)
				continue;
			*ret_subnet = subnet;
			*ret_eni = eni;
			return 0;
		}
	}
	return 0;
}

int eni_is_free(struct controlplane *cp, const json_t *instance, const json_t *subnets, bool *ret,
		struct err *err)
{
	const json_t *subnet, *eni;
	int k = find_free(cp, instance, subnets, &subnet, &eni, err);

	*ret = eni != NULL;
	return k;
}

static const char *first_address(const json_t *acs, const char *list, const char *key)
{
	return json_get_string(json_array_get(json_object_get(acs, list), 0), key, NULL);
}

static void add_detail(json_t *list, const char *name, const char *value)
{
	if (value)
		(void) json_array_append_new(list,
					     json_pack("{s:s, s:s}", "name", name, "value", value));
}

static json_t *attachment(const char *id, const char *subnet_id, const json_t *acs)
{
	json_t *details = json_array();

	add_detail(details, "subnetId", subnet_id);
	add_detail(details, "networkInterfaceId", json_get_string(acs, "ec2Id", NULL));
	add_detail(details, "macAddress", json_get_string(acs, "macAddress", NULL));
	add_detail(details, "privateDnsName", json_get_string(acs, "privateDnsName", NULL));
	add_detail(details, "privateIPv4Address",
		   first_address(acs, "ipv4Addresses", "privateAddress"));
	add_detail(details, "ipv6Address", first_address(acs, "ipv6Addresses", "address"));
	return json_pack("{s:s, s:s, s:s, s:o}", "id", id, "type", TYPE, "status", "PRECREATED",
			 "details", details);
}

/* Every container of the task is on the interface. */
static void show_in_containers(json_t *task, const char *id, const json_t *acs)
{
	json_t *c;
	size_t i;

	json_array_foreach(json_object_get(task, "containers"), i, c)
		(void) json_object_set_new(
			c, "networkInterfaces",
			json_pack("[{s:s, s:s*, s:s*}]", "attachmentId", id, "privateIpv4Address",
				  first_address(acs, "ipv4Addresses", "privateAddress"),
				  "ipv6Address", first_address(acs, "ipv6Addresses", "address")));
}

int eni_give(struct controlplane *cp, const json_t *instance, const json_t *subnets, json_t *task,
	     struct err *err)
{
	const json_t *subnet = NULL, *eni = NULL;
	json_auto_t *acs = NULL;
	char id[UUID_TEXT_MAX];
	int k = find_free(cp, instance, subnets, &subnet, &eni, err);

	if (k < 0)
		return k;
	if (!eni)
		return err_set(err, ENOENT, "no network interface is free");
	acs = subnets_acs_interface(subnet, eni, cp->settings.region);
	if (!acs ||
	    json_object_set_new(acs, "attachmentArn",
				json_sprintf("arn:aws:ecs:%s:%s:attachment/%s", cp->settings.region,
					     cp->settings.account, random_uuid(id))) < 0)
		return err_set(err, ENOMEM, "give a network interface");
	(void) json_object_set_new(
		task, "attachments",
		json_pack("[o]", attachment(id, json_get_string(subnet, "subnetId", ""), acs)));
	(void) json_object_set_new(task, "lastStatus", json_string("PROVISIONING"));
	show_in_containers(task, id, acs);
	return store_eni_take(cp->store, json_get_string(eni, "networkInterfaceId", ""),
			      json_get_string(task, "taskArn", ""), acs, err);
}

/* ---- what agents say ---- */

static json_t *find_attachment(const json_t *task, const char *arn)
{
	json_t *a;
	size_t i;

	json_array_foreach(json_object_get(task, "attachments"), i, a)
		if (strcmp(json_get_string(a, "id", ""), arn_last(arn)) == 0)
			return a;
	return NULL;
}

int eni_merge_reported(json_t *task, const json_t *list, struct api_error *e)
{
	bool stopped = strcmp(json_get_string(task, "lastStatus", ""), "STOPPED") == 0;
	const json_t *v;
	size_t i;

	json_array_foreach(list, i, v) {
		const char *arn = json_get_string(v, "attachmentArn", "");
		const char *status = json_get_string(v, "status", "");
		json_t *a = find_attachment(task, arn);

		if (!a)
			return api_fail(e, "InvalidParameterException",
					"The task has no attachment '%.255s'.", arn);
		if (stopped)
			continue; /* a late report of how it was before */
		(void) json_object_set_new(a, "status", json_string(status));
		if (strcmp(status, "ATTACHED") == 0 &&
		    strcmp(json_get_string(task, "lastStatus", ""), "PROVISIONING") == 0)
			(void) json_object_set_new(task, "lastStatus", json_string("PENDING"));
		log_info("Attachment '%s' is %s", arn, status);
	}
	return 0;
}

void eni_set_status(json_t *task, const char *status)
{
	json_t *a;
	size_t i;

	json_array_foreach(json_object_get(task, "attachments"), i, a)
		(void) json_object_set_new(a, "status", json_string(status));
}

static int apply_one(struct controlplane *cp, const json_t *change, struct api_error *e)
{
	const char *arn = json_get_string(change, "attachmentArn", "");
	json_auto_t *task = NULL, *list = json_pack("[O]", change);
	_cleanup_(err_done) struct err err = {};
	char *task_arn = NULL;
	int k = store_eni_task_of(cp->store, arn, &task_arn, &err);

	if (k == 0)
		k = store_task_get(cp->store, task_arn, &task, &err);
	free(task_arn);
	if (k < 0)
		return api_fail_server(e, &err);
	if (k > 0) /* one that was not handed out here, or whose task is gone */
		return api_fail(e, "InvalidParameterException",
				"The attachment '%.255s' does not exist.", arn);
	if (eni_merge_reported(task, list, e) < 0)
		return -1;
	return store_task_put(cp->store, task, &err) < 0 ? api_fail_server(e, &err) : 0;
}

int eni_apply_attachment_changes(struct controlplane *cp, const json_t *in, struct api_error *e)
{
	const json_t *a;
	size_t i;

	json_array_foreach(json_object_get(in, "attachments"), i, a)
		if (apply_one(cp, a, e) < 0)
			return -1;
	return 0;
}
