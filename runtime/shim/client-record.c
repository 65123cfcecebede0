/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "common/json.h"
#include "runtime/shim/client.h"
#include "runtime/shim/record.h"

enum { RECORD_FILE_MAX = 4096 };

static json_t *read_json(int dir, const char *name)
{
	_cleanup_(freep) char *text = NULL;
	json_t *obj = NULL;
	size_t len = 0;

	if (fs_read_file(dir, name, RECORD_FILE_MAX, &text, &len, NULL) < 0 ||
	    json_parse(text, len, &obj, NULL) < 0)
		return NULL;
	return obj;
}

/* The process of the record, not one that got its number later or after a boot. */
static bool lives(const json_t *started, pid_t pid)
{
	char boot_id[RECORD_BOOT_ID_MAX] = "";
	uint64_t ticks = record_start_ticks(pid);

	(void) record_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", boot_id, sizeof(boot_id));
	return ticks > 0 && (json_int_t) ticks == json_get_int(started, "startTicks", -1) &&
	       strcmp(boot_id, json_get_string(started, "bootId", "")) == 0;
}

static void queue_exit(struct shim *s, const json_t *exit)
{
	struct shim_event e = {
		.type = SHIM_EXITED,
		.exit_code = (int) CLAMP(json_get_int(exit, "exitCode", 255), 0, 255),
		.oom = json_is_true(json_object_get(exit, "oom")),
		.finished_ms = json_get_int(exit, "finishedAt", 0),
	};

	shim_queue(s, &e);
}

static void queue_error(struct shim *s, const char *text)
{
	struct shim_event e = { .type = SHIM_FAILED };

	(void) snprintf(e.message, sizeof(e.message), "%s", text);
	shim_queue(s, &e);
}

/* The shim ended between the start of runc and its own record: runc's pid file is all there is. */
static pid_t pid_of_runc(int dir)
{
	char text[32];
	pid_t pid;

	if (record_read(dir, "pid", text, sizeof(text)) <= 0)
		return 0;
	pid = record_parse_pid(text);
	return pid && record_start_ticks(pid) ? pid : 0;
}

static bool was_begun(int dir)
{
	char text[32];

	return record_read(dir, "shim.pid", text, sizeof(text)) > 0;
}

/* A shim holds the lock of shim.pid for as long as it lives. */
bool shim_is_alive(const char *run_dir)
{
	_cleanup_(freep) char *path = path_join("%s/shim.pid", run_dir);
	_cleanup_(closep) int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -EBADF;

	if (fd < 0)
		return !path || errno != ENOENT;
	return flock(fd, LOCK_SH | LOCK_NB) < 0;
}

int shim_queue_record(struct shim *s)
{
	json_auto_t *started = read_json(s->run_dir, "started"),
		    *exit = read_json(s->run_dir, "exit");
	char why[SHIM_EVENTS_MAX * 256];
	pid_t pid = (pid_t) CLAMP(json_get_int(started, "pid", 0), 0, 1 << 22);

	if (started && !s->started)
		shim_queue(s, &(struct shim_event){
				      .type = SHIM_STARTED,
				      .pid = pid,
				      .started_ms = json_get_int(started, "startedAt", 0) });
	if (exit)
		queue_exit(s, exit);
	else if (record_read(s->run_dir, "error", why, sizeof(why)) > 0)
		queue_error(s, why);
	else if (started)
		shim_queue(s, &(struct shim_event){ .type = SHIM_GONE,
						    .pid = lives(started, pid) ? pid : 0 });
	else if (was_begun(s->run_dir))
		shim_queue(s, &(struct shim_event){ .type = SHIM_GONE,
						    .pid = pid_of_runc(s->run_dir) });
	else
		return SHIM_E_ABSENT;
	return 0;
}
