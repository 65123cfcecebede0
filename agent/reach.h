/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reach - whether this host can speak to the services it needs: proxies, credentials, the ECS endpoint and what
 * it answers, the hosts of the two sessions, ECR and CloudWatch Logs where they are used, the clock beside the
 * service's, the range of dynamic ports. Asks over connections of its own, so that names are resolved and TLS
 * is spoken anew. Loop thread only; nothing blocks and one deadline ends it all. Only reads.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "common/err.h"

struct aws_credentials;
struct config;
struct reach;

enum { REACH_DEADLINE_MS = 20 * 1000 };

struct reach_params {
	sd_event *loop;
	const struct config *config;         /* borrowed; outlives the check */
	struct aws_credentials *credentials; /* borrowed, likewise */
	const char *cluster;
	const char *container_instance_arn; /* "" before the registration */
	bool uses_ecr, uses_logs;           /* beside what the settings name */
	int64_t deadline_ms;                /* 0: REACH_DEADLINE_MS */
	const char *root;                   /* put before /proc; NULL: "" */
};

/*
 * @list: [{"check", "level", "ok", "found", "advice"}], the callback's. "level" is "ok", "warn" (goes on, but is
 * not as it should be) or "bad"; "ok" is false for the last alone; without "ok" "advice" says what to do.
 * NULL when out of memory.
 */
typedef void (*reach_fn)(void *userdata, json_t *list);

/* Calls back from the loop, once; *ret is valid until then. */
int reach_start(const struct reach_params *p, reach_fn fn, void *userdata, struct reach **ret,
		struct err *err);
/* No callback after this. NULL is fine. Always returns NULL. */
struct reach *reach_cancel(struct reach *r);

/* ---- of reach-host.c: a row each, a new reference ---- */

enum reach_level { REACH_OK, REACH_WARN, REACH_BAD };

json_t *reach_row(const char *check, enum reach_level level, const char *advice, const char *fmt,
		  ...) __attribute__((format(printf, 4, 5)));
/* Proxies that are in force, without the passwords in them. */
json_t *reach_proxies(const struct config *c);
/* ECS_DYNAMIC_HOST_PORT_RANGE beside the ports that the kernel gives outgoing connections. */
json_t *reach_ports(const struct config *c, const char *root);
/* @skew_ms: the service's time minus ours. */
json_t *reach_clock(int64_t skew_ms);
