/* SPDX-License-Identifier: Apache-2.0 */
/*
 * etcfiles - the /etc/hosts, /etc/resolv.conf and /etc/hostname that a container gets bound in.
 * Their form is Docker's, which images and libraries have met. What comes from a task is checked:
 * a name or address that could add a line of its own is refused with -EINVAL, named.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>

#include "common/err.h"
#include "common/json.h"

enum { ETCFILES_ENTRIES_MAX = 1000 }; /* extra hosts, links, resolvers, domains, options: each */

struct etcfiles_params {
	const char *dir;      /* existing directory that receives hosts, resolv.conf, hostname */
	const char *hostname; /* not NULL */
	const char *domainname;
	const char *address;           /* text; NULL: none (host and none modes) */
	const char *address6;          /* the same; NULL: no IPv6 */
	char *const *extra_hosts;      /* "name:address" */
	const struct json_pair *links; /* alias -> address text */
	size_t n_links;
	char *const *dns, *const *dns_search, *const *dns_options; /* NULL: the host's */
	const char *host_resolv_conf;                              /* "/etc/resolv.conf" */
	const char *resolved_conf; /* NULL: "/run/systemd/resolve/resolv.conf" */
	const char *host_hosts;    /* host mode: "/etc/hosts", whose lines come first; else NULL */
	bool keep_loopback_dns;    /* host network mode: a resolver on 127.0.0.0/8 is reachable */
};

/*
 * Writes the three files, each whole or not at all. Resolvers of the host that a container on the
 * bridge cannot reach (loopback, IPv6 without an address6, link-local) are left out, unless
 * keep_loopback_dns. When that leaves none,
 * those behind systemd-resolved are taken; when there are none either, resolv.conf names none and a
 * comment in it says so: asking a public resolver instead would tell it what runs here.
 */
int etcfiles_write(const struct etcfiles_params *p, struct err *err);
