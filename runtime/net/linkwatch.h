/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linkwatch - tells when a network interface with a given hardware address is there.
 * A device may come before or after somebody asks for it, be hot-plugged late, and bear a zero
 * address at first. So the devices are looked through when somebody asks, the kernel's events
 * (RTNLGRP_LINK) tell of what comes or changes, and every 30 s, or when events were lost, all are
 * looked through again. Costs nothing while nobody waits. Loop thread only.
 */
#pragma once

#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "runtime/net/linkinfo.h"

struct linkwatch;
struct linkwatch_wait;

/* Watches the namespace of the calling thread. */
int linkwatch_new(sd_event *loop, struct linkwatch **ret, struct err *err);

/* All waits of it have to be ended before. NULL is fine. Always returns NULL. */
struct linkwatch *linkwatch_free(struct linkwatch *w);
DEFINE_CLEANUP(struct linkwatch *, linkwatch_free)

/* @l: the device, borrowed for the call. NULL: it was not there in time. */
typedef void (*linkwatch_fn)(void *userdata, const struct linkinfo *l);

/*
 * Calls @fn once, from the loop and never before this returns: when linkinfo_is_interface() and @mac
 * agree with a device, or after @timeout_ms (0: without end). The same address may be waited for by several.
 * The wait is the caller's and has to be ended by linkwatch_end(), in @fn or any time before or after.
 */
int linkwatch_add(struct linkwatch *w, const uint8_t mac[ETH_ALEN], int64_t timeout_ms,
		  linkwatch_fn fn, void *userdata, struct linkwatch_wait **ret, struct err *err);

/* NULL is fine. Always returns NULL. */
struct linkwatch_wait *linkwatch_end(struct linkwatch_wait *q);
