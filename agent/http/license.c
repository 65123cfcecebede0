/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/http/introspection.h"

static const char text[] =
#include "agent/http/license-text.h"
	;

const char *license_text(void)
{
	return text;
}
