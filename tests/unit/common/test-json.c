/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include <string.h>

#include "common/json.h"
#include "common/strv.h"

struct port {
	uint16_t container_port, host_port;
};

struct box {
	char *name;
	int count;
	bool flag;
	double share;
	char **args;
	struct port *ports;
	size_t n_ports;
	struct json_pair *labels;
	size_t n_labels;
	struct port first;
	json_t *raw;
};

static const struct json_field port_fields[] = {
	{ "containerPort", json_decode_u16, offsetof(struct port, container_port), true },
	{ "hostPort", json_decode_u16, offsetof(struct port, host_port) },
	{},
};
static const struct json_array port_array = { .size = sizeof(struct port),
					      .fields = port_fields,
					      .max = 3 };
static const struct json_field box_fields[] = {
	{ "name", json_decode_string, offsetof(struct box, name) },
	{ "count", json_decode_int, offsetof(struct box, count), .min = 1, .max = 10 },
	{ "flag", json_decode_bool, offsetof(struct box, flag) },
	{ "share", json_decode_double, offsetof(struct box, share) },
	{ "args", json_decode_strv, offsetof(struct box, args) },
	{ "ports", json_decode_array, offsetof(struct box, ports), .arg = &port_array },
	{ "labels", json_decode_pairs, offsetof(struct box, labels) },
	{ "first", json_decode_object, offsetof(struct box, first), .arg = port_fields },
	{ "raw", json_decode_raw, offsetof(struct box, raw) },
	{},
};

static void box_done(struct box *b)
{
	free(b->name);
	(void) strv_free(b->args);
	free(b->ports);
	json_pairs_free(b->labels, b->n_labels);
	json_decref(b->raw);
}

static int decode(const char *text, struct box *b, struct err *err)
{
	json_auto_t *v = NULL;
	int k = json_parse(text, strlen(text), &v, err);

	return k < 0 ? k : json_decode(v, box_fields, b, err);
}

static void every_kind_is_decoded(void **state)
{
	_cleanup_(err_done) struct err err = {};
	_cleanup_(box_done) struct box b = { .count = 7 };

	(void) state;
	assert_int_equal(
		decode("{\"name\":\"web\",\"flag\":true,\"share\":0.25,\"args\":[\"a\",\"b\"],"
		       "\"ports\":[{\"containerPort\":80},{\"containerPort\":443,\"hostPort\":8443}"
		       "],"
		       "\"labels\":{\"k\":\"v\"},\"first\":{\"containerPort\":1},\"raw\":[1],"
		       "\"new\":{}}",
		       &b, &err),
		0);
	assert_string_equal(b.name, "web");
	assert_int_equal(b.count, 7); /* absent: the default stays */
	assert_true(b.flag);
	assert_true(b.share == 0.25);
	assert_int_equal(strv_length(b.args), 2);
	assert_int_equal(b.n_ports, 2);
	assert_int_equal(b.ports[1].host_port, 8443);
	assert_string_equal(b.labels[0].value, "v");
	assert_int_equal(b.first.container_port, 1);
	assert_int_equal(json_array_size(b.raw), 1);
}

static void null_counts_as_absent_and_case_does_not_matter(void **state)
{
	_cleanup_(err_done) struct err err = {};
	_cleanup_(box_done) struct box b = { .count = 7 };

	(void) state;
	assert_int_equal(decode("{\"count\":null,\"NAME\":\"x\"}", &b, &err), 0);
	assert_int_equal(b.count, 7);
	assert_string_equal(b.name, "x");
}

static void complaints_name_the_path_and_the_bound(void **state)
{
	static const struct {
		const char *text, *complaint;
	} cases[] = {
		{ "{\"ports\":[{\"containerPort\":80},{\"containerPort\":70000}]}",
		  "ports[1]: containerPort: 70000 is outside 0..65535" },
		{ "{\"ports\":[{\"hostPort\":80}]}", "ports[0]: containerPort: missing" },
		{ "{\"ports\":[{},{},{},{}]}", "ports: has 4 elements, at most 3 are taken" },
		{ "{\"ports\":{}}", "ports: is an object where an array is wanted" },
		{ "{\"count\":11}", "count: 11 is outside 1..10" },
		{ "{\"count\":\"3\"}", "count: is a string where an integer is wanted" },
		{ "{\"name\":3}", "name: is an integer where a string is wanted" },
		{ "{\"flag\":1}", "flag: is an integer where true or false is wanted" },
		{ "{\"args\":[\"a\",1]}", "args[1]: is an integer where a string is wanted" },
		{ "{\"labels\":{\"k\":1}}", "labels: k: is an integer where a string is wanted" },
		{ "[]", "is an array where an object is wanted" },
		{ "{\"a\":1,\"a\":2}", "JSON: duplicate object key near '\"a\"' at byte 10" },
	};

	(void) state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(err_done) struct err err = {};
		_cleanup_(box_done) struct box b = {};

		assert_true(decode(cases[i].text, &b, &err) < 0);
		assert_string_equal(err_text(&err), cases[i].complaint);
	}
}

static void whole_numbers_may_be_written_as_reals(void **state)
{
	_cleanup_(err_done) struct err err = {};
	_cleanup_(box_done) struct box b = {};

	(void) state;
	assert_int_equal(decode("{\"count\":8.0}", &b, &err), 0);
	assert_int_equal(b.count, 8);
	assert_true(decode("{\"count\":8.5}", &b, &err) < 0);
	assert_true(decode("{\"count\":1e300}", &b, &err) < 0);
}

static void decoding_twice_frees_the_first_result(void **state)
{
	_cleanup_(err_done) struct err err = {};
	_cleanup_(box_done) struct box b = {};
	const char *text = "{\"name\":\"x\",\"args\":[\"a\"],\"ports\":[{\"containerPort\":1}],"
			   "\"labels\":{\"k\":\"v\"},"
			   "\"raw\":{}}";

	(void) state;
	assert_int_equal(decode(text, &b, &err), 0);
	assert_int_equal(decode(text, &b, &err), 0); /* LeakSanitizer watches */
	assert_int_equal(b.n_ports, 1);
}

static void epoch_seconds_keep_their_short_form(void **state)
{
	json_auto_t *v = json_pack("{s:f, s:f}", "t", 1746802078.031, "cpu", 0.1);
	_cleanup_(freep) char *text = json_to_text(v);

	(void) state;
	assert_string_equal(text, "{\"t\":1746802078.031,\"cpu\":0.1}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_is_decoded),
		cmocka_unit_test(null_counts_as_absent_and_case_does_not_matter),
		cmocka_unit_test(complaints_name_the_path_and_the_bound),
		cmocka_unit_test(whole_numbers_may_be_written_as_reals),
		cmocka_unit_test(decoding_twice_frees_the_first_result),
		cmocka_unit_test(epoch_seconds_keep_their_short_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
