/* SPDX-License-Identifier: Apache-2.0 */
/* What agents say over the two sockets, taken apart and checked. */
#include <string.h>

#include "common/json.h"
#include "controlplane/acs_message.h"
#include "controlplane/outbox.h"
#include "controlplane/tcs_check.h"
#include "controlplane/tcs_frame.h"
#include "tests/unit/test.h"

#define INSTANCE "arn:aws:ecs:us-east-1:123456789012:container-instance/c/i"
#define TASK "arn:aws:ecs:us-east-1:123456789012:task/c/t"

static const struct tcs_peer peer = { "arn:aws:ecs:us-east-1:123456789012:cluster/c", INSTANCE };

static void acs_messages_are_decoded(void **state _unused_)
{
	static const char ack[] = "{\"type\":\"AckRequest\",\"message\":{\"cluster\":\"c\","
				  "\"containerInstance\":\"i\",\"messageId\":\"m\",\"new\":1}}";
	static const char verify[] =
		"{\"type\":\"TaskStopVerificationMessage\",\"message\":{\"messageId\":\"m\","
		"\"stopCandidates\":[{\"taskArn\":\"t\",\"desiredStatus\":\"STOPPED\"}]}}";
	struct acs_inbound m = {};

	assert_int_equal(acs_decode(ack, strlen(ack), &m, NULL), 0);
	assert_int_equal(m.type, ACS_ACK);
	assert_string_equal(m.message_id, "m");
	acs_inbound_done(&m);
	assert_int_equal(acs_decode(verify, strlen(verify), &m, NULL), 0);
	assert_int_equal(m.n_candidates, 1);
	assert_string_equal(m.candidates[0].task_arn, "t");
	acs_inbound_done(&m);
}

static void bad_acs_messages_are_named(void **state _unused_)
{
	static const struct {
		const char *text, *complaint;
	} cases[] = {
		{ "{}", "type: missing" },
		{ "{\"type\":\"AckRequest\"}", "message: missing" },
		{ "{\"type\":\"PayloadMessage\",\"message\":{}}",
		  "type: 'PayloadMessage' is nothing an agent sends" },
		{ "{\"type\":\"HeartbeatAckRequest\",\"message\":{}}",
		  "HeartbeatAckRequest: messageId: missing" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(err_done) struct err err = {};
		struct acs_inbound m = {};

		assert_int_equal(acs_decode(cases[i].text, strlen(cases[i].text), &m, &err),
				 -EPROTO);
		assert_string_equal(err.msg, cases[i].complaint);
	}
}

static void a_signed_frame_is_taken_apart(void **state _unused_)
{
	static const char text[] = "Authorization: A\r\nHost: h:1\r\nX-Amz-Date: d\r\n\r\n"
				   "{\"type\":\"T\",\"message\":{}}";
	static const char bare[] = "{\"type\":\"T\",\"message\":{}}";
	struct tcs_frame f = {};

	assert_int_equal(tcs_frame_parse(text, strlen(text), &f, NULL), 0);
	assert_int_equal(f.n_headers, 3);
	assert_string_equal(tcs_frame_header(&f, "host"), "h:1");
	assert_string_equal(f.type, "T");
	assert_int_equal(f.json_len, strlen("{\"type\":\"T\",\"message\":{}}"));
	tcs_frame_done(&f);
	assert_int_equal(tcs_frame_parse(bare, strlen(bare), &f, NULL), 0);
	assert_int_equal(f.n_headers, 0);
	tcs_frame_done(&f);
}

static void bad_frames_are_named(void **state _unused_)
{
	static const struct {
		const char *text, *complaint;
	} cases[] = {
		{ "", "header block: no empty line within 16384 bytes" },
		{ "Host h\r\n\r\n{}", "header 1: must be 'Name: value'" },
		{ "A: 1\r\na: 2\r\n\r\n{}", "header 'a' is there twice" },
		{ "A: 1\nB: 2\r\n\r\n{}", "header block: stray CR or LF" },
		{ "A: 1\r\n\r\n{\"type\":\"T\"}", "message: missing" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(err_done) struct err err = {};
		struct tcs_frame f = {};

		assert_int_equal(tcs_frame_parse(cases[i].text, strlen(cases[i].text), &f, &err),
				 -EPROTO);
		assert_string_equal(err.msg, cases[i].complaint);
	}
}

#define META(idle, fin)                                                                            \
	"\"metadata\":{\"cluster\":\"c\",\"containerInstance\":\"" INSTANCE                        \
	"\",\"messageId\":\"m\",\"idle\":" idle ",\"fin\":" fin "},\"timestamp\":1746802078.031"
#define SET "{\"min\":1,\"max\":2,\"sum\":3,\"sampleCount\":2}"
#define METRICS(cpu, more)                                                                         \
	"{" META("false", "true") ",\"taskMetrics\":[{\"taskArn\":\"" TASK                         \
				  "\",\"taskDefinitionFamily\":\"f\",\"taskDefinitionVersion\":"   \
				  "\"1\",\"containerMetrics\":["                                   \
				  "{\"containerName\":\"w\",\"cpuStatsSet\":" cpu                  \
				  ",\"memoryStatsSet\":" SET more "}]}]}"

static void metrics_are_checked_field_by_field(void **state _unused_)
{
	static const struct {
		const char *text, *complaint; /* NULL: fine */
	} cases[] = {
		{ "{" META("true", "true") "}", NULL },
		{ METRICS(SET, ""), NULL },
		{ METRICS(SET, ",\"restartStatsSet\":{\"restartCount\":0}"), NULL },
		{ "{" META("true", "false") "}", "metadata.fin: must be true when idle is" },
		{ "{" META("false", "true") "}", "taskMetrics: empty, but metadata.idle is false" },
		{ "{" META("1", "true") "}", "metadata.idle: must be true or false" },
		{ METRICS("{\"min\":1,\"max\":2,\"sum\":3}", ""),
		  "taskMetrics[0].containerMetrics[0].cpuStatsSet.sampleCount: missing" },
		{ METRICS("{\"min\":1,\"max\":2,\"sum\":3,\"sampleCount\":0}", ""),
		  "taskMetrics[0].containerMetrics[0].cpuStatsSet.sampleCount: 0 is outside "
		  "1..100000" },
		{ METRICS("{\"min\":3,\"max\":2,\"sum\":3,\"sampleCount\":1}", ""),
		  "taskMetrics[0]: containerMetrics[0]: cpuStatsSet: min 3 is above max 2" },
		{ METRICS(SET, ",\"networkStatsSet\":{\"rxBytes\":" SET "}"),
		  "taskMetrics[0].containerMetrics[0].networkStatsSet.rxDropped: missing" },
		{ METRICS(SET, ",\"storageStatsSet\":{\"readSizeBytes\":{\"min\":-1,\"max\":2,"
			       "\"sum\":3,\"sampleCount\":2}}"),
		  "taskMetrics[0].containerMetrics[0].storageStatsSet.readSizeBytes.min: -1 is "
		  "outside 0..9223372036854775807" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_auto_t *message = json_loads(cases[i].text, 0, NULL);
		_cleanup_(err_done) struct err err = {};

		assert_non_null(message);
		assert_int_equal(tcs_check_metrics(message, &peer, &err),
				 cases[i].complaint ? -EPROTO : 0);
		if (cases[i].complaint)
			assert_string_equal(err.msg, cases[i].complaint);
	}
}

static void metrics_of_another_instance_are_refused(void **state _unused_)
{
	static const struct tcs_peer other = { "c", "arn:other" };
	json_auto_t *message = json_loads("{" META("true", "true") "}", 0, NULL);
	_cleanup_(err_done) struct err err = {};

	assert_int_equal(tcs_check_metrics(message, &other, &err), -EPROTO);
	assert_non_null(strstr(err.msg, "metadata.containerInstance: "));
}

static void more_than_ten_tasks_are_refused(void **state _unused_)
{
	json_auto_t *message = json_loads(METRICS(SET, ""), 0, NULL);
	json_t *list = json_object_get(message, "taskMetrics");
	_cleanup_(err_done) struct err err = {};

	while (json_array_size(list) < 10)
		assert_int_equal(json_array_append(list, json_array_get(list, 0)), 0);
	assert_int_equal(tcs_check_metrics(message, &peer, &err), 0);
	assert_int_equal(json_array_append(list, json_array_get(list, 0)), 0);
	assert_int_equal(tcs_check_metrics(message, &peer, &err), -EPROTO);
	assert_string_equal(err.msg, "taskMetrics: has 11 elements, more than 10");
}

static void what_is_not_acked_falls_due_at_growing_gaps(void **state _unused_)
{
	const struct pending p = { .kind = PENDING_PAYLOAD, .message_id = "m" };
	struct outbox o = {};

	assert_int_equal(outbox_next_ms(&o), 0);
	assert_int_equal(
		outbox_add(&o, &p, strdup("x"), json_pack("{s:s}", "t", "RUNNING"), 1000, NULL), 0);
	assert_true(outbox_tells(&o, "t", "RUNNING"));
	assert_false(outbox_tells(&o, "t", "STOPPED"));
	assert_null(outbox_due(&o, 5999));
	assert_ptr_equal(outbox_due(&o, 6000), o.first);
	outbox_repeated(o.first, 6000);
	assert_int_equal(outbox_next_ms(&o), 16000);
	for (int i = 0; i < 5; i++)
		outbox_repeated(o.first, 0);
	assert_int_equal(outbox_next_ms(&o), 40000);
	outbox_remove(&o, outbox_find(&o, "m"));
	assert_null(o.first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(acs_messages_are_decoded),
		cmocka_unit_test(bad_acs_messages_are_named),
		cmocka_unit_test(a_signed_frame_is_taken_apart),
		cmocka_unit_test(bad_frames_are_named),
		cmocka_unit_test(metrics_are_checked_field_by_field),
		cmocka_unit_test(metrics_of_another_instance_are_refused),
		cmocka_unit_test(more_than_ten_tasks_are_refused),
		cmocka_unit_test(what_is_not_acked_falls_due_at_growing_gaps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
