# agent/metadata/: what tasks ask at 169.254.170.2
libagent_a_SOURCES += \
	agent/metadata/audit.c agent/metadata/audit.h \
	agent/metadata/caller.c agent/metadata/caller.h \
	agent/metadata/credentials-page.c \
	agent/metadata/describe.c agent/metadata/describe.h \
	agent/metadata/front.c \
	agent/metadata/later.c agent/metadata/later.h \
	agent/metadata/line.c agent/metadata/line.h \
	agent/metadata/metadata.c agent/metadata/metadata.h \
	agent/metadata/pace.c agent/metadata/pace.h \
	agent/metadata/pages.h \
	agent/metadata/protection.c \
	agent/metadata/stats-page.c \
	agent/metadata/tags.c \
	agent/metadata/tasks-page.c
