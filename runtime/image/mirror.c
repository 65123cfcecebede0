/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/image/mirror.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

/* Length of the URL without trailing slashes; 0: none of use. */
static size_t url_length(const char *url, size_t len)
{
	size_t scheme = strncmp(url, "https://", 8) == 0  ? 8
			: strncmp(url, "http://", 7) == 0 ? 7
							  : 0;

	while (len > 0 && url[len - 1] == '/')
		len--;
	if (scheme == 0 || len <= scheme || memchr(url, '@', len) || memchr(url, '?', len) ||
	    memchr(url, '#', len))
		return 0;
	return len;
}

int mirror_find(const char *list, const char *domain, char **ret, struct err *err)
{
	_cleanup_(freep) char *found = NULL;

	for (const char *p = list ? list : ""; *(p += strspn(p, ", \t")); p += strcspn(p, ", \t")) {
		size_t len = strcspn(p, ", \t"), name = strcspn(p, "=, \t");
		size_t url = name < len && name > 0 ? url_length(p + name + 1, len - name - 1) : 0;

		if (url == 0)
			return err_set(err, EINVAL,
				       "mirrors: '%.*s' is not registry=https://host[:port][/path]",
				       (int) (len < 200 ? len : 200), p);
		if (found || !domain || strlen(domain) != name || strncmp(domain, p, name) != 0)
			continue;
		found = strndup(p + name + 1, url);
		if (!found)
			return err_set(err, ENOMEM, "read mirrors");
	}
	if (ret)
		*ret = TAKE_PTR(found);
	return 0;
}
