/* SPDX-License-Identifier: Apache-2.0 */
/* test - cmocka with the headers it needs before it, and the helpers of every unit test. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/macro.h"
