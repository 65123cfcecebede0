/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host may come up without a network, before its metadata service answers, before somebody made the
 * cluster, before somebody wrote the settings. None of that is a reason to end: the agent tells in one
 * line what it waits for, tries again, and takes up settings that change until it is registered.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include "agent/agent.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/macro.h"

enum { LOOK_USEC = 1000 * 1000 };

/* ---- one line ---- */

void agent_say(struct agent *a, const char *fmt, ...)
{
	char line[sizeof(a->status_line)];
	va_list ap;

	va_start(ap, fmt);
	(void) vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	for (char *s = line; *s; s++)
		if ((unsigned char) *s < ' ' || (unsigned char) *s >= 0x7f)
			*s = ' '; /* a line break would end it; what is cut is no UTF-8 */
	a->said_ms = clock_mono_ms();
	if (strcmp(line, a->status_line) == 0)
		return;
	memcpy(a->status_line, line, sizeof(line));
	(void) sd_notifyf(0, "STATUS=%s", line);
}

void agent_say_ready(struct agent *a)
{
	if (!a->ready)
		(void) sd_notify(0, "READY=1");
	a->ready = true;
}

/* ---- once more, later ---- */

int agent_wait(struct agent *a, uint64_t usec, sd_event_time_handler_t again, struct err *err)
{
	int k;

	agent_say_ready(a);
	a->wait_timer = sd_event_source_disable_unref(a->wait_timer);
	k = sd_event_add_time_relative(a->loop, &a->wait_timer, CLOCK_MONOTONIC, usec, 0, again, a);
	if (k < 0)
		return err_set_errno(err, -k, "wait");
	(void) sd_event_source_set_description(a->wait_timer, "wait");
	return 0;
}

/* The vendor stands in the firmware's tables, or, on old Xen instances, in the hypervisor's identity. */
bool agent_on_ec2(const char *sys_root)
{
	static const struct {
		const char *file, *start;
	} signs[] = {
		{ "devices/virtual/dmi/id/sys_vendor", "Amazon EC2" },
		{ "hypervisor/uuid", "ec2" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(signs); i++) {
		_cleanup_(freep) char *path = path_join("%s/%s", sys_root, signs[i].file);
		_cleanup_(freep) char *text = NULL;
		_cleanup_(err_done) struct err err = {};
		size_t n = 0;

		if (path && fs_read_file(AT_FDCWD, path, 4096, &text, &n, &err) == 0 &&
		    strncmp(text, signs[i].start, strlen(signs[i].start)) == 0)
			return true;
	}
	return false;
}

/* ---- settings that come late ---- */

/* Changes with every write and every replacement of one of the files; their order counts. */
uint64_t agent_fingerprint(const char *const *files)
{
	uint64_t sum = 0;
	struct stat st;

	for (; files && *files; files++) {
		sum = sum * 31 + 1;
		if (stat(*files, &st) < 0)
			continue;
		sum = sum * 31 + (uint64_t) st.st_ino;
		sum = sum * 31 + (uint64_t) st.st_size;
		sum = sum * 31 + (uint64_t) st.st_mtim.tv_sec;
		sum = sum * 31 + (uint64_t) st.st_mtim.tv_nsec;
	}
	return sum;
}

/* Who changes a file may not be done with it: it has to stay as it is between two looks. */
static int on_look(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct agent *a = userdata;
	uint64_t now = agent_fingerprint((const char *const *) a->config->files);
	bool settled = now == a->settings_seen;

	(void) usec;
	a->settings_seen = now;
	if (now != a->config->files_fingerprint && settled) {
		log_info("The settings changed before this host was registered, starting anew with "
			 "them");
		agent_stop(a, EXIT_RELOAD);
		return 0;
	}
	(void) sd_event_source_set_time_relative(s, LOOK_USEC);
	(void) sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
	return 0;
}

int agent_watch_settings(struct agent *a, struct err *err)
{
	int k;

	a->settings_seen = a->config->files_fingerprint;
	k = sd_event_add_time_relative(a->loop, &a->settings_timer, CLOCK_MONOTONIC, LOOK_USEC, 0,
				       on_look, a);
	if (k < 0)
		return err_set_errno(err, -k, "watch the settings");
	(void) sd_event_source_set_description(a->settings_timer, "settings");
	return 0;
}

void agent_stop_waiting(struct agent *a)
{
	a->wait_timer = sd_event_source_disable_unref(a->wait_timer);
	a->settings_timer = sd_event_source_disable_unref(a->settings_timer);
}
