# runtime/gpu/: NVIDIA GPUs of the host, by their UUIDs
libruntime_a_SOURCES += runtime/gpu/gpu.c runtime/gpu/gpu.h
