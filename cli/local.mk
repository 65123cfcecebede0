# cli/: ecsctl, which speaks to the agent's socket. All but main.c is a library, so that tests link it.
noinst_LIBRARIES += libcli.a
libcli_a_SOURCES = \
	cli/client.c cli/client.h \
	cli/commands.h \
	cli/doctor.c \
	cli/exec.c \
	cli/follow.c cli/follow.h \
	cli/host-check.c cli/host-check.h \
	cli/host-firewall.c cli/host-firewall.h \
	cli/image.c \
	cli/log-reader.c cli/log-reader.h \
	cli/logs.c \
	cli/ps.c \
	cli/run.c \
	cli/stats.c cli/stats.h \
	cli/status.c \
	cli/table.c cli/table.h \
	cli/tasks.c \
	cli/top.c \
	cli/usage.c \
	cli/when.c cli/when.h
CLI_LIBS = libcli.a $(COMMON_LIBS)

bin_PROGRAMS += ecsctl
ecsctl_SOURCES = cli/main.c
ecsctl_LDADD = $(CLI_LIBS)

bashcompletiondir = $(datadir)/bash-completion/completions
dist_bashcompletion_DATA = packaging/completion/ecsctl
