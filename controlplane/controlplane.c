/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/controlplane.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "common/cleanup.h"
#include "common/db.h"
#include "common/fs.h"
#include "controlplane/server.h"
#include "controlplane/store.h"
#include "controlplane/subnets.h"

enum { WAKE_AFTER_US = 10000 }; /* what comes in a burst is answered once */

struct cp_note {
	struct cp_note *next;
	bool gone;  /* an instance that is gone; else a task that changed */
	char arn[]; /* with its NUL */
};

/* The lock goes with the process, however that ends. */
static int lock_data_dir(struct controlplane *cp, struct err *err)
{
	_cleanup_(freep) char *path = path_join("%s/lock", cp->settings.data_dir);
	int fd;

	if (!path)
		return err_set(err, ENOMEM, "lock the data directory");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set_errno(err, errno, "open '%s'", path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int code = errno == EWOULDBLOCK ? EBUSY : errno;

		(void) safe_close(fd);
		return err_set(err, code, "another ecs-controlplane uses '%s'",
			       cp->settings.data_dir);
	}
	cp->lock_fd = fd;
	return 0;
}

int cp_init(struct controlplane *cp, const struct cp_settings *settings, struct err *err)
{
	_cleanup_(freep) char *path = NULL;
	int k;

	*cp = (struct controlplane){ .settings = *settings };
	if (settings->subnets_file) {
		k = subnets_load(settings->subnets_file, &cp->subnets, err);
		if (k < 0)
			return k;
	}
	if (settings->data_dir) {
		k = fs_mkdir_p(settings->data_dir, 0700, err);
		if (k == 0)
			k = lock_data_dir(cp, err);
		if (k < 0)
			return k;
		path = path_join("%s/controlplane.db", settings->data_dir);
		if (!path)
			return err_set(err, ENOMEM, "open the store");
	}
	k = store_open(path, &cp->store, err);
	if (k == 0)
		k = store_instances_disconnect_all(cp->store, err);
	return k;
}

static void drop_notes(struct controlplane *cp)
{
	while (cp->notes) {
		struct cp_note *n = cp->notes;

		cp->notes = n->next;
		free(n);
	}
}

void cp_done(struct controlplane *cp)
{
	drop_notes(cp);
	if (cp->wire && cp->wire->stop)
		cp->wire->stop(cp);
	cp->server = server_free(cp->server);
	cp->store = store_close(cp->store);
	json_decref(cp->subnets);
	cp->subnets = NULL;
	cp->services = sd_event_source_disable_unref(cp->services);
	cp->loop = sd_event_unref(cp->loop);
	if (cp->lock_fd > 0)
		cp->lock_fd = safe_close(cp->lock_fd);
}

static int note(struct controlplane *cp, const char *arn, bool gone, struct err *err)
{
	struct cp_note **at = &cp->notes, *n;
	size_t size = strlen(arn) + 1;

	for (; *at; at = &(*at)->next)
		if ((*at)->gone == gone && strcmp((*at)->arn, arn) == 0)
			return 0;
	n = malloc(sizeof(*n) + size);
	if (!n)
		return err_set(err, ENOMEM, "note '%s'", arn);
	n->next = NULL;
	n->gone = gone;
	memcpy(n->arn, arn, size);
	*at = n;
	return 0;
}

int cp_note_task(struct controlplane *cp, const char *task_arn, struct err *err)
{
	return note(cp, task_arn, false, err);
}

int cp_note_instance_gone(struct controlplane *cp, const char *instance_arn, struct err *err)
{
	return note(cp, instance_arn, true, err);
}

/* A callback may run operations of its own: the queue is taken off first. */
static void deliver_notes(struct controlplane *cp)
{
	struct cp_note *n = cp->notes;

	cp->notes = NULL;
	while (n) {
		struct cp_note *next = n->next;

		if (cp->wire && n->gone && cp->wire->instance_gone)
			cp->wire->instance_gone(cp, n->arn);
		else if (cp->wire && !n->gone && cp->wire->task_changed)
			cp->wire->task_changed(cp, n->arn);
		free(n);
		n = next;
	}
}

void cp_wake_services(struct controlplane *cp)
{
	if (!cp->services || cp->services_awake)
		return;
	cp->services_awake = true;
	(void) sd_event_source_set_time_relative(cp->services, WAKE_AFTER_US);
	(void) sd_event_source_set_enabled(cp->services, SD_EVENT_ONESHOT);
}

int cp_begin(struct controlplane *cp, struct err *err)
{
	return db_begin(store_db(cp->store), err);
}

int cp_end(struct controlplane *cp, bool ok, struct err *err)
{
	int k = 0;

	if (!ok)
		db_rollback(store_db(cp->store));
	else
		k = db_commit(store_db(cp->store), err);
	if (!ok || k < 0)
		drop_notes(cp);
	else
		deliver_notes(cp);
	return k;
}
