/* SPDX-License-Identifier: Apache-2.0 */
/* What an error answer of AWS JSON 1.1 says, and whether trying again may help. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "aws/call.h"
#include "common/json.h"
#include "common/macro.h"

enum { EXCERPT_MAX = 200 };

/* "com.amazonaws#Name:http://…" -> "Name" */
static void set_name(struct aws_error *e, const char *type)
{
	const char *hash = strchr(type, '#');
	size_t n;

	type = hash ? hash + 1 : type;
	while (isspace((unsigned char) *type))
		type++;
	n = strcspn(type, ": \t\r\n,");
	if (n < sizeof(e->name))
		(void) snprintf(e->name, sizeof(e->name), "%.*s", (int) n, type);
}

static char *excerpt(const char *body, size_t len)
{
	char *s = calloc(1, EXCERPT_MAX + 1);

	for (size_t i = 0; s && i < len && i < EXCERPT_MAX; i++)
		s[i] = isprint((unsigned char) body[i]) ? body[i] : '.';
	return s;
}

void aws_error_done(struct aws_error *e)
{
	free(e->message);
	*e = (struct aws_error){};
}

void aws_error_decode(const char *type, const char *body, size_t len, struct aws_error *ret)
{
	json_auto_t *root = NULL;
	const char *message = NULL;

	*ret = (struct aws_error){};
	if (json_parse(body, len, &root, NULL) == 0) {
		set_name(ret, json_get_string(root, "__type", json_get_string(root, "code", "")));
		message = json_get_string(root, "message", NULL);
		if (!message)
			message = json_get_string(root, "Message", NULL);
	}
	if (type && *type)
		set_name(ret, type);
	ret->message = message ? strdup(message) : root ? strdup("") : excerpt(body, len);
}

bool aws_error_throttling(const char *name)
{
	static const char *const names[] = {
		"Throttling",
		"ThrottlingException",
		"ThrottledException",
		"RequestThrottledException",
		"TooManyRequestsException",
		"ProvisionedThroughputExceededException",
		"TransactionInProgressException",
		"RequestLimitExceeded",
		"BandwidthLimitExceeded",
		"LimitExceededException",
		"RequestThrottled",
		"SlowDown",
		"PriorRequestNotComplete",
		"EC2ThrottledException",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

bool aws_error_retriable(int status, const char *name)
{
	switch (status) {
	case 0: /* nobody answered */
	case 429:
	case 500:
	case 502:
	case 503:
	case 504:
		return true;
	default:
		return aws_error_throttling(name) || strcmp(name, "RequestTimeout") == 0 ||
		       strcmp(name, "RequestTimeoutException") == 0;
	}
}
