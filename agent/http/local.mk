# agent/http/: introspection and /metrics, the control socket
libagent_a_SOURCES += \
	agent/http/control.c agent/http/control.h \
	agent/http/events.c agent/http/events.h \
	agent/http/introspection.c agent/http/introspection.h \
	agent/http/license.c \
	agent/http/listener.c agent/http/listener.h \
	agent/http/metrics-page.c \
	agent/http/server.c agent/http/server.h \
	agent/http/tasks-json.c agent/http/tasks-json.h \
	agent/http/view.h

# The text of the licence as C string literals, so that an agent without its files can show it.
agent/http/license-text.h: $(top_srcdir)/LICENSE
	$(AM_V_GEN)$(MKDIR_P) agent/http && sed 's/\\/\\\\/g;s/"/\\"/g;s/^/"/;s/$$/\\n"/' $(top_srcdir)/LICENSE >$@.tmp && mv $@.tmp $@
agent/http/license.$(OBJEXT): agent/http/license-text.h
AM_CPPFLAGS += -I$(top_builddir)
CLEANFILES += agent/http/license-text.h
