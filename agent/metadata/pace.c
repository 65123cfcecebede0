/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/metadata/pace.h"

#include <string.h>
#include <sys/random.h>

#include "common/macro.h"

enum { USEC = 1000000 };

void pace_init(struct pace *p, int64_t per_s, int64_t burst)
{
	memset(p, 0, sizeof(*p));
	p->interval_us = MAX(USEC / MAX(per_s, (int64_t) 1), (int64_t) 1);
	p->burst_us = p->interval_us * MAX(burst, (int64_t) 1);
	if (getrandom(&p->seed, sizeof(p->seed), GRND_NONBLOCK) < 0)
		p->seed = (uint64_t) (uintptr_t) p; /* no secret, but not the same everywhere */
}

/* FNV-1a from a start nobody knows. */
static uint64_t mix(uint64_t h, const void *data, size_t len)
{
	const unsigned char *c = data;

	for (size_t i = 0; i < len; i++)
		h = (h ^ c[i]) * 0x100000001b3ULL;
	return h ^ h >> 29;
}

uint64_t pace_key(const struct pace *p, struct in_addr addr, const char *path)
{
	uint64_t h = mix(p->seed ^ 0xcbf29ce484222325ULL, &addr, sizeof(addr));

	if (path)
		h = mix(h, path, strlen(path));
	return h ? h : 1;
}

/* Its account, or the one of its places with which least is lost. */
static struct pace_account *find(struct pace *p, uint64_t key)
{
	struct pace_account *set = p->accounts[key % PACE_SETS], *least = set;

	for (size_t i = 0; i < PACE_WAYS; i++) {
		if (set[i].key == key)
			return &set[i];
		if (set[i].until_us < least->until_us)
			least = &set[i];
	}
	*least = (struct pace_account){ .key = key };
	return least;
}

int64_t pace_ask(struct pace *p, uint64_t key, int64_t now_us, bool in_line)
{
	struct pace_account *a = find(p, key);
	int64_t until = MAX(a->until_us, now_us) + p->interval_us;
	int64_t wait = MAX(until - p->burst_us - now_us, (int64_t) 0);

	if (wait == 0 || in_line)
		a->until_us = until;
	return wait;
}
