/* SPDX-License-Identifier: Apache-2.0 */
/*
 * payload-eni-values - the single values of elasticNetworkInterfaces[], as json_decode() wants them. What
 * passes may go into netlink, resolv.conf and hosts as it is. All return 0, or -EPROTO with @err set.
 */
#pragma once

#include "common/err.h"
#include "common/json.h"

/* "0a:1b:…", in either case, into uint8_t[6]. One that no single interface can have is refused. */
int eni_decode_mac(const json_t *value, void *dst, const struct json_field *f, struct err *err);

/* Into a struct in_addr; one that an interface may have. */
int eni_decode_v4(const json_t *value, void *dst, const struct json_field *f, struct err *err);

/* Into a struct in6_addr; likewise. */
int eni_decode_v6(const json_t *value, void *dst, const struct json_field *f, struct err *err);

/* "10.0.0.1/24" into gateway4 and prefix4 of the struct task_eni @dst. "" is nothing. */
int eni_decode_gateway4(const json_t *value, void *dst, const struct json_field *f,
			struct err *err);

/* "fe80::1" or "fe80::1/64" into gateway6, has_gateway6 and prefix6 of @dst. "" is nothing. */
int eni_decode_gateway6(const json_t *value, void *dst, const struct json_field *f,
			struct err *err);

/* Into a char *: it is written into files that are read line by line and word by word. */
int eni_decode_dns_name(const json_t *value, void *dst, const struct json_field *f,
			struct err *err);

/* Into a string vector: none is empty. */
int eni_decode_domains(const json_t *value, void *dst, const struct json_field *f, struct err *err);

/* Into a string vector: addresses of either family. */
int eni_decode_servers(const json_t *value, void *dst, const struct json_field *f, struct err *err);

/* Into a bool: vlan. -ENOTSUP: one that does not occur on container instances. */
int eni_decode_protocol(const json_t *value, void *dst, const struct json_field *f,
			struct err *err);

/* Into a uint16_t. The model has it as a string. */
int eni_decode_vlan_id(const json_t *value, void *dst, const struct json_field *f, struct err *err);
