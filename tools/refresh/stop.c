/* Signals. They decide that a run ends early; how, the engine does. */
#include "refresh/stop.h"

#include "base/clock.h"

#include <errno.h>
#include <stddef.h>
#include <unistd.h>

#define TOLD "\r\033[Kstopping: what is on its way is finished; the same once more ends at once\n"

#define SAME_MS 250 /* timeout(1) sends each signal twice */

static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
static volatile sig_atomic_t stopped;
static volatile int64_t stopped_ms; /* the handler's alone, which nothing interrupts */
static volatile sig_atomic_t told_fd = -1;

#define SIGNALS (sizeof(signals) / sizeof(*signals))

static void on_signal(int number)
{
	const int64_t now_ms = clock_monotonic_ms();
	int saved = errno;
	ssize_t written;

	if (stopped && now_ms - stopped_ms >= SAME_MS) {
		signal(number, SIG_DFL);
		raise(number);
	} else if (!stopped && told_fd >= 0) {
		written = write(told_fd, TOLD, sizeof(TOLD) - 1);
		(void)written;
	}
	stopped_ms = stopped ? stopped_ms : now_ms;
	stopped = 1;
	errno = saved;
}

enum err refresh_stop_install(void)
{
	struct sigaction stop = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, before;
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	sigfillset(&stop.sa_mask);
	for (size_t i = 0; i < SIGNALS; i++)
		if (sigaction(signals[i], NULL, &before) < 0 ||
			(before.sa_handler != SIG_IGN && sigaction(signals[i], &stop, NULL) < 0))
			return ERR_BUG;
	return sigaction(SIGPIPE, &ignore, NULL) < 0 ? ERR_BUG : ERR_OK;
}

const volatile sig_atomic_t *refresh_stop_flag(void)
{
	return &stopped;
}

void refresh_stop_tell(int fd)
{
	told_fd = fd;
}
