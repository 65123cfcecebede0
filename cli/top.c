/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/stats.h"
#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/macro.h"

enum { LINES_DEFAULT = 24, COLUMNS_DEFAULT = 80 };

struct screen {
	struct termios before;
	bool keys; /* standard input is a terminal, too, and before is as it was */
};

static volatile sig_atomic_t ended, resized;

static void on_end(int sig)
{
	(void) sig;
	ended = 1;
}

static void on_resize(int sig)
{
	(void) sig;
	resized = 1;
}

/* ---- the terminal ---- */

static void say(const char *text)
{
	(void) fs_write_all(STDOUT_FILENO, text, strlen(text));
}

static void take_terminal(struct screen *s)
{
	struct sigaction end = { .sa_handler = on_end }, resize = { .sa_handler = on_resize };
	struct termios t;

	(void) sigaction(SIGINT, &end, NULL);
	(void) sigaction(SIGTERM, &end, NULL);
	(void) sigaction(SIGHUP, &end, NULL);
	(void) sigaction(SIGWINCH, &resize, NULL);
	s->keys = tcgetattr(STDIN_FILENO, &s->before) == 0;
	if (s->keys) {
		t = s->before;
		t.c_lflag &= ~(tcflag_t) (ICANON | ECHO);
		t.c_cc[VSUSP] = _POSIX_VDISABLE; /* a shell would find the screen taken */
		t.c_cc[VMIN] = 0;
		t.c_cc[VTIME] = 0;
		(void) tcsetattr(STDIN_FILENO, TCSANOW, &t);
	}
	say("\033[?1049h\033[?25l"); /* a screen of our own, without a cursor */
}

static void give_back(const struct screen *s)
{
	say("\033[?25h\033[?1049l");
	if (s->keys)
		(void) tcsetattr(STDIN_FILENO, TCSANOW, &s->before);
}

/* ---- a frame ---- */

static const char *order_name(enum stats_order o)
{
	return o == STATS_BY_MEMORY ? "memory" : o == STATS_BY_NAME ? "name" : "CPU";
}

static void put_frame(FILE *f, const json_t *answer, const struct stats_words *w, const char *error)
{
	size_t n = json_array_size(json_object_get(answer, "containers"));
	time_t now = time(NULL);
	char clock[16] = "";
	struct tm tm;

	if (localtime_r(&now, &tm))
		(void) strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	fprintf(f, "ecsctl top  %s  %zu container%s by %s   c CPU, m memory, n name, q quit\n%s\n",
		clock, n, n == 1 ? "" : "s", order_name(w->order), error ? error : "");
	if (answer)
		print_stats(answer, f);
}

/*
 * Written over what is there and cut at the edges: nothing is cleared that is written again, so nothing flickers. The
 * last line has no line feed, or the screen would scroll.
 */
static void draw(const char *text)
{
	struct winsize size = {};
	size_t lines, columns, len = 0;
	_cleanup_(freep) char *out = NULL;
	FILE *f = open_memstream(&out, &len);

	if (!f)
		return;
	(void) ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	lines = size.ws_row ? size.ws_row : LINES_DEFAULT;
	columns = size.ws_col ? size.ws_col : COLUMNS_DEFAULT;
	fputs("\033[H", f);
	for (size_t n = 0; n < lines && *text; n++) {
		size_t width = strcspn(text, "\n");

		fprintf(f, "%s%.*s\033[K", n ? "\n" : "", (int) MIN(width, columns), text);
		text += width + (text[width] == '\n');
	}
	fputs("\033[J", f);
	if (fclose(f) == 0)
		(void) fs_write_all(STDOUT_FILENO, out, len);
}

static void show(const json_t *answer, const struct stats_words *w, const char *error)
{
	_cleanup_(freep) char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return;
	put_frame(f, answer, w, error);
	if (fclose(f) == 0)
		draw(text);
}

/* ---- the loop ---- */

/* True when the order changed. */
static bool take_key(struct stats_words *w)
{
	enum stats_order before = w->order;
	char c;
	ssize_t n = read(STDIN_FILENO, &c, 1);

	if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN) || (n == 1 && c == 'q'))
		ended = 1; /* the terminal is gone, or we shall go */
	else if (n == 1)
		w->order = c == 'c'   ? STATS_BY_CPU
			   : c == 'm' ? STATS_BY_MEMORY
			   : c == 'n' ? STATS_BY_NAME
				      : before;
	return w->order != before;
}

/*
 * Until it is time for new numbers; keys and sizes are answered with those there are. Signals are let in only by the
 * wait itself: one that came between the look at the flags and the wait would be heard an interval later.
 */
static void wait_for_next(const struct screen *s, struct stats_words *w, json_t *answer,
			  const char *error)
{
	int64_t until = clock_mono_ms() + w->interval_ms;
	struct pollfd p = { .fd = s->keys ? STDIN_FILENO : -1, .events = POLLIN };
	sigset_t all, before;

	(void) sigfillset(&all);
	(void) sigprocmask(SIG_BLOCK, &all, &before);
	for (int64_t left; !ended && (left = until - clock_mono_ms()) > 0;) {
		struct timespec t = { .tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000 };
		int k = resized ? 0 : ppoll(&p, 1, &t, &before);
		bool changed = k > 0 && take_key(w);

		if (!changed && !resized)
			continue;
		resized = 0;
		if (answer)
			stats_sort(answer, w->order);
		show(answer, w, error);
	}
	(void) sigprocmask(SIG_SETMASK, &before, NULL);
}

int top_run(const struct invocation *i, struct stats_words *w)
{
	struct screen s = {};
	int code = CTL_OK;

	take_terminal(&s);
	for (bool first = true; !ended; first = false) {
		_cleanup_(json_decrefp) json_t *answer = NULL;
		_cleanup_(err_done) struct err err = {};
		int k = stats_fetch(i, first, &answer, &err);

		if (k != 0 && first) { /* nothing to look at: say so where it stays */
			give_back(&s);
			return report_error(k, &err);
		}
		if (answer) {
			stats_narrow(answer, w->tasks);
			stats_sort(answer, w->order);
		}
		show(answer, w, k ? err_text(&err) : NULL);
		wait_for_next(&s, w, answer, k ? err_text(&err) : NULL);
	}
	give_back(&s);
	return code;
}
