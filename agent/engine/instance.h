/* SPDX-License-Identifier: Apache-2.0 */
/*
 * instance - what is known of the host as an EC2 instance, for the metadata of its tasks. Each is ""
 * until it is known, and where it never will be.
 */
#pragma once

enum { INSTANCE_TEXT_MAX = 256 };

struct instance_facts {
	char cluster[INSTANCE_TEXT_MAX], arn[INSTANCE_TEXT_MAX]; /* of the container instance */
	char zone[64], zone_id[64], vpc_id[64];
	char private_ipv4[16], public_ipv4[16], ipv6[46];
	char mac[32]; /* of the primary interface */
};
