/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A spot instance is told two minutes before it is taken away. From then on it shall get no more
 * tasks: the agent says DRAINING, and the service moves what it has to other instances. Standalone
 * tasks stay until the end. The notice is asked for every second until the service has taken the
 * news; a restart of the agent finds the notice again, and saying so twice changes nothing.
 */
#include <errno.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/ctl/ctl.h"
#include "aws/imds.h"
#include "common/json.h"
#include "common/log.h"
#include "common/strv.h"

enum { POLL_USEC = 1000 * 1000, NOTICE_MAX = 4096 };

static void again(struct agent *a)
{
	(void) sd_event_source_set_time_relative(a->spot_timer, POLL_USEC);
	(void) sd_event_source_set_enabled(a->spot_timer, SD_EVENT_ONESHOT);
}

static void on_told(void *userdata, enum ctl_submit_result result, const struct err *why)
{
	struct agent *a = userdata;

	a->spot_op = NULL;
	if (result == CTL_SUBMIT_ACCEPTED) {
		log_info("This instance is draining: it gets no more tasks");
		return;
	}
	log_warn("Failed to set this instance to DRAINING, trying again: %s", err_text(why));
	again(a);
}

static bool is_interruption(const char *data, size_t len)
{
	static const char *const actions[] = { "hibernate", "terminate", "stop" };
	_cleanup_(json_decrefp) json_t *notice = NULL;
	const char *action;

	if (!data || len > NOTICE_MAX || json_parse(data, len, &notice, NULL) < 0)
		return false;
	action = json_get_string(notice, "action", "");
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
		if (strcmp(action, actions[i]) == 0)
			return true;
	return false;
}

static void on_notice(void *userdata, const char *data, size_t len, const struct err *why)
{
	_cleanup_(err_done) struct err err = {};
	struct agent *a = userdata;

	a->spot_request = NULL;
	if (!is_interruption(data, len)) {
		if (why && why->code != ENOENT) /* which is the answer for as long as all is well */
			log_debug("Failed to ask for a spot notice: %s", err_text(why));
		again(a);
		return;
	}
	log_warn("This spot instance will be taken away: %.*s", (int) len, data);
	if (ctl_update_instance_state(a->ctl, "DRAINING", on_told, a, &a->spot_op, &err) < 0) {
		log_warn("Failed to set this instance to DRAINING, trying again: %s",
			 err_text(&err));
		again(a);
	}
}

static int on_time(sd_event_source *s, uint64_t usec, void *userdata)
{
	_cleanup_(err_done) struct err err = {};
	struct agent *a = userdata;

	(void) s, (void) usec;
	if (imds_get_once(a->imds, "latest/meta-data/spot/instance-action", on_notice, a,
			  &a->spot_request, &err) < 0) {
		log_debug("Failed to ask for a spot notice: %s", err_text(&err));
		again(a);
	}
	return 0;
}

int agent_watch_spot(struct agent *a, struct err *err)
{
	int k;

	if (!a->config->spot_draining || !a->imds || a->spot_timer)
		return 0;
	k = sd_event_add_time_relative(a->loop, &a->spot_timer, CLOCK_MONOTONIC, 0, 0, on_time, a);
	if (k < 0)
		return err_set_errno(err, -k, "watch for spot notices");
	(void) sd_event_source_set_description(a->spot_timer, "spot");
	return 0;
}

void agent_stop_spot(struct agent *a)
{
	a->spot_timer = sd_event_source_disable_unref(a->spot_timer);
	a->spot_request = imds_cancel(a->spot_request);
	a->spot_op = ctl_cancel(a->spot_op);
}
