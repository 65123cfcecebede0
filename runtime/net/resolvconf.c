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

static bool is_usable(const char *server, bool reachable_only)
{
	struct in6_addr six;
	struct in_addr four;
	char bare[INET6_ADDRSTRLEN];
	size_t len = strcspn(server, "%"); /* fe80::1%eth0: a zone of the host's devices */

	if (inet_pton(AF_INET, server, &four) == 1)
		return !reachable_only || ntohl(four.s_addr) >> 24 != 127;
	if (reachable_only || len >= sizeof(bare))
		return false;
	memcpy(bare, server, len);
	bare[len] = '\0';
	return inet_pton(AF_INET6, bare, &six) == 1;
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

static int take_line(char *line, bool reachable_only, struct resolvconf *r)
{
	char *rest, *key = strtok_r(line, " \t\r", &rest);

	if (!key || key[0] == '#' || key[0] == ';')
		return 0;
	rest[strcspn(rest, "\r#;")] = '\0';
	if (!strcmp(key, "nameserver")) {
		char *save, *server = strtok_r(rest, " \t", &save);

		if (!server || !is_usable(server, reachable_only) ||
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

int resolvconf_parse(const char *text, size_t len, bool reachable_only, struct resolvconf *ret,
		     struct err *err)
{
	_cleanup_(resolvconf_done) struct resolvconf r = {};
	_cleanup_(freep) char *copy = strndup(text, len);
	char *save = NULL;

	if (!copy)
		return err_set_errno(err, ENOMEM, "read resolver configuration");
	for (char *l = strtok_r(copy, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
		if (take_line(l, reachable_only, &r) < 0)
			return err_set_errno(err, ENOMEM, "read resolver configuration");
	*ret = r;
	r = (struct resolvconf){};
	return 0;
}

int resolvconf_read(const char *path, bool reachable_only, struct resolvconf *ret, struct err *err)
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
	return k < 0 ? err_move(err, &e) : resolvconf_parse(text, len, reachable_only, ret, err);
}
