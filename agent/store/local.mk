# agent/store/
libagent_a_SOURCES += \
	agent/store/internal.h \
	agent/store/store.c \
	agent/store/store.h \
	agent/store/sync.c \
	agent/store/sync.h \
	agent/store/tasks.c \
	agent/store/attachments.c \
	agent/store/volumes.c
