# agent/localtask/
libagent_a_SOURCES += \
	agent/localtask/container.c \
	agent/localtask/localtask.c \
	agent/localtask/localtask.h \
	agent/localtask/rules.c \
	agent/localtask/rules.h
