/* SPDX-License-Identifier: Apache-2.0 */
/* The Authorization header, and a request target to canonicalise: the input's first and second line. */
#include <stdint.h>
#include <string.h>

#include "common/cleanup.h"
#include "controlplane/sigv4.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(freep) char *text = strndup((const char *) data, size);
	_cleanup_(sigv4_auth_done) struct sigv4_auth a = {};
	_cleanup_(err_done) struct err err = {};
	char *path, *query, hex[65];
	const struct sigv4_header headers[] = { { "Host", "h" },
						{ "X-Amz-Date", "20250101T000000Z" },
						{ "Authorization", text } };
	struct sigv4_request r = { .method = "GET", .headers = headers, .n_headers = 3 };

	if (!text)
		return 0;
	path = strchr(text, '\n');
	if (path)
		*path++ = '\0';
	query = path ? strchr(path, '?') : NULL;
	if (query)
		*query++ = '\0';
	r.path = path ? path : "/";
	r.query = query;
	(void) sigv4_verify(NULL, &r, 0, &err);
	if (sigv4_parse_authorization(text, &a, &err) == 0)
		(void) sigv4_compute(&a, &r, "secret", hex, &err);
	return 0;
}
