# agent/engine/
engine_sources = \
	agent/engine/actions.c \
	agent/engine/admission.c \
	agent/engine/admission.h \
	agent/engine/bundle.c \
	agent/engine/cleanup.c \
	agent/engine/crash.h \
	agent/engine/decide.c \
	agent/engine/docker-options.c \
	agent/engine/docker-options.h \
	agent/engine/docker-security.c \
	agent/engine/engine.c \
	agent/engine/engine.h \
	agent/engine/health.c \
	agent/engine/health.h \
	agent/engine/image-check.c \
	agent/engine/image-check.h \
	agent/engine/intake.c \
	agent/engine/internal.h \
	agent/engine/payload-depends.c \
	agent/engine/payload-docker.c \
	agent/engine/payload-health.c \
	agent/engine/payload-unsupported.c \
	agent/engine/payload.c \
	agent/engine/payload.h \
	agent/engine/pulls.c \
	agent/engine/reconcile.c \
	agent/engine/reconcile.h \
	agent/engine/registry-auth.c \
	agent/engine/registry-auth.h \
	agent/engine/report.c \
	agent/engine/report.h \
	agent/engine/restore.c \
	agent/engine/slots.c \
	agent/engine/task.c \
	agent/engine/task.h
libagent_a_SOURCES += $(engine_sources)
