/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netns - network namespaces kept alive by a bind mount.
 * The calling thread steps into a namespace and always comes back: when it cannot, it aborts, since
 * everything it did from then on would happen in the wrong place. Single-threaded callers only.
 */
#pragma once

#include <stdbool.h>

#include "common/err.h"

enum { NETNS_ID_MAX = 64 };

/* An id is a file name: 1..64 of [A-Za-z0-9_.-], not starting with '.'. -EINVAL. */
int netns_id_check(const char *id, struct err *err);

/* The namespace of the calling thread. Descriptor or negative errno. */
int netns_self(struct err *err);

/*
 * Makes a namespace and binds it at @path; one that is there is left alone. Loopback is up. Every
 * port number is open to unprivileged users, ping too (the defaults of Docker); IPv6 is off on
 * devices added later.
 */
int netns_create(int self_fd, const char *path, struct err *err);

/* Unbinds and unlinks; absent is fine. The kernel takes it apart later, on its own. */
int netns_remove(const char *path, struct err *err);

/* Opens @path. Descriptor, -ENOENT when there is none, -EINVAL when it is no network namespace. */
int netns_open(const char *path, struct err *err);

/* An rtnetlink socket that lives in @ns_fd. Descriptor or negative errno. */
int netns_rtnl_open(int self_fd, int ns_fd, struct err *err);

/* Calls @fn in @ns_fd; its result is the result. */
int netns_call(int self_fd, int ns_fd, int (*fn)(const void *userdata, struct err *err),
	       const void *userdata, struct err *err);

/*
 * Whether TCP connections that no process has open any more are kept up for minutes, until the other
 * side acknowledged their end (the kernel's default), or given up within a second. They keep a
 * namespace alive that is cut off already.
 */
int netns_set_linger(int self_fd, int ns_fd, bool on, struct err *err);

/*
 * Switches IPv6 on for eth0, whether it is there or still to come. It gets no address that it is not given.
 */
int netns_enable_ipv6(int self_fd, int ns_fd, struct err *err);
