/* SPDX-License-Identifier: Apache-2.0 */
/* The check of the services, from inside a running agent and by `ecs-agent --check-services` where none runs. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/ctl/ctl.h"
#include "agent/engine/engine.h"
#include "aws/imds.h"
#include "common/json.h"
#include "common/strv.h"

/* ---- inside ---- */

static void see_what_tasks_use(const struct agent *a, struct reach_params *p)
{
	for (size_t i = 0; i < (a->engine ? engine_task_count(a->engine) : 0); i++) {
		const struct task *t = engine_task_at(a->engine, i);

		for (size_t j = 0; j < t->n_containers; j++) {
			const struct container *c = &t->containers[j];

			p->uses_ecr |= c->image && strstr(c->image, ".dkr.ecr.");
			p->uses_logs |= c->log_driver && strcmp(c->log_driver, "awslogs") == 0;
		}
	}
}

int agent_reach(void *agent, reach_fn fn, void *userdata, struct reach **ret, struct err *err)
{
	struct agent *a = agent;
	struct reach_params p = {
		.loop = a->loop,
		.config = a->config,
		.credentials = a->credentials,
		.cluster = a->registered ? ctl_cluster(a->ctl) : a->config->cluster,
		.container_instance_arn = a->registered ? ctl_container_instance_arn(a->ctl) : "",
	};

	see_what_tasks_use(a, &p);
	return reach_start(&p, fn, userdata, ret, err);
}

/* ---- without an agent ---- */

struct program {
	struct agent *agent;
	struct reach *reach;
	json_t *list; /* owned */
};

static void on_list(void *userdata, json_t *list)
{
	struct program *p = userdata;

	p->reach = NULL;
	p->list = list;
	agent_stop(p->agent, list ? EXIT_OK : DOCTOR_FAILED);
}

static void look(struct program *p)
{
	_cleanup_(err_done) struct err err = {};

	if (agent_reach(p->agent, on_list, p, &p->reach, &err) == 0)
		return;
	fprintf(stderr, "ecs-agent: %s\n", err_text(&err));
	agent_stop(p->agent, DOCTOR_FAILED);
}

/* What no setting says, the metadata service may; without either the check says so. */
static void on_identity(void *userdata, const struct imds_identity *id, const struct err *why)
{
	struct program *p = userdata;

	(void) why;
	if (id && *id->region)
		(void) strdup_to(&p->agent->config->region, id->region);
	look(p);
}

static int run(struct program *p, struct err *err)
{
	struct agent *a = p->agent;
	int k = sd_event_new(&a->loop) < 0 ? err_set(err, ENOMEM, "make the event loop") : 0;

	if (k == 0)
		k = agent_set_up_transport(a, err);
	if (k < 0)
		return k;
	if (a->config->region || !a->imds)
		look(p);
	else
		k = imds_get_identity(a->imds, on_identity, p, err);
	if (k == 0)
		k = sd_event_loop(a->loop);
	return k;
}

static bool is_bad(const json_t *list)
{
	const json_t *o;
	size_t i;

	json_array_foreach(list, i, o)
		if (!json_is_true(json_object_get(o, "ok")))
			return true;
	return false;
}

static void print(const json_t *list)
{
	const json_t *o;
	size_t i;

	json_array_foreach(list, i, o) {
		const char *advice = json_get_string(o, "advice", "");

		printf("%s: %s: %s%s%s\n", json_get_string(o, "check", ""),
		       json_get_string(o, "level", ""), json_get_string(o, "found", ""),
		       *advice ? "; " : "", advice);
	}
}

int agent_check_services(struct config *config, bool json)
{
	_cleanup_(err_done) struct err err = {};
	struct agent a;
	struct program p = { .agent = &a };
	int k;

	(void) sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	agent_init(&a, config);
	k = run(&p, &err);
	if (k < 0)
		fprintf(stderr, "ecs-agent: %s\n", err_text(&err));
	else if (p.list && json)
		json_dumpf(p.list, stdout, JSON_INDENT(2));
	else if (p.list)
		print(p.list);
	(void) reach_cancel(p.reach);
	k = k == 0 && p.list && !is_bad(p.list) ? EXIT_OK : DOCTOR_FAILED;
	json_decref(p.list);
	agent_tear_down(&a);
	return k;
}
