/* SPDX-License-Identifier: Apache-2.0 */
/* What AWS answers about a task's secrets and environment files: ARNs, members of JSON, lines, XML. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/env-file.h"
#include "agent/engine/inputs.h"
#include "aws/s3.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever is set has a name, and neither a newline nor a second '=' in it. */
static int set(char ***env, const char *key, const char *value)
{
	(void) env;
	if (*key == '\0' || strpbrk(key, "=\n") || strchr(value, '\n'))
		abort();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(freep) char *text = strndup((const char *) data, size), *member = NULL;
	_cleanup_(freep) char *error = s3_error_text((const char *) data, size);
	_cleanup_(secret_arn_done) struct secret_arn arn = {};
	char **env = NULL;

	if (error && strlen(error) > size)
		abort();
	if (secret_arn_parse(text, &arn, NULL) == 0 && strncmp(text, arn.id, strlen(arn.id)) != 0)
		abort();
	if (secret_json_member(text, "k", &member, NULL) == 0 && !member)
		abort();
	(void) env_file_read(text, &env, set, NULL);
	return 0;
}
