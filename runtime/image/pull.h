/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pull - one image pull as a child process (ecs-image) under an sd-event loop.
 * The loop never blocks. Credentials travel over a pipe, never in arguments or environment; proxies
 * (HTTP_PROXY, HTTPS_PROXY, NO_PROXY) are taken from our environment. The child reports JSON lines;
 * a line longer than 64 KiB, or an end without a result, is a failure. Loop thread only.
 */
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "runtime/image/image.h"

struct image_pull; /* opaque */

/* When the registry is asked: ECS_IMAGE_PULL_BEHAVIOR. */
enum image_pull_behavior {
	IMAGE_PULL_DEFAULT,       /* always; when that fails, the cached image serves */
	IMAGE_PULL_ALWAYS,        /* always; failure is failure */
	IMAGE_PULL_ONCE,          /* only when never pulled successfully before */
	IMAGE_PULL_PREFER_CACHED, /* only when the store has no image of that reference */
	_IMAGE_PULL_BEHAVIOR_MAX
};

const char *image_pull_behavior_name(enum image_pull_behavior b); /* "default", "prefer-cached" … */
int image_pull_behavior_parse(const char *text, enum image_pull_behavior *ret, struct err *err);

enum { IMAGE_PULL_NICE = 5 }; /* what a pull beside running containers should be */

struct image_pull_params {
	const char *program;   /* absolute path of ecs-image; NULL: the installed one */
	const char *store_dir; /* NULL: IMAGE_STORE_DIR_DEFAULT */
	const char *reference; /* as the user wrote it */
	enum image_pull_behavior behavior;
	const char *username;          /* NULL: anonymous */
	const char *password;          /* NULL with @username: "" */
	const char *mirrors;           /* mirror.h; NULL: none */
	int nice; /* 1..19: processor and disk are left to others first; 0: as we */
	const char *platform;          /* "os/arch[/variant]"; NULL: the host's */
	int64_t inactivity_timeout_ms; /* no byte for so long ends the pull; 0: 60 s */
};

enum image_pull_event_type {
	IMAGE_PULL_RESOLVED, /* at most once, before any layer is fetched */
	IMAGE_PULL_PROGRESS, /* at most ten times a second */
	IMAGE_PULL_RETRY,    /* a try failed, another follows */
	IMAGE_PULL_DONE,     /* last event */
	IMAGE_PULL_FAILED,   /* last event */
};

enum image_pull_failure {
	IMAGE_PULL_E_MANIFEST,  /* the reference could not be resolved: absent, denied, garbage */
	IMAGE_PULL_E_AUTH,      /* the registry or its token service refused our credentials */
	IMAGE_PULL_E_PULL,      /* configuration or layers could not be fetched or unpacked */
	IMAGE_PULL_E_INACTIVE,  /* no progress for inactivity_timeout_ms */
	IMAGE_PULL_E_NO_SPACE,  /* disk or inodes are used up */
	IMAGE_PULL_E_CANCELLED, /* image_pull_cancel() */
	IMAGE_PULL_E_INTERNAL,  /* the child died or could not do its work on this host */
	_IMAGE_PULL_FAILURE_MAX
};

struct image_pull_event {
	enum image_pull_event_type type;
	const char *digest;   /* RESOLVED: "sha256:…" of the reference; NULL for a loaded image */
	int64_t bytes, total; /* PROGRESS: compressed bytes fetched and to fetch */
	struct image *image;  /* DONE: the callback may take it and set this to NULL */
	bool from_cache;      /* DONE: nothing was fetched because of the behaviour or a failure */
	enum image_pull_failure failure; /* FAILED */
	const char *
		message; /* FAILED, RETRY: why; DONE: why the registry could not be used (or NULL) */
};

/*
 * Called from the loop, never from image_pull_start() or _cancel(). It may free the pull. Strings
 * are borrowed until it returns.
 */
typedef void (*image_pull_fn)(struct image_pull *pull, struct image_pull_event *event,
			      void *userdata);

/* Returns 0, or a negative errno with @err set when the child could not be started. */
int image_pull_start(sd_event *loop, const struct image_pull_params *params, image_pull_fn on_event,
		     void *userdata, struct image_pull **ret, struct err *err);

/* Asks the child to stop; FAILED with IMAGE_PULL_E_CANCELLED follows unless it was done already. */
void image_pull_cancel(struct image_pull *pull);

/* Kills the child if it still runs; no event follows. NULL is fine. Always returns NULL. */
struct image_pull *image_pull_free(struct image_pull *pull);
DEFINE_CLEANUP(struct image_pull *, image_pull_free)
