/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net/resolvconf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "common/strv.h"

void resolvconf_done(struct resolvconf *r)
{
	r->nameservers = strv_free(r->nameservers);
	r->search = strv_free(r->search);
	r->options = strv_free(r->options);
}

/* What a container means by these addresses is not what the host does. */
static bool is_elsewhere(const struct in6_addr *a)
{
	return !IN6_IS_ADDR_LOOPBACK(a) && !IN6_IS_ADDR_LINKLOCAL(a) && !IN6_IS_ADDR_V4MAPPED(a) &&
	       !IN6_IS_ADDR_UNSPECIFIED(a);
}

static bool is_usable(const char *server, enum resolvconf_reach reach)
{
	struct in6_addr six;
	struct in_addr four;
	char bare[INET6_ADDRSTRLEN];
	size_t len = strcspn(server, "%"); /* fe80::1%eth0: a zone of the host's devices */

	if (inet_pton(AF_INET, server, &four) == 1)
		return reach == RESOLVCONF_ALL || ntohl(four.s_addr) >> 24 != 127;
	if (reach == RESOLVCONF_IPV4 || len >= sizeof(bare))
		return false;
	memcpy(bare, server, len);
	bare[len] = '\0';
	if (inet_pton(AF_INET6, bare, &six) != 1)
		return false;
	return reach == RESOLVCONF_ALL || (server[len] == '\0' && is_elsewhere(&six));
}

static bool is_word(const char *w)
{
	size_t i = 0;

	while (w[i] > ' ' && w[i] < 0x7f)
		i++;
	return i <= RESOLVCONF_WORD_MAX && w[i] == '\0';
}

static int add_words(char ***v, char *rest)
{
	char *save = NULL;

	for (char *w = strtok_r(rest, " \t", &save); w; w = strtok_r(NULL, " \t", &save))
		if (is_word(w) && strv_length(*v) < RESOLVCONF_ENTRIES_MAX && strv_append(v, w) < 0)
			return -ENOMEM;
	return 0;
}

static int take_line(char *line, enum resolvconf_reach reach, struct resolvconf *r)
{
	char *rest, *key = strtok_r(line, " \t\r", &rest);

	if (!key || key[0] == '#' || key[0] == ';')
		return 0;
	rest[strcspn(rest, "\r#;")] = '\0';
	if (!strcmp(key, "nameserver")) {
		char *save, *server = strtok_r(rest, " \t", &save);

		if (!server || !is_usable(server, reach) ||
		    strv_length(r->nameservers) >= RESOLVCONF_ENTRIES_MAX)
			return 0;
		return strv_append(&r->nameservers, server);
	}
	if (!strcmp(key, "search") || !strcmp(key, "domain")) {
		r->search = strv_free(r->search);
		return add_words(&r->search, rest);
	}
	if (!strcmp(key, "options"))
		return add_words(&r->options, rest);
	return 0;
}

int resolvconf_parse(const char *text, size_t len, enum resolvconf_reach reach,
		     struct resolvconf *ret, struct err *err)
{
	_cleanup_(resolvconf_done) struct resolvconf r = {};
	_cleanup_(freep) char *copy = strndup(text, len);
	char *save = NULL;

	if (!copy)
		return err_set_errno(err, ENOMEM, "read resolver configuration");
	for (char *l = strtok_r(copy, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
		if (take_line(l, reach, &r) < 0)
			return err_set_errno(err, ENOMEM, "read resolver configuration");
	*ret = r;
	r = (struct resolvconf){};
	return 0;
}

int resolvconf_read(const char *path, enum resolvconf_reach reach, struct resolvconf *ret,
		    struct err *err)
{
	_cleanup_(freep) char *text = NULL;
	_cleanup_(err_done) struct err e = {};
	size_t len = 0;
	int k;

	k = fs_read_file(AT_FDCWD, path, RESOLVCONF_BYTES_MAX, &text, &len, &e);
	if (k == -ENOENT) {
		*ret = (struct resolvconf){};
		return 0;
	}
	return k < 0 ? err_move(err, &e) : resolvconf_parse(text, len, reach, ret, err);
}
