/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/volume/mountinfo.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/strv.h"

/* The kernel writes blanks, tabs, line feeds and backslashes as \ooo. */
static void unescape(char *s)
{
	char *to = s;

	while (*s) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
		    s[3] >= '0' && s[3] <= '7') {
			*to++ = (char) ((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
}

/* "36 35 98:0 /root /mount/point options …": the fifth field, cut out of @line. */
static char *mount_point(char *line)
{
	char *save = NULL, *field = strtok_r(line, " ", &save);

	for (int i = 0; field && i < 4; i++)
		field = strtok_r(NULL, " ", &save);
	if (field)
		unescape(field);
	return field;
}

static int list_below(const char *dir, char ***ret, struct err *err)
{
	_cleanup_(strv_freep) char **list = NULL;
	_cleanup_(fclosep) FILE *f = fopen("/proc/self/mountinfo", "re");
	_cleanup_(freep) char *line = NULL;
	size_t cap = 0, len = strlen(dir);

	if (!f)
		return err_set_errno(err, errno, "open '/proc/self/mountinfo'");
	errno = 0;
	while (getline(&line, &cap, f) > 0) {
		char *path = mount_point(line);

		if (!path || strncmp(path, dir, len) != 0 || !strchr("/", path[len]))
			continue;
		if (strv_append(&list, path) < 0)
			return err_set(err, ENOMEM, "list mounts");
	}
	if (ferror(f))
		return err_set_errno(err, errno, "read '/proc/self/mountinfo'");
	*ret = TAKE_PTR(list);
	return 0;
}

/* A mount stands after the one it lies in. */
int mountinfo_below(const char *dir, int (*fn)(const char *path, void *userdata), void *userdata,
		    struct err *err)
{
	_cleanup_(strv_freep) char **list = NULL;
	int k = list_below(dir, &list, err);

	for (size_t i = strv_length(list); k == 0 && i-- > 0;)
		k = fn(list[i], userdata);
	return k;
}

static int found(const char *path, void *userdata)
{
	(void) path, (void) userdata;
	return 1;
}

int mountinfo_is_used(const char *dir, struct err *err)
{
	return mountinfo_below(dir, found, NULL, err);
}
