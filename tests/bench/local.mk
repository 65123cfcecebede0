# tests/bench/: prints numbers and never fails on one; not part of make check
EXTRA_DIST += tests/bench/README.md tests/bench/launch.py tests/bench/launch.sh tests/bench/metadata.sh \
	tests/bench/net-cni.py tests/bench/net.sh tests/bench/pull.py tests/bench/pull.sh tests/bench/soak.py tests/bench/soak.sh
EXTRA_PROGRAMS = tests/bench/net-setup
tests_bench_net_setup_SOURCES = tests/bench/net-setup.c
tests_bench_net_setup_LDADD = $(RUNTIME_LIBS)
EXTRA_PROGRAMS += tests/bench/net-ports
tests_bench_net_ports_SOURCES = tests/bench/net-ports.c
tests_bench_net_ports_LDADD = $(RUNTIME_LIBS)
CLEANFILES += $(EXTRA_PROGRAMS)

# What sampling costs: tests/bench/sampler [containers [ticks]], as root.
EXTRA_PROGRAMS += tests/bench/sampler
tests_bench_sampler_SOURCES = tests/bench/sampler.c
tests_bench_sampler_LDADD = $(METRICS_LIBS)
