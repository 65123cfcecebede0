/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net/linkwatch.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/macro.h"
#include "runtime/net/rtnl.h"

enum { SCAN_MS = 30000, EVENT_BYTES = 32 * 1024 };

struct linkwatch_wait {
	struct linkwatch *watch;     /* borrowed */
	struct linkwatch_wait *next; /* in watch->waits */
	uint8_t mac[ETH_ALEN];
	int64_t deadline_ms; /* monotonic; 0: none */
	linkwatch_fn fn;     /* NULL: it was called */
	void *userdata;
};

struct linkwatch {
	sd_event *loop;
	sd_event_source *events;      /* there while somebody waits */
	sd_event_source *timer;       /* the next look, or the next deadline */
	int rtnl;                     /* for questions */
	int64_t scan_ms;              /* monotonic: when all are looked through next */
	struct linkwatch_wait *waits; /* borrowed list */
};

/*
 * Tells one wait. Those told and those yet to be told may come and go meanwhile: who walks the list
 * starts anew.
 */
static void tell(struct linkwatch_wait *q, const struct linkinfo *l)
{
	linkwatch_fn fn = q->fn;

	q->fn = NULL;
	fn(q->userdata, l);
}

static struct linkwatch_wait *waits_for(const struct linkwatch *w, const struct linkinfo *l)
{
	for (struct linkwatch_wait *q = w->waits; q; q = q->next)
		if (q->fn && memcmp(q->mac, l->mac, ETH_ALEN) == 0)
			return q;
	return NULL;
}

static int look_at(const struct linkinfo *l, void *userdata)
{
	struct linkwatch *w = userdata;
	struct linkwatch_wait *q;

	while (linkinfo_is_interface(l) && (q = waits_for(w, l)))
		tell(q, l);
	return 0;
}

static void scan(struct linkwatch *w, int64_t now)
{
	_cleanup_(err_done) struct err err = {};

	w->scan_ms = now + SCAN_MS;
	if (linkinfo_each(w->rtnl, look_at, w, &err) < 0)
		log_warn("Failed to look for network interfaces, trying again: %s", err_text(&err));
}

static struct linkwatch_wait *overdue(const struct linkwatch *w, int64_t now)
{
	for (struct linkwatch_wait *q = w->waits; q; q = q->next)
		if (q->fn && q->deadline_ms > 0 && q->deadline_ms <= now)
			return q;
	return NULL;
}

/* The socket and the timer are there while somebody waits, and only then. */
static void settle(struct linkwatch *w)
{
	int64_t next = INT64_MAX, now = clock_mono_ms();

	for (const struct linkwatch_wait *q = w->waits; q; q = q->next)
		if (q->fn)
			next = MIN(next,
				   q->deadline_ms ? MIN(q->deadline_ms, w->scan_ms) : w->scan_ms);
	if (next == INT64_MAX) {
		w->events = sd_event_source_disable_unref(w->events);
		(void) sd_event_source_set_enabled(w->timer, SD_EVENT_OFF);
		return;
	}
	(void) sd_event_source_set_time_relative(w->timer,
						 (uint64_t) MAX(next - now, 0) * USEC_PER_MSEC);
	(void) sd_event_source_set_enabled(w->timer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct linkwatch *w = userdata;
	int64_t now = clock_mono_ms();
	struct linkwatch_wait *q;

	(void) s, (void) usec;
	if (now >= w->scan_ms)
		scan(w, now);
	while ((q = overdue(w, now)))
		tell(q, NULL);
	settle(w);
	return 0;
}

static int on_event(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	_Alignas(struct nlmsghdr) char buf[EVENT_BYTES];
	struct linkwatch *w = userdata;
	struct linkinfo l;
	ssize_t n;

	(void) revents;
	while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
		unsigned int left = (unsigned int) n;

		for (const struct nlmsghdr *h = (const struct nlmsghdr *) buf; NLMSG_OK(h, left);
		     h = NLMSG_NEXT(h, left))
			if (linkinfo_parse(h, &l))
				(void) look_at(&l, w);
		if (w->events != s) /* nobody waited any more */
			return 0;
	}
	if (n < 0 && errno == ENOBUFS)
		w->scan_ms = 0; /* events were lost */
	settle(w);
	return 0;
}

static int open_events(struct linkwatch *w, struct err *err)
{
	_cleanup_(closep) int fd = rtnl_open(err);
	struct sockaddr_nl self = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
	int k;

	if (fd < 0)
		return fd;
	if (bind(fd, (struct sockaddr *) &self, sizeof(self)) < 0)
		return err_set_errno(err, errno, "watch network interfaces");
	k = sd_event_add_io(w->loop, &w->events, fd, EPOLLIN, on_event, w);
	if (k >= 0)
		k = sd_event_source_set_io_fd_own(w->events, true);
	if (k < 0) {
		w->events = sd_event_source_disable_unref(w->events);
		return err_set_errno(err, -k, "watch network interfaces");
	}
	(void) TAKE_FD(fd);
	(void) sd_event_source_set_description(w->events, "linkwatch-events");
	return 0;
}

int linkwatch_new(sd_event *loop, struct linkwatch **ret, struct err *err)
{
	_cleanup_(linkwatch_freep) struct linkwatch *w = calloc(1, sizeof(*w));
	int k;

	if (!w)
		return err_set(err, ENOMEM, "allocate a watch of network interfaces");
	w->loop = sd_event_ref(loop);
	w->rtnl = rtnl_open(err);
	if (w->rtnl < 0)
		return w->rtnl;
	k = sd_event_add_time_relative(loop, &w->timer, CLOCK_MONOTONIC, 0, 0, on_timer, w);
	if (k >= 0)
		k = sd_event_source_set_enabled(w->timer, SD_EVENT_OFF);
	if (k < 0)
		return err_set_errno(err, -k, "watch network interfaces");
	(void) sd_event_source_set_description(w->timer, "linkwatch-timer");
	*ret = TAKE_PTR(w);
	return 0;
}

struct linkwatch *linkwatch_free(struct linkwatch *w)
{
	if (!w)
		return NULL;
	(void) sd_event_source_disable_unref(w->events);
	(void) sd_event_source_disable_unref(w->timer);
	(void) safe_close(w->rtnl);
	sd_event_unref(w->loop);
	free(w);
	return NULL;
}

int linkwatch_add(struct linkwatch *w, const uint8_t mac[ETH_ALEN], int64_t timeout_ms,
		  linkwatch_fn fn, void *userdata, struct linkwatch_wait **ret, struct err *err)
{
	struct linkwatch_wait *q = calloc(1, sizeof(*q));
	int k;

	if (!q)
		return err_set(err, ENOMEM, "wait for a network interface");
	/* Before the look: what comes between the two is told of. */
	k = w->events ? 0 : open_events(w, err);
	if (k < 0) {
		free(q);
		return k;
	}
	memcpy(q->mac, mac, ETH_ALEN);
	q->watch = w;
	q->deadline_ms = timeout_ms > 0 ? clock_mono_ms() + timeout_ms : 0;
	q->fn = fn;
	q->userdata = userdata;
	q->next = w->waits;
	w->waits = q;
	w->scan_ms = 0;
	settle(w);
	*ret = q;
	return 0;
}

struct linkwatch_wait *linkwatch_end(struct linkwatch_wait *q)
{
	struct linkwatch_wait **p;

	if (!q)
		return NULL;
	for (p = &q->watch->waits; *p && *p != q; p = &(*p)->next)
		;
	if (*p)
		*p = q->next;
	settle(q->watch);
	free(q);
	return NULL;
}
