/* SPDX-License-Identifier: Apache-2.0 */
/* A recursive-descent parser that evaluates as it goes; both sides of and/or are always parsed. */
#include "controlplane/expr.h"

#include <ctype.h>
#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/macro.h"

enum { WORD_MAX = 256, PLUSES_MAX = 8 };

struct parser {
	const char *start, *at;
	expr_value_fn value;
	void *userdata;
	int depth;
	struct err *err;
};

enum comparison {
	EQUAL,
	NOT_EQUAL,
	LESS,
	LESS_EQUAL,
	GREATER,
	GREATER_EQUAL,
	MATCHES,
	NOT_MATCHES
};

static int parse_or(struct parser *p, bool *ret);

static int fail(struct parser *p, const char *wanted)
{
	return err_set(p->err, EINVAL, "%s expected at character %zu", wanted,
		       (size_t) (p->at - p->start) + 1);
}

static void skip_blank(struct parser *p)
{
	while (isspace((unsigned char) *p->at))
		p->at++;
}

static bool is_word(char c)
{
	return isalnum((unsigned char) c) || (c && strchr("._-:/*+?$^\\", c));
}

/* The symbol @text, after blanks. */
static bool take(struct parser *p, const char *text)
{
	size_t n = strlen(text);

	skip_blank(p);
	if (strncmp(p->at, text, n) != 0)
		return false;
	p->at += n;
	return true;
}

/* The word @text in any case, not merely a longer word's beginning. */
static bool take_word(struct parser *p, const char *text)
{
	size_t n = strlen(text);

	skip_blank(p);
	if (strncasecmp(p->at, text, n) != 0 || is_word(p->at[n]))
		return false;
	p->at += n;
	return true;
}

/* A word, or text in quotes, into @word of WORD_MAX. */
static int parse_word(struct parser *p, char *word)
{
	size_t n = 0;
	char quote = 0;

	skip_blank(p);
	if (*p->at == '"' || *p->at == '\'')
		quote = *p->at++;
	while (*p->at && (quote ? *p->at != quote : is_word(*p->at)) && n < WORD_MAX - 1)
		word[n++] = *p->at++;
	word[n] = '\0';
	if (quote && *p->at++ != quote) {
		p->at--;
		return fail(p, "closing quote");
	}
	return n > 0 || quote ? 0 : fail(p, "value");
}

/* --- comparisons --------------------------------------------------------------------------- */

/* As numbers when both are, else as text. */
static int compare(const char *a, const char *b)
{
	char *end_a = NULL, *end_b = NULL;
	double x = strtod(a, &end_a), y = strtod(b, &end_b);

	if (*a && *b && !*end_a && !*end_b)
		return (x > y) - (x < y);
	return strcmp(a, b);
}

static bool pattern_ok(const char *pattern)
{
	size_t pluses = 0;

	for (const char *c = pattern; *c; c++) {
		pluses += *c == '+';
		if (*c == '{' || (*c == '\\' && c[1] >= '0' && c[1] <= '9'))
			return false;
	}
	return strlen(pattern) <= EXPR_PATTERN_MAX && pluses <= PLUSES_MAX;
}

/*
 * The pattern must match the whole value. Counted repetition, many pluses (regcomp() doubles what
 * stands before each) and references back are refused: they explode.
 */
static int matches(struct parser *p, const char *value, const char *pattern, bool *ret)
{
	char whole[EXPR_PATTERN_MAX + 8];
	regex_t re;

	if (!pattern_ok(pattern))
		return fail(p, "pattern of at most 128 characters and 8 '+', without {} and \\1");
	(void) snprintf(whole, sizeof(whole), "^(%s)$", pattern);
	if (regcomp(&re, whole, REG_EXTENDED | REG_NOSUB) != 0)
		return fail(p, "regular expression");
	*ret = regexec(&re, value, 0, NULL, 0) == 0;
	regfree(&re);
	return 0;
}

static bool ordered(enum comparison how, int order)
{
	switch (how) {
	case LESS:
		return order < 0;
	case LESS_EQUAL:
		return order <= 0;
	case GREATER:
		return order > 0;
	case GREATER_EQUAL:
		return order >= 0;
	default:
		return order == 0;
	}
}

/* Is there a value of @subject that satisfies it? NOT_ forms are answered as their opposites. */
static int any_value(struct parser *p, const char *subject, enum comparison how,
		     const char *operand, bool *ret)
{
	const char *value;
	bool found = false;
	int k = 0;

	if (how == MATCHES || how == NOT_MATCHES)
		k = matches(p, "", operand, &found); /* a bad pattern is told without values too */
	found = false;
	for (size_t n = 0; k == 0 && !found && (value = p->value(subject, n, p->userdata)); n++) {
		if (how == MATCHES || how == NOT_MATCHES)
			k = matches(p, value, operand, &found);
		else
			found = ordered(how, compare(value, operand));
	}
	*ret = (how == NOT_EQUAL || how == NOT_MATCHES) ? !found : found;
	return k;
}

static int parse_list(struct parser *p, const char *subject, bool *ret)
{
	char word[WORD_MAX];
	bool found = false;
	int k;

	if (!take(p, "["))
		return fail(p, "'['");
	do {
		bool equal = false;

		k = parse_word(p, word);
		if (k == 0)
			k = any_value(p, subject, EQUAL, word, &equal);
		if (k < 0)
			return k;
		found = found || equal;
	} while (take(p, ","));
	*ret = found;
	return take(p, "]") ? 0 : fail(p, "']'");
}

static bool take_comparison(struct parser *p, enum comparison *ret)
{
	static const struct {
		const char *text;
		enum comparison how;
	} table[] = { /* longer symbols before their beginnings */
		      { "==", EQUAL },
		      { "!=", NOT_EQUAL },
		      { "=~", MATCHES },
		      { "!~", NOT_MATCHES },
		      { "<=", LESS_EQUAL },
		      { ">=", GREATER_EQUAL },
		      { "<", LESS },
		      { ">", GREATER },
		      { "equals", EQUAL },
		      { "not_equals", NOT_EQUAL },
		      { "matches", MATCHES },
		      { "not_matches", NOT_MATCHES },
		      { "less_than_equal", LESS_EQUAL },
		      { "greater_than_equal", GREATER_EQUAL },
		      { "less_than", LESS },
		      { "greater_than", GREATER }
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		bool word = isalpha((unsigned char) table[i].text[0]);

		if (word ? take_word(p, table[i].text) : take(p, table[i].text)) {
			*ret = table[i].how;
			return true;
		}
	}
	return false;
}

static int parse_test(struct parser *p, bool *ret)
{
	char subject[WORD_MAX], operand[WORD_MAX];
	enum comparison how = EQUAL;
	bool exists;
	int k = parse_word(p, subject);

	if (k < 0)
		return k;
	exists = p->value(subject, 0, p->userdata) != NULL;
	if (take_word(p, "exists")) {
		*ret = exists;
		return 0;
	}
	if (take(p, "!exists") || take_word(p, "not_exists")) {
		*ret = !exists;
		return 0;
	}
	if (take_word(p, "in"))
		return parse_list(p, subject, ret);
	if (take(p, "!in") || take_word(p, "not_in")) {
		k = parse_list(p, subject, ret);
		*ret = !*ret;
		return k;
	}
	if (!take_comparison(p, &how))
		return fail(p, "operator");
	k = parse_word(p, operand);
	return k < 0 ? k : any_value(p, subject, how, operand, ret);
}

/* --- combinations -------------------------------------------------------------------------- */

static int parse_unary(struct parser *p, bool *ret)
{
	int k;

	if (++p->depth > EXPR_DEPTH_MAX)
		return fail(p, "less nesting");
	if (take_word(p, "not") || take(p, "!")) {
		k = parse_unary(p, ret);
		*ret = !*ret;
	} else if (take(p, "(")) {
		k = parse_or(p, ret);
		if (k == 0 && !take(p, ")"))
			k = fail(p, "')'");
	} else {
		k = parse_test(p, ret);
	}
	p->depth--;
	return k;
}

static int parse_and(struct parser *p, bool *ret)
{
	int k = parse_unary(p, ret);

	while (k == 0 && (take_word(p, "and") || take(p, "&&"))) {
		bool right = false;

		k = parse_unary(p, &right);
		*ret = *ret && right;
	}
	return k;
}

static int parse_or(struct parser *p, bool *ret)
{
	int k = parse_and(p, ret);

	while (k == 0 && (take_word(p, "or") || take(p, "||"))) {
		bool right = false;

		k = parse_and(p, &right);
		*ret = *ret || right;
	}
	return k;
}

int expr_match(const char *text, expr_value_fn value, void *userdata, bool *ret, struct err *err)
{
	struct parser p = {
		.start = text, .at = text, .value = value, .userdata = userdata, .err = err
	};
	bool result = false;
	int k;

	if (strlen(text) > EXPR_TEXT_MAX)
		return err_set(err, EINVAL, "the expression is longer than %d bytes",
			       EXPR_TEXT_MAX);
	k = parse_or(&p, &result);
	if (k < 0)
		return k;
	skip_blank(&p);
	if (*p.at)
		return fail(&p, "end of the expression");
	*ret = result;
	return 0;
}
