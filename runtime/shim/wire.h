/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire - the messages between an agent and a shim: one per SOCK_SEQPACKET packet, host byte order,
 * since both ends are on one machine. An agent may be newer or older than the shims it finds, so a
 * message may grow at its end and a receiver takes the members it knows.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
	SHIM_WIRE_MAGIC = 0x45435331,
	SHIM_WIRE_MESSAGE_MAX = 1024, /* with its NUL */
	SHIM_WIRE_HEALTH_OUTPUT_MAX = 1024,
	/* Descriptors that the agent hands to a new shim. */
	SHIM_FD_AGENT = 3,
	SHIM_FD_LISTEN = 4,
	SHIM_FD_PIDFILE = 5,
	SHIM_FD_RUN_DIR = 6,
};

enum shim_wire_type {
	SHIM_WIRE_HELLO = 1, /* events, shim to agent: pid is the shim's own */
	SHIM_WIRE_STARTED,
	SHIM_WIRE_FAILED,
	SHIM_WIRE_EXITED,
	SHIM_WIRE_HEALTH,      /* a struct shim_wire_health, after each probe and to who attaches */
	SHIM_WIRE_SIGNAL = 64, /* commands, agent to shim: arg is the signal number */
	SHIM_WIRE_KILL_ALL,
	SHIM_WIRE_STOP, /* the signal now, KILL to all when the grace is over */
};

struct shim_wire_command {
	uint32_t magic;
	uint32_t type;
	int32_t arg;
	uint32_t reserved;
};

struct shim_wire_event {
	uint32_t magic;
	uint32_t type;
	int32_t pid;
	int32_t exit_code;
	uint32_t oom;
	uint32_t message_len; /* bytes of message that follow, without a NUL */
	int64_t started_ms, finished_ms;
	char message[SHIM_WIRE_MESSAGE_MAX];
};

enum shim_wire_health_status { SHIM_WIRE_STARTING, SHIM_WIRE_HEALTHY, SHIM_WIRE_UNHEALTHY };

struct shim_wire_health {
	uint32_t magic;
	uint32_t type;
	uint32_t status;
	int32_t exit_code;   /* of the last probe: 0..255, -1: it did not run to its end */
	uint32_t output_len; /* bytes of output that follow: any bytes at all */
	uint32_t reserved;
	int64_t since_ms; /* wall clock of the last change of status */
	char output[SHIM_WIRE_HEALTH_OUTPUT_MAX];
};

/* How many bytes of @e go on the wire. */
size_t shim_wire_event_size(const struct shim_wire_event *e);
size_t shim_wire_health_size(const struct shim_wire_health *h);

/*
 * All return 0 with *ret written (the message of an event
 * NUL-terminated, control bytes blanked) or -EPROTO.
 */
int shim_wire_decode_event(const void *data, size_t len, struct shim_wire_event *ret);
int shim_wire_decode_health(const void *data, size_t len, struct shim_wire_health *ret);
int shim_wire_decode_command(const void *data, size_t len, struct shim_wire_command *ret);
