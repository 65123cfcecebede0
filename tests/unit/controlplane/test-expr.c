/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/controlplane/api.h"

#include "controlplane/expr.h"

/* An instance with two zones' worth of values, to see "any". */
static const char *value_of(const char *subject, size_t n, void *userdata)
{
	static const struct {
		const char *subject, *values[2];
	} table[] = {
		{ "attribute:type", { "t2.small" } },    { "attribute:stack", { "" } },
		{ "agentConnected", { "true" } },        { "runningTasksCount", { "9" } },
		{ "task:group", { "web", "family:x" } },
	};

	(void) userdata;
	for (size_t i = 0; n < 2 && i < ARRAY_SIZE(table); i++)
		if (strcmp(table[i].subject, subject) == 0)
			return table[i].values[n];
	return NULL;
}

static void expressions_are_judged(void **state _unused_)
{
	static const struct {
		const char *text;
		bool result;
	} cases[] = {
		{ "attribute:type == t2.small", true },
		{ "attribute:type equals t2.small", true },
		{ "attribute:type==t2.small", true },
		{ "attribute:type != t2.small", false },
		{ "attribute:type == 't2.small'", true },
		{ "attribute:type in [m5.large, t2.small]", true },
		{ "attribute:type !in [m5.large, t2.small]", false },
		{ "attribute:type not_in [m5.large]", true },
		{ "attribute:type =~ t2.*", true },
		{ "attribute:type =~ t2", false }, /* the whole value must match */
		{ "attribute:type !~ m5.*", true },
		{ "attribute:stack exists", true },
		{ "attribute:nothing exists", false },
		{ "attribute:nothing !exists", true },
		{ "attribute:nothing not_exists", true },
		{ "attribute:nothing == x", false },
		{ "attribute:nothing != x", true },
		{ "runningTasksCount < 10", true }, /* as numbers, not as text */
		{ "runningTasksCount greater_than_equal 10", false },
		{ "agentConnected == true and runningTasksCount > 8", true },
		{ "agentConnected == false and runningTasksCount > 8", false },
		{ "agentConnected == false or runningTasksCount > 8", true },
		{ "agentConnected == false && runningTasksCount > 8 || attribute:stack exists",
		  true },
		{ "not(agentConnected == true)", false },
		{ "!(agentConnected == true)", false },
		{ "not (attribute:type == x or attribute:stack !exists)", true },
		{ "task:group == web", true },
		{ "task:group == family:x", true },
		{ "task:group != web", false },
		{ "task:group != other", true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(err_done) struct err err = {};
		bool result = !cases[i].result;

		if (expr_match(cases[i].text, value_of, NULL, &result, &err) < 0)
			fail_msg("%s: %s", cases[i].text, err_text(&err));
		if (result != cases[i].result)
			fail_msg("%s is %d", cases[i].text, result);
	}
}

static void malformed_expressions_are_placed(void **state _unused_)
{
	static const struct {
		const char *text, *complaint;
	} cases[] = {
		{ "", "value expected at character 1" },
		{ "attribute:type", "operator expected at character 15" },
		{ "attribute:type ==", "value expected at character 18" },
		{ "attribute:type == a b", "end of the expression expected at character 21" },
		{ "attribute:type in a", "'[' expected at character 19" },
		{ "attribute:type in [a", "']' expected at character 21" },
		{ "(attribute:type == a", "')' expected at character 21" },
		{ "attribute:type == 'a", "closing quote expected at character 21" },
		{ "attribute:type =~ a{9}", "end of the expression expected at character 20" },
		{ "attribute:type =~ 'a{9}'",
		  "pattern of at most 128 characters and 8 '+', without {} and \\1 expected at character 25" },
		{ "attribute:type =~ *", "regular expression expected at character 20" },
		{ "attribute:type == a and", "value expected at character 24" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(err_done) struct err err = {};
		bool result = true;

		assert_int_equal(expr_match(cases[i].text, value_of, NULL, &result, &err), -EINVAL);
		assert_string_equal(err_text(&err), cases[i].complaint);
	}
}

static void nesting_is_bounded(void **state _unused_)
{
	char deep[EXPR_DEPTH_MAX * 2 + 32] = "";
	bool result;

	memset(deep, '(', EXPR_DEPTH_MAX + 1);
	assert_int_equal(expr_match(deep, value_of, NULL, &result, NULL), -EINVAL);
}

static void patterns_that_explode_are_refused(void **state _unused_)
{
	static const char *const bad[] = {
		"name =~ 'a+++++++++'",
		"name =~ '(((((((((a+)+)+)+)+)+)+)+)+)'",
		"name =~ 'a{1,200}'",
		"name =~ '(.*)(.*)\\1\\2'",
	};
	bool result;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(expr_match(bad[i], value_of, NULL, &result, NULL), -EINVAL);
	assert_int_equal(expr_match("name =~ '[a-z]+-[0-9]+'", value_of, NULL, &result, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(expressions_are_judged),
		cmocka_unit_test(malformed_expressions_are_placed),
		cmocka_unit_test(nesting_is_bounded),
		cmocka_unit_test(patterns_that_explode_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
