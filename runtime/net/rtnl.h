/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtnl - one exchange with the kernel's routing netlink, several requests in one packet.
 * Messages are built with libnl; sending is ours, since libnl folds errno values together and keeps
 * the kernel's own words ("extended ack") to itself. rtnetlink answers before sendmsg() returns, so
 * nothing here waits.
 */
#pragma once

#include <netlink/msg.h>
#include <stddef.h>

#include "common/cleanup.h"
#include "common/err.h"

static inline void nlmsg_freep(struct nl_msg **m)
{
	if (*m)
		nlmsg_free(*m);
}

/* A socket in the network namespace of the calling thread. Descriptor or negative errno. */
int rtnl_open(struct err *err);

/*
 * The same for netfilter, which answers as promptly. Keep it open: closing it makes the kernel wait
 * until what was removed through any such socket is freed, some 10 ms.
 */
int rtnl_open_netfilter(struct err *err);

/*
 * Sends @n messages (at most 20) and reads their acks. Each is tried even when an earlier one
 * failed; the first error is returned. A NULL message counts as one that could not be allocated:
 * -ENOMEM.
 */
int rtnl_call(int fd, struct nl_msg *const *msgs, size_t n, struct err *err);

/* The same for a transaction of nftables: its first and last message are frames, and not answered. */
int rtnl_batch(int fd, struct nl_msg *const *msgs, size_t n, struct err *err);

/* Sends @msg and puts the first message of the answer into @reply (@size bytes, aligned). */
int rtnl_query(int fd, struct nl_msg *msg, void *reply, size_t size, struct err *err);

/*
 * Sends @msg as a dump and calls @fn with each message of the answer; what @fn returns below 0 is returned,
 * once all were read.
 */
int rtnl_dump(int fd, struct nl_msg *msg, int (*fn)(struct nlmsghdr *h, void *userdata),
	      void *userdata, struct err *err);
