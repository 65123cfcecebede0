/* SPDX-License-Identifier: Apache-2.0 */
/* Announced interfaces: told once when they are there, forgotten when they are late, kept over restarts. */
#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>

#include "agent/attachments.h"
#include "agent/ctl/outbox.h"
#include "agent/engine/task.h"
#include "agent/store/store.h"
#include "common/clock.h"

#define TASK "arn:aws:ecs:r:1:task/lab/t1"

enum { WAITS = 8, HOUR_MS = 3600 * 1000 };

struct bench {
	sd_event *loop;
	struct store *store;
	struct attachments *all;
	struct wait {
		bool used;
		uint8_t mac[6];
		int64_t timeout_ms;
		void (*fn)(void *userdata, bool there);
		void *userdata;
	} waits[WAITS];
	int watch_result;
	bool there;
	char kicked[128];
	int kicks;
};

static int watch_add(void *userdata, const uint8_t mac[6], int64_t timeout_ms,
		     void (*fn)(void *fn_userdata, bool there), void *fn_userdata, void **ret,
		     struct err *err)
{
	struct bench *b = userdata;

	if (b->watch_result)
		return err_set(err, b->watch_result, "no watch");
	for (size_t i = 0; i < WAITS; i++) {
		if (b->waits[i].used)
			continue;
		b->waits[i] = (struct wait){
			.used = true, .timeout_ms = timeout_ms, .fn = fn, .userdata = fn_userdata
		};
		memcpy(b->waits[i].mac, mac, 6);
		*ret = &b->waits[i];
		return 0;
	}
	fail();
	return -1;
}

static void watch_end(void *wait)
{
	assert_true(((struct wait *) wait)->used);
	((struct wait *) wait)->used = false;
}

static bool is_there(void *userdata, const uint8_t mac[6])
{
	(void) mac;
	return ((struct bench *) userdata)->there;
}

static const struct attachments_watch watch = { watch_add, watch_end, is_there };

static void on_outbox(void *userdata, const char *lane)
{
	struct bench *b = userdata;

	(void) snprintf(b->kicked, sizeof(b->kicked), "%s", lane);
	b->kicks++;
}

/* An agent that starts, or starts again. */
static void start(struct bench *b)
{
	const struct attachments_params p = { .loop = b->loop,
					      .store = b->store,
					      .watch = &watch,
					      .watch_userdata = b,
					      .cluster = "lab",
					      .on_outbox = on_outbox,
					      .userdata = b };

	b->all = attachments_free(b->all);
	assert_int_equal(attachments_new(&p, &b->all, NULL), 0);
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_int_equal(sd_event_new(&b->loop), 0);
	assert_int_equal(store_open(":memory:", &b->store, NULL), 0);
	start(b);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	(void) attachments_free(b->all);
	for (size_t i = 0; i < WAITS; i++)
		assert_false(b->waits[i].used);
	(void) store_close(b->store);
	(void) sd_event_unref(b->loop);
	free(b);
	return 0;
}

static int announce(struct bench *b, uint8_t mac, const char *arn, const char *task,
		    int64_t wait_ms)
{
	struct task_eni eni = { .attachment_arn = (char *) arn, .mac = { 2, 0, 0, 0, 0, mac } };

	return attachments_announce(b->all, task, &eni, wait_ms, NULL);
}

static struct wait *wait_of(struct bench *b, uint8_t mac)
{
	for (size_t i = 0; i < WAITS; i++)
		if (b->waits[i].used && b->waits[i].mac[5] == mac)
			return &b->waits[i];
	return NULL;
}

static void happens(struct bench *b, uint8_t mac, bool there)
{
	struct wait *w = wait_of(b, mac);

	assert_non_null(w);
	w->fn(w->userdata, there);
}

/* What is next in @lane; "" when nothing is. */
static const char *head(struct bench *b, const char *lane, int64_t *ret_id)
{
	static char text[512];
	_cleanup_(freep) char *body = NULL;

	text[0] = '\0';
	if (store_outbox_head(b->store, lane, ret_id, &body, NULL) == 1)
		(void) snprintf(text, sizeof(text), "%s", body);
	return text;
}

static int count_row(void *userdata, const struct store_attachment *a, struct err *err)
{
	(void) a, (void) err;
	(*(int *) userdata)++;
	return 0;
}

static int rows(struct bench *b)
{
	int n = 0;

	assert_int_equal(store_each_attachment(b->store, count_row, &n, NULL), 0);
	return n;
}

static void a_device_of_a_task_is_told_once(void **state)
{
	struct bench *b = *state;
	int64_t id = 0, again = 0;

	assert_int_equal(announce(b, 1, "arn:a1", TASK, HOUR_MS), 0);
	assert_int_equal(announce(b, 1, "arn:a1", TASK, HOUR_MS), 0); /* sent twice */
	assert_int_equal(attachments_waiting(b->all), 1);
	assert_in_range(wait_of(b, 1)->timeout_ms, HOUR_MS - 10000, HOUR_MS);
	assert_string_equal(head(b, TASK, &id), "");
	happens(b, 1, true);
	assert_string_equal(b->kicked, TASK);
	assert_string_equal(head(b, TASK, &id),
			    "{\"cluster\":\"lab\",\"task\":\"" TASK
			    "\",\"attachments\":[{\"attachmentArn\":\"arn:a1\",\"status\":"
			    "\"ATTACHED\"}]}");
	assert_int_equal(announce(b, 1, "arn:a1", TASK, HOUR_MS), 0);
	start(b);
	assert_int_equal(attachments_waiting(b->all), 0);
	assert_int_equal(store_outbox_delete(b->store, id, NULL), 0);
	assert_string_equal(head(b, TASK, &again), "");
	assert_int_equal(b->kicks, 1);
}

/* The payload behind the announcement may take the device into the task before the loop turns. */
static void a_device_that_is_there_is_told_at_once(void **state)
{
	struct bench *b = *state;
	int64_t id = 0;

	b->there = true;
	assert_int_equal(announce(b, 1, "arn:a1", TASK, HOUR_MS), 0);
	assert_int_equal(b->kicks, 1);
	assert_int_equal(attachments_waiting(b->all), 0);
	assert_non_null(strstr(head(b, TASK, &id), "arn:a1"));
	assert_int_equal(announce(b, 1, "arn:a1", TASK, HOUR_MS), 0);
	assert_int_equal(b->kicks, 1);
}

static void one_of_the_instance_has_a_call_of_its_own(void **state)
{
	struct bench *b = *state;
	int64_t id = 0;

	assert_int_equal(announce(b, 2, "arn:trunk", NULL, HOUR_MS), 0);
	happens(b, 2, true);
	assert_string_equal(b->kicked, OUTBOX_ATTACHMENT "arn:trunk");
	assert_string_equal(
		head(b, OUTBOX_ATTACHMENT "arn:trunk", &id),
		"{\"cluster\":\"lab\",\"attachments\":[{\"attachmentArn\":\"arn:trunk\","
		"\"status\":\"ATTACHED\"}]}");
}

static void what_is_late_is_forgotten(void **state)
{
	struct bench *b = *state;
	int64_t id = 0;

	assert_int_equal(announce(b, 1, "arn:a1", TASK, HOUR_MS), 0);
	happens(b, 1, false);
	assert_int_equal(rows(b), 0);
	assert_string_equal(head(b, TASK, &id), "");
	assert_int_equal(announce(b, 1, "arn:a1", TASK, HOUR_MS), 0); /* asked for anew */
	assert_int_equal(attachments_waiting(b->all), 1);
}

static void a_restart_goes_on_waiting(void **state)
{
	struct bench *b = *state;

	assert_int_equal(announce(b, 1, "arn:a1", TASK, HOUR_MS), 0);
	assert_int_equal(announce(b, 2, "arn:a2", TASK, -1), 0); /* expires while nobody runs */
	start(b);
	assert_int_equal(rows(b), 1);
	assert_int_equal(attachments_waiting(b->all), 1);
	assert_in_range(wait_of(b, 1)->timeout_ms, HOUR_MS - 10000, HOUR_MS);
	happens(b, 1, true);
	assert_int_equal(b->kicks, 1);
}

static void a_report_that_is_late_is_not_delivered(void **state)
{
	struct bench *b = *state;
	int64_t id = 0;

	assert_int_equal(store_outbox_put_until(b->store, TASK, "old", clock_real_ms() - 1, NULL),
			 0);
	assert_int_equal(
		store_outbox_put_until(b->store, TASK, "new", clock_real_ms() + HOUR_MS, NULL), 0);
	assert_string_equal(head(b, TASK, &id), "new");
	assert_int_equal(store_outbox_delete(b->store, id, NULL), 0);
	assert_string_equal(head(b, TASK, &id), "");
}

static void an_interface_is_used_again(void **state)
{
	struct bench *b = *state;
	int64_t id = 0;

	assert_int_equal(announce(b, 1, "arn:a1", TASK, HOUR_MS), 0);
	assert_int_equal(announce(b, 1, "arn:b1", TASK "x", HOUR_MS), 0);
	assert_int_equal(rows(b), 1);
	happens(b, 1, true);
	assert_non_null(strstr(head(b, TASK "x", &id), "arn:b1"));
	assert_string_equal(head(b, TASK, &id), "");
}

static void a_task_takes_its_interfaces_along(void **state)
{
	struct bench *b = *state;

	assert_int_equal(announce(b, 1, "arn:a1", TASK, HOUR_MS), 0);
	assert_int_equal(announce(b, 2, "arn:trunk", NULL, HOUR_MS), 0);
	attachments_forget_task(b->all, TASK);
	assert_int_equal(rows(b), 1);
	assert_null(wait_of(b, 1));
	assert_non_null(wait_of(b, 2));
}

static void without_a_watch_it_is_not_taken(void **state)
{
	struct bench *b = *state;

	b->watch_result = ENOMEM;
	assert_int_equal(announce(b, 1, "arn:a1", TASK, HOUR_MS), -ENOMEM);
	b->watch_result = 0; /* sent again, since it was not acknowledged */
	assert_int_equal(announce(b, 1, "arn:a1", TASK, HOUR_MS), 0);
	assert_int_equal(attachments_waiting(b->all), 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_device_of_a_task_is_told_once),
		TEST(a_device_that_is_there_is_told_at_once),
		TEST(one_of_the_instance_has_a_call_of_its_own),
		TEST(what_is_late_is_forgotten),
		TEST(a_restart_goes_on_waiting),
		TEST(a_report_that_is_late_is_not_delivered),
		TEST(an_interface_is_used_again),
		TEST(a_task_takes_its_interfaces_along),
		TEST(without_a_watch_it_is_not_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
