/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli/commands.h"

void print_help(const struct command *c, FILE *f)
{
	fprintf(f, "usage: ecsctl %s%s%s\n%s.\n%s%s", c->name, *c->arguments ? " " : "",
		c->arguments, c->summary, *c->help ? "\n" : "", c->help);
}

int usage_error(const struct invocation *i, const char *what)
{
	fprintf(stderr, "ecsctl %s: %s%s\n", i->command->name,
		*what == '-' ? "unknown or incomplete option: " : "", what);
	print_help(i->command, stderr);
	return CTL_USAGE;
}

int report_error(int r, const struct err *err)
{
	fprintf(stderr, "ecsctl: %s\n", err_text(err));
	return r < 0 && strncmp(err_text(err), "cannot reach", 12) == 0 ? CTL_UNREACHABLE
									: CTL_FAILED;
}

void print_json(const json_t *o)
{
	(void) json_dumpf(o, stdout, JSON_INDENT(2));
	putchar('\n');
}

bool take_option(const struct invocation *i, int *at, const char *name, const char **ret_value)
{
	const char *word = i->argv[*at];
	size_t n = strlen(name);

	if (strncmp(word, name, n) != 0 || (word[n] && !(ret_value && word[n] == '=')))
		return false;
	if (!ret_value)
		return true;
	if (word[n])
		*ret_value = word + n + 1;
	else
		*ret_value = *at + 1 < i->argc ? i->argv[++*at] : NULL;
	return true;
}
