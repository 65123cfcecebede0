/* SPDX-License-Identifier: Apache-2.0 */
/* ecsctl - looks at and into the agent of this host. */
#include <stdlib.h>
#include <string.h>

#include "cli/client.h"
#include "cli/commands.h"
#include "common/cleanup.h"
#include "common/fs.h"

static const struct command commands[] = {
	{ "status", "[--wait SECONDS]", "tell what the agent does or waits for", cmd_status,
	  "  --wait SECONDS  until it is registered and connected\n"
	  "Exit code 1: it is not connected.\n" },
	{ "ps", "[-a] [-q] [--no-trunc] [--filter KEY=VALUE]", "list containers", cmd_ps,
	  "  -a, --all                those of stopped tasks as well\n"
	  "  -q, --quiet              only the ids of tasks\n"
	  "  --no-trunc               whole ids\n"
	  "  -f, --filter KEY=VALUE   only those: family, name, status, health, image, local\n" },
	{ "stats", "[OPTION...] [TASK...]", "show CPU, memory, network and disk of containers",
	  cmd_stats,
	  "  --no-stream         print once instead of again and again\n"
	  "  --interval SECONDS  how often (default 2)\n"
	  "  --sort KEY          cpu, memory or name\n"
	  "CPU is in percent of one core. On a terminal this is top; else rows again and again, "
	  "with\n"
	  "--json a line each time.\n" },
	{ "top", "[OPTION...] [TASK...]", "the same, those that need most first", cmd_top,
	  "  --interval SECONDS  how often (default 2)\n"
	  "  --sort KEY          cpu, memory or name\n"
	  "  --no-stream         print once\n"
	  "Keys: c, m and n sort by CPU, memory and name, q ends it.\n" },
	{ "logs", "[OPTION...] TASK[/CONTAINER]", "print what a container wrote", cmd_logs,
	  "  -f, --follow       go on until the container ends\n"
	  "  -n, --tail N       only the last N lines\n"
	  "  --since TIME       only from then on: 10m, 2026-01-31T12:00:00Z, seconds since the "
	  "epoch\n"
	  "  --until TIME       only up to then\n"
	  "  -t, --timestamps   put the time in front\n"
	  "The container's name may be left out when the task has one only.\n" },
	{ "run", "[OPTION...] FILE [-- COMMAND...]",
	  "run a task definition on this host, without a control plane", cmd_run,
	  "  -d, --detach       print its id and return; else its output is printed, Ctrl-C stops "
	  "it,\n"
	  "                     and the exit code is that of the essential container (125: not "
	  "started)\n"
	  "  --rm               keep nothing of it once it has stopped\n"
	  "  --name NAME        the id of the task, instead of one by chance\n"
	  "  --family NAME      of a definition that has none\n"
	  "  -e, --env N[=V]    set a variable\n"
	  "  --container NAME   whose variables and command, where there are several containers\n"
	  "  --ignore MEMBER    run it without this member of the definition: taskRoleArn\n"
	  "FILE is what register-task-definition takes, as JSON; - is standard input. COMMAND "
	  "replaces the\n"
	  "container's. What only a control plane can give is refused by name. No service hears of "
	  "the task.\n" },
	{ "rm", "TASK...", "forget local tasks that have stopped", cmd_rm, "" },
	{ "exec", "[-t | -T] [--user USER] TASK[/CONTAINER] COMMAND...",
	  "run a command in a container", cmd_exec,
	  "  -t, --tty      with a terminal, as when standard input is one\n"
	  "  -T, --no-tty   without\n"
	  "  --user USER    numbers: UID[:GID]\n"
	  "It has the container's environment and limits, and ends with it.\n",
	  true },
	{ "inspect", "TASK...", "show all there is to know of a task, as JSON", cmd_inspect, "" },
	{ "stop", "[--wait] TASK...", "stop tasks; the control plane is told", cmd_stop,
	  "  --wait        return when they have stopped\n"
	  "A service starts another one: to keep it down, change its desired count.\n" },
	{ "drain", "[--undo | --stop-tasks [--timeout SECONDS]]", "take no more tasks", cmd_drain,
	  "  --undo             serve again\n"
	  "  --stop-tasks       stop those that run as well, and wait until the service knows;\n"
	  "                     the host serves again when its agent starts anew\n"
	  "  --timeout SECONDS  wait no longer (default 300)\n"
	  "A service moves its tasks to other instances; standalone ones stay unless stopped.\n" },
	{ "events", "[-f] [--since TIME]", "print what happened lately, a JSON object per line",
	  cmd_events,
	  "  -f, --follow  go on\n"
	  "  --since TIME  only from then on: 10m, 2026-01-31T12:00:00Z, seconds since the "
	  "epoch\n" },
	{ "image", "ls|pull|load|rm|inspect ...", "work with the image store", cmd_image,
	  "Everything behind 'image' goes to ecs-image; see ecs-image --help for options.\n"
	  "This works without an agent as well.\n" },
	{ "doctor", "[--host | --repair]", "list what is on this host and belongs to no task",
	  cmd_doctor,
	  "  --host        look at the host instead: kernel, control groups, runc, disk, clock,\n"
	  "                ports, endpoints, credentials, proxies; up to 20 s. Exit code 1: "
	  "something\n"
	  "                is BAD; a warning alone is no failure\n"
	  "  --repair      remove it; processes are killed\n"
	  "Without a running agent its state is looked through by ecs-agent --doctor.\n"
	  "Exit code 4: something is left.\n" },
	{ "version", "", "show the versions of ecsctl and agent", cmd_version, "" },
};

static void print_usage(FILE *f)
{
	fputs("usage: ecsctl [--socket PATH] [--json] COMMAND [ARGUMENT ...]\n\n", f);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(f, "  %-8s %s\n", commands[i].name, commands[i].summary);
	fputs("\n"
	      "  --socket PATH  the agent's socket (default $ECS_RUN_DIR/agent.sock, else\n"
	      "                 /run/ecs/agent.sock)\n"
	      "  --json         for programs\n"
	      "  --help         also behind a command\n"
	      "  --version      of ecsctl alone; the command version asks the agent as well\n"
	      "\n"
	      "TASK is an ARN, an id, or the beginning of an id.\n"
	      "Exit codes: 0 done, 1 failed, 2 wrong words, 3 no agent to ask, 4 doctor: something "
	      "is left.\n",
	      f);
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

/*
 * --socket, --json and --help may stand anywhere; what is behind "image" belongs to ecs-image but
 * for the first two. Returns an exit code, or -1 to go on. @rest takes what is left.
 */
static int take_globals(int argc, char **argv, struct invocation *inv, char **rest)
{
	struct invocation words = { .argc = argc, .argv = argv };
	bool help = false;

	for (int n = 1; n < argc; n++) {
		if (inv->command &&
		    strcmp(argv[n], "--") == 0) /* the rest is nobody's but the command's */
			for (; n < argc; n++)
				rest[inv->argc++] = argv[n];
		else if (inv->command && inv->command->verbatim && inv->argc > 0 &&
			 *rest[inv->argc - 1] != '-' &&
			 strcmp(inv->argc > 1 ? rest[inv->argc - 2] : "", "--user") != 0)
			for (; n < argc; n++)
				rest[inv->argc++] = argv[n];
		else if (take_option(&words, &n, "--socket", &inv->socket)) {
			if (!inv->socket) {
				fputs("ecsctl: --socket wants a path\n", stderr);
				return CTL_USAGE;
			}
		} else if (take_option(&words, &n, "--json", NULL))
			inv->json = true;
		else if (take_option(&words, &n, "--help", NULL) ||
			 take_option(&words, &n, "-h", NULL))
			help = true;
		else if (!inv->command && take_option(&words, &n, "--version", NULL)) {
			printf("ecsctl %s (%s)\n", PACKAGE_VERSION, GIT_HASH);
			return CTL_OK;
		} else if (!inv->command && *argv[n] == '-') {
			fprintf(stderr, "ecsctl: there is no option '%s'; try 'ecsctl --help'\n", argv[n]);
			return CTL_USAGE;
		} else if (!inv->command) {
			inv->command = find_command(argv[n]);
			if (!inv->command) {
				fprintf(stderr, "ecsctl: there is no command '%s'; try 'ecsctl --help'\n",
					argv[n]);
				return CTL_USAGE;
			}
		} else
			rest[inv->argc++] = argv[n];
	}
	if (!help && inv->command)
		return -1;
	if (inv->command)
		print_help(inv->command, stdout);
	else
		print_usage(help ? stdout : stderr);
	return help ? CTL_OK : CTL_USAGE;
}

static char *default_socket(void)
{
	const char *dir = getenv("ECS_RUN_DIR");

	return path_join("%s/agent.sock", dir && *dir ? dir : "/run/ecs");
}

int main(int argc, char **argv)
{
	_cleanup_(freep) char *socket_path = default_socket();
	_cleanup_(freep) char **rest = calloc((size_t) argc + 1, sizeof(*rest));
	struct invocation inv = { .socket = socket_path, .argv = rest };
	int code;

	if (!rest || !socket_path)
		return CTL_FAILED;
	code = take_globals(argc, argv, &inv, rest);
	return code >= 0 ? code : inv.command->run(&inv);
}
