# agent/tcs/
libagent_a_SOURCES += \
	agent/tcs/private.h \
	agent/tcs/rounds.c agent/tcs/rounds.h \
	agent/tcs/tcs.c agent/tcs/tcs.h
