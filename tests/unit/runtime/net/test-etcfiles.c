/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fs.h"
#include "runtime/net/etcfiles.h"
#include "runtime/net/resolvconf.h"

#define LOCALHOST                                                                                  \
	"127.0.0.1\tlocalhost\n"                                                                   \
	"::1\tlocalhost ip6-localhost ip6-loopback\n"                                              \
	"fe00::\tip6-localnet\n"                                                                   \
	"ff00::\tip6-mcastprefix\n"                                                                \
	"ff02::1\tip6-allnodes\n"                                                                  \
	"ff02::2\tip6-allrouters\n"

#define NOBODY "# The host has no resolver that can be reached from here.\n"

struct place {
	char dir[32], conf[48], behind[48], host_hosts[48];
	struct etcfiles_params p;
};

static void put(const char *path, const char *text)
{
	assert_int_equal(fs_write_file_volatile(AT_FDCWD, path, text, strlen(text), 0644, NULL), 0);
}

static int make_place(void **state)
{
	struct place *w = calloc(1, sizeof(*w));

	if (!w)
		return -1;
	(void) snprintf(w->dir, sizeof(w->dir), "/tmp/test-etcfiles-XXXXXX");
	if (!mkdtemp(w->dir))
		return -1;
	(void) snprintf(w->conf, sizeof(w->conf), "%s/host-resolv", w->dir);
	(void) snprintf(w->behind, sizeof(w->behind), "%s/behind", w->dir);
	(void) snprintf(w->host_hosts, sizeof(w->host_hosts), "%s/host-hosts", w->dir);
	w->p = (struct etcfiles_params){
		.dir = w->dir,
		.hostname = "web",
		.host_resolv_conf = w->conf,
		.resolved_conf = w->behind,
	};
	*state = w;
	return 0;
}

static int remove_place(void **state)
{
	struct place *w = *state;
	int k = fs_remove_tree(AT_FDCWD, w->dir, NULL);

	free(w);
	return k;
}

static void assert_file(const struct place *w, const char *name, const char *want)
{
	_cleanup_(freep) char *path = path_join("%s/%s", w->dir, name), *text = NULL;
	size_t len;

	assert_int_equal(fs_read_file(AT_FDCWD, path, 1 << 20, &text, &len, NULL), 0);
	assert_string_equal(text, want);
}

static void write_ok(const struct place *w)
{
	_cleanup_(err_done) struct err err = {};

	if (etcfiles_write(&w->p, &err) < 0)
		fail_msg("%s", err_text(&err));
}

static void assert_refused(const struct place *w, int code, const char *complaint)
{
	_cleanup_(freep) char *path = path_join("%s/hosts", w->dir);
	_cleanup_(err_done) struct err err = {};
	struct stat st;

	assert_int_equal(etcfiles_write(&w->p, &err), -code);
	assert_string_equal(err.msg, complaint);
	assert_int_equal(stat(path, &st), -1); /* nothing was written */
}

static void hosts_names_the_container_and_its_friends(void **state)
{
	struct place *w = *state;
	char *extra[] = { (char *) "db:10.0.0.5", (char *) "six:2001:db8::1",
			  (char *) "boxed:[2001:db8::2]", NULL };
	struct json_pair links[] = { { (char *) "cache", (char *) "10.1.0.9" } };

	w->p.address = "10.1.0.2";
	w->p.domainname = "example.test";
	w->p.extra_hosts = extra;
	w->p.links = links;
	w->p.n_links = 1;
	write_ok(w);
	assert_file(w, "hosts",
		    LOCALHOST "10.0.0.5\tdb\n2001:db8::1\tsix\n2001:db8::2\tboxed\n"
			      "10.1.0.9\tcache\n10.1.0.2\tweb.example.test web\n");
	assert_file(w, "hostname", "web\n");
}

static void both_addresses_have_the_name(void **state)
{
	struct place *w = *state;

	w->p.address = "10.1.0.2";
	w->p.address6 = "fd00::a01:2";
	w->p.domainname = "corp.test";
	write_ok(w);
	assert_file(w, "hosts",
		    LOCALHOST "10.1.0.2\tweb.corp.test web\nfd00::a01:2\tweb.corp.test web\n");
}

static void host_mode_carries_the_hosts_lines_over(void **state)
{
	struct place *w = *state;

	put(w->host_hosts, "192.0.2.1 printer");
	w->p.host_hosts = w->host_hosts;
	write_ok(w);
	assert_file(w, "hosts", "192.0.2.1 printer\n");
}

static void bad_entries_are_named(void **state)
{
	static const struct {
		const char *host, *complaint;
	} cases[] = {
		{ "db", "extra host 'db' is not name:address" },
		{ ":10.0.0.1", "extra host '' is not 1..253 letters, digits, '_', '.' or '-'" },
		{ "db:", "extra host: '' is not an IP address" },
		{ "db:10.0.0.256", "extra host: '10.0.0.256' is not an IP address" },
		{ "db:10.0.0.1\n1.2.3.4 evil",
		  "extra host: '10.0.0.1\n1.2.3.4 evil' is not an IP address" },
		{ "a b:10.0.0.1",
		  "extra host 'a b' is not 1..253 letters, digits, '_', '.' or '-'" },
		{ "db:[::1", "extra host: '[::1' is not an IP address" },
	};
	struct place *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *extra[] = { (char *) (uintptr_t) cases[i].host, NULL };

		w->p.extra_hosts = extra;
		assert_refused(w, EINVAL, cases[i].complaint);
	}
	w->p.extra_hosts = NULL;
	w->p.hostname = "web\n127.0.0.1 evil";
	assert_refused(w, EINVAL,
		       "hostname 'web\n127.0.0.1 evil' is not 1..253 letters, digits, '_', '.' or "
		       "'-'");
}

static void bad_dns_settings_are_named(void **state)
{
	char *server[] = { (char *) "dns.example", NULL };
	char *search[] = { (char *) "a\nnameserver 192.0.2.66", NULL };
	struct place *w = *state;

	w->p.dns = server;
	assert_refused(w, EINVAL, "DNS server: 'dns.example' is not an IP address");
	w->p.dns = NULL;
	w->p.dns_search = search;
	assert_refused(w, EINVAL,
		       "search domain 'a\nnameserver 192.0.2.66' is not 1..253 printable "
		       "characters");
}

static void resolvers_that_cannot_be_reached_are_left_out(void **state)
{
	static const struct {
		const char *host, *behind;
		bool keep;
		const char *want, *six;
	} cases[] = {
		{ "nameserver ::1\nnameserver fe80::1%eth0\nnameserver fe80::2\nnameserver "
		  "127.0.0.1\n"
		  "nameserver 2001:db8::53\nnameserver ::ffff:127.0.0.1\nnameserver 192.0.2.53\n",
		  NULL, false, "nameserver 2001:db8::53\nnameserver 192.0.2.53\n", "fd00::ac1e:2" },
		{ "nameserver 127.0.0.53\n", "nameserver 2001:db8::53\n", false,
		  "nameserver 2001:db8::53\n", "fd00::ac1e:2" },
		{ "nameserver 192.0.2.53\nsearch a.test b.test\noptions ndots:2 edns0\n", NULL,
		  false, "nameserver 192.0.2.53\nsearch a.test b.test\noptions ndots:2 edns0\n" },
		{ "# x\nnameserver 127.0.0.1\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n",
		  NULL, false, "nameserver 192.0.2.53\n" },
		{ "nameserver 127.0.0.1\nnameserver 2001:db8::53\nnameserver fe80::1%eth0\n", NULL,
		  true,
		  "nameserver 127.0.0.1\nnameserver 2001:db8::53\nnameserver fe80::1%eth0\n" },
		{ "nameserver 127.0.0.53\nsearch lan\n", "nameserver 192.0.2.1\nsearch other\n",
		  false, "nameserver 192.0.2.1\nsearch lan\n" },
		{ "nameserver 127.0.0.53\n", "nameserver 192.0.2.1\n", true,
		  "nameserver 127.0.0.53\n" },
		{ "nameserver 127.0.0.53\n", NULL, false, NOBODY },
		{ "nameserver nonsense\nnameserver\nnameserver 192.0.2.999\n", NULL, false,
		  NOBODY },
		{ NULL, NULL, false, NOBODY },
		{ "domain old.test\nsearch new.test\nnameserver\t192.0.2.2 ; c\r\n", NULL, false,
		  "nameserver 192.0.2.2\nsearch new.test\n" },
	};
	struct place *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		(void) unlink(w->conf);
		(void) unlink(w->behind);
		if (cases[i].host)
			put(w->conf, cases[i].host);
		if (cases[i].behind)
			put(w->behind, cases[i].behind);
		w->p.keep_loopback_dns = cases[i].keep;
		w->p.address6 = cases[i].six;
		write_ok(w);
		assert_file(w, "resolv.conf", cases[i].want);
	}
}

static void what_the_task_says_comes_before_what_the_host_says(void **state)
{
	char *dns[] = { (char *) "198.51.100.1", (char *) "127.0.0.1", NULL };
	char *search[] = { (char *) "task.test", NULL }, *none[] = { (char *) ".", NULL };
	char *options[] = { (char *) "timeout:1", NULL };
	struct place *w = *state;

	put(w->conf, "nameserver 192.0.2.53\nsearch host.test\noptions ndots:5\n");
	w->p.dns = dns;
	write_ok(w);
	assert_file(w, "resolv.conf",
		    "nameserver 198.51.100.1\nnameserver 127.0.0.1\nsearch host.test\n"
		    "options ndots:5\n");
	w->p.dns_search = search;
	w->p.dns_options = options;
	write_ok(w);
	assert_file(w, "resolv.conf",
		    "nameserver 198.51.100.1\nnameserver 127.0.0.1\nsearch task.test\n"
		    "options timeout:1\n");
	w->p.dns_search = none;
	write_ok(w);
	assert_file(w, "resolv.conf",
		    "nameserver 198.51.100.1\nnameserver 127.0.0.1\noptions timeout:1\n");
}

static void too_many_entries_are_refused(void **state)
{
	static char *extra[ETCFILES_ENTRIES_MAX + 2];
	struct place *w = *state;

	for (size_t i = 0; i <= ETCFILES_ENTRIES_MAX; i++)
		extra[i] = (char *) "a:10.0.0.1";
	w->p.extra_hosts = extra;
	assert_refused(w, E2BIG, "1001 extra hosts are more than 1000");
}

int main(void)
{
#define WITH_PLACE(t) cmocka_unit_test_setup_teardown(t, make_place, remove_place)
	const struct CMUnitTest tests[] = {
		WITH_PLACE(hosts_names_the_container_and_its_friends),
		WITH_PLACE(both_addresses_have_the_name),
		WITH_PLACE(host_mode_carries_the_hosts_lines_over),
		WITH_PLACE(bad_entries_are_named),
		WITH_PLACE(bad_dns_settings_are_named),
		WITH_PLACE(resolvers_that_cannot_be_reached_are_left_out),
		WITH_PLACE(what_the_task_says_comes_before_what_the_host_says),
		WITH_PLACE(too_many_entries_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
