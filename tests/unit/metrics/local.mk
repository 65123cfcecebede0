# tests/unit/metrics/
UNIT_TESTS += tests/unit/metrics/test-docker-stats tests/unit/metrics/test-prometheus tests/unit/metrics/test-sampler
tests_unit_metrics_test_docker_stats_SOURCES = tests/unit/metrics/test-docker-stats.c
tests_unit_metrics_test_docker_stats_LDADD = $(METRICS_LIBS) $(UNIT_LIBS)
tests_unit_metrics_test_prometheus_SOURCES = tests/unit/metrics/test-prometheus.c
tests_unit_metrics_test_prometheus_LDADD = $(METRICS_LIBS) $(UNIT_LIBS)
tests_unit_metrics_test_sampler_SOURCES = tests/unit/metrics/test-sampler.c
tests_unit_metrics_test_sampler_LDADD = $(METRICS_LIBS) $(UNIT_LIBS)
EXTRA_DIST += tests/unit/metrics/data
