/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attachments - network interfaces that the control plane announced (ACS
 * AttachTaskNetworkInterfacesMessage, AttachInstanceNetworkInterfacesMessage) and waits for.
 * Each is a row under its MAC, written before the message is acknowledged. When its device is there,
 * ATTACHED goes through the outbox: of a task's interface as SubmitTaskStateChange in the task's own
 * lane, of the instance's as SubmitAttachmentStateChanges. The report and the mark that it was made
 * are one transaction, so none is made twice; one that is not delivered in time is dropped, and so is
 * the record of a device that did not come. After a restart both go on. Loop thread only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "common/err.h"

struct attachments;
struct store;
struct task_eni;

/* Tells when a device is there; runtime/net/linkwatch.h, but in tests. */
struct attachments_watch {
	/*
	 * Calls @fn once, later: with true when a device with @mac is there, with false after
	 * @timeout_ms. *ret is ended by end(), in @fn or at any other time.
	 */
	int (*add)(void *userdata, const uint8_t mac[6], int64_t timeout_ms,
		   void (*fn)(void *fn_userdata, bool there), void *fn_userdata, void **ret,
		   struct err *err);
	void (*end)(void *wait);
	/* Whether it is there now: the payload that follows may take it away before add() tells. */
	bool (*is_there)(void *userdata, const uint8_t mac[6]);
};

struct attachments_params {
	sd_event *loop;
	struct store *store;                   /* borrowed */
	const struct attachments_watch *watch; /* borrowed */
	void *watch_userdata;
	const char *cluster; /* borrowed: as reports name it */
	/* @lane of the outbox has a new entry. */
	void (*on_outbox)(void *userdata, const char *lane);
	void *userdata;
};

/* Goes on with what an earlier run left. */
int attachments_new(const struct attachments_params *p, struct attachments **ret, struct err *err);
struct attachments *attachments_free(struct attachments *a);
DEFINE_CLEANUP(struct attachments *, attachments_free)

/*
 * @eni was announced for @task_arn (NULL: for the instance) and is waited for during @wait_ms. One that is
 * known stays as it is; its MAC in another attachment takes its place. 0: it is on the disk.
 * -ENOSPC: too many.
 */
int attachments_announce(struct attachments *a, const char *task_arn, const struct task_eni *eni,
			 int64_t wait_ms, struct err *err);

/* The task is gone, and what is known of its interfaces with it. */
void attachments_forget_task(struct attachments *a, const char *task_arn);

/* How many are waited for. */
size_t attachments_waiting(const struct attachments *a);
