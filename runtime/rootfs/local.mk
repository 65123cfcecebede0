# runtime/rootfs/: overlay mounts, users, directories inside a root
libruntime_a_SOURCES += \
	runtime/rootfs/overlay.c \
	runtime/rootfs/mkdir.c \
	runtime/rootfs/rootfs.h \
	runtime/rootfs/user.c \
	runtime/rootfs/userdb.c runtime/rootfs/userdb.h
