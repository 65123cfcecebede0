/* SPDX-License-Identifier: Apache-2.0 */
/* Every message type: what it does, what it is answered with, and when it is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/acs/frame.h"
#include "agent/acs/private.h"
#include "agent/engine/task.h"
#include "common/buf.h"
#include "common/json.h"
#include "common/macro.h"

#define COMMON "\"messageId\":\"m1\",\"clusterArn\":\"c\",\"containerInstanceArn\":\"i\""
#define ACK "AckRequest {\"cluster\":\"c\",\"containerInstance\":\"i\",\"messageId\":\"m1\"}\n"

struct bench {
	struct acs acs;
	struct buf sent;  /* "Type {json}\n" of each answer */
	struct buf calls; /* what the engine was asked */
	int payload_result, credentials_result, put_result;
	const char *candidates;
	int heartbeats;
};

static struct bench *bench_of(struct acs *a)
{
	return container_of(a, struct bench, acs);
}

static int on_send(struct acs *a, const char *type, json_t *message, struct err *err)
{
	_cleanup_(freep) char *text = json_to_text(message);

	(void) err;
	(void) buf_printf(&bench_of(a)->sent, "%s %s\n", type, text);
	json_decref(message);
	return 0;
}

static int on_payload(void *userdata, const json_t *m, struct err *err)
{
	struct bench *b = userdata;

	(void) buf_printf(&b->calls, "payload %zu roles %zu\n",
			  json_array_size(json_object_get(m, "tasks")),
			  role_store_count(b->acs.p.roles));
	return b->payload_result ? err_set(err, b->payload_result, "no") : 0;
}

static int on_role(void *userdata, const char *arn, enum role_type type, const char *id,
		   struct err *err)
{
	struct bench *b = userdata;

	(void) buf_printf(&b->calls, "role %s %d %s\n", arn, type, id);
	return b->credentials_result ? err_set(err, b->credentials_result, "unknown task") : 0;
}

static int on_manifest(void *userdata, const json_t *running, json_t **ret, struct err *err)
{
	struct bench *b = userdata;
	_cleanup_(freep) char *text = json_to_text(running);

	(void) buf_printf(&b->calls, "manifest %s\n", text);
	return json_parse(b->candidates, strlen(b->candidates), ret, err);
}

static int on_stop(void *userdata, const char *arn, struct err *err)
{
	struct bench *b = userdata;

	(void) err;
	(void) buf_printf(&b->calls, "stop %s\n", arn);
	return 0;
}

static int on_put(void *userdata, int64_t seq, struct err *err)
{
	struct bench *b = userdata;

	(void) buf_printf(&b->calls, "seq %lld\n", (long long) seq);
	return b->put_result ? err_set(err, b->put_result, "disk full") : 0;
}

static int on_interface(void *userdata, const char *task_arn, const struct task_eni *eni,
			int64_t wait_ms, struct err *err)
{
	struct bench *b = userdata;

	(void) buf_printf(&b->calls, "interface %s %s %s %02x %lld\n", task_arn ? task_arn : "-",
			  eni->ec2_id, eni->attachment_arn, eni->mac[5], (long long) wait_ms);
	return b->put_result ? err_set(err, b->put_result, "disk full") : 0;
}

static void on_heartbeat(void *userdata)
{
	((struct bench *) userdata)->heartbeats++;
}

static const struct acs_handlers handlers = {
	.on_payload = on_payload,
	.on_role_credentials = on_role,
	.on_manifest = on_manifest,
	.on_stop_verified = on_stop,
	.on_interface = on_interface,
	.put_manifest_seq = on_put,
	.on_heartbeat = on_heartbeat,
};

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	b->acs.p.handlers = &handlers;
	b->acs.p.userdata = b;
	b->acs.send = on_send;
	b->acs.manifest_seq = -1;
	b->candidates = "[]";
	assert_int_equal(role_store_new(&b->acs.p.roles, NULL), 0);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	(void) role_store_free(b->acs.p.roles);
	free(b->acs.manifest_id);
	buf_done(&b->sent);
	buf_done(&b->calls);
	free(b);
	return 0;
}

/* Returns the complaint, "" when there was none; until the next call. */
static const char *give(struct bench *b, const char *type, const char *json)
{
	static char complaint[256];
	_cleanup_(err_done) struct err err = {};
	json_auto_t *m = json_loads(json, 0, NULL);

	assert_non_null(m);
	buf_reset(&b->sent);
	buf_reset(&b->calls);
	complaint[0] = '\0';
	if (acs_dispatch(&b->acs, type, m, &err) < 0)
		(void) snprintf(complaint, sizeof(complaint), "%s", err.msg);
	return complaint;
}

static void heartbeats_are_acked_with_their_id_only(void **state)
{
	struct bench *b = *state;

	assert_string_equal(give(b, "HeartbeatMessage", "{\"healthy\":true,\"messageId\":\"h\"}"),
			    "");
	assert_string_equal(buf_str(&b->sent), "HeartbeatAckRequest {\"messageId\":\"h\"}\n");
	assert_int_equal(b->heartbeats, 1);
	assert_string_equal(give(b, "HeartbeatMessage", "{}"), "messageId: missing");
	assert_string_equal(buf_str(&b->sent), "");
}

#define CREDENTIALS(id)                                                                            \
	"{\"credentialsId\":\"" id "\",\"roleArn\":\"r\",\"accessKeyId\":\"a\","                   \
	"\"secretAccessKey\":\"s\",\"sessionToken\":\"t\",\"expiration\":\"2030-01-01T00:00:"      \
	"00Z\"}"

static void a_stored_payload_is_acked_with_its_credentials(void **state)
{
	struct bench *b = *state;
	const struct role_credentials *r;

	assert_string_equal(
		give(b, "PayloadMessage",
		     "{" COMMON ",\"seqNum\":7,\"tasks\":[{\"arn\":\"t1\","
		     "\"roleCredentials\":" CREDENTIALS(
			     "id1") ","
				    "\"executionRoleCredentials\":" CREDENTIALS(
					    "id2") "},"
						   "{\"arn\":\"t2\",\"roleCredentials\":null}]}"),
		"");
	assert_string_equal(buf_str(&b->calls), "payload 2 roles 2\n");
	assert_string_equal(
		buf_str(&b->sent),
		ACK "IAMRoleCredentialsAckRequest {\"messageId\":\"m1\",\"credentialsId\":\"id1\","
		    "\"expiration\":\"2030-01-01T00:00:00Z\"}\n"
		    "IAMRoleCredentialsAckRequest {\"messageId\":\"m1\",\"credentialsId\":\"id2\","
		    "\"expiration\":\"2030-01-01T00:00:00Z\"}\n");
	assert_int_equal(b->acs.manifest_seq, 7);
	r = role_store_get(b->acs.p.roles, "id2");
	assert_int_equal(r->type, ROLE_EXECUTION);
	assert_string_equal(r->task_arn, "t1");
}

static void what_the_engine_refuses_is_not_acked(void **state)
{
	struct bench *b = *state;

	b->payload_result = EIO;
	assert_string_equal(give(b, "PayloadMessage", "{" COMMON ",\"seqNum\":7,\"tasks\":[]}"),
			    "no");
	assert_string_equal(buf_str(&b->sent), "");
	assert_int_equal(b->acs.manifest_seq, -1);
}

static void a_payload_without_its_members_is_not_handed_on(void **state)
{
	static const char *const cases[][2] = {
		{ "{\"clusterArn\":\"c\",\"containerInstanceArn\":\"i\"}", "messageId: missing" },
		{ "{\"messageId\":\"m\",\"containerInstanceArn\":\"i\"}", "clusterArn: missing" },
		{ "{\"messageId\":\"m\",\"clusterArn\":\"\"}", "clusterArn: missing" },
		{ "{\"messageId\":5}", "messageId: missing" },
	};
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_string_equal(give(b, "PayloadMessage", cases[i][0]), cases[i][1]);
		assert_string_equal(buf_str(&b->calls), "");
		assert_string_equal(buf_str(&b->sent), "");
	}
}

static void tasks_with_bad_credentials_still_reach_the_engine(void **state)
{
	struct bench *b = *state;

	assert_string_equal(give(b, "PayloadMessage",
				 "{" COMMON
				 ",\"tasks\":[{\"arn\":\"t1\",\"roleCredentials\":{}}]}"),
			    "tasks[0]: roleCredentials: credentialsId: missing");
	assert_string_equal(buf_str(&b->calls), "payload 1 roles 0\n");
	assert_string_equal(buf_str(&b->sent), "");
}

static void credentials_of_known_tasks_are_kept_and_acked(void **state)
{
	struct bench *b = *state;

	assert_string_equal(give(b, "IAMRoleCredentialsMessage",
				 "{\"messageId\":\"m2\",\"taskArn\":\"t\",\"roleType\":"
				 "\"TaskExecution\",\"roleCredentials\":" CREDENTIALS("id1") "}"),
			    "");
	assert_string_equal(buf_str(&b->calls), "role t 1 id1\n");
	assert_string_equal(buf_str(&b->sent),
			    "IAMRoleCredentialsAckRequest {\"messageId\":\"m2\",\"credentialsId\":"
			    "\"id1\",\"expiration\":\"2030-01-01T00:00:00Z\"}\n");
	assert_string_equal(role_store_get(b->acs.p.roles, "id1")->secret_access_key, "s");
}

/* What is refused leaves the task and what it has as they were. */
static void bad_credentials_change_nothing(void **state)
{
	static const char *const cases[][2] = {
		{ "{\"messageId\":\"m2\",\"taskArn\":\"t\",\"roleType\":\"TaskApplication\","
		  "\"roleCredentials\":{\"credentialsId\":\"id1\",\"secretAccessKey\":\"s\"}}",
		  "roleCredentials: accessKeyId: missing" },
		{ "{\"messageId\":\"m2\",\"taskArn\":\"u\",\"roleType\":\"TaskApplication\","
		  "\"roleCredentials\":{\"credentialsId\":\"id1\",\"accessKeyId\":\"k2\","
		  "\"secretAccessKey\":\"s\"}}",
		  "roleCredentials: credentialsId: it is that of another task or role" },
	};
	struct bench *b = *state;

	assert_string_equal(give(b, "IAMRoleCredentialsMessage",
				 "{\"messageId\":\"m1\",\"taskArn\":\"t\",\"roleType\":"
				 "\"TaskApplication\",\"roleCredentials\":{\"credentialsId\":\"id1\","
				 "\"accessKeyId\":\"k1\",\"secretAccessKey\":\"s\"}}"),
			    "");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_string_equal(give(b, "IAMRoleCredentialsMessage", cases[i][0]), cases[i][1]);
		assert_string_equal(buf_str(&b->sent), "");
		assert_string_equal(buf_str(&b->calls), "");
		assert_string_equal(role_store_get(b->acs.p.roles, "id1")->access_key_id, "k1");
	}
}

static void credentials_of_unknown_tasks_are_not(void **state)
{
	struct bench *b = *state;

	b->credentials_result = ENOENT;
	assert_string_equal(give(b, "IAMRoleCredentialsMessage",
				 "{\"messageId\":\"m2\",\"taskArn\":\"t\",\"roleType\":"
				 "\"TaskApplication\",\"roleCredentials\":" CREDENTIALS("id1") "}"),
			    "unknown task");
	assert_string_equal(buf_str(&b->sent), "");
	assert_null(role_store_get(b->acs.p.roles, "id1"));
	assert_string_equal(give(b, "IAMRoleCredentialsMessage",
				 "{\"messageId\":\"m2\",\"taskArn\":\"t\",\"roleType\":\"Other\"}"),
			    "roleType: 'Other' is not a role type");
}

static void a_manifest_asks_before_it_stops(void **state)
{
	struct bench *b = *state;

	b->candidates = "[\"t2\"]";
	assert_string_equal(give(b, "TaskManifestMessage",
				 "{" COMMON ",\"timeline\":5,\"tasks\":["
				 "{\"taskArn\":\"t1\",\"desiredStatus\":\"RUNNING\"},"
				 "{\"taskArn\":\"t2\",\"desiredStatus\":\"STOPPED\"}]}"),
			    "");
	assert_string_equal(buf_str(&b->calls), "seq 5\nmanifest [\"t1\"]\n");
	assert_string_equal(buf_str(&b->sent),
			    ACK "TaskStopVerificationMessage {\"messageId\":\"m1\","
				"\"stopCandidates\":[{\"taskArn\":\"t2\",\"taskClusterArn\":\"c\","
				"\"desiredStatus\":\"STOPPED\"}]}\n");

	/* another manifest's verification stops nothing, its own does, once */
	assert_string_equal(give(b, "TaskStopVerificationAck",
				 "{\"messageId\":\"m0\",\"stopTasks\":[{\"taskArn\":\"t2\"}]}"),
			    "");
	assert_string_equal(buf_str(&b->calls), "");
	(void) give(
		b, "TaskStopVerificationAck",
		"{\"messageId\":\"m1\",\"stopTasks\":[{\"taskArn\":\"t2\"},{\"taskArn\":\"t3\"}]}");
	assert_string_equal(buf_str(&b->calls), "stop t2\nstop t3\n");
	(void) give(b, "TaskStopVerificationAck",
		    "{\"messageId\":\"m1\",\"stopTasks\":[{\"taskArn\":\"t2\"}]}");
	assert_string_equal(buf_str(&b->calls), "");
	assert_string_equal(buf_str(&b->sent), "");
}

static void a_manifest_without_candidates_is_only_acked(void **state)
{
	struct bench *b = *state;

	(void) give(b, "TaskManifestMessage", "{" COMMON ",\"timeline\":5,\"tasks\":[]}");
	assert_string_equal(buf_str(&b->sent), ACK);
}

static void old_manifests_are_discarded_silently(void **state)
{
	struct bench *b = *state;

	(void) give(b, "PayloadMessage", "{" COMMON ",\"seqNum\":5,\"tasks\":[]}");
	assert_string_equal(give(b, "TaskManifestMessage", "{" COMMON ",\"timeline\":5}"), "");
	assert_string_equal(buf_str(&b->calls), "");
	assert_string_equal(buf_str(&b->sent), "");
}

static void a_manifest_that_cannot_be_remembered_is_not_acked(void **state)
{
	struct bench *b = *state;

	b->put_result = ENOSPC;
	assert_string_equal(give(b, "TaskManifestMessage", "{" COMMON ",\"timeline\":5}"),
			    "disk full");
	assert_string_equal(buf_str(&b->sent), "");
	assert_int_equal(b->acs.manifest_seq, -1);
}

#define ENI(arn)                                                                                   \
	"{\"ec2Id\":\"eni-1\",\"macAddress\":\"02:00:00:00:00:0a\"," arn                           \
	"\"ipv4Addresses\":[{\"privateAddress\":\"10.0.0.5\"}],"                                   \
	"\"subnetGatewayIpv4Address\":\"10.0.0.1/24\"}"
#define ENIS ",\"elasticNetworkInterfaces\":[" ENI("\"attachmentArn\":\"at\",") "]"

static void announced_interfaces_are_kept_and_acked(void **state)
{
	struct bench *b = *state;

	assert_string_equal(give(b, "AttachTaskNetworkInterfacesMessage",
				 "{" COMMON ",\"taskArn\":\"t\",\"waitTimeoutMs\":1000" ENIS "}"),
			    "");
	assert_string_equal(buf_str(&b->calls), "interface t eni-1 at 0a 1000\n");
	assert_string_equal(buf_str(&b->sent), ACK);
	assert_string_equal(give(b, "AttachInstanceNetworkInterfacesMessage",
				 "{" COMMON ",\"waitTimeoutMs\":1000" ENIS "}"),
			    "");
	assert_string_equal(buf_str(&b->calls), "interface - eni-1 at 0a 1000\n");
	assert_string_equal(buf_str(&b->sent), ACK);
}

static void bad_announcements_are_named_and_not_acked(void **state)
{
	static const char *const cases[][2] = {
		{ "{" COMMON ",\"waitTimeoutMs\":1" ENIS "}", "taskArn: missing" },
		{ "{" COMMON ",\"taskArn\":\"t\"" ENIS "}",
		  "waitTimeoutMs: 0 is outside 1..604800000" },
		{ "{" COMMON ",\"taskArn\":\"t\",\"waitTimeoutMs\":1}",
		  "elasticNetworkInterfaces: missing" },
		{ "{" COMMON ",\"taskArn\":\"t\",\"waitTimeoutMs\":1,"
		  "\"elasticNetworkInterfaces\":[]}",
		  "elasticNetworkInterfaces: is empty" },
		{ "{" COMMON ",\"taskArn\":\"t\",\"waitTimeoutMs\":1,"
		  "\"elasticNetworkInterfaces\":[{}]}",
		  "elasticNetworkInterfaces[0]: ec2Id: missing" },
		{ "{" COMMON ",\"taskArn\":\"t\",\"waitTimeoutMs\":1,"
		  "\"elasticNetworkInterfaces\":[" ENI("") "]}",
		  "elasticNetworkInterfaces[0]: attachmentArn: missing" },
	};
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_string_equal(give(b, "AttachTaskNetworkInterfacesMessage", cases[i][0]),
				    cases[i][1]);
		assert_string_equal(buf_str(&b->sent), "");
		assert_string_equal(buf_str(&b->calls), "");
	}
	b->put_result = ENOSPC;
	assert_string_equal(give(b, "AttachTaskNetworkInterfacesMessage",
				 "{" COMMON ",\"taskArn\":\"t\",\"waitTimeoutMs\":1" ENIS "}"),
			    "disk full");
	assert_string_equal(buf_str(&b->sent), "");
}

#define ARNS                                                                                       \
	"\"messageId\":\"m1\",\"clusterArn\":\"arn:a:ecs:r:1:cluster/c\","                         \
	"\"containerInstanceArn\":\"arn:a:ecs:r:1:container-instance/c/i\","
#define PROPERTY(name, value) "{\"name\":\"" name "\",\"value\":\"" value "\"}"
#define VOLUME(fs)                                                                                 \
	PROPERTY("volumeId", "vol-1")                                                              \
	"," PROPERTY("volumeSizeGib", "1") "," PROPERTY("deviceName", "/dev/x") "," PROPERTY(      \
		"sourceVolumeHostPath", "p") "," PROPERTY("volumeName", "v") fs
#define EBS(arn, properties)                                                                       \
	"{" ARNS "\"attachment\":{\"attachmentArn\":\"" arn "\",\"attachmentType\":\"amazonebs\"," \
	"\"attachmentProperties\":[" properties "]}}"

/* It came, says the ack; that it is attached is said by nobody. */
static void volumes_are_acked_and_never_confirmed(void **state)
{
	static const char *const cases[][2] = {
		{ EBS("arn:a:ecs:r:1:attachment/x", VOLUME("," PROPERTY("fileSystem", "xfs"))), "" },
		{ EBS("x", VOLUME("")), "attachment: attachmentArn: 'x' is no ARN" },
		{ EBS("arn:a:ecs:r:1:attachment/x", PROPERTY("volumeId", "")),
		  "attachment: attachmentProperties[0]: value: missing" },
		{ EBS("arn:a:ecs:r:1:attachment/x", PROPERTY("volumeId", "v")),
		  "attachment: attachmentProperties: volumeSizeGib: missing" },
		{ EBS("arn:a:ecs:r:1:attachment/x", VOLUME("," PROPERTY("fileSystem", "zfs"))),
		  "attachment: attachmentProperties: fileSystem: 'zfs' is none of xfs, ext2, ext3, "
		  "ext4 and ntfs" },
		{ "{" COMMON "}", "clusterArn: 'c' is no ARN" },
	};
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_string_equal(give(b, "ConfirmAttachmentMessage", cases[i][0]), cases[i][1]);
		assert_true((*buf_str(&b->sent) != '\0') == (cases[i][1][0] == '\0'));
		assert_string_equal(buf_str(&b->calls), "");
	}
}

static void updates_are_refused(void **state)
{
	struct bench *b = *state;

	(void) give(b, "StageUpdateMessage", "{" COMMON "}");
	assert_string_equal(buf_str(&b->sent),
			    "NackRequest {\"cluster\":\"c\",\"containerInstance\":\"i\","
			    "\"messageId\":\"m1\",\"reason\":\"Updates are disabled\"}\n");
	(void) give(b, "PerformUpdateMessage", "{" COMMON "}");
	assert_memory_equal(buf_str(&b->sent), "NackRequest", 11);
}

static void unknown_types_are_skipped(void **state)
{
	struct bench *b = *state;

	assert_string_equal(give(b, "SomethingNew", "{" COMMON "}"), "");
	assert_string_equal(give(b, "CloseMessage", "{\"message\":\"bye\"}"), "");
	assert_string_equal(buf_str(&b->sent), "");
}

static void frames_are_decoded(void **state)
{
	static const struct {
		const char *text, *type, *complaint;
		bool is_error;
	} cases[] = {
		{ "{\"type\":\"A\",\"message\":{\"x\":1}}", "A", NULL, false },
		{ "{\"type\":\"A\"}", "A", NULL, false },
		{ "{\"type\":\"A\",\"message\":null,\"more\":1}", "A", NULL, false },
		{ "{\"InactiveInstanceException\":\"gone\"}", "InactiveInstanceException", NULL,
		  true },
		{ "{\"type\":\"ServerException\",\"message\":{\"message\":\"x\"}}",
		  "ServerException", NULL, true },
		{ "{\"Odd\":\"gone\"}", NULL, "message without a type", false },
		{ "{\"ServerException\":1}", NULL, "message without a type", false },
		{ "{}", NULL, "message without a type", false },
		{ "[]", NULL, "message is not an object", false },
		{ "{\"type\":7}", NULL, "type: not a name of 1..127 bytes", false },
		{ "{\"type\":\"\"}", NULL, "type: not a name of 1..127 bytes", false },
		{ "{\"type\":\"A\",\"message\":[]}", NULL, "message: not an object", false },
	};

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(frame_done) struct frame f = {};
		_cleanup_(err_done) struct err err = {};
		int k = frame_decode(cases[i].text, strlen(cases[i].text), &f, &err);

		assert_int_equal(k, cases[i].complaint ? -EPROTO : 0);
		if (cases[i].complaint)
			assert_string_equal(err.msg, cases[i].complaint);
		else
			assert_string_equal(f.type, cases[i].type);
		assert_int_equal(f.is_error, cases[i].is_error);
	}
}

static void excerpts_are_bounded_and_printable(void **state)
{
	char buf[FRAME_EXCERPT_MAX + 1], data[1000];

	(void) state;
	memset(data, 'x', sizeof(data));
	assert_string_equal(frame_excerpt("a\n\0b", 4, buf), "a..b");
	assert_int_equal(strlen(frame_excerpt(data, sizeof(data), buf)), FRAME_EXCERPT_MAX);
}

static void the_url_is_sorted_and_encoded(void **state)
{
	_cleanup_(freep) char *url = acs_url("https://h/x", "my cluster", "arn:a/b", true);
	_cleanup_(freep) char *again = acs_url("http://h/", "c", "i", false);

	(void) state;
	assert_string_equal(url,
			    "https://h/x/ws?agentHash=" GIT_HASH "&agentVersion=" PACKAGE_VERSION
			    "&clusterArn=my+cluster&containerInstanceArn=arn%3Aa%2Fb"
			    "&dockerVersion=DockerVersion%3A+" PACKAGE_VERSION
			    "&protocolVersion=2&sendCredentials=true&seqNum=1");
	assert_memory_equal(again, "http://h/ws?agentHash=", 22);
	assert_non_null(strstr(again, "&sendCredentials=false&"));
}

static void roles_are_replaced_kept_and_forgotten(void **state)
{
	struct role_store *s = NULL;
	json_auto_t *c = json_loads(CREDENTIALS("id1"), 0, NULL);
	char id[32];

	(void) state;
	assert_int_equal(role_store_new(&s, NULL), 0);
	assert_int_equal(role_store_put_pending(s, "t", ROLE_TASK, "id1", NULL), 0);
	assert_true(role_store_get(s, "id1")->pending);
	assert_int_equal(role_store_put(s, "t", ROLE_TASK, c, NULL), 0);
	assert_false(role_store_get(s, "id1")->pending);
	assert_int_equal(role_store_put_pending(s, "t", ROLE_TASK, "id1", NULL), 0);
	assert_false(role_store_get(s, "id1")->pending);
	assert_string_equal(role_store_get(s, "id1")->scope, "");
	assert_int_equal(role_store_count(s), 1);
	for (int i = 0; i < 100; i++) {
		(void) snprintf(id, sizeof(id), "other-%d", i);
		assert_int_equal(
			role_store_put_pending(s, i % 2 ? "t" : "u", ROLE_EXECUTION, id, NULL), 0);
	}
	role_store_remove_task(s, "t");
	assert_int_equal(role_store_count(s), 50);
	assert_null(role_store_get(s, "id1"));
	role_store_remove(s, "other-0");
	assert_null(role_store_get(s, "other-0"));
	assert_non_null(role_store_get(s, "other-2"));
	(void) role_store_free(s);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(heartbeats_are_acked_with_their_id_only),
		TEST(a_stored_payload_is_acked_with_its_credentials),
		TEST(what_the_engine_refuses_is_not_acked),
		TEST(a_payload_without_its_members_is_not_handed_on),
		TEST(tasks_with_bad_credentials_still_reach_the_engine),
		TEST(credentials_of_known_tasks_are_kept_and_acked),
		TEST(bad_credentials_change_nothing),
		TEST(credentials_of_unknown_tasks_are_not),
		TEST(a_manifest_asks_before_it_stops),
		TEST(a_manifest_without_candidates_is_only_acked),
		TEST(old_manifests_are_discarded_silently),
		TEST(a_manifest_that_cannot_be_remembered_is_not_acked),
		TEST(announced_interfaces_are_kept_and_acked),
		TEST(bad_announcements_are_named_and_not_acked),
		TEST(volumes_are_acked_and_never_confirmed),
		TEST(updates_are_refused),
		TEST(unknown_types_are_skipped),
		cmocka_unit_test(frames_are_decoded),
		cmocka_unit_test(excerpts_are_bounded_and_printable),
		cmocka_unit_test(the_url_is_sorted_and_encoded),
		cmocka_unit_test(roles_are_replaced_kept_and_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
