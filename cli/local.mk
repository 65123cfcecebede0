# cli/: ecsctl, which speaks to the agent's socket. All but main.c is a library, so that tests link it.
noinst_LIBRARIES += libcli.a
libcli_a_SOURCES = \
	cli/client.c cli/client.h \
	cli/commands.h \
	cli/doctor.c \
	cli/exec.c \
	cli/host-check.c cli/host-check.h \
	cli/image.c \
	cli/logs.c cli/logs.h \
	cli/ps.c \
	cli/stats.c \
	cli/status.c \
	cli/table.c cli/table.h \
	cli/tasks.c \
	cli/usage.c
CLI_LIBS = libcli.a $(COMMON_LIBS)

bin_PROGRAMS += ecsctl
ecsctl_SOURCES = cli/main.c
ecsctl_LDADD = $(CLI_LIBS)

bashcompletiondir = $(datadir)/bash-completion/completions
dist_bashcompletion_DATA = packaging/completion/ecsctl
