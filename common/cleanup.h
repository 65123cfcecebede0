/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cleanup - scope-bound ownership for C.
 * `_cleanup_(f)` calls f(&variable) when the variable leaves its scope; TAKE_PTR() and TAKE_FD()
 * hand ownership on and leave an inert value behind.
 */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <jansson.h> /* json_decrefp() for json_t * */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

#define TAKE_PTR(p)                                                                                \
	({                                                                                         \
		__typeof__(p) *_pp = &(p);                                                         \
		__typeof__(p) _taken = *_pp;                                                       \
		*_pp = NULL;                                                                       \
		_taken;                                                                            \
	})

#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int *_pfd = &(fd);                                                                 \
		int _taken = *_pfd;                                                                \
		*_pfd = -EBADF;                                                                    \
		_taken;                                                                            \
	})

/* Defines x_freep() for `_cleanup_(x_freep) struct x *`, from x_free(). */
#define DEFINE_CLEANUP(type, func)                                                                 \
	static inline void func##p(type *p)                                                        \
	{                                                                                          \
		if (*p)                                                                            \
			(void) func(*p);                                                           \
	}

/* Closes @fd unless it is negative, keeps errno. Always returns -EBADF: `fd = safe_close(fd)`. */
static inline int safe_close(int fd)
{
	if (fd >= 0) {
		int saved = errno;

		(void) close(fd);
		errno = saved;
	}
	return -EBADF;
}

static inline void closep(int *fd)
{
	*fd = safe_close(*fd);
}

static inline void freep(void *p)
{
	free(*(void **) p);
}

static inline void fclosep(FILE **f)
{
	if (*f)
		(void) fclose(*f);
}

static inline void closedirp(DIR **d)
{
	if (*d)
		(void) closedir(*d);
}
