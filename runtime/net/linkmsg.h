/* SPDX-License-Identifier: Apache-2.0 */
/* linkmsg - how rtnetlink messages are built: NULL when out of memory. For link.c, link6.c and rtmsg.c. */
#pragma once

#include <netlink/attr.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/net/rtnl.h"

/* A message with its fixed head. */
static inline struct nl_msg *link_message(int type, int flags, const void *head, size_t size)
{
	_cleanup_(nlmsg_freep) struct nl_msg *m = nlmsg_alloc_simple(type, flags);

	if (!m || nlmsg_append(m, (void *) (uintptr_t) head, size, NLMSG_ALIGNTO) < 0)
		return NULL;
	return TAKE_PTR(m);
}

/* libnl's put functions report running out of room; all of ours fit, so memory is what is short. */
#define PUT(call)                                                                                  \
	do {                                                                                       \
		if ((call) < 0)                                                                    \
			return NULL;                                                               \
	} while (0)
