# runtime/: how a container is made; takes values, returns values, has no opinion on ECS
noinst_LIBRARIES += libruntime.a
libruntime_a_SOURCES =
RUNTIME_LIBS = libruntime.a $(COMMON_LIBS) $(CGROUP_LIBS) $(NFTABLES_LIBS) $(NLROUTE_LIBS) $(SECCOMP_LIBS)

include runtime/cgroup/local.mk
include runtime/gpu/local.mk
include runtime/image/local.mk
include runtime/init/local.mk
include runtime/logs/local.mk
include runtime/net/local.mk
include runtime/pause/local.mk
include runtime/rootfs/local.mk
include runtime/runc/local.mk
include runtime/seccomp/local.mk
include runtime/shim/local.mk
include runtime/spec/local.mk
include runtime/unpack/local.mk
include runtime/volume/local.mk
