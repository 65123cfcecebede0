# controlplane/: a small ECS-compatible server. All but main.c is a library, so that tests link it.
noinst_LIBRARIES += libcontrolplane.a
libcontrolplane_a_SOURCES = \
	controlplane/arn.c controlplane/arn.h \
	controlplane/cluster.c controlplane/cluster.h \
	controlplane/controlplane.c controlplane/controlplane.h \
	controlplane/eni.c controlplane/eni.h controlplane/eni_wait.c controlplane/eni_wait.h \
	controlplane/expr.c controlplane/expr.h \
	controlplane/gpu.c controlplane/gpu.h \
	controlplane/instance.c controlplane/instance.h \
	controlplane/instance_register.c \
	controlplane/instance_expr.c controlplane/instance_expr.h \
	controlplane/ops.c controlplane/ops.h \
	controlplane/param.c controlplane/param.h \
	controlplane/protection.c controlplane/protection.h controlplane/run.c controlplane/run.h controlplane/run_request.c \
	controlplane/scheduler.c controlplane/scheduler.h \
	controlplane/server.c controlplane/server.h \
	controlplane/service.c controlplane/service.h controlplane/service_doc.c \
	controlplane/service_plan.c controlplane/service_request.c controlplane/service_step.c controlplane/service_step.h \
	controlplane/shape.c controlplane/shape.h \
	controlplane/store.c controlplane/store.h controlplane/store_task.c controlplane/store_eni.c controlplane/store_service.c \
	controlplane/subnets.c controlplane/subnets.h \
	controlplane/store_rows.c controlplane/store_rows.h \
	controlplane/tag.c \
	controlplane/task.c controlplane/task.h \
	controlplane/task_state.c \
	controlplane/taskdef.c controlplane/taskdef.h \
	controlplane/taskdef_attrs.c \
	controlplane/taskdef_check.c \
	controlplane/taskdef_rules.c controlplane/taskdef_rules.h \
	controlplane/token.c controlplane/token.h
include controlplane/wire.mk
CONTROLPLANE_LIBS = libcontrolplane.a $(COMMON_LIBS) $(MICROHTTPD_LIBS) $(WSLAY_LIBS)

sbin_PROGRAMS += ecs-controlplane
ecs_controlplane_SOURCES = controlplane/main.c
ecs_controlplane_LDADD = $(CONTROLPLANE_LIBS)
