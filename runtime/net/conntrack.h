/* SPDX-License-Identifier: Apache-2.0 */
/* conntrack - flows that the kernel remembers. */
#pragma once

#include <stdint.h>

/*
 * @nfnl: a socket of rtnl_open_netfilter(). Forgets the UDP flows towards local port @port, so that the next datagram of each is judged
 * anew: a flow is never idle while its sender keeps sending, and keeps its destination all that
 * time. Kernels before 5.8 cannot select flows like this and refuse; then old flows end with their
 * timeout.
 */
void conntrack_forget_udp(int nfnl, uint16_t port);
