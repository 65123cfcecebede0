/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/engine/task-net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/internal.h"
#include "common/clock.h"
#include "common/digest.h"
#include "common/log.h"
#include "runtime/net/locallink.h"

#define ID_PREFIX "task-"

enum { ID_DIGITS = 32, PREFIX6 = 64 };

const char *task_net_id(const struct task *t, char *id)
{
	char hex[SHA256_HEX_MAX];

	(void) snprintf(id, TASK_NET_ID_MAX, ID_PREFIX "%.*s", ID_DIGITS,
			sha256_hex(t->arn, strlen(t->arn), hex));
	return id;
}

bool task_net_is_id(const char *id)
{
	return strncmp(id, ID_PREFIX, strlen(ID_PREFIX)) == 0;
}

static void fail(struct task *t, const char *fmt, ...) _printf_(2, 3);

static void fail(struct task *t, const char *fmt, ...)
{
	_cleanup_(freep) char *why = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&why, fmt, ap) < 0)
		why = NULL;
	va_end(ap);
	t->run->net.state = TASK_NET_FAILED;
	t->run->net.wait = linkwatch_end(t->run->net.wait);
	t->desired = TASK_STOPPED;
	t->run->save = true;
	if (!t->reason &&
	    asprintf(&t->reason, "ContainerNetworkingError: %s", why ? why : "out of memory") < 0)
		t->reason = NULL;
	task_log(LOG_ERROR, t, "Failed to set up the network of task '%s': %s", t->id,
		 why ? why : "out of memory");
	engine_touch(t->run->engine, t);
}

/* ---- the intent ---- */

/* The rows of the containers keep it: each is found by it, and each finds it again. */
static void note_address(struct task *t)
{
	for (size_t i = 0; i < t->n_containers; i++) {
		struct container *c = &t->containers[i];

		if (c->network_mode != NETWORK_AWSVPC ||
		    c->address.s_addr == t->run->net.local.s_addr)
			continue;
		c->address = t->run->net.local;
		c->run->save = true;
		t->run->engine->commit_first = true;
	}
}

static void intend(struct task *t)
{
	struct engine *e = t->run->engine;
	struct task_net *n = &t->run->net;
	_cleanup_(err_done) struct err err = {};

	if (!e->net) {
		fail(t, "networkMode: awsvpc: this host has no network of ours");
		return;
	}
	if (n->local.s_addr == 0 && net_local_take(e->net, &n->local, &err) < 0) {
		fail(t, "%s", err_text(&err));
		return;
	}
	n->state = TASK_NET_INTENDED;
}

/* For people: what it waits for. */
static const char waits_for_device[] = "the task's network interface",
		  waits_for_network[] = "the task's network";

static bool is_note(const char *note)
{
	return note == waits_for_device || note == waits_for_network;
}

bool task_net_lets(struct container *c, enum container_action action)
{
	struct task *t = c->task;

	if (t->network_mode != NETWORK_AWSVPC ||
	    (action != ACTION_PULL && action != ACTION_START && action != ACTION_RESOLVE &&
	     action != ACTION_RESTART))
		return true;
	if (t->run->net.state == TASK_NET_NONE)
		intend(t);
	if (t->run->net.local.s_addr)
		note_address(t);
	if (t->run->net.state == TASK_NET_READY) {
		if (is_note(c->waits_note))
			c->waits_note = NULL;
		return true;
	}
	if (!c->waits_note)
		c->waits_since_ms = clock_real_ms();
	c->waits_note =
		t->run->net.state == TASK_NET_WAITING ? waits_for_device : waits_for_network;
	return false;
}

/* ---- the act ---- */

/* acs.md 5.7: of IPv4 the subnet's prefix; of IPv6 64, unless there is nothing but IPv6. */
static int list_addresses(const struct task_eni *eni, struct ip_prefix **ret, size_t *ret_n)
{
	struct ip_prefix *p = calloc(eni->n_ipv4 + eni->n_ipv6 + 1, sizeof(*p));
	uint8_t prefix6 = eni->n_ipv4 == 0 && eni->prefix6 ? eni->prefix6 : PREFIX6;
	size_t n = 0;

	if (!p)
		return -ENOMEM;
	for (int secondary = 0; secondary < 2; secondary++) {
		for (size_t i = 0; i < eni->n_ipv4; i++)
			if (eni->ipv4[i].primary != (bool) secondary)
				p[n++] = (struct ip_prefix){
					{ .family = AF_INET, .v4 = eni->ipv4[i].addr }, eni->prefix4
				};
		for (size_t i = 0; i < eni->n_ipv6; i++)
			if (eni->ipv6[i].primary != (bool) secondary)
				p[n++] = (struct ip_prefix){
					{ .family = AF_INET6, .v6 = eni->ipv6[i].addr }, prefix6
				};
	}
	*ret = p;
	*ret_n = n;
	return 0;
}

static int attach_eni(struct task *t, const char *id, struct err *err)
{
	const struct task_eni *eni = t->eni;
	_cleanup_(freep) struct ip_prefix *addresses = NULL;
	struct eni_params p = {
		.vlan = eni->vlan,
		.vlan_id = eni->vlan_id,
		.gateway4 = { .family = eni->gateway4.s_addr ? AF_INET : 0, .v4 = eni->gateway4 },
		.gateway6 = { .family = eni->has_gateway6 ? AF_INET6 : 0, .v6 = eni->gateway6 },
		.block_imds = t->run->engine->config->awsvpc_block_imds
	};

	memcpy(p.mac, eni->mac, sizeof(p.mac));
	memcpy(p.trunk_mac, eni->trunk_mac, sizeof(p.trunk_mac));
	if (list_addresses(eni, &addresses, &p.n_addresses) < 0)
		return err_set(err, ENOMEM, "list addresses");
	p.addresses = addresses;
	return net_eni_attach(t->run->engine->net, id, &p, err);
}

static int64_t left_ms(const struct task *t)
{
	return MAX(t->run->net.begun_ms + t->run->engine->eni_wait_ms - clock_mono_ms(),
		   (int64_t) 1);
}

static void on_link(void *userdata, const struct linkinfo *l)
{
	struct task *t = userdata;
	struct task_net *n = &t->run->net;
	const struct task_eni *eni = t->eni;
	char mac[LINKINFO_MAC_TEXT], trunk[LINKINFO_MAC_TEXT], limit[DURATION_TEXT_MAX];

	n->wait = linkwatch_end(n->wait);
	if (l) {
		task_net_act(t);
		return;
	}
	(void) linkinfo_mac_text(eni->mac, mac);
	(void) linkinfo_mac_text(eni->trunk_mac, trunk);
	fail(t, "no network interface with the MAC address %s of %s%s appeared within %s",
	     eni->vlan ? trunk : mac, eni->vlan ? "the trunk of " : "", eni->ec2_id,
	     duration_format_ms(t->run->engine->eni_wait_ms, limit));
}

static int wait_for_device(struct task *t, struct err *err)
{
	struct engine *e = t->run->engine;
	struct task_net *n = &t->run->net;
	int k = e->linkwatch ? 0 : linkwatch_new(e->loop, &e->linkwatch, err);

	if (k < 0)
		return k;
	if (n->begun_ms == 0) {
		n->begun_ms = clock_mono_ms();
		task_log(LOG_INFO, t, "Task '%s' waits for network interface %s", t->id,
			 t->eni->ec2_id);
	}
	n->state = TASK_NET_WAITING;
	engine_touch(e, t); /* for what its containers say that they wait for */
	return linkwatch_add(e->linkwatch, t->eni->vlan ? t->eni->trunk_mac : t->eni->mac,
			     left_ms(t), on_link, t, &n->wait, err);
}

static int make(struct task *t, struct err *err)
{
	struct engine *e = t->run->engine;
	struct task_net *n = &t->run->net;
	char id[TASK_NET_ID_MAX];
	int k;

	(void) task_net_id(t, id);
	free(n->path);
	n->path = NULL;
	k = net_ns_create(e->net, id, &n->path, err);
	CRASH_POINT(TASK_NETNS_MADE);
	if (k == 0)
		k = attach_eni(t, id, err);
	if (k != 0)
		return k;
	CRASH_POINT(TASK_ENI_ATTACHED);
	k = net_local_attach(e->net, id, n->local, err);
	CRASH_POINT(TASK_LOCAL_LINK_ATTACHED);
	return k;
}

void task_net_act(struct task *t)
{
	struct task_net *n = &t->run->net;
	_cleanup_(err_done) struct err err = {};
	int k;

	if (t->desired == TASK_STOPPED)
		return;
	k = make(t, &err);
	if (k == ENI_E_ABSENT) {
		err_done(&err);
		k = wait_for_device(t, &err);
		if (k == 0)
			return;
	}
	if (k < 0) {
		fail(t, "%s: %s", t->eni->ec2_id, err_text(&err));
		return;
	}
	n->state = TASK_NET_READY;
	task_log(LOG_INFO, t, "Network interface %s of task '%s' is set up%s", t->eni->ec2_id,
		 t->id,
		 t->run->engine->config->awsvpc_block_imds
			 ? ""
			 : "; the task reaches the instance metadata service");
	engine_touch(t->run->engine, t);
}

/* ---- after a restart, and after the end ---- */

void task_net_restore(struct task *t, bool live)
{
	struct engine *e = t->run->engine;
	struct task_net *n = &t->run->net;
	_cleanup_(err_done) struct err err = {};
	char id[TASK_NET_ID_MAX];

	if (t->network_mode != NETWORK_AWSVPC || t->known == TASK_STOPPED || !e->net)
		return;
	for (size_t i = 0; i < t->n_containers && n->local.s_addr == 0; i++)
		n->local = t->containers[i].address;
	if (n->local.s_addr && net_local_restore(e->net, n->local, &err) < 0) {
		task_log(LOG_WARN, t, "Failed to keep the local address of '%s', going on: %s",
			 t->id, err_text(&err));
		if (!live) /* another one will do */
			n->local.s_addr = 0;
		err_done(&err);
	}
	/* What is there is left as it is. */
	if (live && net_ns_create(e->net, task_net_id(t, id), &n->path, &err) == 0)
		n->state = TASK_NET_READY;
	else if (live)
		task_log(LOG_WARN, t, "Failed to find the network of '%s' again, going on: %s",
			 t->id, err_text(&err));
}

static void remove_traces(struct engine *e, const char *id, struct err *err)
{
	_cleanup_(err_done) struct err second = {};

	/* Before the namespace goes: a device that stands for one would go with it. */
	if (net_eni_return(e->net, id, err) < 0)
		(void) err_wrap(err, "network interface");
	CRASH_POINT(TASK_ENI_RETURNED);
	if (net_local_detach(e->net, id, &second) < 0 && err->code == 0)
		(void) err_move(err, &second);
	err_done(&second);
	if (net_ns_remove(e->net, id, &second) < 0 && err->code == 0)
		(void) err_move(err, &second);
	CRASH_POINT(TASK_NETNS_GONE);
}

void task_net_teardown(struct task *t)
{
	struct engine *e = t->run->engine;
	struct task_net *n = &t->run->net;
	_cleanup_(err_done) struct err err = {};
	char id[TASK_NET_ID_MAX];

	n->wait = linkwatch_end(n->wait);
	if (t->network_mode != NETWORK_AWSVPC || !e->net)
		return;
	remove_traces(e, task_net_id(t, id), &err);
	if (err.code)
		task_log(LOG_WARN, t, "Failed to take the network of '%s' down, going on: %s",
			 t->id, err_text(&err));
	if (n->local.s_addr)
		net_local_release(e->net, n->local);
	n->local.s_addr = 0;
	for (size_t i = 0; i < t->n_containers; i++)
		t->containers[i].address.s_addr = 0;
	free(n->path);
	n->path = NULL;
	n->state = TASK_NET_NONE;
}

void task_net_free(struct task *t)
{
	t->run->net.wait = linkwatch_end(t->run->net.wait);
	free(t->run->net.path);
	t->run->net.path = NULL;
}

bool task_net_in_use(const struct engine *e, const char *id)
{
	char own[TASK_NET_ID_MAX];

	for (size_t i = 0; i < e->n_tasks; i++)
		if (e->tasks[i]->known != TASK_STOPPED &&
		    e->tasks[i]->network_mode == NETWORK_AWSVPC &&
		    strcmp(task_net_id(e->tasks[i], own), id) == 0)
			return true;
	return false;
}

int task_net_remove(struct engine *e, const char *id, struct err *err)
{
	_cleanup_(err_done) struct err why = {};

	remove_traces(e, id, &why);
	return why.code ? err_move(err, &why) : 0;
}
