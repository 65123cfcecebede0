/* SPDX-License-Identifier: Apache-2.0 */
/* Order, concurrency, retries and what happens when the store or the control plane fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/ctl/outbox.h"
#include "common/buf.h"
#include "common/fs.h"
#include "common/macro.h"

enum { ENTRIES = 200 };

struct ctl_op {
	struct bench *b;
	char body[32];
	ctl_submit_fn fn;
	void *userdata;
	struct ctl_op *next;
};

struct bench {
	sd_event *event;
	struct outbox *outbox;
	/* the store */
	struct {
		int64_t id; /* 0: removed */
		char task[16], body[32];
	} entries[ENTRIES];
	int n;
	int done_failures;
	/* the control plane */
	struct ctl_op *ops;
	int in_flight, most_in_flight, submits;
	struct buf log; /* bodies in order of submission */
};

static int head(void *userdata, const char *task, int64_t *ret_id, char **ret_body, struct err *err)
{
	struct bench *b = userdata;

	(void) err;
	for (int i = 0; i < b->n; i++) {
		if (!b->entries[i].id || strcmp(b->entries[i].task, task) != 0)
			continue;
		*ret_id = b->entries[i].id;
		*ret_body = strdup(b->entries[i].body);
		return 1;
	}
	return 0;
}

static int done(void *userdata, const char *task, int64_t id, bool accepted, struct err *err)
{
	struct bench *b = userdata;

	if (b->done_failures > 0) {
		b->done_failures--;
		return err_set(err, ENOSPC, "disk full");
	}
	assert_string_equal(b->entries[id - 1].task, task);
	b->entries[id - 1].id = 0;
	(void) accepted;
	return 0;
}

static int each_task(void *userdata, void (*each)(void *outbox, const char *task_arn), void *outbox,
		     struct err *err)
{
	struct bench *b = userdata;

	(void) err;
	for (int i = 0; i < b->n; i++)
		if (b->entries[i].id)
			each(outbox, b->entries[i].task); /* twice is as good as once */
	return 0;
}

static const struct outbox_source source = { head, done, each_task };

static int submit(void *userdata, const char *lane, const char *body, ctl_submit_fn fn,
		  void *fn_userdata, struct ctl_op **ret, struct err *err)
{
	struct bench *b = userdata;
	struct ctl_op *op = calloc(1, sizeof(*op));

	(void) err, (void) lane;
	*op = (struct ctl_op){ .b = b, .fn = fn, .userdata = fn_userdata, .next = b->ops };
	(void) snprintf(op->body, sizeof(op->body), "%s", body);
	b->ops = op;
	b->in_flight++;
	b->submits++;
	b->most_in_flight = MAX(b->most_in_flight, b->in_flight);
	(void) buf_printf(&b->log, "%s ", body);
	*ret = op;
	return 0;
}

static void unlink_op(struct ctl_op *op)
{
	struct ctl_op **p = &op->b->ops;

	while (*p != op)
		p = &(*p)->next;
	*p = op->next;
	op->b->in_flight--;
	free(op);
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct outbox_params p = {
		.source = &source,
		.submit = submit,
		.cancel = unlink_op,
		.retry_min_ms = 300, /* nothing is late by that much */
	};

	assert_true(sd_event_new(&b->event) >= 0);
	p.event = b->event;
	p.source_userdata = p.submit_userdata = b;
	assert_int_equal(outbox_new(&p, &b->outbox, NULL), 0);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	(void) outbox_free(b->outbox);
	assert_null(b->ops); /* what was in flight was cancelled */
	(void) sd_event_unref(b->event);
	buf_done(&b->log);
	free(b);
	return 0;
}

static void store(struct bench *b, const char *task, const char *body)
{
	b->entries[b->n].id = b->n + 1;
	(void) snprintf(b->entries[b->n].task, 16, "%s", task);
	(void) snprintf(b->entries[b->n].body, 32, "%s", body);
	b->n++;
}

static void put(struct bench *b, const char *task, const char *body)
{
	store(b, task, body);
	outbox_kick(b->outbox, task);
}

static void run(struct bench *b)
{
	while (sd_event_run(b->event, 0) > 0)
		;
}

static void answer(struct bench *b, const char *body, enum ctl_submit_result result)
{
	_cleanup_(err_done) struct err err = {};
	struct ctl_op *op = b->ops;

	while (op && strcmp(op->body, body) != 0)
		op = op->next;
	assert_non_null(op);
	ctl_submit_fn fn = op->fn;
	void *userdata = op->userdata;

	if (result != CTL_SUBMIT_ACCEPTED)
		(void) err_set(&err, EIO, "refused");
	unlink_op(op);
	fn(userdata, result, &err);
	run(b);
}

static void nothing_goes_out_before_the_start(void **state)
{
	struct bench *b = *state;

	put(b, "a", "a1");
	run(b);
	assert_int_equal(b->submits, 0);
	assert_int_equal(outbox_start(b->outbox, NULL), 0);
	run(b);
	assert_string_equal(buf_str(&b->log), "a1 ");
}

static void a_task_is_in_order_and_tasks_are_apart(void **state)
{
	struct bench *b = *state;

	(void) outbox_start(b->outbox, NULL);
	put(b, "a", "a1");
	put(b, "a", "a2");
	put(b, "b", "b1");
	run(b);
	assert_string_equal(buf_str(&b->log), "a1 b1 ");
	answer(b, "b1", CTL_SUBMIT_ACCEPTED);
	assert_int_equal(outbox_pending(b->outbox), 1);
	answer(b, "a1", CTL_SUBMIT_ACCEPTED);
	assert_string_equal(buf_str(&b->log), "a1 b1 a2 ");
	answer(b, "a2", CTL_SUBMIT_ACCEPTED);
	assert_int_equal(outbox_pending(b->outbox), 0);
	put(b, "a", "a3"); /* and it begins anew */
	run(b);
	assert_string_equal(buf_str(&b->log), "a1 b1 a2 a3 ");
}

/* The kick comes when the disk has it; who drains a host asks in between. */
static void what_waits_for_the_disk_is_pending(void **state)
{
	struct bench *b = *state;

	(void) outbox_start(b->outbox, NULL);
	assert_int_equal(outbox_pending(b->outbox), 0);
	store(b, "a", "a1");
	assert_int_equal(outbox_pending(b->outbox), 1);
	outbox_kick(b->outbox, "a");
	run(b);
	answer(b, "a1", CTL_SUBMIT_ACCEPTED);
	assert_int_equal(outbox_pending(b->outbox), 0);
}

static void at_most_ten_are_in_flight(void **state)
{
	struct bench *b = *state;
	char task[16];

	(void) outbox_start(b->outbox, NULL);
	for (int i = 0; i < 40; i++) {
		(void) snprintf(task, sizeof(task), "t%d", i);
		put(b, task, task);
	}
	run(b);
	assert_int_equal(b->in_flight, 10);
	while (b->ops)
		answer(b, b->ops->body, CTL_SUBMIT_ACCEPTED);
	assert_int_equal(b->submits, 40);
	assert_int_equal(b->most_in_flight, 10);
	assert_int_equal(outbox_pending(b->outbox), 0);
}

/* 10 s at most. */
static void wait_for(struct bench *b, const char *log)
{
	for (int i = 0; i < 2000 && strcmp(buf_str(&b->log), log) != 0; i++)
		(void) sd_event_run(b->event, 5000);
	assert_string_equal(buf_str(&b->log), log);
	run(b);
}

static void a_failure_is_tried_again_without_holding_up_others(void **state)
{
	struct bench *b = *state;

	(void) outbox_start(b->outbox, NULL);
	put(b, "a", "a1");
	put(b, "a", "a2");
	run(b);
	answer(b, "a1", CTL_SUBMIT_RETRY);
	assert_int_equal(b->in_flight, 0);
	put(b, "b", "b1");
	run(b);
	assert_string_equal(buf_str(&b->log), "a1 b1 ");
	wait_for(b, "a1 b1 a1 ");
	answer(b, "a1", CTL_SUBMIT_ACCEPTED);
	assert_string_equal(buf_str(&b->log), "a1 b1 a1 a2 ");
}

static void what_is_invalid_is_given_up(void **state)
{
	struct bench *b = *state;

	(void) outbox_start(b->outbox, NULL);
	put(b, "a", "a1");
	put(b, "a", "a2");
	run(b);
	answer(b, "a1", CTL_SUBMIT_DISCARD);
	assert_int_equal(b->entries[0].id, 0);
	assert_string_equal(buf_str(&b->log), "a1 a2 ");
}

static void an_answer_that_cannot_be_noted_is_sent_again(void **state)
{
	struct bench *b = *state;

	(void) outbox_start(b->outbox, NULL);
	b->done_failures = 1;
	put(b, "a", "a1");
	run(b);
	answer(b, "a1", CTL_SUBMIT_ACCEPTED);
	wait_for(b, "a1 a1 ");
	answer(b, "a1", CTL_SUBMIT_ACCEPTED);
	assert_int_equal(outbox_pending(b->outbox), 0);
}

static void what_an_earlier_run_left_is_delivered(void **state)
{
	struct bench *b = *state;

	for (int i = 0; i < 3; i++) {
		b->entries[i].id = i + 1;
		(void) snprintf(b->entries[i].task, 16, "a");
		(void) snprintf(b->entries[i].body, 32, "a%d", i + 1);
	}
	b->n = 3;
	(void) outbox_start(b->outbox, NULL);
	run(b);
	answer(b, "a1", CTL_SUBMIT_ACCEPTED);
	answer(b, "a2", CTL_SUBMIT_ACCEPTED);
	answer(b, "a3", CTL_SUBMIT_ACCEPTED);
	assert_string_equal(buf_str(&b->log), "a1 a2 a3 ");
}

static void a_kick_while_in_flight_is_not_lost(void **state)
{
	struct bench *b = *state;

	(void) outbox_start(b->outbox, NULL);
	put(b, "a", "a1");
	run(b);
	put(b, "a", "a2");
	run(b);
	assert_string_equal(buf_str(&b->log), "a1 ");
	answer(b, "a1", CTL_SUBMIT_ACCEPTED);
	assert_string_equal(buf_str(&b->log), "a1 a2 ");
}

static void the_long_schedule_doubles_up_to_five_minutes(void **state)
{
	(void) state;
	for (unsigned n = 0; n < 300; n++) {
		int64_t d = ctl_submit_retry_delay_ms(n);

		assert_true(d >= MIN(30LL << MIN(n + 1, 20), 300000LL));
		assert_true(d <= MIN(59LL << MIN(n + 1, 20), 300000LL));
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(nothing_goes_out_before_the_start),
		TEST(a_task_is_in_order_and_tasks_are_apart),
		TEST(what_waits_for_the_disk_is_pending),
		TEST(at_most_ten_are_in_flight),
		TEST(a_failure_is_tried_again_without_holding_up_others),
		TEST(what_is_invalid_is_given_up),
		TEST(an_answer_that_cannot_be_noted_is_sent_again),
		TEST(what_an_earlier_run_left_is_delivered),
		TEST(a_kick_while_in_flight_is_not_lost),
		cmocka_unit_test(the_long_schedule_doubles_up_to_five_minutes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
