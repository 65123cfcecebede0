/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sampler - what sampling costs: N control groups that exist, T ticks, CPU time per container and
 * the share of a core at the agent's interval. Usage: sampler [N [T]]. Needs root.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/macro.h"
#include "metrics/sampler.h"

static const char *const controllers[] = { "memory", "cpuacct", "blkio", "pids" };

static bool is_v2(void)
{
	return access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0;
}

static void group(char *buf, size_t size, size_t controller, int i)
{
	if (is_v2())
		(void) snprintf(buf, size, "/sys/fs/cgroup/ecs-bench-sampler-%d-%d", getpid(), i);
	else
		(void) snprintf(buf, size, "/sys/fs/cgroup/%s/ecs-bench-sampler-%d-%d",
				controllers[controller], getpid(), i);
}

static double cpu_ms(void)
{
	struct rusage u = {};

	(void) getrusage(RUSAGE_SELF, &u);
	return (double) (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 +
	       (double) (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
}

static int make_and_add(struct sampler *s, int i)
{
	char dir[ARRAY_SIZE(controllers)][128], id[32];
	struct sampled_params p = { .id = id, .cgroup_v2 = is_v2(), .pid = getpid() };
	struct err err = {};

	(void) snprintf(id, sizeof(id), "%d", i);
	for (size_t c = 0; c < ARRAY_SIZE(controllers); c++) {
		group(dir[c], sizeof(dir[c]), c, i);
		if (mkdir(dir[c], 0755) < 0 && errno != EEXIST) {
			printf("1..0 # SKIP mkdir %s: %s\n", dir[c], strerror(errno));
			return -errno;
		}
	}
	p.memory_dir = dir[0];
	p.cpuacct_dir = dir[1];
	p.blkio_dir = dir[2];
	p.pids_dir = dir[3];
	if (sampler_add(s, &p, &err) < 0)
		printf("# %s\n", err_text(&err));
	err_done(&err);
	return 0;
}

static void remove_all(int n)
{
	char dir[128];

	for (int i = 0; i < n; i++) {
		for (size_t c = 0; c < ARRAY_SIZE(controllers); c++) {
			group(dir, sizeof(dir), c, i);
			(void) rmdir(dir);
		}
	}
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? (int) strtol(argv[1], NULL, 10) : 100;
	int ticks = argc > 2 ? (int) strtol(argv[2], NULL, 10) : 200;
	struct sampler_params p = { .host_cpus = (int) sysconf(_SC_NPROCESSORS_ONLN),
				    .window = sampler_window(SAMPLER_INTERVAL_MS) };
	struct sampler *s = sampler_new(&p);
	struct rlimit l = {};
	double before, used;
	int made = 0;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max;
		(void) setrlimit(RLIMIT_NOFILE, &l);
	}
	while (s && made < n && make_and_add(s, made) == 0)
		made++;
	if (made == n) {
		before = cpu_ms();
		for (int i = 0; i < ticks; i++)
			sampler_tick(s, clock_mono_ns());
		used = (cpu_ms() - before) / ticks;
		printf("%d containers: %.3f ms of CPU per tick, %.1f us per container, %.3f %% of "
		       "a core at one "
		       "tick per %d s, %llu failures\n",
		       n, used, used * 1e3 / n, used * 100 / SAMPLER_INTERVAL_MS,
		       SAMPLER_INTERVAL_MS / 1000, (unsigned long long) sampler_failures(s));
	}
	sampler_free(s);
	remove_all(made + 1);
	return made == n ? 0 : 77;
}
