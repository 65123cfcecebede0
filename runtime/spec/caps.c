/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/spec/caps.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"
#include "common/fs.h"

#define BIT(cap) (1ULL << (cap))

static const char *const names[] = {
	"CAP_CHOWN",
	"CAP_DAC_OVERRIDE",
	"CAP_DAC_READ_SEARCH",
	"CAP_FOWNER",
	"CAP_FSETID",
	"CAP_KILL",
	"CAP_SETGID",
	"CAP_SETUID",
	"CAP_SETPCAP",
	"CAP_LINUX_IMMUTABLE",
	"CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST",
	"CAP_NET_ADMIN",
	"CAP_NET_RAW",
	"CAP_IPC_LOCK",
	"CAP_IPC_OWNER",
	"CAP_SYS_MODULE",
	"CAP_SYS_RAWIO",
	"CAP_SYS_CHROOT",
	"CAP_SYS_PTRACE",
	"CAP_SYS_PACCT",
	"CAP_SYS_ADMIN",
	"CAP_SYS_BOOT",
	"CAP_SYS_NICE",
	"CAP_SYS_RESOURCE",
	"CAP_SYS_TIME",
	"CAP_SYS_TTY_CONFIG",
	"CAP_MKNOD",
	"CAP_LEASE",
	"CAP_AUDIT_WRITE",
	"CAP_AUDIT_CONTROL",
	"CAP_SETFCAP",
	"CAP_MAC_OVERRIDE",
	"CAP_MAC_ADMIN",
	"CAP_SYSLOG",
	"CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND",
	"CAP_AUDIT_READ",
	"CAP_PERFMON",
	"CAP_BPF",
	"CAP_CHECKPOINT_RESTORE",
};

static const uint64_t default_set = BIT(CAP_AUDIT_WRITE) | BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) |
				    BIT(CAP_FOWNER) | BIT(CAP_FSETID) | BIT(CAP_KILL) |
				    BIT(CAP_MKNOD) | BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_NET_RAW) |
				    BIT(CAP_SETFCAP) | BIT(CAP_SETGID) | BIT(CAP_SETPCAP) |
				    BIT(CAP_SETUID) | BIT(CAP_SYS_CHROOT);

const char *caps_name(int number)
{
	return number >= 0 && (size_t) number < ARRAY_SIZE(names) ? names[number] : NULL;
}

int caps_number(const char *name)
{
	const char *bare = strncasecmp(name, "CAP_", 4) == 0 ? name + 4 : name;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcasecmp(names[i] + 4, bare) == 0)
			return (int) i;
	return -1;
}

static int collect(char *const *list, const char *what, uint64_t *ret_set, bool *ret_all,
		   struct err *err)
{
	*ret_set = 0;
	*ret_all = false;
	for (size_t i = 0; list && list[i]; i++) {
		int n;

		if (strcasecmp(list[i], "ALL") == 0 || strcasecmp(list[i], "CAP_ALL") == 0) {
			*ret_all = true;
			continue;
		}
		n = caps_number(list[i]);
		if (n < 0)
			return err_set(err, EINVAL, "%s[%zu]: unknown capability '%s'", what, i,
				       list[i]);
		*ret_set |= BIT(n);
	}
	return 0;
}

int caps_resolve(char *const *add, char *const *drop, uint64_t bounding, uint64_t *ret,
		 struct err *err)
{
	uint64_t added, dropped;
	bool add_all, drop_all;
	int k = collect(add, "capAdd", &added, &add_all, err);

	if (k == 0)
		k = collect(drop, "capDrop", &dropped, &drop_all, err);
	if (k < 0)
		return k;
	if (add_all)
		*ret = bounding & (BIT(ARRAY_SIZE(names)) - 1) & ~dropped;
	else if (drop_all)
		*ret = added;
	else
		*ret = (default_set & ~dropped) | added;
	return 0;
}

uint64_t caps_bounding(void)
{
	_cleanup_(freep) char *text = NULL;
	const char *line;

	if (fs_read_file(AT_FDCWD, "/proc/self/status", 1 << 16, &text, NULL, NULL) < 0)
		return default_set;
	line = strstr(text, "\nCapBnd:");
	return line ? strtoull(line + strlen("\nCapBnd:"), NULL, 16) : default_set;
}

const char **caps_names(uint64_t set)
{
	const char **v = calloc(ARRAY_SIZE(names) + 1, sizeof(*v));
	size_t n = 0;

	for (size_t i = 0; v && i < ARRAY_SIZE(names); i++)
		if (set & BIT(i))
			v[n++] = names[i];
	return v;
}
