/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net/host6.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "runtime/net/sysctl.h"

#define CONF "net/ipv6/conf/"

enum { PATH_BYTES = 300 };

int host6_check(struct err *err)
{
	if (access("/proc/sys/" CONF "all", F_OK) < 0)
		return err_set(err, EAFNOSUPPORT, "this kernel has no IPv6");
	if (sysctl_is(CONF "all/disable_ipv6", "1"))
		return err_set(err, EAFNOSUPPORT,
			       "net.ipv6.conf.all.disable_ipv6 switches IPv6 off");
	return 0;
}

static int set(const char *device, const char *knob, const char *value, bool optional,
	       struct err *err)
{
	char path[PATH_BYTES];

	(void) snprintf(path, sizeof(path), CONF "%s/%s", device, knob);
	return sysctl_set(path, value, optional, err);
}

int host6_set_bridge(const char *bridge, bool on, struct err *err)
{
	int k = set(bridge, "accept_ra", "0", true, err);

	return k < 0 ? k : set(bridge, "disable_ipv6", on ? "0" : "1", !on, err);
}

static bool listens(const char *device)
{
	char path[PATH_BYTES];

	(void) snprintf(path, sizeof(path), CONF "%s/accept_ra", device);
	return sysctl_is(path, "1");
}

int host6_forward(const char *bridge, struct err *err)
{
	_cleanup_(closedirp) DIR *d = NULL;
	const struct dirent *e;
	int k = 0;

	if (sysctl_is(CONF "all/forwarding", "1"))
		return 0;
	d = opendir("/proc/sys/" CONF);
	/* "default" is left alone: devices to come are for whoever makes them. */
	while (d && k == 0 && (e = readdir(d)))
		if (e->d_name[0] != '.' && strcmp(e->d_name, "all") != 0 &&
		    strcmp(e->d_name, "default") != 0 && strcmp(e->d_name, bridge) != 0 &&
		    listens(e->d_name))
			k = set(e->d_name, "accept_ra", "2", true, err);
	return k < 0 ? k : set("all", "forwarding", "1", false, err);
}

bool host6_reaches_loopback(void)
{
	return !sysctl_is("net/bridge/bridge-nf-call-ip6tables", "1");
}
