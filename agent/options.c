/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/options.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "common/macro.h"

static const struct option_row {
	const char *name;
	size_t offset;
	bool takes_value;
} rows[] = {
	{ "version", offsetof(struct options, version), false },
	{ "license", offsetof(struct options, license), false },
	{ "help", offsetof(struct options, help), false },
	{ "h", offsetof(struct options, help), false },
	{ "healthcheck", offsetof(struct options, health_check), false },
	{ "ecs-attributes", offsetof(struct options, attributes), false },
	{ "print-config", offsetof(struct options, print_config), false },
	{ "print-config-keys", offsetof(struct options, print_config_keys), false },
	{ "json", offsetof(struct options, json), false },
	{ "doctor", offsetof(struct options, doctor), false },
	{ "check-services", offsetof(struct options, check_services), false },
	{ "repair", offsetof(struct options, repair), false },
	{ "k", offsetof(struct options, insecure), false },
	{ "blackhole-ec2-metadata", offsetof(struct options, blackhole_imds), false },
	{ "config", offsetof(struct options, config_file), true },
	{ "loglevel", offsetof(struct options, log_level), true },
	{ "loglevel-driver", offsetof(struct options, log_level_file), true },
	{ "loglevel-on-instance", offsetof(struct options, log_level_stream), true },
};

static const struct option_row *find_row(const char *name, size_t n)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (strlen(rows[i].name) == n && strncmp(rows[i].name, name, n) == 0)
			return &rows[i];
	return NULL;
}

static int set_flag(const struct option_row *row, const char *value, struct options *o,
		    struct err *err)
{
	bool *flag = (bool *) ((char *) o + row->offset);

	if (!value || strcmp(value, "true") == 0)
		*flag = true;
	else if (strcmp(value, "false") == 0)
		*flag = false;
	else
		return err_set(err, EINVAL, "-%s: '%.64s' is neither true nor false", row->name,
			       value);
	return 0;
}

int options_parse(int argc, char **argv, struct options *ret, struct err *err)
{
	struct options o = {};

	for (int i = 1; i < argc; i++) {
		const char *name = argv[i], *value;
		const struct option_row *row;
		size_t n;

		if (*name != '-')
			return err_set(err, EINVAL, "'%.64s' is not a flag", name);
		name += name[1] == '-' ? 2 : 1;
		n = strcspn(name, "=");
		value = name[n] ? name + n + 1 : NULL;
		row = find_row(name, n);
		if (!row)
			return err_set(err, EINVAL, "%.64s: there is no such flag", argv[i]);
		if (!row->takes_value) {
			int r = set_flag(row, value, &o, err);

			if (r < 0)
				return r;
			continue;
		}
		if (!value && i + 1 < argc)
			value = argv[++i];
		if (!value)
			return err_set(err, EINVAL, "-%s needs a value", row->name);
		*(const char **) ((char *) &o + row->offset) = value;
	}
	*ret = o;
	return 0;
}

const char *options_help(void)
{
	return "usage: ecs-agent [flag ...]\n"
	       "\n"
	       "The Amazon ECS container agent, running containers with runc. It stays in the\n"
	       "foreground. Settings come from the environment, /etc/ecs/ecs.config and\n"
	       "/var/lib/ecs/ecs.config; see ecs.config(5).\n"
	       "\n"
	       "  --config FILE             read this file instead of those two\n"
	       "  --print-config [--json]   print the settings in force and exit\n"
	       "  --print-config-keys       print every key with type, default, bounds and "
	       "meaning\n"
	       "  -loglevel LEVEL           crit, error, warn, info, debug or none\n"
	       "  -loglevel-driver LEVEL    the same for the log file alone\n"
	       "  -loglevel-on-instance LEVEL  the same for standard output or the journal alone\n"
	       "  -ecs-attributes           print the attributes this host registers and exit\n"
	       "  --doctor [--repair] [--json]  list (remove) what belongs to no task and exit;\n"
	       "                            4 if something is left\n"
	       "  --check-services [--json]  tell whether endpoints, credentials, proxies and "
	       "clock "
	       "will do\n"
	       "                            and exit; 1 if one will not\n"
	       "  -healthcheck              ask a running agent; exit 0 if it answers, else 1\n"
	       "  -k                        do not verify TLS certificates\n"
	       "  -blackhole-ec2-metadata   never ask the instance metadata service\n"
	       "  -version, -license, -help\n"
	       "\n"
	       "Exit codes: 0 ended by a signal; 1 worth a restart; 5 not worth one.\n";
}
