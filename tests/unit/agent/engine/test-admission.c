/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include <stdlib.h>

#include "agent/engine/admission.h"

static struct ledger ledger;

static int setup(void **state _unused_)
{
	ledger = (struct ledger){ .bounded = true, .cpu_total = 1024, .memory_total_mib = 1000 };
	return 0;
}

static void expect(const struct task *t, int answer, const char *lack)
{
	_cleanup_(freep) char *text = NULL;

	assert_int_equal(admission_take(&ledger, t, &text), answer);
	if (lack)
		assert_string_equal(text, lack);
	else
		assert_null(text);
}

static void a_task_waits_for_what_it_lacks_and_no_other(void **state _unused_)
{
	struct port_binding port = { 80, 8080, IPPROTO_TCP }, other = { 80, 8080, IPPROTO_UDP };
	struct container a = { .cpu_shares = 600, .memory_mib = 300, .ports = &port, .n_ports = 1 },
			 b = { .cpu_shares = 600 },
			 c = { .memory_mib = 700, .ports = &other, .n_ports = 1 },
			 d = { .ports = &port, .n_ports = 1 }, e = { .memory_mib = 1 };
	struct task ta = { .containers = &a, .n_containers = 1 },
		    tb = { .containers = &b, .n_containers = 1 },
		    tc = { .containers = &c, .n_containers = 1 },
		    td = { .containers = &d, .n_containers = 1 },
		    te = { .containers = &e, .n_containers = 1 };

	expect(&ta, 0, NULL);
	expect(&tb, ADMISSION_WAIT, "cpu: 600 units are wanted, 424 are free");
	expect(&tc, 0, NULL); /* it is not behind tb; udp/8080 is another port */
	expect(&td, ADMISSION_WAIT, "host port 8080/tcp is taken");
	expect(&te, ADMISSION_WAIT, "memory: 1 MiB are wanted, 0 are free");
	admission_release(&ledger, &ta);
	expect(&tb, 0, NULL);
	expect(&td, 0, NULL);
	expect(&te, 0, NULL);
}

static void a_task_that_never_fits_is_told_so(void **state _unused_)
{
	struct container a = { .cpu_shares = 2000 };
	struct task t = { .containers = &a, .n_containers = 1 }, u = { .memory_mib = 5000 };

	expect(&t, ADMISSION_NEVER, "cpu: 2000 units are wanted, this host has 1024");
	expect(&u, ADMISSION_NEVER, "memory: 5000 MiB are wanted, this host has 1000");
	ledger.bounded = false;
	expect(&t, 0, NULL);
}

static void task_limits_count_before_those_of_containers(void **state _unused_)
{
	struct container c[] = {
		{ .cpu_shares = 100, .memory_mib = 64 },
		{ .cpu_shares = 28, .memory_mib = 64, .memory_reservation_bytes = 32 << 20 }
	};
	struct task t = { .containers = c, .n_containers = 2 };
	struct demand d = admission_demand(&t);

	assert_int_equal(d.cpu, 128);
	assert_int_equal(d.memory_mib, 96);
	t.cpu = 0.25;
	t.memory_mib = 512;
	d = admission_demand(&t);
	assert_int_equal(d.cpu, 256);
	assert_int_equal(d.memory_mib, 512);
}

/* To wait for one would be to wait for ever. */
static void a_task_that_wants_a_reserved_port_is_told_so(void **state _unused_)
{
	uint16_t ports[] = { 22, 65535 };
	struct port_list tcp = { ports, 2 };
	struct port_binding port = { 80, 65535, IPPROTO_TCP };
	struct container c = { .ports = &port, .n_ports = 1 };
	struct task t = { .containers = &c, .n_containers = 1 };

	ledger.reserved_tcp = &tcp;
	expect(&t, ADMISSION_NEVER, "host port 65535/tcp is reserved on this host");
	port.proto = IPPROTO_UDP;
	expect(&t, 0, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_task_waits_for_what_it_lacks_and_no_other, setup),
		cmocka_unit_test_setup(a_task_that_never_fits_is_told_so, setup),
		cmocka_unit_test_setup(task_limits_count_before_those_of_containers, setup),
		cmocka_unit_test_setup(a_task_that_wants_a_reserved_port_is_told_so, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
