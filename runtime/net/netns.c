/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "runtime/net/rtnl.h"
#include "runtime/net/sysctl.h"

#define SELF_NS "/proc/thread-self/ns/net"
#define NO_LINK_LOCAL "1" /* IN6_ADDR_GEN_MODE_NONE */

int netns_id_check(const char *id, struct err *err)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
	size_t len = strlen(id);

	if (len < 1 || len > NETNS_ID_MAX || strspn(id, allowed) != len || id[0] == '.')
		return err_set(err, EINVAL,
			       "namespace id '%.80s' is not 1..%d letters, digits, '_', '.' or '-'",
			       id, NETNS_ID_MAX);
	return 0;
}

int netns_self(struct err *err)
{
	int fd = open(SELF_NS, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? err_set_errno(err, errno, "open own network namespace") : fd;
}

static void come_back(int self_fd)
{
	if (setns(self_fd, CLONE_NEWNET) < 0) {
		log_error("Failed to return to the host's network namespace: %s", strerror(errno));
		abort();
	}
}

static bool is_namespace(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == NSFS_MAGIC;
}

static int loopback_up(struct err *err)
{
	_cleanup_(closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq r = { .ifr_name = "lo", .ifr_flags = IFF_UP };

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &r) < 0)
		return err_set_errno(err, errno, "bring up loopback");
	return 0;
}

/* Runs inside the new namespace. */
static int furnish(struct err *err)
{
	static const struct {
		const char *path, *value;
	} knobs[] = {
		{ "net/ipv4/ip_unprivileged_port_start", "0" },
		{ "net/ipv4/ping_group_range", "0\t2147483647" },
		/* A neighbour could lead traffic astray; the host itself would, when a container
		 * calls a published port of the same bridge. */
		{ "net/ipv4/conf/all/accept_redirects", "0" },
		{ "net/ipv4/conf/default/accept_redirects", "0" },
		{ "net/ipv6/conf/default/accept_ra", "0" },
		{ "net/ipv6/conf/default/accept_redirects", "0" },
		{ "net/ipv6/conf/default/disable_ipv6", "1" },
	};
	int k;

	for (size_t i = 0; i < ARRAY_SIZE(knobs); i++) {
		k = sysctl_set(knobs[i].path, knobs[i].value, true, err);
		if (k < 0)
			return k;
	}
	return loopback_up(err);
}

static int bind_self(const char *path, struct err *err)
{
	if (mount(SELF_NS, path, NULL, MS_BIND, NULL) < 0)
		return err_set_errno(err, errno, "bind network namespace at '%s'", path);
	return 0;
}

int netns_create(int self_fd, const char *path, struct err *err)
{
	_cleanup_(closep) int file = -EBADF;
	int k;

	file = open(path, O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0400);
	if (file < 0)
		return err_set_errno(err, errno, "create '%s'", path);
	if (is_namespace(file))
		return 0;
	if (unshare(CLONE_NEWNET) < 0)
		return err_set_errno(err, errno, "make network namespace");
	/* Bound last: what is bound is complete. */
	k = furnish(err);
	if (k == 0)
		k = bind_self(path, err);
	come_back(self_fd);
	if (k < 0)
		(void) unlink(path);
	return k;
}

int netns_remove(const char *path, struct err *err)
{
	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != ENOENT && errno != EINVAL)
		return err_set_errno(err, errno, "unbind network namespace '%s'", path);
	if (unlink(path) < 0 && errno != ENOENT)
		return err_set_errno(err, errno, "remove '%s'", path);
	return 0;
}

int netns_open(const char *path, struct err *err)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return err_set_errno(err, errno, "open network namespace '%s'", path);
	if (!is_namespace(fd))
		return err_set(err, EINVAL, "'%s' is not a network namespace", path);
	return TAKE_FD(fd);
}

int netns_rtnl_open(int self_fd, int ns_fd, struct err *err)
{
	int fd;

	if (setns(ns_fd, CLONE_NEWNET) < 0)
		return err_set_errno(err, errno, "enter network namespace");
	fd = rtnl_open(err);
	come_back(self_fd);
	return fd;
}

int netns_call(int self_fd, int ns_fd, int (*fn)(const void *userdata, struct err *err),
	       const void *userdata, struct err *err)
{
	int k;

	if (setns(ns_fd, CLONE_NEWNET) < 0)
		return err_set_errno(err, errno, "enter network namespace");
	k = fn(userdata, err);
	come_back(self_fd);
	return k;
}

static int set_orphan_retries(const void *value, struct err *err)
{
	return sysctl_set("net/ipv4/tcp_orphan_retries", value, true, err);
}

int netns_set_linger(int self_fd, int ns_fd, bool on, struct err *err)
{
	return netns_call(self_fd, ns_fd, set_orphan_retries, on ? "0" : "1", err);
}

/* For devices to come, and for one that is there. */
static int enable_ipv6(const void *unused, struct err *err)
{
	static const char *const devices[] = { "default", "eth0" };
	int k = 0;

	(void) unused;
	for (size_t i = 0; k == 0 && i < ARRAY_SIZE(devices); i++) {
		char path[64];

		(void) snprintf(path, sizeof(path), "net/ipv6/conf/%s/addr_gen_mode", devices[i]);
		k = sysctl_set(path, NO_LINK_LOCAL, true, err);
		(void) snprintf(path, sizeof(path), "net/ipv6/conf/%s/disable_ipv6", devices[i]);
		if (k == 0)
			k = sysctl_set(path, "0", true, err);
	}
	return k;
}

int netns_enable_ipv6(int self_fd, int ns_fd, struct err *err)
{
	return netns_call(self_fd, ns_fd, enable_ipv6, NULL, err);
}
