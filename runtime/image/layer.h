/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer - one layer on its way from the registry (or a file) into the store: hashed, inflated and
 * unpacked while it arrives (parts.h). A broken transfer goes on where it stopped.
 */
#pragma once

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "runtime/image/manifest.h"
#include "runtime/image/parts.h"
#include "runtime/image/registry.h"
#include "runtime/image/store.h"
#include "runtime/unpack/unpack.h"

enum layer_state {
	LAYER_WAITING,   /* for a slot, or for another process that fetches it */
	LAYER_FETCHING,  /* bytes arrive */
	LAYER_UNPACKING, /* all bytes are handed on */
	LAYER_UNPACKED,  /* in its work directory; waits for the layers below when it needs them */
	LAYER_DONE,      /* in the store */
};

/* What all layers of one image share. */
struct layer_env {
	struct image_store *store;
	struct registry *registry; /* NULL: from files */
	struct unpacker *unpacker; /* owned; started at first need */
	const char *unpacker_program;
	int fetch_locks; /* owned descriptor */
	int64_t bytes;   /* received by all */
	size_t parts_ahead; /* that are fetched before their turn */
};

struct layer {
	struct layer_env *env;         /* borrowed */
	const struct descriptor *blob; /* borrowed */
	const char *diff_id;           /* borrowed */
	char chain_id[72];
	const char *stored_as; /* once DONE: the digest that names its directory */
	enum layer_state state;
	bool locked;
	int64_t size; /* unpacked */

	struct parts parts;
	EVP_MD_CTX *hash; /* owned */
	int64_t received; /* and hashed and handed on */
	int restarts;        /* from the first byte, since the content was damaged */
	struct buf pending;  /* what the pipe did not take */
	bool verified;  /* all bytes are there, and have the digest */
	bool refused;   /* the registry is at fault, not the content */
	struct err why; /* what was wrong with bytes as they came */

	struct unpack_job job;
	struct unpack_result result;
	char *tmp; /* owned: "tmp/X"; the layer is in tmp/X/root */
	int tmp_fd;
	int root_fd;
};

void layer_init(struct layer *l, struct layer_env *env, const struct descriptor *blob,
		const char *diff_id, const char *lower_chain_id);
void layer_done(struct layer *l);

/* Looks whether the store has it; then the state is LAYER_DONE. */
int layer_find(struct layer *l, bool lowest, struct err *err);

/* Takes the lock of the digest. Returns 0, or 1 when another process fetches it. */
int layer_lock(struct layer *l, struct err *err);

/* Makes the work directory, starts the unpacker and the transfer. */
int layer_start(struct layer *l, struct err *err);

/* The same without a transfer: the caller feeds layer_feed() and ends with layer_fed(). */
int layer_start_unpack(struct layer *l, struct err *err);

/* Takes bytes in; what the unpacker is not ready for stays pending. */
int layer_feed(struct layer *l, const void *data, size_t len, struct err *err);
int layer_fed(struct layer *l, struct err *err);

/*
 * Moves things on after a wait: hands pending bytes on, starts retries, notices ends. Content that is
 * not what its digests say is fetched once more from the start (LAYER_WAITING), before it is refused.
 */
int layer_advance(struct layer *l, struct err *err);

/* Puts the unpacked layer into the store. @lower: those below it, lowest first, all DONE. */
int layer_commit(struct layer *l, struct layer *lower, size_t n_lower, struct err *err);
