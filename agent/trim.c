/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/trim.h"

#include <errno.h>
#include <link.h>
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/clock.h"

enum {
	AFTER_START_MS = 300, /* the sessions connect and the first answers come meanwhile */
	LOOK_MS = 10000,
	STEP_BYTES = 64 * 1024,
	FREE_MAX_BYTES = 256 * 1024, /* more free heap than that is given back */
};

void trim_configure(void)
{
	/* The only other thread allocates nothing. */
	(void) mallopt(M_ARENA_MAX, 1);
	(void) mallopt(M_TOP_PAD, STEP_BYTES);
	(void) mallopt(M_TRIM_THRESHOLD, FREE_MAX_BYTES);
	(void) mallopt(M_MMAP_THRESHOLD, FREE_MAX_BYTES);
}

/* Segments that are never written hold nothing of ours: relocations are in the writable ones. */
static int drop_segments(struct dl_phdr_info *info, size_t size, void *userdata)
{
	uintptr_t page = (uintptr_t) sysconf(_SC_PAGESIZE);

	(void) size, (void) userdata;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *h = &info->dlpi_phdr[i];
		uintptr_t from = (info->dlpi_addr + h->p_vaddr) & ~(page - 1);
		uintptr_t to = (info->dlpi_addr + h->p_vaddr + h->p_filesz) & ~(page - 1);

		if (h->p_type == PT_LOAD && !(h->p_flags & PF_W) && to > from)
			(void) madvise((void *) from, to - from, MADV_DONTNEED);
	}
	return 0;
}

/* The next act faults the code that it needs back in from the page cache. */
static int on_look(sd_event_source *s, uint64_t usec, void *userdata)
{
	(void) usec, (void) userdata;
	if (mallinfo2().fordblks > FREE_MAX_BYTES)
		(void) malloc_trim(0);
	(void) dl_iterate_phdr(drop_segments, NULL);
	(void) sd_event_source_set_time_relative(s, LOOK_MS * USEC_PER_MSEC);
	(void) sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
	return 0;
}

static int on_started(sd_event_source *s, uint64_t usec, void *userdata)
{
	(void) malloc_trim(0);
	return on_look(s, usec, userdata);
}

/* One timer for both: its first shot is the end of the start. */
static int on_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
	static bool over;

	if (over)
		return on_look(s, usec, userdata);
	over = true;
	return on_started(s, usec, userdata);
}

int trim_start(sd_event *loop, sd_event_source **ret, struct err *err)
{
	int k = sd_event_add_time_relative(loop, ret, CLOCK_MONOTONIC,
					   AFTER_START_MS * USEC_PER_MSEC, 1000000, on_timer, NULL);

	if (k < 0)
		return err_set_errno(err, -k, "add the timer of the heap");
	(void) sd_event_source_set_description(*ret, "trim");
	return 0;
}
