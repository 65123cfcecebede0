/* SPDX-License-Identifier: Apache-2.0 */
/*
 * told - what the control plane was told, and what containers say of themselves, in files: they
 * outlive an agent that is killed. Each report delivered is a line of <top>/told; a container that
 * runs appends "ran" to a file of its own in <top>/marks, which is mounted at /marks.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

extern char *told_marks; /* the directory */

void told_begin(void); /* after world_begin(); from now on the world delivers here */
void told_clear(void);
void told_end(void);

struct told {
	size_t reports;
	bool pending, running, stopped; /* which states were told */
	bool in_order;     /* each state after those before it, whatever was repeated */
	int exit_code;     /* of the first container at the last STOPPED; -1: none */
	char reason[1024]; /* of the first container there */
};

struct told told_of(const char *arn);

/* How often the container marked @name said that it ran. */
int told_marks_of(const char *name);
