/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agentapi - the operations that agents call: RegisterContainerInstance, DiscoverPollEndpoint,
 * SubmitTaskStateChange, SubmitContainerStateChange, SubmitAttachmentStateChanges. Requests are
 * checked against their model: unknown members are skipped, a wrong type or value is an
 * InvalidParameterException that names the member.
 */
#pragma once

#include "controlplane/ops.h"

extern const struct operation agent_operations[];
