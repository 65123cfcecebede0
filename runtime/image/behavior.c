/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "runtime/image/failure.h"
#include "runtime/image/pull.h"

static const char *const behaviors[_IMAGE_PULL_BEHAVIOR_MAX] = {
	[IMAGE_PULL_DEFAULT] = "default",
	[IMAGE_PULL_ALWAYS] = "always",
	[IMAGE_PULL_ONCE] = "once",
	[IMAGE_PULL_PREFER_CACHED] = "prefer-cached",
};

const char *image_pull_behavior_name(enum image_pull_behavior b)
{
	return behaviors[b];
}

int image_pull_behavior_parse(const char *text, enum image_pull_behavior *ret, struct err *err)
{
	for (int i = 0; i < _IMAGE_PULL_BEHAVIOR_MAX; i++) {
		if (strcmp(text, behaviors[i]) == 0) {
			*ret = (enum image_pull_behavior) i;
			return 0;
		}
	}
	return err_set(err, EINVAL,
		       "pull behavior '%.40s': not default, always, once or prefer-cached", text);
}

const char *image_pull_failure_name(enum image_pull_failure f)
{
	static const char *const names[_IMAGE_PULL_FAILURE_MAX] = {
		[IMAGE_PULL_E_MANIFEST] = "manifest", [IMAGE_PULL_E_AUTH] = "auth",
		[IMAGE_PULL_E_PULL] = "pull",         [IMAGE_PULL_E_INACTIVE] = "inactive",
		[IMAGE_PULL_E_NO_SPACE] = "no-space", [IMAGE_PULL_E_CANCELLED] = "cancelled",
		[IMAGE_PULL_E_INTERNAL] = "internal",
	};

	return names[f];
}
