# agent/http/: introspection and /metrics, the control socket
libagent_a_SOURCES += \
	agent/http/control.c agent/http/control.h \
	agent/http/events.c agent/http/events.h \
	agent/http/eni-json.c agent/http/eni-json.h \
	agent/http/introspection.c agent/http/introspection.h \
	agent/http/license.c \
	agent/http/listener.c agent/http/listener.h \
	agent/http/metrics-page.c \
	agent/http/server.c agent/http/server.h \
	agent/http/tasks-json.c agent/http/tasks-json.h \
	agent/http/view.h

# The licence, the notice and the libraries of others as C string literals, so that an agent without its files
# can show them.
LICENSE_TEXTS = $(top_srcdir)/LICENSE $(top_srcdir)/NOTICE $(top_srcdir)/THIRD-PARTY
EXTRA_DIST += NOTICE THIRD-PARTY
agent/http/license-text.h: $(LICENSE_TEXTS)
	$(AM_V_GEN)$(MKDIR_P) agent/http && sed -s 's/\\/\\\\/g;s/"/\\"/g;s/^/"/;s/$$/\\n"/;$$a "\\n"' $(LICENSE_TEXTS) >$@.tmp && mv $@.tmp $@
agent/http/license.$(OBJEXT): agent/http/license-text.h
AM_CPPFLAGS += -I$(top_builddir)
CLEANFILES += agent/http/license-text.h
