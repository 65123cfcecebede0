# agent/acs/
libagent_a_SOURCES += \
	agent/acs/acs.c agent/acs/acs.h \
	agent/acs/credentials.c agent/acs/credentials.h \
	agent/acs/frame.c agent/acs/frame.h \
	agent/acs/attach.c \
	agent/acs/messages.c \
	agent/acs/private.h
