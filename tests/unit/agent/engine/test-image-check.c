/* SPDX-License-Identifier: Apache-2.0 */
/* The check of a cached image against a small registry on loopback. */
#include "tests/unit/test.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/engine/image-check.h"
#include "aws/http.h"
#include "common/macro.h"
#include "tests/unit/aws/fake.h"

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

enum mode { OPEN, BASIC, BEARER, FAR_REALM, MISSING, MOVED, NO_DIGEST, SLOW };

struct bench {
	sd_event *event;
	struct http_client *http;
	struct image_check *check;
	struct fake_http server;
	char reference[128];
	enum mode mode;
	int tokens;
	bool done;
	int result;
	char digest[128];
};

static void refuse(struct bench *b, struct fake_answer *a)
{
	a->status = 401;
	(void) snprintf(a->header[0], sizeof(a->header[0]), "WWW-Authenticate");
	if (b->mode == BASIC)
		(void) snprintf(a->header[1], sizeof(a->header[1]), "Basic realm=\"r\"");
	else
		(void) snprintf(a->header[1], sizeof(a->header[1]),
				"Bearer realm=\"%s/token\",service=\"a b\"",
				b->mode == FAR_REALM ? "http://169.254.169.254" : b->server.url);
}

static void serve(void *userdata, const struct fake_query *q, struct fake_answer *a)
{
	struct bench *b = userdata;
	const char *want = b->mode == BASIC ? "Basic bWU6c2VjcmV0" : "Bearer t1";

	if (b->mode == SLOW)
		(void) usleep(300000);
	if (strcmp(q->path, "/token") == 0) {
		b->tokens += strcmp(fake_header(q, "Authorization"), "Basic bWU6c2VjcmV0") == 0;
		(void) snprintf(a->body, sizeof(a->body), "{\"token\":\"t1\"}");
		return;
	}
	if (strcmp(q->method, "HEAD") != 0 || strcmp(q->path, "/v2/team/web/manifests/1.2") != 0)
		a->status = 400;
	else if (b->mode == MISSING)
		a->status = 404;
	else if (b->mode == MOVED)
		a->status = 307;
	else if ((b->mode == BASIC || b->mode == BEARER || b->mode == FAR_REALM) &&
		 strcmp(fake_header(q, "Authorization"), want) != 0)
		refuse(b, a);
	else if (b->mode != NO_DIGEST) {
		(void) snprintf(a->header[0], sizeof(a->header[0]), "Docker-Content-Digest");
		(void) snprintf(a->header[1], sizeof(a->header[1]), DIGEST);
	}
}

static int set_up(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	*state = b;
	assert_int_equal(sd_event_new(&b->event), 0);
	assert_int_equal(http_client_new(b->event, NULL, &b->http, NULL), 0);
	fake_http_start(&b->server, serve, b);
	(void) snprintf(b->reference, sizeof(b->reference), "%s/team/web:1.2",
			strstr(b->server.url, "//") + 2);
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	(void) image_check_free(b->check);
	(void) http_client_free(b->http);
	fake_http_stop(&b->server);
	(void) sd_event_unref(b->event);
	free(b);
	return 0;
}

static void on_result(enum image_check_result result, const char *digest, void *userdata)
{
	struct bench *b = userdata;

	assert_false(b->done);
	b->done = true;
	b->result = (int) result;
	(void) snprintf(b->digest, sizeof(b->digest), "%s", digest ? digest : "");
	b->check = image_check_free(b->check); /* as the caller may */
}

static int check(struct bench *b, enum mode mode, const char *user, int64_t timeout_ms)
{
	const struct image_check_params p = { .http = b->http,
					      .reference = b->reference,
					      .username = user,
					      .password = "secret",
					      .timeout_ms = timeout_ms };

	b->mode = mode;
	b->done = false;
	assert_int_equal(image_check_start(&p, on_result, b, &b->check, NULL), 0);
	assert_true(loop_until(b->event, &b->done, 10000));
	return b->result;
}

static void the_digest_of_a_tag_is_told(void **state)
{
	struct bench *b = *state;

	assert_int_equal(check(b, OPEN, NULL, 5000), IMAGE_CHECK_DIGEST);
	assert_string_equal(b->digest, DIGEST);
}

static void challenges_are_answered(void **state)
{
	struct bench *b = *state;

	assert_int_equal(check(b, BASIC, "me", 5000), IMAGE_CHECK_DIGEST);
	assert_int_equal(check(b, BEARER, NULL, 5000), IMAGE_CHECK_DIGEST);
	assert_int_equal(b->tokens, 0);
	assert_int_equal(check(b, BEARER, "me", 5000), IMAGE_CHECK_DIGEST);
	assert_int_equal(b->tokens, 1);
}

static void what_is_unusual_is_left_to_others(void **state)
{
	static const enum mode modes[] = { MISSING, MOVED, NO_DIGEST, BASIC, FAR_REALM };
	struct bench *b = *state;

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		assert_int_equal(check(b, modes[i], NULL, 5000), IMAGE_CHECK_UNUSUAL);
	assert_int_equal(check(b, BASIC, "you", 5000), IMAGE_CHECK_UNUSUAL);
}

static void a_registry_that_stalls_is_given_up(void **state)
{
	struct bench *b = *state;

	assert_int_equal(check(b, SLOW, NULL, 50), IMAGE_CHECK_TIMED_OUT);
}

/* A registry with a certificate of its own, at an address that is not loopback; prints its port. */
static const char tls_registry[] =
	"ip link set lo up && ip addr add 192.0.2.1/32 dev lo && "
	"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
	"-subj /CN=lab -addext subjectAltName=IP:192.0.2.1 -keyout key -out crt 2>/dev/null && "
	"exec python3 -c \"\n"
	"import http.server, os, ssl\n"
	"class H(http.server.BaseHTTPRequestHandler):\n"
	"    def do_HEAD(self):\n"
	"        self.send_response(200)\n"
	"        self.send_header('Docker-Content-Digest', '" DIGEST "')\n"
	"        self.end_headers()\n"
	"    def log_message(self, *a): pass\n"
	"s = http.server.HTTPServer(('192.0.2.1', 0), H)\n"
	"c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n"
	"c.load_cert_chain('crt', 'key')\n"
	"s.socket = c.wrap_socket(s.socket, server_side=True)\n"
	"print(s.server_address[1], flush=True)\n"
	"s.serve_forever()\"";

static pid_t start_tls_registry(const char *dir, int *ret_port)
{
	char line[16] = "";
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void) prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (chdir(dir) == 0 && dup2(fds[1], STDOUT_FILENO) >= 0)
			(void) execl("/bin/sh", "sh", "-c", tls_registry, NULL);
		_exit(127);
	}
	(void) close(fds[1]);
	if (read(fds[0], line, sizeof(line) - 1) > 0)
		*ret_port = (int) strtol(line, NULL, 10);
	(void) close(fds[0]);
	return pid;
}

static int check_tls(struct bench *b, const char *certs_dir)
{
	const struct image_check_params p = { .http = b->http,
					      .reference = b->reference,
					      .timeout_ms = 60000,
					      .certs_dir = certs_dir };

	b->done = false;
	assert_int_equal(image_check_start(&p, on_result, b, &b->check, NULL), 0);
	assert_true(loop_until(b->event, &b->done, 60000));
	return b->result;
}

/* The last test: it leaves the host's network. */
static void certificates_of_the_registry_are_trusted(void **state)
{
	struct bench *b = *state;
	char top[] = "/tmp/ecs-image-check-XXXXXX", command[256];
	int port = 0;
	pid_t pid;

	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0 ||
	    system("command -v python3 ip openssl >/dev/null") != 0)
		skip();
	assert_non_null(mkdtemp(top));
	pid = start_tls_registry(top, &port);
	assert_true(port > 0);
	(void) snprintf(b->reference, sizeof(b->reference), "192.0.2.1:%d/team/web:1.2", port);
	(void) snprintf(command, sizeof(command),
			"cd %s && mkdir -p certs/192.0.2.1:%d && cp crt certs/192.0.2.1:%d/ca.crt",
			top, port, port);
	assert_int_equal(system(command), 0);
	assert_int_equal(check_tls(b, top), IMAGE_CHECK_UNUSUAL);
	(void) snprintf(command, sizeof(command), "%s/certs", top);
	assert_int_equal(check_tls(b, command), IMAGE_CHECK_DIGEST);
	assert_string_equal(b->digest, DIGEST);
	(void) kill(pid, SIGKILL);
	(void) waitpid(pid, NULL, 0);
	(void) snprintf(command, sizeof(command), "rm -r %s", top);
	assert_int_equal(system(command), 0);
}

static void only_tags_are_checked(void **state)
{
	struct bench *b = *state;
	struct image_check_params p = { .http = b->http,
					.reference = "web@" DIGEST,
					.timeout_ms = 1000 };

	assert_int_equal(image_check_start(&p, on_result, b, &b->check, NULL), -EINVAL);
	p.reference = "Not A Reference";
	assert_int_equal(image_check_start(&p, on_result, b, &b->check, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_digest_of_a_tag_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(challenges_are_answered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_unusual_is_left_to_others, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_registry_that_stalls_is_given_up, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(only_tags_are_checked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(certificates_of_the_registry_are_trusted, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
