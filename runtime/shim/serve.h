/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve - the shim's connections to agents. To an agent an end of file means that the shim is gone,
 * so the shim closes none of its own accord: it skips what makes no sense, and lets who is one too
 * many wait.
 */
#pragma once

#include <poll.h>

#include "runtime/shim/wire.h"

enum { SERVE_CONNECTIONS_MAX = 4 };

struct serve {
	int listen_fd;
	int conns[SERVE_CONNECTIONS_MAX]; /* -1: free */
};

/* Takes over both descriptors. */
void serve_init(struct serve *s, int listen_fd, int first_conn);

/* The descriptor on which agents knock; -1 while all slots are taken. */
int serve_pollable(const struct serve *s);

/* Accepts one agent (root or our own user). Returns its slot, or -1 when there is none. */
int serve_accept(struct serve *s);

/* Sends to one slot, or to all agents when @slot is -1. */
void serve_send(struct serve *s, int slot, const struct shim_wire_event *e);
void serve_send_health(struct serve *s, int slot, const struct shim_wire_health *h);

/*
 * Takes one command: 1, or 0 when none waits; the slot is
 * freed when its agent left or spoke nonsense.
 */
int serve_receive(struct serve *s, int slot, struct shim_wire_command *ret);
