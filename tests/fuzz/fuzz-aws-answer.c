/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz-aws-answer - bodies of AWS and metadata answers: errors, role keys, identity documents, shared
 * credential files. The first line is the error-type header, the rest the body.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "aws/call.h"
#include "aws/credentials.h"
#include "aws/imds.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(freep) char *text = strndup((const char *) data, size);
	_cleanup_(aws_keys_done) struct aws_keys role = {}, shared = {};
	_cleanup_(imds_identity_done) struct imds_identity id = {};
	_cleanup_(aws_error_done) struct aws_error e = {};
	char *body;

	if (!text)
		return 0;
	(void) aws_keys_parse_shared(text, "default", &shared, NULL);
	body = strchr(text, '\n');
	if (body)
		*body++ = '\0';
	else
		body = text + strlen(text);
	aws_error_decode(text, body, strlen(body), &e);
	(void) aws_error_retriable(400, e.name);
	(void) aws_keys_decode_imds(body, strlen(body), &role, NULL);
	(void) imds_identity_decode(body, strlen(body), &id, NULL);
	return 0;
}
