# metrics/: cgroup readers, aggregation windows, TCS telemetry records, Prometheus exposition
noinst_LIBRARIES += libmetrics.a
libmetrics_a_SOURCES = \
	metrics/docker-stats.c metrics/docker-stats.h \
	metrics/prometheus.c metrics/prometheus.h \
	metrics/sampler.c metrics/sampler.h \
	metrics/telemetry.c metrics/telemetry.h
METRICS_LIBS = libmetrics.a $(COMMON_LIBS) -lm
