/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/acs/frame.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "common/macro.h"

static const char *const exceptions[] = {
	"ServerException",
	"BadRequestException",
	"InvalidClusterException",
	"InvalidInstanceException",
	"AccessDeniedException",
	"InactiveInstanceException",
	"ResourceValidationException",
	"InvalidParameterException",
};

void frame_done(struct frame *f)
{
	json_decref(f->message);
	*f = (struct frame){};
}

static bool is_exception(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(exceptions); i++)
		if (strcmp(name, exceptions[i]) == 0)
			return true;
	return false;
}

static int decode_error_form(json_t *root, struct frame *ret, struct err *err)
{
	void *first = json_object_iter(root);
	const char *name = first ? json_object_iter_key(first) : "";
	const json_t *text = first ? json_object_iter_value(first) : NULL;

	if (json_object_size(root) != 1 || !json_is_string(text) || !is_exception(name))
		return err_set(err, EPROTO, "message without a type");
	ret->message = json_pack("{s:O}", "message", text);
	if (!ret->message)
		return err_set(err, ENOMEM, "decode message");
	(void) snprintf(ret->type, sizeof(ret->type), "%s", name);
	ret->is_error = true;
	return 0;
}

int frame_decode(const char *data, size_t len, struct frame *ret, struct err *err)
{
	json_auto_t *root = NULL;
	json_t *type, *message;
	int k = json_parse(data, len, &root, err);

	if (k < 0)
		return k;
	if (!json_is_object(root))
		return err_set(err, EPROTO, "message is not an object");
	type = json_object_get(root, "type");
	if (!type)
		return decode_error_form(root, ret, err);
	if (!json_is_string(type) || json_string_length(type) == 0 ||
	    json_string_length(type) >= FRAME_TYPE_MAX ||
	    strlen(json_string_value(type)) != json_string_length(type))
		return err_set(err, EPROTO, "type: not a name of 1..%d bytes", FRAME_TYPE_MAX - 1);
	message = json_object_get(root, "message");
	if (message && !json_is_null(message) && !json_is_object(message))
		return err_set(err, EPROTO, "message: not an object");
	ret->message = json_is_object(message) ? json_incref(message) : json_object();
	if (!ret->message)
		return err_set(err, ENOMEM, "decode message");
	(void) snprintf(ret->type, sizeof(ret->type), "%s", json_string_value(type));
	ret->is_error = is_exception(ret->type);
	return 0;
}

char *frame_encode(const char *type, json_t *message)
{
	json_auto_t *root =
		message ? json_pack("{s:s, s:o}", "type", type, "message", message) : NULL;

	return root ? json_to_text(root) : NULL;
}

const char *frame_excerpt(const char *data, size_t len, char *buf)
{
	size_t n = MIN(len, (size_t) FRAME_EXCERPT_MAX);

	for (size_t i = 0; i < n; i++)
		buf[i] = isprint((unsigned char) data[i]) ? data[i] : '.';
	buf[n] = '\0';
	return buf;
}
