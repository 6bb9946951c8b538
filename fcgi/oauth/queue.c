/* The order of requests. It decides which goes next; how one travels it does not know. */
#include "oauth/queue.h"

#include "base/text.h"

void oauth_queue_init(struct oauth_queue *queue)
{
	*queue = (struct oauth_queue){0};
	for (size_t i = 0; i < OAUTH_STAGES; i++)
		TAILQ_INIT(&queue->places[i]);
}

static void put(struct oauth_queue *queue, struct oauth_place *place, enum oauth_stage stage)
{
	place->stage = stage;
	TAILQ_INSERT_TAIL(&queue->places[stage], place, link);
	queue->counts[stage]++;
}

void oauth_queue_add(struct oauth_queue *queue, struct oauth_place *place)
{
	put(queue, place, OAUTH_STAGE_IDLE);
}

void oauth_queue_remove(struct oauth_queue *queue, struct oauth_place *place)
{
	TAILQ_REMOVE(&queue->places[place->stage], place, link);
	queue->counts[place->stage]--;
}

void oauth_queue_move(struct oauth_queue *queue, struct oauth_place *place, enum oauth_stage stage)
{
	oauth_queue_remove(queue, place);
	put(queue, place, stage);
}

struct oauth_place *oauth_queue_first(const struct oauth_queue *queue, enum oauth_stage stage)
{
	return TAILQ_FIRST(&queue->places[stage]);
}

static size_t count_lookups(const struct oauth_queue *queue, const char *origin)
{
	const struct oauth_place *place;
	size_t n = 0;

	TAILQ_FOREACH(place, &queue->places[OAUTH_STAGE_LOOKING_UP], link)
	n += text_equal(place->origin, origin) ? 1 : 0;
	return n;
}

struct oauth_place *oauth_queue_ready(const struct oauth_queue *queue, int64_t now_ms)
{
	struct oauth_place *place;

	TAILQ_FOREACH(place, &queue->places[OAUTH_STAGE_WAITING], link)
	if (place->deadline_ms <= now_ms ||
		count_lookups(queue, place->origin) < OAUTH_QUEUE_LOOKUPS_MAX)
		return place;
	return NULL;
}

int64_t oauth_queue_patience_ms(const struct oauth_queue *queue, int64_t now_ms, int64_t wait_ms)
{
	const struct oauth_place *place;

	TAILQ_FOREACH(place, &queue->places[OAUTH_STAGE_WAITING], link)
	if (place->deadline_ms - now_ms < wait_ms)
		wait_ms = place->deadline_ms - now_ms;
	return wait_ms < 0 ? 0 : wait_ms;
}

size_t oauth_queue_size(const struct oauth_queue *queue)
{
	size_t n = 0;

	for (size_t i = 0; i < OAUTH_STAGES; i++)
		n += queue->counts[i];
	return n;
}

size_t oauth_queue_taken(const struct oauth_queue *queue)
{
	return oauth_queue_size(queue) - queue->counts[OAUTH_STAGE_IDLE];
}
