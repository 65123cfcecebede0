/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash - the moments at which a test ends the agent.
 * CRASH_POINT(name) is nothing in the program that is shipped. Built with -DCRASH_POINTS (the
 * library of tests/integration/engine/test-crash-matrix) it calls crash_point_reached(), which the
 * test brings along. A new point is a row here and its line in the code, before or after an act
 * that leaves traces or a write; the test walks the table and fails when a row is never reached.
 */
#pragma once

#define CRASH_POINT_TABLE(X)                                                                       \
	/* a payload */                                                                            \
	X(PAYLOAD_DECODED)                                                                         \
	X(PAYLOAD_COMMITTED)                                                                       \
	X(PAYLOAD_DURABLE)                                                                         \
	/* each pass: intents, then acts */                                                        \
	X(PASS_DECIDED)                                                                            \
	X(FLUSH_WRITTEN)                                                                           \
	X(FLUSH_COMMITTED)                                                                         \
	X(PASS_ACTED)                                                                              \
	/* what needs no image */                                                                  \
	X(TASK_CGROUP_BEFORE)                                                                      \
	X(TASK_CGROUP_MADE)                                                                        \
	X(NETNS_MADE)                                                                              \
	X(NETWORK_ATTACHED)                                                                        \
	X(TASK_NETNS_MADE)                                                                         \
	X(TASK_ENI_ATTACHED)                                                                       \
	X(TASK_LOCAL_LINK_ATTACHED)                                                                \
	X(PULL_BEFORE)                                                                             \
	X(PULL_JOINED)                                                                             \
	/* start */                                                                                \
	X(START_BEFORE)                                                                            \
	X(IMAGE_PINNED)                                                                            \
	X(VOLUME_ROW_PUT)                                                                          \
	X(VOLUME_MADE)                                                                             \
	X(VOLUME_MOUNT_BEGUN)                                                                      \
	X(VOLUME_MOUNTED)                                                                          \
	X(VOLUME_COPY_BEGUN)                                                                       \
	X(VOLUME_COPIED)                                                                           \
	X(METADATA_FILE_BEGUN)                                                                     \
	X(BUNDLE_MADE)                                                                             \
	X(SHIM_SPAWNED)                                                                            \
	X(PORTS_PUBLISHED)                                                                         \
	X(STARTED_HEARD)                                                                           \
	X(METADATA_FILE_READY)                                                                     \
	/* restart by policy */                                                                    \
	X(RESTART_ENDED)                                                                           \
	X(RESTART_CLEARED)                                                                         \
	X(RESTART_BEGUN)                                                                           \
	/* stop */                                                                                 \
	X(STOP_BEFORE)                                                                             \
	X(STOP_SENT)                                                                               \
	X(EXIT_HEARD)                                                                              \
	X(EXIT_SETTLED)                                                                            \
	X(PORTS_RELEASED)                                                                          \
	/* reports */                                                                              \
	X(OUTBOX_TOLD)                                                                             \
	X(OUTBOX_ANSWERED)                                                                         \
	X(OUTBOX_DELETED)                                                                          \
	/* after the end */                                                                        \
	X(TEARDOWN_BEFORE)                                                                         \
	X(TEARDOWN_NETWORK_GONE)                                                                   \
	X(TEARDOWN_UNMOUNTED)                                                                      \
	X(TEARDOWN_RUN_DIR_GONE)                                                                   \
	X(VOLUME_UNMOUNT_BEGUN)                                                                    \
	X(VOLUME_UNMOUNTED)                                                                        \
	X(TASK_ENI_RETURNED)                                                                       \
	X(TASK_NETNS_GONE)                                                                         \
	X(TASK_CGROUP_GONE)                                                                        \
	X(CLEANUP_BEFORE)                                                                          \
	X(CLEANUP_DATA_DISCARDED)                                                                  \
	X(CLEANUP_UNPINNED)                                                                        \
	X(METADATA_FILE_DISCARDED)                                                                 \
	X(VOLUME_DISCARDED)                                                                        \
	X(CLEANUP_ROW_DELETED)                                                                     \
	/* a start of the agent */                                                                 \
	X(RESTORE_LOADED)                                                                          \
	X(RESTORE_REBUILT)                                                                         \
	X(RESTORE_ADOPTED)                                                                         \
	X(RESTORE_BEGUN_AGAIN)                                                                     \
	X(RESTORE_PORTS)                                                                           \
	X(RESTORE_COLLECTED)                                                                       \
	X(RESTORE_DRAINED)

#define CRASH_POINT_ENUM(name) CRASH_##name,
enum crash_point { CRASH_POINT_TABLE(CRASH_POINT_ENUM) _CRASH_POINT_MAX };

#ifdef CRASH_POINTS
void crash_point_reached(enum crash_point p); /* the test's */
#define CRASH_POINT(name) crash_point_reached(CRASH_##name)
#else
#define CRASH_POINT(name) ((void) CRASH_##name) /* a name that is not in the table is an error */
#endif
