# tests/unit/aws/
UNIT_TESTS += tests/unit/aws/test-sigv4
tests_unit_aws_test_sigv4_SOURCES = tests/unit/aws/test-sigv4.c
tests_unit_aws_test_sigv4_LDADD = $(AWS_LIBS) $(UNIT_LIBS)

AWS_FAKE = tests/unit/aws/fake.c tests/unit/aws/fake.h
AWS_FAKE_LIBS = $(AWS_LIBS) $(MICROHTTPD_LIBS) $(UNIT_LIBS) -lpthread

UNIT_TESTS += tests/unit/aws/test-ws
tests_unit_aws_test_ws_SOURCES = tests/unit/aws/test-ws.c $(AWS_FAKE)
tests_unit_aws_test_ws_LDADD = $(AWS_FAKE_LIBS)

UNIT_TESTS += tests/unit/aws/test-call
tests_unit_aws_test_call_SOURCES = tests/unit/aws/test-call.c $(AWS_FAKE)
tests_unit_aws_test_call_LDADD = $(AWS_FAKE_LIBS)

UNIT_TESTS += tests/unit/aws/test-imds
tests_unit_aws_test_imds_SOURCES = tests/unit/aws/test-imds.c $(AWS_FAKE)
tests_unit_aws_test_imds_LDADD = $(AWS_FAKE_LIBS)
