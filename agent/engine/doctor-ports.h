/* SPDX-License-Identifier: Apache-2.0 */
/* doctor-ports - the elements of the nftables map of host ports, for the doctor. */
#pragma once

#include "common/err.h"

struct engine;

/* Their names, such as "tcp 8080 to 10.88.0.2:80"; appends to *ret. */
int doctor_list_ports(struct engine *e, char ***ret);

/* Whether a container that has not ended publishes just that. */
bool doctor_port_belongs(const struct engine *e, const char *name);

/* -EBUSY: it is there again, so the agent itself holds to it. */
int doctor_remove_port(struct engine *e, const char *name, struct err *err);
