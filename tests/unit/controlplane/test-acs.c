/* SPDX-License-Identifier: Apache-2.0 */
/* An ACS session against an agent that is a socket and a few lines. */
#include "controlplane/acs.h"
#include "controlplane/wire.h"
#include "controlplane/wire_state.h"

/* After those whose parameters are called cp, like its variable. */
#include "tests/unit/controlplane/api.h"

#include <sys/socket.h>

#include "common/buf.h"

enum { TASKS = (ACS_MAX_PENDING + 3) * ACS_TASKS_PER_PAYLOAD };

static char instance[ARN_MAX];
static int agent_fd = -1;
static struct buf got;   /* what came and was not yet looked at */
static json_t *messages; /* the "message" of each frame, with "type" */
static uint16_t close_code;

static void release(int fd, void *arg)
{
	(void) arg;
	(void) safe_close(fd);
}

/* Frames of a server are not masked. */
static bool take_frame(void)
{
	const uint8_t *p = (const uint8_t *) got.data;
	size_t len, head = 2;

	if (got.len < 2)
		return false;
	len = p[1];
	if (len == 126) {
		head = 4;
		len = got.len < head ? SIZE_MAX : (size_t) (p[2] << 8 | p[3]);
	} else if (len == 127) {
		head = 10;
		len = got.len < head
			      ? SIZE_MAX
			      : (size_t) p[6] << 24 | (size_t) (p[7] << 16 | p[8] << 8 | p[9]);
	}
	if (len > got.len - MIN(head, got.len))
		return false;
	if (p[0] == 0x88)
		close_code = (uint16_t) (p[head] << 8 | p[head + 1]);
	else
		(void) json_array_append_new(messages, json_loadb(got.data + head, len, 0, NULL));
	buf_consume(&got, head + len);
	return true;
}

/* Lets the server work, and reads what it says, until nothing more happens. */
static void run(void)
{
	char chunk[65536];
	ssize_t n = 1;

	for (int quiet = 0; quiet<3; quiet = n> 0 ? 0 : quiet + 1) {
		(void) sd_event_run(cp.loop, 1000);
		n = recv(agent_fd, chunk, sizeof(chunk), MSG_DONTWAIT);
		if (n > 0)
			(void) buf_append(&got, chunk, (size_t) n);
		while (take_frame())
			;
	}
}

static void say(const char *text)
{
	size_t len = strlen(text);
	uint8_t head[8] = { 0x81, (uint8_t) (0x80 | 126), (uint8_t) (len >> 8), (uint8_t) len };

	assert_int_equal(send(agent_fd, head, sizeof(head), MSG_NOSIGNAL), sizeof(head));
	assert_int_equal(send(agent_fd, text, len, MSG_NOSIGNAL), len);
}

static size_t count(const char *type)
{
	const json_t *m;
	size_t i, n = 0;

	json_array_foreach(messages, i, m)
		n += strcmp(json_get_string(m, "type", ""), type) == 0;
	return n;
}

static void connect_agent(void)
{
	struct wire_state *w = wire_state_of(&cp);
	struct agent_query q = { .agent_version = strdup("1.0.0"), .send_credentials = true };
	struct ws_params base = { .event = cp.loop,
				  .max_message_bytes = WIRE_MAX_MESSAGE_BYTES,
				  .max_queue_bytes = WIRE_MAX_QUEUE_BYTES,
				  .release = release };
	char cluster[ARN_MAX];
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	base.fd = fds[0];
	agent_fd = fds[1];
	assert_int_equal(acs_open(w,
				  wire_add_agent(w, instance, arn_cluster(&cp, "default", cluster)),
				  &base, &q, NULL),
			 0);
	agent_query_done(&q);
}

static int setup(void **state)
{
	int k = api_setup(state);

	messages = json_array();
	close_code = 0;
	if (k == 0)
		k = sd_event_new(&cp.loop);
	if (k >= 0)
		k = wire_start(&cp, NULL);
	if (k < 0)
		return k;
	json_decref(api_ok("CreateCluster", "{}"));
	api_instance("{\"totalResources\":[{\"name\":\"CPU\",\"type\":\"INTEGER\",\"integerValue\":"
		     "1024},{\"name\":\"MEMORY\",\"type\":\"INTEGER\",\"integerValue\":100000}]}",
		     instance);
	json_decref(api_ok("RegisterTaskDefinition",
			   "{\"family\":\"f\",\"containerDefinitions\":[{\"name\":\"a\",\"image\":"
			   "\"i\",\"memory\":4}]}"));
	return 0;
}

static int teardown(void **state)
{
	ops_add(NULL);
	cp_done(&cp);
	(void) state;
	agent_fd = safe_close(agent_fd);
	buf_done(&got);
	json_decref(messages);
	return 0;
}

static void run_tasks(int n)
{
	for (int i = 0; i < n; i += 10)
		json_decref(api_ok("RunTask", "{\"taskDefinition\":\"f\",\"count\":10}"));
}

static void ack(const json_t *frame)
{
	const char *id = json_get_string(json_object_get(frame, "message"), "messageId", "");
	char text[ARN_MAX + 256];

	(void) snprintf(text, sizeof(text),
			"{\"type\":\"AckRequest\",\"message\":{\"cluster\":\"default\","
			"\"containerInstance\":\"%s\",\"messageId\":\"%s\"}}",
			instance, id);
	say(text);
}

static void payloads_wait_for_acks(void **state _unused_)
{
	run_tasks(TASKS);
	connect_agent();
	run();
	assert_int_equal(count("PayloadMessage"), ACS_MAX_PENDING);
	assert_int_equal(count("TaskManifestMessage"), 1);
	ack(json_array_get(messages, 0));
	ack(json_array_get(messages, 1));
	run();
	assert_int_equal(count("PayloadMessage"), ACS_MAX_PENDING + 1); /* the manifest waits too */
	for (size_t i = 2; i < json_array_size(messages); i++) {
		ack(json_array_get(messages, i));
		run();
	}
	assert_int_equal(count("PayloadMessage"), TASKS / ACS_TASKS_PER_PAYLOAD);
}

static int on_pages(sqlite3_stmt *row, void *userdata, struct err *err)
{
	(void) err;
	*(int64_t *) userdata = db_int(row, 0);
	return 0;
}

static void a_failing_store_does_not_end_the_session(void **state _unused_)
{
	int64_t on = 0;

	run_tasks(10);
	connect_agent();
	assert_int_equal(
		db_query(store_db(cp.store), NULL, on_pages, &on, "PRAGMA query_only = ON", ""), 0);
	run();
	assert_int_equal(count("PayloadMessage"), 0);
	assert_int_equal(close_code, 0);
	assert_non_null(wire_find_agent(wire_state_of(&cp), instance)->acs);
	assert_int_equal(
		db_query(store_db(cp.store), NULL, on_pages, &on, "PRAGMA query_only = OFF", ""),
		0);
	acs_tasks_changed(wire_find_agent(wire_state_of(&cp), instance)->acs);
	run();
	assert_int_equal(count("PayloadMessage"), 1);
}

static void a_clean_exit_waits_for_the_close(void **state _unused_)
{
	static const uint8_t answer[] = { 0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9 };

	connect_agent();
	run();
	assert_false(cp.wire->drained(&cp));
	run();
	assert_int_equal(close_code, 1001);
	assert_false(cp.wire->drained(&cp));
	assert_int_equal(send(agent_fd, answer, sizeof(answer), MSG_NOSIGNAL), sizeof(answer));
	assert_int_equal(shutdown(agent_fd, SHUT_WR), 0);
	run();
	assert_true(cp.wire->drained(&cp));
}

static void a_deregistered_instance_is_told_at_once(void **state _unused_)
{
	char body[ARN_MAX + 64];

	(void) snprintf(body, sizeof(body), "{\"containerInstance\":\"%s\"}", instance);
	json_decref(api_ok("DeregisterContainerInstance", body));
	connect_agent();
	run();
	assert_non_null(json_object_get(json_array_get(messages, 0), "InactiveInstanceException"));
	assert_int_equal(close_code, 1000);
}

int main(void)
{
#define with_wire(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		with_wire(payloads_wait_for_acks),
		with_wire(a_failing_store_does_not_end_the_session),
		with_wire(a_clean_exit_waits_for_the_close),
		with_wire(a_deregistered_instance_is_told_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
