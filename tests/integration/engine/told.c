/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/integration/engine/told.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "common/json.h"
#include "tests/integration/engine/world.h"

enum { TOLD_MAX = 64 << 20 };

char *told_marks;
static char *path;

/* One write, so that a line is there or not, whenever the writer is killed. */
static void on_report(const char *body)
{
	_cleanup_(closep) int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	_cleanup_(freep) char *line = path_join("%s\n", body);

	if (fd < 0 || !line || fs_write_all(fd, line, strlen(line)) < 0)
		abort();
}

void told_begin(void)
{
	path = path_join("%s/told", world.top);
	told_marks = path_join("%s/marks", world.top);
	if (!path || !told_marks || mkdir(told_marks, 0777) < 0)
		abort();
	world.deliver = on_report;
}

void told_clear(void)
{
	(void) unlink(path);
	(void) fs_remove_tree(AT_FDCWD, told_marks, NULL);
	if (mkdir(told_marks, 0777) < 0)
		abort();
}

void told_end(void)
{
	free(path);
	free(told_marks);
}

static int rank(const json_t *report)
{
	const char *s = json_get_string(report, "status", "");

	return strcmp(s, "PENDING") == 0 ? 1 : strcmp(s, "RUNNING") == 0 ? 2 : 3;
}

static void take(struct told *t, const json_t *r, int *last)
{
	int now = rank(r);

	t->in_order &= now >= *last;
	*last = now;
	t->reports++;
	t->pending |= now == 1;
	t->running |= now == 2;
	t->stopped |= now == 3;
	if (now != 3)
		return;
	t->exit_code = (int) json_get_int(world_container(r, 0), "exitCode", -1);
	(void) snprintf(t->reason, sizeof(t->reason), "%s",
			json_get_string(world_container(r, 0), "reason", ""));
}

struct told told_of(const char *arn)
{
	struct told t = { .in_order = true, .exit_code = -1 };
	_cleanup_(freep) char *text = NULL;
	size_t len = 0;
	int last = 0;

	if (fs_read_file(AT_FDCWD, path, TOLD_MAX, &text, &len, NULL) < 0)
		return t;
	for (const char *p = text, *end; (end = strchr(p, '\n')); p = end + 1) {
		_cleanup_(json_decrefp) json_t *r = json_loadb(p, (size_t) (end - p), 0, NULL);

		if (strcmp(json_get_string(r, "task", ""), arn) == 0)
			take(&t, r, &last);
	}
	return t;
}

int told_marks_of(const char *name)
{
	_cleanup_(freep) char *file = path_join("%s/%s", told_marks, name);
	struct stat st;

	return file && stat(file, &st) == 0 ? (int) (st.st_size / (off_t) strlen("ran\n")) : 0;
}
