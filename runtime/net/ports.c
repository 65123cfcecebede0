/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "common/clock.h"
#include "runtime/net/conntrack.h"
#include "runtime/net/host6.h"
#include "runtime/net/internal.h"
#include "runtime/net/nftelem.h"
#include "runtime/net/ruleset.h"

static int check(const struct port_binding *b, struct err *err)
{
	if (b->proto != IPPROTO_TCP && b->proto != IPPROTO_UDP)
		return err_set(err, EINVAL,
			       "protocol %d of container port %u is neither tcp nor udp", b->proto,
			       b->container_port);
	if (b->container_port == 0)
		return err_set(err, EINVAL, "container port 0 is outside 1..65535");
	return 0;
}

static int check_all(const struct port_binding *b, size_t n_b, struct err *err)
{
	int k;

	for (size_t i = 0; i < n_b; i++) {
		k = check(&b[i], err);
		if (k < 0)
			return k;
	}
	return 0;
}

size_t port_binding_range(const struct port_binding *b, size_t n_b)
{
	size_t n = 1;

	while (n < n_b && b[0].range != 0 && b[n].range == b[0].range && b[n].proto == b[0].proto &&
	       b[n].container_port == b[0].container_port + n)
		n++;
	return n;
}

/* The first of @b, with those that are a range with it; *@ret_n: how many these are. */
static int hold_chosen(struct net *n, const struct port_binding *b, size_t n_b, uint16_t *held,
		       size_t *ret_n, struct err *err)
{
	uint16_t first = 0;
	int k;

	*ret_n = port_binding_range(b, n_b);
	if (*ret_n == 1)
		return porttab_hold_any(&n->ports, b->proto, clock_mono_ms(), held, err);
	k = porttab_hold_block(&n->ports, b->proto, (uint16_t) *ret_n, clock_mono_ms(), &first,
			       err);
	for (size_t i = 0; k == 0 && i < *ret_n; i++)
		held[i] = (uint16_t) (first + i);
	return k;
}

/* Fixed ports before dynamic ones, so that no choice of ours takes what the same task asks for. */
static int hold_all(struct net *n, const struct port_binding *b, size_t n_b, uint16_t *held,
		    struct err *err)
{
	int k;

	for (size_t i = 0; i < n_b; i++) {
		if (b[i].host_port == 0)
			continue;
		k = porttab_hold(&n->ports, b[i].proto, b[i].host_port, err);
		if (k != 0)
			return k;
		held[i] = b[i].host_port;
	}
	for (size_t i = 0, done; i < n_b; i += done) {
		done = 1;
		k = b[i].host_port == 0 ? hold_chosen(n, b + i, n_b - i, held + i, &done, err) : 0;
		if (k != 0)
			return k;
	}
	return 0;
}

int net_ports_hold(struct net *n, struct port_binding *b, size_t n_b, struct err *err)
{
	_cleanup_(freep) uint16_t *held = calloc(n_b + 1, sizeof(*held));
	int k;

	if (!held)
		return err_set_errno(err, ENOMEM, "hold host ports");
	k = check_all(b, n_b, err);
	if (k < 0)
		return k;
	k = hold_all(n, b, n_b, held, err);
	for (size_t i = 0; i < n_b; i++) {
		if (k == 0)
			b[i].host_port = held[i];
		else if (held[i] != 0)
			porttab_drop(&n->ports, b[i].proto, held[i]);
	}
	return k;
}

/* The table is as it should be, and its sister is made so: this is how they look. */
static int note_ruleset(struct net *n, struct err *err)
{
	struct ruleset_print print;
	int k = n->guarded ? net_assert_guard(n, err) : 0;

	if (k == 0)
		k = local_assert(n, err);
	if (k < 0)
		return k;
	k = ruleset_fingerprint(n->nfnl, &print, &n->generation, err);
	/* What somebody has removed since then is not how it should look: the next look puts it back. */
	n->fingerprint = k == 0 && print.inet && (print.bridge || !n->guarded) ? print.hash : 0;
	return k;
}

static struct nft_element element(const struct net *n, struct in_addr addr, uint16_t host_port,
				  uint16_t container_port, uint8_t proto)
{
	return (struct nft_element){ addr, host_port, container_port, proto,
				     net6_address(&n->nft_params.six, addr) };
}

static bool is_published(struct net *n, const struct nft_element *e, bool six)
{
	const struct held_port *h = porttab_find(&n->ports, e->proto, e->host_port);
	struct nft_element own;

	if (!h || !h->published || h->container_port != e->container_port)
		return false;
	own = element(n, h->addr, h->port, h->container_port, h->proto);
	return six ? IN6_ARE_ADDR_EQUAL(&own.addr6, &e->addr6) : own.addr.s_addr == e->addr.s_addr;
}

static size_t list_published(const struct net *n, struct nft_element *e)
{
	size_t n_e = 0;

	for (size_t i = 0; i < n->ports.n; i++) {
		const struct held_port *h = &n->ports.v[i];

		if (h->published)
			e[n_e++] = element(n, h->addr, h->port, h->container_port, h->proto);
	}
	return n_e;
}

/* As many transactions as it takes. */
static int change_many(struct net *n, bool add, const struct nft_element *e, size_t n_e,
		       struct err *err)
{
	int k = 0;

	for (size_t i = 0; k == 0 && i < n_e; i += NFTELEM_MAX)
		k = nftelem_change(n->nfnl, add, e + i, MIN(n_e - i, (size_t) NFTELEM_MAX), err);
	return k;
}

/* Takes out of a map what does not belong there. */
static int clean_map(struct net *n, bool six, struct err *err)
{
	_cleanup_(freep) struct nft_element *e = NULL;
	size_t n_e = 0, wrong = 0;
	int k = nftelem_list(n->nfnl, six, &e, &n_e, err);

	for (size_t i = 0; k == 0 && i < n_e; i++) {
		if (is_published(n, &e[i], six))
			continue;
		e[wrong] = e[i];
		if (six) /* wherever it leads: that tells which map is meant, and nothing else */
			e[wrong++].addr6 = in6addr_loopback;
		else
			e[wrong++].addr.s_addr = htonl(INADDR_LOOPBACK);
	}
	return k < 0 ? k : change_many(n, false, e, wrong, err);
}

/* @text makes the table. What is right in the maps is not touched, and serves all the time. */
static int assert_text(struct net *n, const struct buf *text, const struct nft_element *e,
		       size_t n_e, struct err *err)
{
	int k = nft_run(n->nft, text, err);

	if (k == 0)
		k = clean_map(n, false, err);
	if (k == 0 && n->nft_params.six.prefix_len > 0)
		k = clean_map(n, true, err);
	return k < 0 ? k : change_many(n, true, e, n_e, err);
}

/* The whole table as it should be. */
static int assert_table(struct net *n, struct err *err)
{
	_cleanup_(freep) struct nft_element *e = calloc(n->ports.n + 1, sizeof(*e));
	_cleanup_(buf_done) struct buf text = {}, anew = {};
	_cleanup_(err_done) struct err first = {};
	size_t n_e;
	int k;

	if (!e)
		return err_set_errno(err, ENOMEM, "write nftables commands");
	n_e = list_published(n, e);
	nft_text_table(&text, &n->nft_params);
	if (assert_text(n, &text, e, n_e, &first) == 0)
		return note_ruleset(n, err);
	/* The table is there in a form that ours does not fit into. */
	nft_text_remove(&anew);
	nft_text_table(&anew, &n->nft_params);
	k = assert_text(n, &anew, e, n_e, err);
	return k < 0 ? k : note_ruleset(n, err);
}

int net_reassert(struct net *n, struct err *err)
{
	return assert_table(n, err);
}

int net_monitor_fd(const struct net *n)
{
	return n->monitor;
}

void net_monitor_drain(struct net *n)
{
	ruleset_monitor_drain(n->monitor);
}

static size_t count_published(const struct net *n)
{
	size_t published = 0;

	for (size_t i = 0; i < n->ports.n; i++)
		published += n->ports.v[i].published;
	return published;
}

/* A map holds exactly what was published. */
static int check_map(struct net *n, bool six, struct err *err)
{
	_cleanup_(freep) struct nft_element *e = NULL;
	size_t n_e = 0;
	int k = nftelem_list(n->nfnl, six, &e, &n_e, err);

	if (k < 0)
		return k;
	for (size_t i = 0; i < n_e; i++)
		if (!is_published(n, &e[i], six))
			return NET_E_RESTORED;
	return n_e == count_published(n) ? 0 : NET_E_RESTORED;
}

static int check_elements(struct net *n, struct err *err)
{
	int k = check_map(n, false, err);

	return k == 0 && n->nft_params.six.prefix_len > 0 ? check_map(n, true, err) : k;
}

/* NET_E_RESTORED: something is to be restored. */
static int check_ruleset(struct net *n, struct err *err)
{
	struct ruleset_print print;
	uint32_t generation;
	int k = ruleset_generation(n->nfnl, &generation, err);

	if (k < 0 || (n->fingerprint && generation == n->generation))
		return k;
	k = ruleset_fingerprint(n->nfnl, &print, &generation, err);
	if (k < 0)
		return k;
	if (!n->fingerprint || print.hash != n->fingerprint)
		return NET_E_RESTORED;
	k = check_elements(n, err);
	if (k == 0)
		n->generation = generation;
	return k;
}

/* Somebody else's knob decides whether ::1 can be served. */
static int follow_br_netfilter(struct net *n, struct err *err)
{
	bool works = host6_reaches_loopback();
	int k;

	if (n->nft_params.six.prefix_len == 0 || works == n->nft_params.loopback6)
		return 0;
	n->nft_params.loopback6 = works;
	k = assert_table(n, err);
	if (k < 0)
		n->nft_params.loopback6 = !works; /* tried again */
	return k;
}

int net_check(struct net *n, bool thorough, struct err *err)
{
	int k;

	ruleset_monitor_drain(n->monitor);
	k = thorough ? follow_br_netfilter(n, err) : 0;
	if (k == 0)
		k = check_ruleset(n, err);
	if (k == NET_E_RESTORED) {
		int r = assert_table(n, err);

		k = r < 0 ? r : k;
	}
	if (k >= 0 && thorough) {
		int r = net_set_sysctls(n, err);

		k = r < 0 ? r : k;
	}
	return k;
}

/* Puts elements in or takes them out; the transaction is counted as our own. */
static int change_elements(struct net *n, bool add, const struct nft_element *e, size_t n_e)
{
	int k = nftelem_change(n->nfnl, add, e, n_e, NULL);

	if (k == 0 && n_e > 0)
		n->generation++, n->firewall.generation++;
	return k;
}

/* Datagrams of flows that began before the change would go on to where they went. */
static void forget_flows(struct net *n, const struct nft_element *e, size_t n_e)
{
	for (size_t i = 0; i < n_e; i++)
		if (e[i].proto == IPPROTO_UDP)
			conntrack_forget_udp(n->nfnl, e[i].host_port);
}

static void note(struct held_port *h, const struct nft_element *e)
{
	h->published = true;
	h->addr = e->addr;
	h->container_port = e->container_port;
}

/* The elements go in; when the table is not what we left behind it is put right with them. */
static int publish(struct net *n, const struct nft_element *e, size_t n_e, struct err *err)
{
	int k = change_elements(n, true, e, n_e);

	for (size_t i = 0; i < n_e; i++)
		note(porttab_find(&n->ports, e[i].proto, e[i].host_port), &e[i]);
	if (k < 0)
		k = assert_table(n, err);
	if (k < 0)
		for (size_t i = 0; i < n_e; i++)
			porttab_find(&n->ports, e[i].proto, e[i].host_port)->published = false;
	else
		forget_flows(n, e, n_e);
	return k;
}

int net_ports_publish(struct net *n, struct in_addr addr, const struct port_binding *b, size_t n_b,
		      struct err *err)
{
	_cleanup_(freep) struct nft_element *e = calloc(n_b + 1, sizeof(*e));
	int k;

	if (!e)
		return err_set_errno(err, ENOMEM, "publish host ports");
	k = check_all(b, n_b, err);
	if (k < 0)
		return k;
	for (size_t i = 0; i < n_b; i++) {
		if (!porttab_find(&n->ports, b[i].proto, b[i].host_port))
			return err_set(err, EINVAL, "host port %u/%s is not held", b[i].host_port,
				       porttab_proto_name(b[i].proto));
		e[i] = element(n, addr, b[i].host_port, b[i].container_port, b[i].proto);
	}
	k = publish(n, e, n_b, err);
	return k < 0 ? err_wrap(err, "publish host ports towards %s", inet_ntoa(addr)) : 0;
}

/* Takes published elements out; those of a table that has lost them count as taken out. */
static int withdraw(struct net *n, const struct nft_element *e, size_t n_e, struct err *err)
{
	int k = change_elements(n, false, e, n_e);

	for (size_t i = 0; i < n_e; i++)
		porttab_find(&n->ports, e[i].proto, e[i].host_port)->published = false;
	if (k < 0)
		k = assert_table(n, err);
	if (k < 0)
		for (size_t i = 0; i < n_e; i++)
			note(porttab_find(&n->ports, e[i].proto, e[i].host_port), &e[i]);
	else
		forget_flows(n, e, n_e);
	return k;
}

int net_ports_release(struct net *n, const struct port_binding *b, size_t n_b, struct err *err)
{
	_cleanup_(freep) struct nft_element *e = calloc(n_b + 1, sizeof(*e));
	size_t n_e = 0;
	int k;

	if (!e)
		return err_set_errno(err, ENOMEM, "release host ports");
	for (size_t i = 0; i < n_b; i++) {
		const struct held_port *h = porttab_find(&n->ports, b[i].proto, b[i].host_port);

		if (h && h->published)
			e[n_e++] = element(n, h->addr, h->port, h->container_port, h->proto);
	}
	k = withdraw(n, e, n_e, err);
	if (k < 0)
		return err_wrap(err, "withdraw host ports");
	for (size_t i = 0; i < n_b; i++)
		porttab_release(&n->ports, b[i].proto, b[i].host_port, clock_mono_ms());
	return 0;
}

void net_ports_rest(struct net *n, const struct port_binding *b, size_t n_b)
{
	for (size_t i = 0; i < n_b; i++)
		porttab_rest(&n->ports, b[i].proto, b[i].host_port, clock_mono_ms());
}

static bool is_wanted(const struct held_port *h, const struct net_published *p, size_t n_p)
{
	for (size_t i = 0; i < n_p; i++)
		if (p[i].binding.host_port == h->port && p[i].binding.proto == h->proto)
			return true;
	return false;
}

int net_ports_restore(struct net *n, const struct net_published *p, size_t n_p, struct err *err)
{
	int k;

	for (size_t i = 0; i < n_p; i++) {
		k = check(&p[i].binding, err);
		if (k < 0)
			return k;
		if (p[i].binding.host_port == 0)
			return err_set(err, EINVAL, "host port 0 cannot be published");
	}
	for (size_t i = n->ports.n; i-- > 0;)
		if (!is_wanted(&n->ports.v[i], p, n_p))
			porttab_release(&n->ports, n->ports.v[i].proto, n->ports.v[i].port,
					clock_mono_ms());
	for (size_t i = 0; i < n_p; i++) {
		const struct port_binding *b = &p[i].binding;
		struct nft_element e =
			element(n, p[i].addr, b->host_port, b->container_port, b->proto);

		k = porttab_adopt(&n->ports, b->proto, b->host_port, err);
		if (k < 0)
			return k;
		note(porttab_find(&n->ports, b->proto, b->host_port), &e);
	}
	k = assert_table(n, err);
	return k < 0 ? err_wrap(err, "restore published host ports") : 0;
}
