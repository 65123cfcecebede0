/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/net/addrpool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

enum { FIRST_HOST = 2 }; /* 0 is the network, 1 the gateway */

static bool is_taken(const struct addrpool *p, uint32_t i)
{
	return p->bits[i / 64] >> (i % 64) & 1;
}

static void mark(struct addrpool *p, uint32_t i, bool taken)
{
	uint64_t bit = UINT64_C(1) << (i % 64);

	if (taken)
		p->bits[i / 64] |= bit;
	else
		p->bits[i / 64] &= ~bit;
}

int addrpool_init(struct addrpool *p, struct in_addr subnet, uint8_t prefix_len, struct err *err)
{
	struct addrpool pool = { .network = ntohl(subnet.s_addr), .next = FIRST_HOST };

	if (prefix_len < ADDRPOOL_PREFIX_MIN || prefix_len > ADDRPOOL_PREFIX_MAX)
		return err_set(err, EINVAL, "prefix length %d of the subnet is outside %d..%d",
			       prefix_len, ADDRPOOL_PREFIX_MIN, ADDRPOOL_PREFIX_MAX);
	pool.size = UINT32_C(1) << (32 - prefix_len);
	if (pool.network & (pool.size - 1))
		return err_set(err, EINVAL, "subnet %s/%d has bits set behind its prefix",
			       inet_ntoa(subnet), prefix_len);
	pool.bits = calloc((pool.size + 63) / 64, sizeof(*pool.bits));
	if (!pool.bits)
		return err_set_errno(err, ENOMEM, "allocate address pool");
	*p = pool;
	return 0;
}

void addrpool_done(struct addrpool *p)
{
	free(p->bits);
	*p = (struct addrpool){};
}

/* The first free address in [from, to), or @to. Whole words of taken ones are skipped. */
static uint32_t find_free(const struct addrpool *p, uint32_t from, uint32_t to)
{
	uint32_t i = from;

	while (i < to) {
		if (i % 64 == 0 && p->bits[i / 64] == UINT64_MAX)
			i += 64;
		else if (is_taken(p, i))
			i++;
		else
			return i;
	}
	return to;
}

int addrpool_take(struct addrpool *p, struct in_addr *ret, struct err *err)
{
	uint32_t end = p->size - 1, i; /* the last one is the broadcast address */

	i = find_free(p, p->next, end);
	if (i == end)
		i = find_free(p, FIRST_HOST, end);
	if (i == end)
		return err_set(err, ENOSPC, "all %u addresses of the bridge's subnet are taken",
			       end - FIRST_HOST);
	mark(p, i, true);
	p->next = i + 1;
	ret->s_addr = htonl(p->network + i);
	return 0;
}

static bool index_of(const struct addrpool *p, struct in_addr addr, uint32_t *ret)
{
	uint32_t i = ntohl(addr.s_addr) - p->network; /* wraps below the network: too large */

	if (i < FIRST_HOST || i >= p->size - 1)
		return false;
	*ret = i;
	return true;
}

int addrpool_restore(struct addrpool *p, struct in_addr addr, struct err *err)
{
	uint32_t i;

	if (!index_of(p, addr, &i))
		return err_set(err, EADDRNOTAVAIL,
			       "address %s is not one that the bridge's subnet gives out",
			       inet_ntoa(addr));
	if (is_taken(p, i))
		return err_set(err, EADDRINUSE, "address %s is taken already", inet_ntoa(addr));
	mark(p, i, true);
	if (i >= p->next)
		p->next = i + 1;
	return 0;
}

bool addrpool_release(struct addrpool *p, struct in_addr addr)
{
	uint32_t i;

	if (!index_of(p, addr, &i) || !is_taken(p, i))
		return false;
	mark(p, i, false);
	return true;
}
