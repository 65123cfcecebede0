/* SPDX-License-Identifier: Apache-2.0 */
/*
 * expr - the cluster query language of memberOf constraints and of list filters:
 *   attribute:ecs.instance-type == t2.small and not(attribute:stack exists)
 *   attribute:zone in [a, b]   ec2InstanceId =~ i-0.*   runningTasksCount < 3   task:group == web
 * Operators: == != < <= > >= (and equals, not_equals, less_than, …), in, !in / not_in, =~ /
 * matches,
 * !~ / not_matches, exists, !exists / not_exists; and/&&, or/||, not/!, parentheses.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

enum { EXPR_TEXT_MAX = 2000, EXPR_DEPTH_MAX = 32, EXPR_PATTERN_MAX = 128 };

/*
 * The @n-th value (from 0) of a subject ("attribute:zone", "agentConnected", "task:group", …) on
 * the instance in question: NULL when there is none, "" for an attribute without value. Borrowed
 * until the next call. A comparison holds when any value satisfies it, a negated one when none
 * does.
 */
typedef const char *(*expr_value_fn)(const char *subject, size_t n, void *userdata);

/* Does the instance satisfy @text? Returns 0 with *ret set, or -EINVAL with @err naming the place.
 * The whole text is parsed, whatever the outcome. */
int expr_match(const char *text, expr_value_fn value, void *userdata, bool *ret, struct err *err);
