/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps the host's packet filter as containers need it. The kernel tells of every change; what
 * others do comes in several transactions mostly (a flush, then a load), so it is looked at a moment
 * later. Where the kernel cannot tell, the ticker of the engine looks.
 */
#include "agent/engine/internal.h"

#include "common/clock.h"
#include "common/log.h"

/* The wait grows while somebody else restores another table all the time. */
enum { SETTLE_MS = 100, SETTLE_MAX_MS = 5000 };

void packet_filter_check(struct engine *e, bool thorough)
{
	_cleanup_(json_decrefp) json_t *event = NULL;
	_cleanup_(err_done) struct err err = {};
	int k;

	if (!e->net)
		return;
	k = net_check(e->net, thorough, &err);
	if (k == 0 && thorough)
		e->filter_settle_ms = SETTLE_MS;
	if (k < 0)
		log_warn("Failed to restore the packet filter, trying again: %s", err_text(&err));
	if (k != NET_E_RESTORED)
		return;
	e->filter_settle_ms = MIN(2 * e->filter_settle_ms, SETTLE_MAX_MS);
	log_warn("The packet filter's table 'inet ecs' was changed by others, restored");
	event = json_pack("{s:s}", "type", "packet-filter-restored");
	if (event && e->callbacks.on_event)
		e->callbacks.on_event(e->callbacks.userdata, event);
}

static int on_check(sd_event_source *s, uint64_t usec, void *userdata)
{
	(void) s, (void) usec;
	packet_filter_check(userdata, false);
	return 0;
}

static int on_monitor(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	struct engine *e = userdata;
	int enabled = SD_EVENT_OFF;

	(void) s, (void) fd, (void) revents;
	net_monitor_drain(e->net);
	if (sd_event_source_get_enabled(e->filter_check, &enabled) > 0)
		return 0;
	(void) sd_event_source_set_time_relative(e->filter_check,
						 (uint64_t) e->filter_settle_ms * USEC_PER_MSEC);
	(void) sd_event_source_set_enabled(e->filter_check, SD_EVENT_ONESHOT);
	return 0;
}

int packet_filter_watch(struct engine *e, struct err *err)
{
	int k;

	if (!e->net)
		return 0;
	e->filter_settle_ms = SETTLE_MS;
	k = sd_event_add_time_relative(e->loop, &e->filter_check, CLOCK_MONOTONIC, 0, 0, on_check,
				       e);
	if (k >= 0)
		k = sd_event_source_set_enabled(e->filter_check, SD_EVENT_OFF);
	if (k >= 0)
		k = sd_event_add_io(e->loop, &e->filter_monitor, net_monitor_fd(e->net), EPOLLIN,
				    on_monitor, e);
	if (k < 0)
		return err_set_errno(err, -k, "watch the packet filter");
	(void) sd_event_source_set_description(e->filter_check, "packet-filter-check");
	(void) sd_event_source_set_description(e->filter_monitor, "packet-filter-monitor");
	return 0;
}
