/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps the host's packet filter as containers need it. The kernel tells of every change. The first
 * one is looked at at once: while nothing is translated the host answers packets of published ports
 * with a reset. Others mostly follow it (a flush, then a load), and are looked at together a moment
 * later. Where the kernel cannot tell, the ticker of the engine looks.
 */
#include "agent/engine/internal.h"

#include "common/clock.h"
#include "common/log.h"

/*
 * The wait grows while somebody else undoes what was restored, again and again. A firewall that is
 * loaded rule by rule does so a few times and is done; a table that stood for a while was changed for
 * another reason.
 */
enum { SETTLE_MS = 100, SETTLE_MAX_MS = 5000, STANDS_MS = 1000, FEW = 16, ACCURACY_USEC = 1000 };

static int settle_ms(const struct engine *e)
{
	int ms = SETTLE_MS;

	for (int i = FEW; i < e->filter_restored_n && ms < SETTLE_MAX_MS; i++)
		ms *= 2;
	return MIN(ms, SETTLE_MAX_MS);
}

static void tell_restored(struct engine *e)
{
	_cleanup_(json_decrefp) json_t *event =
		json_pack("{s:s}", "type", "packet-filter-restored");

	e->filter_restored_n++;
	e->filter_restored_ms = e->filter_checked_ms;
	if (event && e->callbacks.on_event)
		e->callbacks.on_event(e->callbacks.userdata, event);
}

/* True: rules were put back. */
static bool check_firewall(struct engine *e)
{
	_cleanup_(err_done) struct err err = {};
	struct firewall_news news;
	int k = net_check_firewall(e->net, &news, &err);

	if (k < 0)
		log_warn("Failed to let bridge '%s' pass the host's firewall, trying again: %s",
			 e->config->bridge_name, err_text(&err));
	if (k != 1)
		return false;
	for (size_t i = 0; i < news.n_accepted; i++)
		log_emit(news.restored ? LOG_WARN : LOG_INFO, NULL,
			 "%s drops what no rule accepts: rules for bridge '%s' %s",
			 news.accepted[i], e->config->bridge_name,
			 news.restored ? "were gone or changed, restored" : "are there now");
	if (*news.refused)
		log_warn("%s drops what no rule accepts and takes none of others: it has to accept "
			 "what enters and leaves bridge '%s'",
			 news.refused, e->config->bridge_name);
	return news.restored;
}

void packet_filter_check(struct engine *e, bool thorough)
{
	_cleanup_(err_done) struct err err = {};
	bool restored;
	int k;

	if (!e->net)
		return;
	e->filter_checked_ms = clock_mono_ms();
	k = net_check(e->net, thorough, &err);
	if (k == 0 && thorough)
		e->filter_restored_n = 0;
	if (k < 0)
		log_warn("Failed to restore the packet filter, trying again: %s", err_text(&err));
	if (k == NET_E_RESTORED)
		log_warn("The packet filter's table 'inet ecs' was changed by others, restored");
	restored = check_firewall(e);
	if (restored || k == NET_E_RESTORED)
		tell_restored(e);
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
	int64_t now_ms = clock_mono_ms(), wait_ms;
	int enabled = SD_EVENT_OFF;

	(void) s, (void) fd, (void) revents;
	net_monitor_drain(e->net);
	if (sd_event_source_get_enabled(e->filter_check, &enabled) > 0)
		return 0;
	if (now_ms - e->filter_restored_ms > STANDS_MS)
		e->filter_restored_n = 0;
	wait_ms = e->filter_checked_ms + settle_ms(e) - now_ms;
	(void) sd_event_source_set_time_relative(e->filter_check,
						 (uint64_t) MAX(wait_ms, 0) * USEC_PER_MSEC);
	(void) sd_event_source_set_enabled(e->filter_check, SD_EVENT_ONESHOT);
	return 0;
}

int packet_filter_watch(struct engine *e, struct err *err)
{
	int k;

	if (!e->net)
		return 0;
	k = sd_event_add_time_relative(e->loop, &e->filter_check, CLOCK_MONOTONIC, 0, ACCURACY_USEC,
				       on_check, e);
	if (k >= 0)
		k = sd_event_source_set_enabled(e->filter_check, SD_EVENT_OFF);
	if (k >= 0)
		k = sd_event_add_io(e->loop, &e->filter_monitor, net_monitor_fd(e->net), EPOLLIN,
				    on_monitor, e);
	if (k < 0)
		return err_set_errno(err, -k, "watch the packet filter");
	(void) sd_event_source_set_description(e->filter_check, "packet-filter-check");
	(void) sd_event_source_set_description(e->filter_monitor, "packet-filter-monitor");
	(void) check_firewall(e);
	return 0;
}
