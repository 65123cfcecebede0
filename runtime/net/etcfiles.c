/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net/etcfiles.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/fs.h"
#include "common/strv.h"
#include "runtime/net/resolvconf.h"

enum { FILE_BYTES_MAX = 1024 * 1024, HOST_NAME_BYTES_MAX = 253, WORD_BYTES_MAX = 253 };

static const char localhost_lines[] = "127.0.0.1\tlocalhost\n"
				      "::1\tlocalhost ip6-localhost ip6-loopback\n"
				      "fe00::\tip6-localnet\n"
				      "ff00::\tip6-mcastprefix\n"
				      "ff02::1\tip6-allnodes\n"
				      "ff02::2\tip6-allrouters\n";

static int check_name(const char *what, const char *name, size_t len, struct err *err)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";

	if (len < 1 || len > HOST_NAME_BYTES_MAX || strspn(name, allowed) < len)
		return err_set(err, EINVAL,
			       "%s '%.*s' is not 1..%d letters, digits, '_', '.' or '-'", what,
			       (int) MIN(len, (size_t) 80), name, HOST_NAME_BYTES_MAX);
	return 0;
}

static int check_address(const char *what, const char *text, struct err *err)
{
	struct in6_addr addr;

	if (inet_pton(AF_INET, text, &addr) != 1 && inet_pton(AF_INET6, text, &addr) != 1)
		return err_set(err, EINVAL, "%s: '%.64s' is not an IP address", what, text);
	return 0;
}

/* A word that stands between blanks on one line. */
static int check_word(const char *what, const char *word, struct err *err)
{
	size_t len = strlen(word), i = 0;

	while (i < len && word[i] > ' ' && word[i] < 0x7f)
		i++;
	if (len < 1 || len > WORD_BYTES_MAX || i < len)
		return err_set(err, EINVAL, "%s '%.80s' is not 1..%d printable characters", what,
			       word, WORD_BYTES_MAX);
	return 0;
}

static int check_count(const char *what, size_t n, struct err *err)
{
	if (n > ETCFILES_ENTRIES_MAX)
		return err_set(err, E2BIG, "%zu %s are more than %d", n, what,
			       ETCFILES_ENTRIES_MAX);
	return 0;
}

/* "name:address"; an IPv6 address may stand in brackets. */
static int put_extra_host(struct buf *b, const char *entry, struct err *err)
{
	_cleanup_(freep) char *addr = NULL;
	const char *colon = strchr(entry, ':');
	size_t len;
	int k;

	if (!colon)
		return err_set(err, EINVAL, "extra host '%.80s' is not name:address", entry);
	k = check_name("extra host", entry, (size_t) (colon - entry), err);
	if (k < 0)
		return k;
	len = strlen(colon + 1);
	if (len >= 2 && colon[1] == '[' && colon[len] == ']')
		addr = strndup(colon + 2, len - 2);
	else
		addr = strdup(colon + 1);
	if (!addr)
		return err_set_errno(err, ENOMEM, "write hosts");
	k = check_address("extra host", addr, err);
	if (k < 0)
		return k;
	buf_printf(b, "%s\t%.*s\n", addr, (int) (colon - entry), entry);
	return 0;
}

static int put_links(struct buf *b, const struct etcfiles_params *p, struct err *err)
{
	int k = check_count("links", p->n_links, err);

	for (size_t i = 0; k == 0 && i < p->n_links; i++) {
		k = check_name("link", p->links[i].key, strlen(p->links[i].key), err);
		if (k == 0)
			k = check_address("link", p->links[i].value, err);
		if (k == 0)
			buf_printf(b, "%s\t%s\n", p->links[i].value, p->links[i].key);
	}
	return k;
}

static bool has_domain(const struct etcfiles_params *p)
{
	return p->domainname && p->domainname[0];
}

static void put_name_of(struct buf *b, const char *address, const struct etcfiles_params *p)
{
	if (has_domain(p))
		buf_printf(b, "%s\t%s.%s %s\n", address, p->hostname, p->domainname, p->hostname);
	else
		buf_printf(b, "%s\t%s\n", address, p->hostname);
}

static int put_own_name(struct buf *b, const struct etcfiles_params *p, struct err *err)
{
	int k = check_name("hostname", p->hostname, strlen(p->hostname), err);

	if (k == 0 && has_domain(p))
		k = check_name("domain name", p->domainname, strlen(p->domainname), err);
	if (k == 0 && p->address)
		k = check_address("container address", p->address, err);
	if (k == 0 && p->address6)
		k = check_address("container address", p->address6, err);
	if (k < 0 || !p->address)
		return k;
	put_name_of(b, p->address, p);
	if (p->address6)
		put_name_of(b, p->address6, p);
	return 0;
}

static int put_first_hosts(struct buf *b, const char *host_hosts, struct err *err)
{
	_cleanup_(freep) char *text = NULL;
	_cleanup_(err_done) struct err e = {};
	size_t len = 0;
	int k = -ENOENT;

	if (host_hosts)
		k = fs_read_file(AT_FDCWD, host_hosts, FILE_BYTES_MAX / 2, &text, &len, &e);
	if (k == -ENOENT) {
		buf_puts(b, localhost_lines);
		return 0;
	}
	if (k < 0)
		return err_move(err, &e);
	buf_append(b, text, len);
	if (len > 0 && text[len - 1] != '\n')
		buf_puts(b, "\n");
	return 0;
}

static int make_hosts(struct buf *b, const struct etcfiles_params *p, struct err *err)
{
	int k = put_first_hosts(b, p->host_hosts, err);

	if (k == 0)
		k = check_count("extra hosts", strv_length(p->extra_hosts), err);
	for (size_t i = 0; k == 0 && p->extra_hosts && p->extra_hosts[i]; i++)
		k = put_extra_host(b, p->extra_hosts[i], err);
	if (k == 0)
		k = put_links(b, p, err);
	return k < 0 ? k : put_own_name(b, p, err);
}

/* What the host says, or what stands behind its local resolver. */
static int read_host(const struct etcfiles_params *p, struct resolvconf *ret, struct err *err)
{
	const char *behind =
		p->resolved_conf ? p->resolved_conf : "/run/systemd/resolve/resolv.conf";
	_cleanup_(resolvconf_done) struct resolvconf r = {};
	enum resolvconf_reach reach = p->keep_loopback_dns ? RESOLVCONF_ALL
				      : p->address6        ? RESOLVCONF_BOTH
							   : RESOLVCONF_IPV4;
	int k = resolvconf_read(p->host_resolv_conf, reach, ret, err);

	if (k < 0 || strv_length(ret->nameservers) > 0)
		return k;
	if (resolvconf_read(behind, reach, &r, NULL) < 0)
		return 0;
	ret->nameservers = strv_free(ret->nameservers);
	ret->nameservers = TAKE_PTR(r.nameservers);
	return 0;
}

static int put_list(struct buf *b, const char *key, const char *what, char *const *words,
		    struct err *err)
{
	int k = check_count(what, strv_length(words), err);

	if (k < 0 || strv_length(words) == 0)
		return k;
	buf_puts(b, key);
	for (size_t i = 0; words[i]; i++) {
		k = check_word(what, words[i], err);
		if (k < 0)
			return k;
		buf_printf(b, " %s", words[i]);
	}
	buf_puts(b, "\n");
	return 0;
}

static int put_servers(struct buf *b, char *const *servers, struct err *err)
{
	int k = check_count("DNS servers", strv_length(servers), err);

	for (size_t i = 0; k == 0 && servers && servers[i]; i++) {
		k = check_word("DNS server", servers[i], err);
		if (k == 0)
			buf_printf(b, "nameserver %s\n", servers[i]);
	}
	if (k == 0 && strv_length(servers) == 0)
		buf_puts(b, "# The host has no resolver that can be reached from here.\n");
	return k;
}

/* A single "." asks for no search list at all. */
static bool is_no_search(char *const *search)
{
	return strv_length(search) == 1 && !strcmp(search[0], ".");
}

static int make_resolv_conf(struct buf *b, const struct etcfiles_params *p, struct err *err)
{
	_cleanup_(resolvconf_done) struct resolvconf host = {};
	char *const *search;
	int k;

	for (size_t i = 0; p->dns && p->dns[i]; i++) {
		k = check_address("DNS server", p->dns[i], err);
		if (k < 0)
			return k;
	}
	k = read_host(p, &host, err);
	if (k < 0)
		return k;
	k = put_servers(b, strv_length(p->dns) > 0 ? p->dns : host.nameservers, err);
	search = strv_length(p->dns_search) > 0 ? p->dns_search : host.search;
	if (k == 0 && !is_no_search(search))
		k = put_list(b, "search", "search domain", search, err);
	if (k == 0)
		k = put_list(b, "options", "resolver option",
			     strv_length(p->dns_options) > 0 ? p->dns_options : host.options, err);
	return k;
}

static int put_file(int dir, const char *name, const struct buf *b, struct err *err)
{
	if (b->failed)
		return err_set(err, ENOMEM, "%s: out of memory, or more than %d bytes", name,
			       FILE_BYTES_MAX);
	return fs_write_file_volatile(dir, name, buf_str(b), b->len, 0644, err);
}

int etcfiles_write(const struct etcfiles_params *p, struct err *err)
{
	_cleanup_(buf_done) struct buf hosts = { .max_bytes = FILE_BYTES_MAX };
	_cleanup_(buf_done) struct buf resolv = { .max_bytes = FILE_BYTES_MAX };
	_cleanup_(buf_done) struct buf hostname = { .max_bytes = FILE_BYTES_MAX };
	_cleanup_(closep) int dir = -EBADF;
	int k;

	k = make_hosts(&hosts, p, err);
	if (k == 0)
		k = make_resolv_conf(&resolv, p, err);
	if (k < 0)
		return k;
	buf_printf(&hostname, "%s\n", p->hostname);
	dir = open(p->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_set_errno(err, errno, "open '%s'", p->dir);
	k = put_file(dir, "hosts", &hosts, err);
	if (k == 0)
		k = put_file(dir, "resolv.conf", &resolv, err);
	if (k == 0)
		k = put_file(dir, "hostname", &hostname, err);
	return k;
}
