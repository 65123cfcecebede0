# The agents' half of the control plane.
libcontrolplane_a_SOURCES += \
	controlplane/acs.c controlplane/acs.h \
	controlplane/acs_inbound.c controlplane/acs_session.h \
	controlplane/acs_compose.c controlplane/acs_compose.h \
	controlplane/acs_message.c controlplane/acs_message.h \
	controlplane/agentapi.c controlplane/agentapi.h \
	controlplane/credentials.c controlplane/credentials.h \
	controlplane/health.c controlplane/health.h \
	controlplane/local.c \
	controlplane/outbox.c controlplane/outbox.h \
	controlplane/payload.c controlplane/payload.h \
	controlplane/payload_container.c controlplane/payload_docker.c \
	controlplane/schema.c controlplane/schema.h \
	controlplane/sigv4.c controlplane/sigv4.h controlplane/sigv4_keys.h \
	controlplane/sigv4_parse.c \
	controlplane/tcs.c controlplane/tcs.h \
	controlplane/tcs_check.c controlplane/tcs_check.h \
	controlplane/tcs_frame.c controlplane/tcs_frame.h \
	controlplane/telemetry.c controlplane/telemetry.h \
	controlplane/upgrade.c \
	controlplane/timeline.c controlplane/timeline.h \
	controlplane/wire.c controlplane/wire.h controlplane/wire_state.h \
	controlplane/ws.c controlplane/ws.h
