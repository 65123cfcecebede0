/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox - what a process gives up before it touches bytes of strangers.
 * The filters are allow lists; everything else kills the process. No sockets, no exec, no ptrace,
 * no executable memory, no mounts.
 */
#pragma once

#include "common/err.h"

/* Own mount, network, IPC and UTS namespaces: no network, and mounts that nobody else sees. */
int sandbox_unshare(struct err *err);

/*
 * Makes the directory @dir_fd the whole file system of this process: as "/", without device nodes
 * that work, setuid that counts, or programs that run. Then keeps only the capabilities that
 * writing a layer takes. *ret_root_fd: the new root.
 */
int sandbox_confine(int dir_fd, int *ret_root_fd, struct err *err);

/* Drops every capability. */
int sandbox_drop_all(struct err *err);

enum sandbox_filter {
	SANDBOX_STREAM, /* read, write and memory: for the inflater */
	SANDBOX_FILES,  /* and making files beneath the root: for the applier */
	SANDBOX_LOOK,   /* and looking at them: for the checker */
};

int sandbox_filter(enum sandbox_filter which, struct err *err);
