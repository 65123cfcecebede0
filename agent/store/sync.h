/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync - brings a file's data to the disk on a thread of its own, which does nothing else and
 * allocates nothing, while the event loop goes on. Requests made while one is at work are one.
 */
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "common/err.h"

struct sync;

/* Called from the loop after more became durable, or once with -errno when the disk failed. */
typedef void (*sync_fn)(int error, void *userdata);

/* Takes @fd over on success. */
int sync_new(sd_event *loop, int fd, sync_fn fn, void *userdata, struct sync **ret,
	     struct err *err);
struct sync *sync_free(struct sync *s); /* waits for what is at work; NULL is fine */
DEFINE_CLEANUP(struct sync *, sync_free)

/* What was written up to now shall become durable. Returns the number of the request. */
uint64_t sync_request(struct sync *s);

/* The last request that is fulfilled. */
uint64_t sync_done(struct sync *s);

/* Waits until request @number is fulfilled: 0, or -errno when the disk failed. */
int sync_wait(struct sync *s, uint64_t number);
