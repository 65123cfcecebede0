/* SPDX-License-Identifier: Apache-2.0 */
/*
 * param - members of a request, checked. Absent and null are alike. A member of the wrong JSON type
 * is a SerializationException, a value out of bounds an InvalidParameterException; both name the
 * member. All return 0, or -1 with @e set. Strings and lists are borrowed from @in.
 */
#pragma once

#include <stdbool.h>

#include "controlplane/ops.h"

enum { PARAM_STRING_MAX = 4096, PAGE_MAX = 100 };

/* *ret NULL when absent. At most PARAM_STRING_MAX bytes. */
int param_string(const json_t *in, const char *key, const char **ret, struct api_error *e);

/* Must be there and not empty. */
int param_required(const json_t *in, const char *key, const char **ret, struct api_error *e);

/* One of @choices (NULL-terminated); @fallback when absent. */
int param_choice(const json_t *in, const char *key, const char *const *choices,
		 const char *fallback, const char **ret, struct api_error *e);

int param_int(const json_t *in, const char *key, int min, int max, int fallback, int *ret,
	      struct api_error *e);
int param_bool(const json_t *in, const char *key, bool *ret, struct api_error *e);

/* *ret NULL when absent; every element is of @type; at most @max elements. */
int param_list(const json_t *in, const char *key, json_type type, size_t max, const json_t **ret,
	       struct api_error *e);

/* *ret NULL when absent. */
int param_object(const json_t *in, const char *key, const json_t **ret, struct api_error *e);

/* Does the list of strings member @key (an "include") hold @word? Wrong types count as no. */
bool param_includes(const json_t *in, const char *key, const char *word);

/* --- pages of names -------------------------------------------------------------------------- */

struct page {
	int limit;   /* maxResults, 1..PAGE_MAX */
	char *after; /* owned: the last item of the page before; NULL: the first page */
};

int page_of_request(const json_t *in, struct page *ret, struct api_error *e);
void page_done(struct page *p);

/* Answers {"<key>": [...], "nextToken": …}. Takes @list, which was asked for with limit + 1 and is
 * cut to the limit. */
int page_answer(const struct page *p, const char *key, json_t *list, json_t **out,
		struct api_error *e);

/* --- answers --------------------------------------------------------------------------------- */

/* Sets *out to @answer (taken), or fails with ServerException when it is NULL (out of memory). */
int answer_with(json_t *answer, json_t **out, struct api_error *e);

/* Appends {"arn": …, "reason": …[, "detail": …]} to @failures. */
int failure_add(json_t *failures, const char *arn, const char *reason, const char *detail,
		struct api_error *e);

/* The object in @list whose "name" is @name, borrowed; NULL when there is none. */
json_t *named_element(const json_t *list, const char *name);

/* Wall clock in epoch seconds with milliseconds, as the API writes times. */
json_t *json_now(void);

/* --- tags ------------------------------------------------------------------------------------ */

/* Checks "tags": at most 50, keys 1..128 unique, values up to 256, no "aws:" prefix. *ret is a new
 * list (empty when absent). */
int param_tags(const json_t *in, json_t **ret, struct api_error *e);

/* Empties member "tags" of @doc unless the request's "include" asks for TAGS. */
void tags_hide(const json_t *in, json_t *doc);
