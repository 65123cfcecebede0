/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "cli/client.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/fs.h"
#include "common/json.h"

int client_connect(const char *path, struct err *err)
{
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	const char *hint;

	if (strlen(path) >= sizeof(sa.sun_path))
		return err_set(err, ENAMETOOLONG, "%s: too long for a socket's path", path);
	memcpy(sa.sun_path, path, strlen(path) + 1);
	if (fd < 0)
		return err_set_errno(err, errno, "make a socket");
	if (connect(fd, (struct sockaddr *) &sa, sizeof(sa)) == 0)
		return TAKE_FD(fd);
	hint = errno == EACCES || errno == EPERM ? "ecsctl is for root"
						 : "is ecs-agent running? systemctl status ecs";
	return err_set(err, errno, "cannot reach the agent at %s: %s: %s", path, strerror(errno),
		       hint);
}

int client_parse(const char *text, size_t len, int *ret_status, size_t *ret_body, struct err *err)
{
	const char *end = memmem(text, len, "\r\n\r\n", 4);

	if (len < 12 || strncmp(text, "HTTP/1.", 7) != 0 || !end || text[8] != ' ' ||
	    !isdigit((unsigned char) text[9]) || !isdigit((unsigned char) text[10]) ||
	    !isdigit((unsigned char) text[11]))
		return err_set(err, EPROTO, "the agent's answer is not HTTP");
	*ret_status = (text[9] - '0') * 100 + (text[10] - '0') * 10 + (text[11] - '0');
	*ret_body = (size_t) (end - text) + 4;
	return 0;
}

static int ask(const char *socket_path, const char *method, const char *path, const char *body,
	       struct err *err)
{
	_cleanup_(closep) int fd = client_connect(socket_path, err);
	_cleanup_(freep) char *request = NULL;
	int r;

	if (fd < 0)
		return fd;
	if (asprintf(&request, "%s %s HTTP/1.0\r\nHost: agent\r\nContent-Length: %zu\r\n\r\n%s",
		     method, path, strlen(body), body) < 0)
		return err_set(err, ENOMEM, "allocate request");
	r = fs_write_all(fd, request, strlen(request));
	return r < 0 ? err_set_errno(err, -r, "ask the agent") : TAKE_FD(fd);
}

static int read_some(int fd, struct buf *b, struct err *err)
{
	char chunk[16384];
	ssize_t n;

	do
		n = read(fd, chunk, sizeof(chunk));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_set_errno(err, errno, "read the agent's answer");
	if (n > 0 && !buf_append(b, chunk, (size_t) n))
		return err_set(err, EFBIG, "the agent's answer is too large");
	return (int) n;
}

static int refuse(const char *body, size_t len, int status, struct err *err)
{
	_cleanup_(json_decrefp) json_t *o = json_loadb(body, len, 0, NULL);
	const char *text = json_get_string(o, "error", NULL);

	if (text)
		(void) err_set(err, EREMOTEIO, "%s", text);
	else
		(void) err_set(err, EREMOTEIO, "the agent answered %d: %.*s", status,
			       (int) (len > 200 ? 200 : len), body);
	return CLIENT_E_REFUSED;
}

int client_call(const char *socket_path, const char *method, const char *path, json_t **ret,
		struct err *err)
{
	return client_send(socket_path, method, path, NULL, ret, err);
}

int client_send(const char *socket_path, const char *method, const char *path,
		const json_t *message, json_t **ret, struct err *err)
{
	_cleanup_(freep) char *text = message ? json_to_text(message) : strdup("");
	_cleanup_(closep) int fd = text ? ask(socket_path, method, path, text, err)
					: err_set(err, ENOMEM, "allocate request");
	_cleanup_(buf_done) struct buf b = { .max_bytes = CLIENT_ANSWER_MAX };
	int r, status;
	size_t body;

	if (fd < 0)
		return fd;
	do
		r = read_some(fd, &b, err);
	while (r > 0);
	if (r == 0)
		r = client_parse(buf_str(&b), b.len, &status, &body, err);
	if (r < 0)
		return r;
	if (status / 100 != 2)
		return refuse(b.data + body, b.len - body, status, err);
	return json_parse(b.data + body, b.len - body, ret, err);
}

int client_stream(const char *socket_path, const char *path, FILE *out, struct err *err)
{
	_cleanup_(closep) int fd = ask(socket_path, "GET", path, "", err);
	_cleanup_(buf_done) struct buf b = { .max_bytes = 1024 * 1024 };
	int r, status = 0;
	size_t body;

	if (fd < 0)
		return fd;
	while ((r = read_some(fd, &b, err)) > 0) {
		if (!status && memmem(b.data, b.len, "\r\n\r\n", 4)) {
			r = client_parse(b.data, b.len, &status, &body, err);
			if (r < 0)
				return r;
			buf_consume(&b, body);
		}
		if (status / 100 != 2)
			continue;
		if (fwrite(b.data, 1, b.len, out) != b.len || fflush(out) != 0)
			return err_set_errno(err, errno, "write");
		buf_reset(&b);
	}
	return r == 0 && status / 100 != 2 ? refuse(buf_str(&b), b.len, status, err) : r;
}

void client_put_component(struct buf *b, const char *text)
{
	for (; *text; text++) {
		if (isalnum((unsigned char) *text) || strchr("-._~:/", *text))
			buf_append(b, text, 1);
		else
			buf_printf(b, "%%%02X", (unsigned char) *text);
	}
}
