/* The requests of one caller of providers, by how far they are. */
#ifndef VESTAL_OAUTH_QUEUE_H
#define VESTAL_OAUTH_QUEUE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define OAUTH_QUEUE_LOOKUPS_MAX 16 /* requests of one origin that look up its name at once */

enum oauth_stage {
	OAUTH_STAGE_IDLE, /* a place for the next request */
	OAUTH_STAGE_WAITING,
	OAUTH_STAGE_LOOKING_UP, /* launched; the address of its host is not known yet */
	OAUTH_STAGE_TRAVELLING,
	OAUTH_STAGE_ENDED, /* its answer was not taken yet */
};

#define OAUTH_STAGES (OAUTH_STAGE_ENDED + 1)

/* A place for one request. Its owner puts it in front of what he keeps of the request. */
struct oauth_place {
	TAILQ_ENTRY(oauth_place) link;
	enum oauth_stage stage;
	const char *origin;  /* of the request */
	int64_t deadline_ms; /* on the monotonic clock */
};

TAILQ_HEAD(oauth_places, oauth_place);

struct oauth_queue {
	struct oauth_places places[OAUTH_STAGES]; /* each in the order they came */
	size_t counts[OAUTH_STAGES];
};

void oauth_queue_init(struct oauth_queue *queue);

/* Takes in an idle place; lets go of one wherever it is. */
void oauth_queue_add(struct oauth_queue *queue, struct oauth_place *place);
void oauth_queue_remove(struct oauth_queue *queue, struct oauth_place *place);

void oauth_queue_move(struct oauth_queue *queue, struct oauth_place *place, enum oauth_stage stage);

/* The place that is longest at a stage, or NULL. */
struct oauth_place *oauth_queue_first(const struct oauth_queue *queue, enum oauth_stage stage);

/*
 * The first that need not wait any more, or NULL: one whose time is over, or one whose origin does
 * not look up its name too often yet. (Every lookup takes a thread and asks the same again; the
 * rest finds the answer of the first.)
 */
struct oauth_place *oauth_queue_ready(const struct oauth_queue *queue, int64_t now_ms);

/* How long nothing waiting runs out of time: wait_ms or less, never below 0. */
int64_t oauth_queue_patience_ms(const struct oauth_queue *queue, int64_t now_ms, int64_t wait_ms);

/* How many places are taken, and how many there are. */
size_t oauth_queue_taken(const struct oauth_queue *queue);
size_t oauth_queue_size(const struct oauth_queue *queue);

#endif
