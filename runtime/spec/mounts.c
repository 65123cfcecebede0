/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "runtime/spec/parts.h"

enum { MOUNTS_MAX = 1000, SHM_DEFAULT_BYTES = 64 << 20 };

/* As Docker mounts them, in this order. */
static const struct spec_mount standard[] = {
	{ "proc", "/proc", "proc", "nosuid,noexec,nodev" },
	{ "tmpfs", "/dev", "tmpfs", "nosuid,strictatime,mode=755,size=65536k" },
	{ "devpts", "/dev/pts", "devpts",
	  "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5" },
	{ "sysfs", "/sys", "sysfs", "nosuid,noexec,nodev,ro" },
	{ "cgroup", "/sys/fs/cgroup", "cgroup", "ro,nosuid,noexec,nodev" },
	{ "mqueue", "/dev/mqueue", "mqueue", "nosuid,noexec,nodev" },
	{ "shm", "/dev/shm", "tmpfs", "nosuid,noexec,nodev,mode=1777,size=" },
};

bool spec_path_is_clean(const char *path)
{
	if (*path != '/')
		return false;
	for (const char *p = path; p; p = strchr(p + 1, '/')) {
		size_t n = strcspn(p + 1, "/");

		if ((n == 1 && p[1] == '.') || (n == 2 && p[1] == '.' && p[2] == '.'))
			return false;
	}
	return true;
}

static const char *next_component(const char *p, size_t *ret_len)
{
	p += strspn(p, "/");
	*ret_len = strcspn(p, "/");
	return p;
}

bool spec_path_is_below(const char *path, const char *dir)
{
	for (;;) {
		size_t a, b;

		path = next_component(path, &a);
		dir = next_component(dir, &b);
		if (b == 0)
			return true;
		if (a != b || memcmp(path, dir, a) != 0)
			return false;
		path += a;
		dir += b;
	}
}

static bool same_path(const char *a, const char *b)
{
	return spec_path_is_below(a, b) && spec_path_is_below(b, a);
}

static int depth(const char *path)
{
	size_t n;
	int d = 0;

	for (path = next_component(path, &n); n > 0; path = next_component(path + n, &n))
		d++;
	return d;
}

static bool has_option(const char *options, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = options; p && *p; p += *p == ',') {
		size_t len = strcspn(p, ",");

		if (len == n && memcmp(p, name, n) == 0)
			return true;
		p += len;
	}
	return false;
}

static bool has_propagation(const char *o)
{
	static const char *const kinds[] = { "shared",  "rshared",  "slave",      "rslave",
					     "private", "rprivate", "unbindable", "runbindable" };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (has_option(o, kinds[i]))
			return true;
	return false;
}

const char *spec_root_propagation(const struct container_spec *s)
{
	const char *wanted = NULL;

	for (size_t i = 0; i < s->n_mounts; i++) {
		const char *o = s->mounts[i].options;

		if (has_option(o, "shared") || has_option(o, "rshared"))
			return "rshared";
		if (has_option(o, "slave") || has_option(o, "rslave"))
			wanted = "rslave";
	}
	return wanted;
}

static int append_options(json_t *list, const char *options)
{
	for (const char *p = options; p && *p; p += *p == ',') {
		size_t len = strcspn(p, ",");

		if (len > 0 && json_array_append_new(list, json_stringn(p, len)) < 0)
			return -ENOMEM;
		p += len;
	}
	return 0;
}

static int append(json_t *mounts, const struct spec_mount *m, const char *options)
{
	const char *type = m->type ? m->type : "bind";
	bool bind = strcmp(type, "bind") == 0;
	json_t *list = json_array();
	int k = append_options(list, options);

	if (k == 0 && bind && !has_option(options, "bind") && !has_option(options, "rbind"))
		k = json_array_append_new(list, json_string("rbind"));
	if (k == 0 && bind && !has_propagation(options))
		k = json_array_append_new(list, json_string("rprivate"));
	if (k == 0)
		k = json_array_append_new(mounts, json_pack("{s:s, s:s, s:s, s:O}", "destination",
							    m->destination, "type", type, "source",
							    m->source, "options", list));
	json_decref(list);
	return k;
}

static bool is_replaced(const struct container_spec *s, const char *destination)
{
	for (size_t i = 0; i < s->n_tmpfs; i++)
		if (same_path(s->tmpfs[i].key, destination))
			return true;
	for (size_t i = 0; i < s->n_mounts; i++)
		if (s->mounts[i].destination && same_path(s->mounts[i].destination, destination))
			return true;
	return false;
}

static int append_standard(json_t *mounts, const struct container_spec *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(standard); i++) {
		struct spec_mount m = standard[i];
		bool shm = strcmp(m.destination, "/dev/shm") == 0;
		char options[128];

		(void) snprintf(options, sizeof(options), "%s", m.options);
		if (shm)
			(void) snprintf(options, sizeof(options), "%s%lld", m.options,
					(long long) (s->shm_size_bytes ? s->shm_size_bytes
								       : SHM_DEFAULT_BYTES));
		if (s->privileged && strncmp(m.destination, "/sys", 4) == 0)
			(void) snprintf(options, sizeof(options), "rw,nosuid,noexec,nodev");
		if (shm && s->no_shm)
			continue;
		if (shm && s->shm_path) {
			m.source = s->shm_path;
			m.type = "bind";
			(void) snprintf(options, sizeof(options), "rbind,nosuid,noexec,nodev");
		}
		if (shm && s->ipcns == SPEC_NS_HOST) {
			m.source = m.destination;
			m.type = "bind";
			(void) snprintf(options, sizeof(options), "rbind,nosuid,noexec,nodev");
		}
		if (!is_replaced(s, m.destination) && append(mounts, &m, options) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int check(const struct spec_mount *m, size_t i, struct err *err)
{
	bool bind = !m->type || strcmp(m->type, "bind") == 0;

	if (!m->destination || !spec_path_is_clean(m->destination))
		return err_set(err, EINVAL,
			       "mounts[%zu].destination: '%s' is no absolute path without '..'", i,
			       m->destination ? m->destination : "");
	if (depth(m->destination) == 0)
		return err_set(err, EINVAL, "mounts[%zu].destination: '/' cannot be mounted over",
			       i);
	if (spec_path_is_below(m->destination, "/proc"))
		return err_set(err, EINVAL, "mounts[%zu].destination: '%s' is below /proc", i,
			       m->destination);
	if (!m->source || !*m->source || (bind && !spec_path_is_clean(m->source)))
		return err_set(err, EINVAL,
			       "mounts[%zu].source: '%s' is no absolute path without '..'", i,
			       m->source ? m->source : "");
	return 0;
}

static int compare_depth(const void *a, const void *b)
{
	const struct spec_mount *const *x = a, *const *y = b;
	int dx = depth((*x)->destination), dy = depth((*y)->destination);

	if (dx != dy)
		return dx - dy;
	return (*x > *y) - (*x < *y); /* stable */
}

/* A mount on a parent would hide one on its child that came before: sorted, parents first. */
static int sort_mounts(const struct container_spec *s, const struct spec_mount **sorted,
		       struct spec_mount *tmpfs, struct err *err)
{
	for (size_t i = 0; i < s->n_mounts; i++) {
		if (check(&s->mounts[i], i, err) < 0)
			return -EINVAL;
		sorted[i] = &s->mounts[i];
	}
	for (size_t i = 0; i < s->n_tmpfs; i++) {
		tmpfs[i] =
			(struct spec_mount){ "tmpfs", s->tmpfs[i].key, "tmpfs", s->tmpfs[i].value };
		if (check(&tmpfs[i], i, err) < 0)
			return err_wrap(err, "tmpfs");
		for (size_t j = 0; j < s->n_mounts; j++)
			if (same_path(s->mounts[j].destination, tmpfs[i].destination))
				return err_set(err, EINVAL,
					       "tmpfs[%zu]: duplicate mount point '%.100s'", i,
					       tmpfs[i].destination);
		sorted[s->n_mounts + i] = &tmpfs[i];
	}
	qsort(sorted, s->n_mounts + s->n_tmpfs, sizeof(*sorted), compare_depth);
	return 0;
}

int spec_mounts(const struct container_spec *s, json_t **ret, struct err *err)
{
	size_t n = s->n_mounts + s->n_tmpfs;
	_cleanup_(freep) const struct spec_mount **sorted = calloc(n + 1, sizeof(*sorted));
	_cleanup_(freep) struct spec_mount *tmpfs = calloc(s->n_tmpfs + 1, sizeof(*tmpfs));
	json_auto_t *mounts = json_array();

	if (n > MOUNTS_MAX)
		return err_set(err, EINVAL, "mounts: %zu are more than %d", n, MOUNTS_MAX);
	if (!sorted || !tmpfs || !mounts || append_standard(mounts, s) < 0)
		return err_set(err, ENOMEM, "mounts");
	if (sort_mounts(s, sorted, tmpfs, err) < 0)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		if (append(mounts, sorted[i], sorted[i]->options ? sorted[i]->options : "") < 0)
			return err_set(err, ENOMEM, "mounts");
	*ret = TAKE_PTR(mounts);
	return 0;
}
