/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "common/strv.h"
#include "runtime/spec/spec.h"

static int append_all(char ***to, char *const *from)
{
	for (size_t i = 0; from && from[i]; i++)
		if (strv_append(to, from[i]) < 0)
			return -ENOMEM;
	return 0;
}

int spec_merge_command(char *const *image_entrypoint, char *const *image_cmd,
		       char *const *entrypoint, char *const *cmd, char ***ret_args, struct err *err)
{
	_cleanup_(strv_freep) char **args = NULL;
	char *const *tail = strv_length(cmd) > 0 ? cmd : image_cmd;

	/*
	 * An empty list counts as not given; as in Docker
	 * [""] takes the image's entrypoint away.
	 */
	if (strv_length(entrypoint) > 0 && strv_length(cmd) == 0)
		tail = NULL;
	if (strv_length(entrypoint) == 0)
		entrypoint = image_entrypoint;
	if (strv_length(entrypoint) == 1 && !*entrypoint[0])
		entrypoint = NULL;
	if (append_all(&args, entrypoint) < 0 || append_all(&args, tail) < 0)
		return err_set(err, ENOMEM, "merge the command");
	if (strv_length(args) == 0)
		return err_set(err, ENOENT, "no command specified");
	*ret_args = TAKE_PTR(args);
	return 0;
}
