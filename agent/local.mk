# agent/: the daemon; the only place that decides. All but main.c is a library, so that tests link it.
noinst_LIBRARIES += libagent.a
libagent_a_SOURCES = \
	agent/attachments.c agent/attachments.h \
	agent/config.c agent/config.h agent/config-internal.h \
	agent/config-file.c \
	agent/config-keys.c \
	agent/config-lists.c \
	agent/config-types.c \
	agent/options.c agent/options.h \
	agent/reach.c agent/reach.h \
	agent/reach-host.c \
	agent/watchdog.c agent/watchdog.h
AGENT_LIBS = libagent.a $(METRICS_LIBS) $(AWS_LIBS) $(RUNTIME_LIBS) $(MICROHTTPD_LIBS)

include agent/acs/local.mk
include agent/ctl/local.mk
include agent/engine/local.mk
include agent/http/local.mk
include agent/localtask/local.mk
include agent/metadata/local.mk
include agent/store/local.mk
include agent/tcs/local.mk

# What wires the parts together is in no library: main.c, and what only it knows.
sbin_PROGRAMS += ecs-agent
ecs_agent_SOURCES = \
	agent/agent.c agent/agent.h \
	agent/containers.c \
	agent/families.c agent/families.h \
	agent/drain.c \
	agent/doctor.c \
	agent/instance.c \
	agent/join.c \
	agent/local.c \
	agent/main.c \
	agent/metering.c \
	agent/services.c \
	agent/sessions.c \
	agent/spot.c \
	agent/trim.c agent/trim.h \
	agent/wait.c
ecs_agent_LDADD = $(AGENT_LIBS)
