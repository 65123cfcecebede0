/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire - the agents' half of the control plane: signatures, ACS and TCS sessions, and the local
 * extras GET /local/telemetry and (with --fault-injection) POST /local/fault.
 */
#pragma once

#include "common/err.h"

struct controlplane;

/*
 * Loads the key file of cp->settings, and sets cp->keys, cp->wire and cp->wire_data. Call after
 * cp_init() and with cp->loop set, before server_start(). wire->stop undoes all of it. Returns 0 or
 * a negative errno with @err set.
 */
int wire_start(struct controlplane *cp, struct err *err);
