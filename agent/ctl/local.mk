# agent/ctl/
libagent_a_SOURCES += \
	agent/ctl/capabilities.c agent/ctl/capabilities.h \
	agent/ctl/ctl.c agent/ctl/ctl.h \
	agent/ctl/outbox.c agent/ctl/outbox.h \
	agent/ctl/private.h \
	agent/ctl/register.c agent/ctl/register.h \
	agent/ctl/session.c agent/ctl/session.h
