# runtime/cgroup/: limits, the task's group, and the paths below it
libruntime_a_SOURCES += \
	runtime/cgroup/cgroup.c runtime/cgroup/cgroup.h \
	runtime/cgroup/delegate.c runtime/cgroup/delegate.h \
	runtime/cgroup/tree.c runtime/cgroup/tree.h
