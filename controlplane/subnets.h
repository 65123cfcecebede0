/* SPDX-License-Identifier: Apache-2.0 */
/*
 * subnets - what --subnets declares: the subnets of a lab and the network interfaces in them, which
 * stand for those that EC2 would make. The form of the file is in ecs-controlplane(8).
 */
#pragma once

#include <jansson.h>

#include "common/err.h"

/*
 * Reads and checks @path: *ret is the list of subnets as written, addresses and ids checked, lists
 * that were left out empty. -EPROTO names the member at fault.
 */
int subnets_load(const char *path, json_t **ret, struct err *err);

/* The same of a text; also for tests and the fuzzer. */
int subnets_parse(const char *text, size_t len, json_t **ret, struct err *err);

/* Borrowed; NULL: no such subnet. */
const json_t *subnets_find(const json_t *subnets, const char *subnet_id);

/* Whether any subnet lists the security group. */
bool subnets_have_group(const json_t *subnets, const char *group_id);

/*
 * Interface @eni of @subnet in the form of ACS ElasticNetworkInterface; a new reference, NULL when
 * out of memory. @region is for the name of the host.
 */
json_t *subnets_acs_interface(const json_t *subnet, const json_t *eni, const char *region);
