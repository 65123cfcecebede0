/* SPDX-License-Identifier: Apache-2.0 */
/*
 * introspection - what the reference agent serves on port 51678, and /metrics.
 * Read only. Bound to the loopback and the bridge's own address, so that neither a firewall rule
 * nor luck keeps it from the network; or to every address of either family, when told so. A port that somebody else holds is tried again for ever.
 */
#pragma once

#include <netinet/in.h>
#include <systemd/sd-event.h>

#include "agent/http/server.h"
#include "agent/http/view.h"

struct introspection;

struct introspection_params {
	sd_event *loop;
	const struct agent_view *view; /* kept by address */
	const struct in_addr *addrs;   /* to listen on, as listener_new() has it */
	size_t n_addrs;
	uint16_t port;
};

int introspection_new(const struct introspection_params *p, struct introspection **ret,
		      struct err *err);
struct introspection *introspection_free(struct introspection *i);
DEFINE_CLEANUP(struct introspection *, introspection_free)

/* The answer to one request; for tests. @taskarn and @dockerid may be NULL. */
void introspection_answer(const struct agent_view *v, const char *method, const char *path,
			  const char *taskarn, const char *dockerid, struct http_reply *r);

/* The text of /license. */
const char *license_text(void);
