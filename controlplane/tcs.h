/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcs - the telemetry session of one container instance. Every frame must be signed for itself;
 * what is refused is answered with BadRequestException (the frame), InvalidParameterException (its
 * content) or AccessDeniedException (its signature) and counted. Container health goes into tasks.
 */
#pragma once

#include "controlplane/wire_state.h"

struct tcs;

enum { TCS_HEARTBEAT_SEC = 60, TCS_MAX_COMPLAINTS = 100 };

/*
 * Makes the session agent->tcs on the descriptor in @base, replacing one that is there. @url is the
 * request target of the upgrade and @host its Host, which frames are signed for.
 */
int tcs_open(struct wire_state *w, struct agent *agent, const struct ws_params *base,
	     const char *url, const char *host, struct err *err);

void tcs_end(struct tcs *s, uint16_t code, const char *reason);

/* Drops the connection and frees. NULL is fine. Always returns NULL. */
struct tcs *tcs_free(struct tcs *s);
