/* SPDX-License-Identifier: Apache-2.0 */
/* ecs-agent --doctor: what belongs to no task, while no agent runs; `ecsctl doctor` comes here then. */
#include <errno.h>
#include <stdio.h>

#include "agent/agent.h"
#include "agent/engine/doctor.h"
#include "agent/engine/engine.h"
#include "agent/store/store.h"
#include "common/json.h"
#include "common/log.h"

static void print(const json_t *answer)
{
	const json_t *o;
	size_t i;

	json_array_foreach(json_object_get(answer, "leftovers"), i, o) {
		const char *error = json_get_string(o, "error", NULL);

		printf("%s %s: %s%s\n", json_get_string(o, "kind", ""),
		       json_get_string(o, "name", ""),
		       json_is_true(json_object_get(o, "repaired")) ? "removed"
		       : error                                      ? "cannot be removed: "
								    : "belongs to no task",
		       error ? error : "");
	}
}

static int examine(struct agent *a, bool repair, json_t **ret, struct err *err)
{
	struct engine_params p = { .config = a->config };
	int k = agent_lock_dirs(a, err);

	if (k == 0)
		k = store_open(a->config->data_dir, &a->store, err);
	if (k == 0 && sd_event_new(&a->loop) < 0)
		k = err_set(err, ENOMEM, "make the event loop");
	p.loop = a->loop;
	p.store = a->store;
	if (k == 0)
		k = engine_new(&p, &a->engine, err);
	if (k == 0)
		k = engine_load(a->engine, err);
	return k < 0 ? k : engine_doctor(a->engine, repair, ret, err);
}

int agent_doctor(struct config *config, bool repair, bool json)
{
	_cleanup_(json_decrefp) json_t *answer = NULL;
	_cleanup_(err_done) struct err err = {};
	struct agent a;
	int code = DOCTOR_FAILED;

	agent_init(&a, config);
	if (examine(&a, repair, &answer, &err) < 0) {
		fprintf(stderr, "ecs-agent: %s\n", err_text(&err));
	} else {
		if (json)
			json_dumpf(answer, stdout, JSON_INDENT(2));
		else
			print(answer);
		code = json_get_int(answer, "left", 0) > 0 ? DOCTOR_LEFT : EXIT_OK;
	}
	agent_tear_down(&a);
	return code;
}
