/* SPDX-License-Identifier: Apache-2.0 */
/* conntrack - flows that the kernel remembers. */
#pragma once

#include <stdint.h>

/*
 * @nfnl: a socket of rtnl_open_netfilter(). Forgets the UDP flows towards local port @port, so that the
 * next datagram of each is judged anew: a flow is never idle while its sender keeps sending, and keeps
 * its destination all that time. Where the kernel does not track connections there is nothing to do.
 */
void conntrack_forget_udp(int nfnl, uint16_t port);
