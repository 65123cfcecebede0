/* SPDX-License-Identifier: Apache-2.0 */
/* failure - the words for failures in the JSON lines between ecs-image and the agent. */
#pragma once

#include "runtime/image/pull.h"

const char *image_pull_failure_name(enum image_pull_failure f); /* "manifest", "no-space", … */
