/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules that let the bridge pass the host's own firewall, in a network namespace of the test's own:
 * iptables as Docker and ufw use it, nftables.conf, firewalld's chains. What is there is compared as iptables
 * and nft list it, so both have to understand it. Packets are tests/e2e/twohosts.bats' part.
 */
#include "tests/unit/test.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/spawn.h"
#include "runtime/net/firewall.h"
#include "runtime/net/rtnl.h"

#define RULES "-m comment --comment ecs-agent -j ACCEPT\n"
#define FORWARD_RULES(chain)                                                                       \
	"-A " chain " -i ecs0 " RULES "-A " chain                                                  \
	" -o ecs0 -m conntrack --ctstate RELATED,ESTABLISHED " RULES "-A " chain                   \
	" -o ecs0 -m conntrack --ctstate DNAT " RULES
#define FURTHER_RULES(chain)                                                                       \
	"-A " chain " -i ecs-bridge " RULES "-A " chain                                            \
	" -o ecs-bridge -m conntrack --ctstate RELATED,ESTABLISHED " RULES
#define INPUT_RULE "-A INPUT -i ecs0 -p tcp -m tcp --dport 51679 " RULES
#define LOCAL_RULE "-A INPUT -i ecs-bridge -p tcp -m tcp --dport 51679 " RULES

#define NFT_RULES                                                                                  \
	"iifname \"ecs0\" accept comment \"ecs-agent\"\n"                                          \
	"oifname \"ecs0\" ct state established,related accept comment \"ecs-agent\"\n"             \
	"oifname \"ecs0\" ct status dnat accept comment \"ecs-agent\"\n"

static int nfnl = -EBADF;
static struct firewall fw;

static void start(void)
{
	fw = (struct firewall){ .bridge = { .name = "ecs0", .service_port = 51679 },
				.accept = true };
}

static void run(const char *script)
{
	char *const argv[] = { (char *) "sh", (char *) "-c", (char *) (uintptr_t) script, NULL };
	int k = spawn_wait(argv, NULL);

	if (k != 0)
		fail_msg("'%s' ended with %d", script, k);
}

/* What a command prints, without what stands before each line; static. */
static const char *say(const char *command)
{
	static char text[8192];
	FILE *f = popen(command, "re");
	size_t n;

	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	(void) pclose(f);
	return text;
}

static void says(const char *command, const char *want)
{
	assert_string_equal(say(command), want);
}

static int check(struct firewall_news *news)
{
	_cleanup_(err_done) struct err err = {};
	int k = firewall_check(&fw, nfnl, news, &err);

	if (k < 0)
		fail_msg("%s", err_text(&err));
	return k;
}

static void puts_into(const char *chain)
{
	struct firewall_news news;

	assert_int_equal(check(&news), 1);
	assert_string_equal(news.accepted[0], chain);
	assert_false(news.restored);
	assert_int_equal(check(&news), 0);
}

static void restores(const char *chain)
{
	struct firewall_news news;

	assert_int_equal(check(&news), 1);
	assert_string_equal(news.accepted[0], chain);
	assert_true(news.restored);
	assert_int_equal(check(&news), 0);
}

static void nothing_to_do(void)
{
	struct firewall_news news;

	assert_int_equal(check(&news), 0);
	assert_string_equal(news.accepted[0], "");
}

static int flush(void **state _unused_)
{
	run("nft flush ruleset");
	start();
	return 0;
}

/* The chains as Docker makes them. */
static void docker(void)
{
	run("iptables -P FORWARD DROP; for c in DOCKER DOCKER-ISOLATION-STAGE-1"
	    " DOCKER-ISOLATION-STAGE-2 DOCKER-USER; do iptables -N $c 2>/dev/null; done;"
	    " iptables -A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j "
	    "DOCKER-ISOLATION-STAGE-2;"
	    " iptables -A DOCKER-ISOLATION-STAGE-1 -j RETURN;"
	    " iptables -A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP;"
	    " iptables -A DOCKER-ISOLATION-STAGE-2 -j RETURN;"
	    " iptables -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT;"
	    " iptables -A FORWARD -o docker0 -j DOCKER; iptables -A FORWARD -i docker0 -j ACCEPT;"
	    " iptables -I FORWARD -j DOCKER-ISOLATION-STAGE-1; iptables -I FORWARD -j DOCKER-USER;"
	    " iptables -A DOCKER-USER -j RETURN");
}

/* ---- tests ---- */

static void an_open_host_is_left_alone(void **state _unused_)
{
	run("nft 'add table inet filter; add chain inet filter forward { type filter hook forward"
	    " priority 0; policy accept; }; add rule inet filter forward tcp dport 25 drop;"
	    " add chain inet filter output { type filter hook output priority 0; policy drop; };"
	    " add table bridge b; add chain bridge b forward { type filter hook forward priority 0;"
	    " policy drop; }'");
	nothing_to_do();
	assert_string_equal(say("nft list ruleset | grep ecs"), "");
}

static void docker_user_gets_rules_that_iptables_understands(void **state _unused_)
{
	docker();
	puts_into("chain DOCKER-USER of table ip filter");
	says("iptables -S DOCKER-USER",
	     "-N DOCKER-USER\n" FORWARD_RULES("DOCKER-USER") "-A DOCKER-USER -j RETURN\n");
	assert_string_equal(say("iptables -S FORWARD | grep ecs"), "");
	/* What iptables has saved and restored is still known, and there once. */
	run("iptables-save > /dev/null && iptables-save | iptables-restore");
	restores("chain DOCKER-USER of table ip filter");
	says("iptables -S DOCKER-USER",
	     "-N DOCKER-USER\n" FORWARD_RULES("DOCKER-USER") "-A DOCKER-USER -j RETURN\n");
	/* A restart of the agent finds all as it should be. */
	start();
	nothing_to_do();
	/* Who wants rules before ours may have them. */
	run("iptables -I DOCKER-USER -s 192.0.2.1 -j DROP");
	nothing_to_do();
}

static void chains_of_both_families_get_rules_and_are_told(void **state _unused_)
{
	struct firewall_news news;

	run("iptables -P FORWARD DROP; ip6tables -P FORWARD DROP");
	assert_int_equal(check(&news), 1);
	assert_int_equal(news.n_accepted, 2);
	assert_string_equal(news.accepted[0], "chain FORWARD of table ip filter");
	assert_string_equal(news.accepted[1], "chain FORWARD of table ip6 filter");
	says("iptables -S FORWARD", "-P FORWARD DROP\n" FORWARD_RULES("FORWARD"));
	says("ip6tables -S FORWARD", "-P FORWARD DROP\n" FORWARD_RULES("FORWARD"));
	run("ip6tables-save | ip6tables-restore");
	restores("chain FORWARD of table ip6 filter");
	says("ip6tables -S FORWARD", "-P FORWARD DROP\n" FORWARD_RULES("FORWARD"));
}

static void docker_comes_reloads_and_goes(void **state _unused_)
{
	run("iptables -P FORWARD DROP");
	puts_into("chain FORWARD of table ip filter");
	says("iptables -S FORWARD", "-P FORWARD DROP\n" FORWARD_RULES("FORWARD"));
	docker();
	puts_into("chain DOCKER-USER of table ip filter");
	assert_string_equal(say("iptables -S FORWARD | grep ecs"), "");
	run("iptables -F DOCKER-USER");
	restores("chain DOCKER-USER of table ip filter");
	run("iptables -D DOCKER-USER 2");
	restores("chain DOCKER-USER of table ip filter");
	run("iptables -A DOCKER-USER -i ecs1 " RULES); /* of another bridge, or of old */
	puts_into("chain DOCKER-USER of table ip filter");
	says("iptables -S DOCKER-USER", "-N DOCKER-USER\n" FORWARD_RULES("DOCKER-USER"));
	run("iptables -P FORWARD ACCEPT"); /* no longer closed: nothing of ours stays */
	(void) check(&(struct firewall_news){});
	assert_string_equal(say("iptables-save | grep ecs"), "");
}

/* What looks like Docker's but is not asked: rules there would be of no use. */
static void a_docker_user_that_nobody_jumps_to_is_passed_over(void **state _unused_)
{
	run("iptables -N DOCKER-USER && iptables -P FORWARD DROP");
	puts_into("chain FORWARD of table ip filter");
	assert_string_equal(say("iptables -S DOCKER-USER"), "-N DOCKER-USER\n");
}

static void a_closed_input_chain_lets_tasks_ask_the_agent(void **state _unused_)
{
	run("iptables -P INPUT DROP");
	puts_into("chain INPUT of table ip filter");
	says("iptables -S INPUT", "-P INPUT DROP\n" INPUT_RULE);
	fw.bridge.service_port = 0; /* nothing to be asked there */
	fw.settled = false;
	(void) check(&(struct firewall_news){});
	says("iptables -S INPUT", "-P INPUT DROP\n");
}

/* Tasks with an interface of their own come by another bridge, and by that to the task server only. */
static void the_local_link_has_a_rule_of_its_own(void **state _unused_)
{
	fw.local = (struct firewall_bridge){ .name = "ecs-bridge", .service_port = 51679 };
	run("iptables -P INPUT DROP; iptables -P FORWARD DROP");
	(void) check(&(struct firewall_news){});
	says("iptables -S INPUT", "-P INPUT DROP\n" INPUT_RULE LOCAL_RULE);
	says("iptables -S FORWARD", "-P FORWARD DROP\n" FORWARD_RULES("FORWARD"));
	nothing_to_do();
	run("iptables -D INPUT 2");
	restores("chain INPUT of table ip filter");
	says("iptables -S INPUT", "-P INPUT DROP\n" INPUT_RULE LOCAL_RULE);
	/* When it leads on to other networks those have to be let through. */
	fw.local.leads_on = true;
	fw.settled = false;
	puts_into("chain FORWARD of table ip filter");
	says("iptables -S FORWARD",
	     "-P FORWARD DROP\n" FORWARD_RULES("FORWARD") FURTHER_RULES("FORWARD"));
	nothing_to_do();
}

/* RHEL's iptables-services; and IPv6, which has chains of its own. */
static void a_reject_at_the_end_closes_a_chain(void **state _unused_)
{
	run("iptables -A FORWARD -p tcp --dport 1 -j REJECT"); /* not for everything */
	nothing_to_do();
	run("iptables -A FORWARD -m comment --comment end -j REJECT"
	    " --reject-with icmp-host-prohibited");
	puts_into("chain FORWARD of table ip filter");
	run("ip6tables -A FORWARD -j DROP");
	puts_into("chain FORWARD of table ip6 filter");
	says("ip6tables -S FORWARD",
	     "-P FORWARD ACCEPT\n" FORWARD_RULES("FORWARD") "-A FORWARD -j DROP\n");
}

static void an_accept_of_everything_before_it_does_not(void **state _unused_)
{
	run("iptables -P FORWARD DROP && iptables -A FORWARD -j ACCEPT");
	nothing_to_do();
}

static const char forward_rules[] = "nft list chain inet filter forward | sed 's/^[ \t]*//' |"
				    " grep -v -e '^table' -e '^chain' -e '^type' -e '^}'";

static void a_table_of_nftables_is_read_again_from_what_it_lists(void **state _unused_)
{
	run("nft 'add table inet filter; add chain inet filter forward { type filter hook forward"
	    " priority 0; policy drop; }'");
	puts_into("chain forward of table inet filter");
	says(forward_rules, NFT_RULES);
	run("f=$(mktemp) && { echo flush ruleset; nft list ruleset; } > $f && nft -f $f;"
	    " k=$?; rm $f; exit $k");
	says(forward_rules, NFT_RULES);
	(void) check(&(struct firewall_news){});
	says(forward_rules, NFT_RULES);
	start();
	nothing_to_do();
	run("nft flush ruleset");
	nothing_to_do();
	run("nft 'add table inet filter; add chain inet filter forward { type filter hook forward"
	    " priority 10; }; add rule inet filter forward ct state established accept;"
	    " add rule inet filter forward counter reject with icmpx admin-prohibited'");
	puts_into("chain forward of table inet filter");
}

/* firewalld may own its table: its program alone changes it. */
static void a_table_with_an_owner_is_named_once(void **state _unused_)
{
	struct firewall_news news;
	FILE *owner = popen("nft -i", "we");

	assert_non_null(owner);
	(void) fputs("add table inet own { flags owner; }\nadd chain inet own forward"
		     " { type filter hook forward priority 0; policy drop; }\n",
		     owner);
	(void) fflush(owner);
	for (int i = 0; i < 500 && !strstr(say("nft list ruleset"), "policy drop"); i++)
		(void) usleep(10000);
	assert_int_equal(check(&news), 1);
	assert_string_equal(news.refused, "chain forward of table inet own");
	assert_string_equal(news.accepted[0], "");
	run("nft add table ip other");
	nothing_to_do();
	(void) pclose(owner);
}

static void switched_off_it_takes_away_what_it_put(void **state _unused_)
{
	char chain[FIREWALL_TEXT_BYTES];
	_cleanup_(err_done) struct err err = {};

	docker();
	run("iptables -P INPUT DROP");
	(void) check(&(struct firewall_news){});
	assert_string_not_equal(say("iptables-save | grep ecs"), "");
	start();
	fw.accept = false;
	(void) check(&(struct firewall_news){});
	assert_string_equal(say("iptables-save | grep ecs"), "");
	assert_int_equal(firewall_find(nfnl, chain, &err), 0);
	assert_string_equal(chain, "chain FORWARD of table ip filter");
	fw.accept = true;
	fw.settled = false;
	(void) check(&(struct firewall_news){});
	assert_int_equal(firewall_remove(&fw, nfnl, &err), 0);
	assert_string_equal(say("iptables-save | grep ecs"), "");
}

static void doubled_rules_and_many_of_them_become_one_of_each(void **state _unused_)
{
	docker();
	(void) check(&(struct firewall_news){});
	run("for i in 1 2 3 4 5 6 7 8; do iptables -A DOCKER-USER -i ecs0 " RULES "done");
	for (int i = 0; i < 3; i++) /* a dozen at a time */
		(void) check(&(struct firewall_news){});
	says("iptables -S DOCKER-USER | grep -v RETURN",
	     "-N DOCKER-USER\n" FORWARD_RULES("DOCKER-USER"));
}

static int set_up(void **state _unused_)
{
	_cleanup_(err_done) struct err err = {};

	nfnl = rtnl_open_netfilter(&err);
	return nfnl < 0 ? -1 : 0;
}

static int tear_down(void **state _unused_)
{
	nfnl = safe_close(nfnl);
	return 0;
}

static const char *missing(void)
{
	if (geteuid() != 0)
		return "needs root";
	if (unshare(CLONE_NEWNET) < 0)
		return "cannot make namespaces here";
	if (system("nft -v >/dev/null && iptables -V | grep -q nf_tables &&"
		   " iptables -A INPUT -m conntrack --ctstate NEW") != 0)
		return "needs nft, and iptables on nf_tables";
	return NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_open_host_is_left_alone, flush),
		cmocka_unit_test_setup(docker_user_gets_rules_that_iptables_understands, flush),
		cmocka_unit_test_setup(chains_of_both_families_get_rules_and_are_told, flush),
		cmocka_unit_test_setup(docker_comes_reloads_and_goes, flush),
		cmocka_unit_test_setup(a_docker_user_that_nobody_jumps_to_is_passed_over, flush),
		cmocka_unit_test_setup(a_closed_input_chain_lets_tasks_ask_the_agent, flush),
		cmocka_unit_test_setup(the_local_link_has_a_rule_of_its_own, flush),
		cmocka_unit_test_setup(a_reject_at_the_end_closes_a_chain, flush),
		cmocka_unit_test_setup(an_accept_of_everything_before_it_does_not, flush),
		cmocka_unit_test_setup(a_table_of_nftables_is_read_again_from_what_it_lists, flush),
		cmocka_unit_test_setup(a_table_with_an_owner_is_named_once, flush),
		cmocka_unit_test_setup(switched_off_it_takes_away_what_it_put, flush),
		cmocka_unit_test_setup(doubled_rules_and_many_of_them_become_one_of_each, flush),
	};
	const char *reason = missing();

	if (reason) {
		printf("1..0 # SKIP %s\n", reason);
		return 0;
	}
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
