/* Places as locked files below runtime_dir: the kernel gives back what a dead worker held. It
 * decides the limits; what is done in a place is its holder's business. */
#include "custody/place.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define YOUNG_S 1
#define STAY_MS 1500
#define PAUSE_NS 20000000L

enum taking { TAKEN, YOUNG, FULL, BROKEN };

static size_t at_least_one(size_t n)
{
	return n ? n : 1;
}

struct custody_places custody_places_of(size_t workers)
{
	return (struct custody_places){.away = at_least_one(workers ? workers - 1 : 0),
		.renewing = at_least_one(workers / 2),
		.waiting = at_least_one(workers / 4)};
}

static void leave(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void custody_place_leave(struct custody_place *place)
{
	leave(&place->own_fd);
	leave(&place->away_fd);
}

/* The time of the file is when its place was taken. */
static enum taking take_one(int folder, const char *name, int *fd)
{
	struct stat is;
	enum taking taking = BROKEN;

	*fd = openat(folder, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (*fd < 0)
		return BROKEN;
	if (flock(*fd, LOCK_EX | LOCK_NB) == 0) {
		(void)!futimens(*fd, NULL); /* at worst it looks old, and nobody stays for it */
		return TAKEN;
	}
	if (errno == EWOULDBLOCK && fstat(*fd, &is) == 0)
		taking = time(NULL) - is.st_mtime <= YOUNG_S ? YOUNG : FULL;
	leave(fd);
	return taking;
}

static enum taking take(struct work *w, int folder, const char *kind, size_t n, int *fd)
{
	enum taking all = FULL;

	for (size_t i = 0; i < n; i++) {
		enum taking one = take_one(folder, work_printf(w, "%s.%zu", kind, i), fd);

		if (one == TAKEN || one == BROKEN)
			return one;
		if (one == YOUNG)
			all = YOUNG;
	}
	return all;
}

/* One among those that may be away, and one of its own kind. */
static enum taking take_both(struct work *w, int folder, size_t away, const char *kind, size_t n,
	struct custody_place *place)
{
	enum taking taking = take(w, folder, "away", away, &place->away_fd);

	if (taking == TAKEN)
		taking = take(w, folder, kind, n, &place->own_fd);
	if (taking != TAKEN)
		custody_place_leave(place);
	return taking;
}

static int open_folder(struct work *w, const struct custody *c)
{
	const char *path = work_printf(w, "%s/places", conf_text(c->conf, CONF_runtime_dir));
	int fd = -1;

	if (!file_open_dir(w, AT_FDCWD, path, 1, 0700, &fd))
		return fd;
	work_forgive(w);
	return -1;
}

static void warn(const struct work *w, const char *kind)
{
	log_event(LOG_WARN, "place.not_made", LOG_TEXT("kind", kind),
		LOG_TEXT("request", w->origin.request_id));
}

int custody_place_to_renew(struct work *w, const struct custody *c,
	const struct custody_places *places, const char *provider, struct custody_place *place)
{
	const struct timespec pause = {.tv_nsec = PAUSE_NS};
	const char *kind = work_printf(w, "renew.%s", provider);
	int64_t until_ms = clock_monotonic_ms() + STAY_MS;
	int folder = open_folder(w, c);
	enum taking taking = BROKEN;

	*place = (struct custody_place){-1, -1};
	if (folder >= 0)
		taking = take_both(w, folder, places->away, kind, places->renewing, place);
	while (taking == YOUNG && clock_monotonic_ms() < until_ms) {
		nanosleep(&pause, NULL);
		taking = take_both(w, folder, places->away, kind, places->renewing, place);
	}
	if (taking == BROKEN)
		warn(w, "renew");
	return taking == TAKEN || taking == BROKEN;
}

int custody_place_to_wait(struct work *w, const struct custody *c,
	const struct custody_places *places, struct custody_place *place)
{
	int folder = open_folder(w, c);
	enum taking taking = BROKEN;

	*place = (struct custody_place){-1, -1};
	if (folder >= 0)
		taking = take_both(w, folder, places->away, "wait", places->waiting, place);
	if (taking == BROKEN)
		warn(w, "wait");
	return taking == TAKEN;
}
