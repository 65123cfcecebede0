/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cgroup/delegate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/macro.h"

/* systemd's own socket for root: it is there before the message bus, and without one. */
#define ADDRESS "unix:path=/run/systemd/private"
#define DESTINATION "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"
#define MANAGER "org.freedesktop.systemd1.Manager"
#define UNIT "org.freedesktop.systemd1.Unit"
/* The unit lives as long as a process of its own does. */
#define KEEPER "/bin/sleep"
#define SERVICE "org.freedesktop.systemd1.Service"

enum { CALL_MAX_MS = 5000, START_MAX_MS = 5000, LOOK_EVERY_MS = 3, UNIT_NAME_MAX = 255 };

bool delegate_wanted(void)
{
	return sd_booted() > 0;
}

/* ---- names ---- */

static bool has_suffix(const char *s, size_t n, const char *suffix)
{
	size_t len = strlen(suffix);

	return n > len && memcmp(s + n - len, suffix, len) == 0;
}

static bool is_units_own(const char *name, size_t n)
{
	return has_suffix(name, n, ".slice") || has_suffix(name, n, ".service") ||
	       has_suffix(name, n, ".scope");
}

/* The part of @parent that names units: of "/x.slice/y.service/ecs" all but "/ecs". */
static size_t units_length(const char *parent)
{
	size_t n = 0;

	while (parent[n] == '/') {
		size_t len = strcspn(parent + n + 1, "/");

		if (!is_units_own(parent + n + 1, len))
			break;
		n += 1 + len;
	}
	return n;
}

static int unit_name(const char *parent, size_t n, char **ret, struct err *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789:_.-";
	const char *name = parent + 1;

	if (n == 0 || strspn(name, allowed) < n || name[0] == '-' ||
	    n + strlen("-tasks.service") > UNIT_NAME_MAX)
		return err_set(
			err, EINVAL,
			"control group '%s': '%.*s' cannot be part of the name of a systemd unit",
			parent, (int) n, name);
	*ret = path_join("%.*s-tasks.service", (int) n, name);
	return *ret ? 0 : err_set(err, ENOMEM, "control group '%s'", parent);
}

int delegate_unit(const char *parent, char **ret_unit, size_t *ret_given, struct err *err)
{
	*ret_given = units_length(parent);
	*ret_unit = NULL;
	return *ret_given > 0 ? 0 : unit_name(parent, strcspn(parent + 1, "/"), ret_unit, err);
}

/* ---- calls ---- */

static int open_manager(sd_bus **ret, struct err *err)
{
	_cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
	int k = sd_bus_new(&bus);

	if (k >= 0)
		k = sd_bus_set_address(bus, ADDRESS);
	if (k >= 0)
		k = sd_bus_start(bus);
	if (k >= 0)
		k = sd_bus_set_method_call_timeout(bus, CALL_MAX_MS * UINT64_C(1000));
	if (k < 0)
		return err_set_errno(err, -k, "speak to systemd at %s", ADDRESS);
	*ret = TAKE_PTR(bus);
	return 0;
}

static int describe(sd_bus_message *m)
{
	int k = sd_bus_message_append(m, "(sv)(sv)(sv)", "Description", "s",
				      "Containers of ECS tasks", "Type", "s", "exec", "Slice", "s",
				      "-.slice");

	/* Nothing of it stays known to systemd once it was stopped, so that it can be made again. */
	if (k >= 0)
		k = sd_bus_message_append(m, "(sv)", "CollectMode", "s", "inactive-or-failed");
	if (k >= 0)
		k = sd_bus_message_append(m, "(sv)", "DelegateControllers", "as", 4, "cpu", "io",
					  "memory", "pids");
	/* One container out of memory is no reason to stop all, and every task has limits of its own. */
	if (k >= 0)
		k = sd_bus_message_append(m, "(sv)(sv)(sv)", "OOMPolicy", "s", "continue",
					  "OOMScoreAdjust", "i", -1000, "TasksMax", "t",
					  UINT64_MAX);
	if (k >= 0)
		k = sd_bus_message_append(m, "(sv)", "ExecStart", "a(sasb)", 1, KEEPER, 2, KEEPER,
					  "infinity", 0);
	return k;
}

static int new_start_call(sd_bus *bus, const char *unit, sd_bus_message **ret)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	int k = sd_bus_message_new_method_call(bus, &m, DESTINATION, MANAGER_PATH, MANAGER,
					       "StartTransientUnit");

	if (k >= 0)
		k = sd_bus_message_append(m, "ss", unit, "fail");
	if (k >= 0)
		k = sd_bus_message_open_container(m, 'a', "(sv)");
	if (k >= 0)
		k = describe(m);
	if (k >= 0)
		k = sd_bus_message_close_container(m);
	if (k >= 0)
		k = sd_bus_message_append(m, "a(sa(sv))", 0); /* no further units */
	if (k >= 0)
		*ret = TAKE_PTR(m);
	return k;
}

/* -EEXIST: systemd knows the unit already. */
static int start_transient(sd_bus *bus, const char *unit, struct err *err)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	_cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
	int k = new_start_call(bus, unit, &m);

	if (k >= 0)
		k = sd_bus_call(bus, m, 0, &e, NULL);
	if (k >= 0)
		return 0;
	if (sd_bus_error_has_name(&e, "org.freedesktop.systemd1.UnitExists"))
		return -EEXIST;
	return err_set(err, -k, "systemd does not make the unit %s: %s", unit,
		       e.message ? e.message : strerror(-k));
}

static int start_known(sd_bus *bus, const char *unit, struct err *err)
{
	_cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
	int k = sd_bus_call_method(bus, DESTINATION, MANAGER_PATH, MANAGER, "StartUnit", &e, NULL,
				   "ss", unit, "fail");

	return k < 0 ? err_set(err, -k, "systemd does not start the unit %s: %s", unit,
			       e.message ? e.message : strerror(-k))
		     : 0;
}

/* ---- what became of it ---- */

static int get_string(sd_bus *bus, const char *path, const char *interface, const char *name,
		      char **ret, struct err *err)
{
	_cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
	int k = sd_bus_get_property_string(bus, DESTINATION, path, interface, name, &e, ret);

	return k < 0 ? err_set(err, -k, "systemd does not tell %s: %s", name,
			       e.message ? e.message : strerror(-k))
		     : 0;
}

static int wait_active(sd_bus *bus, const char *unit, const char *path, struct err *err)
{
	int64_t deadline = clock_mono_ms() + START_MAX_MS;

	for (;;) {
		_cleanup_(freep) char *state = NULL;
		int k = get_string(bus, path, UNIT, "ActiveState", &state, err);

		if (k < 0)
			return k;
		if (strcmp(state, "active") == 0)
			return 0;
		if (strcmp(state, "failed") == 0 || clock_mono_ms() > deadline)
			return err_set(err, EIO, "the systemd unit %s is %s, not active", unit,
				       state);
		(void) nanosleep(&(struct timespec){ .tv_nsec = LOOK_EVERY_MS * 1000000L }, NULL);
	}
}

static int check_delegated(sd_bus *bus, const char *unit, const char *path, struct err *err)
{
	int delegated = 0;
	int k = sd_bus_get_property_trivial(bus, DESTINATION, path, SERVICE, "Delegate", NULL, 'b',
					    &delegated);

	if (k < 0)
		return err_set_errno(err, -k, "ask systemd about the unit %s", unit);
	return delegated ? 0 : err_set(err, EPERM, "the systemd unit %s lacks Delegate=yes", unit);
}

/* ---- its process ---- */

static int move_process(const char *list, const char *to, struct err *err)
{
	for (const char *p = list; *p; p += strcspn(p, "\n"), p += *p == '\n') {
		_cleanup_(closep) int fd = open(to, O_WRONLY | O_CLOEXEC);
		size_t n = strcspn(p, "\n");

		if (fd < 0 || (write(fd, p, n) < 0 && errno != ESRCH))
			return err_set_errno(err, errno, "move process %.*s to %s", (int) n, p, to);
	}
	return 0;
}

/* A group with processes cannot give controllers to groups below it, so they go into one beside. */
static int move_keeper(const char *root, const char *group, struct err *err)
{
	_cleanup_(freep) char *from = path_join("%s%s/cgroup.procs", root, group), *list = NULL,
			      *dir = path_join("%s%s/keeper", root, group),
			      *to = path_join("%s%s/keeper/cgroup.procs", root, group);
	int k;

	if (!from || !dir || !to)
		return err_set(err, ENOMEM, "group %s", group);
	k = fs_read_file(AT_FDCWD, from, 4096, &list, NULL, err);
	if (k < 0 || !*list)
		return k;
	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return err_set_errno(err, errno, "make %s", dir);
	return move_process(list, to, err);
}

int delegate_start(const char *root, const char *unit, char **ret_group, struct err *err)
{
	_cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
	_cleanup_(freep) char *path = NULL, *group = NULL;
	int k = open_manager(&bus, err);

	if (k < 0)
		return k;
	if (sd_bus_path_encode("/org/freedesktop/systemd1/unit", unit, &path) < 0)
		return err_set(err, ENOMEM, "unit %s", unit);
	k = start_transient(bus, unit, err);
	if (k == -EEXIST)
		k = start_known(bus, unit, err);
	if (k == 0)
		k = wait_active(bus, unit, path, err);
	if (k == 0)
		k = check_delegated(bus, unit, path, err);
	if (k == 0)
		k = get_string(bus, path, SERVICE, "ControlGroup", &group, err);
	if (k < 0)
		return k;
	if (group[0] != '/' || !group[1])
		return err_set(err, EIO, "the systemd unit %s has no control group", unit);
	k = move_keeper(root, group, err);
	if (k < 0)
		return k;
	*ret_group = TAKE_PTR(group);
	return 0;
}
