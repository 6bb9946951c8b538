/* The outbox: struct and row. */
#include "store/outbox.h"

enum err store_outbox_gather(struct work *w, struct store_db *db, int64_t gap_s, int64_t days)
{
	enum err err = store_run_plain(w, db, STMT_OUTBOX_REMIND, NULL);

	if (!err)
		err = store_run_plain(w, db, STMT_OUTBOX_FORECAST, NULL);
	if (!err)
		err = store_run(w, db, STMT_OUTBOX_MISSED, NULL, store_int(gap_s));
	if (!err)
		err = store_run_plain(w, db, STMT_OUTBOX_SUMMARY, NULL);
	return err ? err : store_run(w, db, STMT_OUTBOX_WITHDRAW, NULL, store_int(days));
}

enum err store_outbox_look(struct work *w, struct store_db *db, struct store_outbox_state *state)
{
	struct store_rows *rows = NULL;
	enum err err = store_run_plain(w, db, STMT_OUTBOX_LOCK, NULL);

	if (!err)
		err = store_run_plain(w, db, STMT_OUTBOX_LOOK, &rows);
	if (!err)
		*state = (struct store_outbox_state){store_get_int(rows, 0, 0),
			store_get_int(rows, 0, 1), store_get_bool(rows, 0, 2)};
	return err;
}

static struct store_letter letter_of(const struct store_rows *rows, int row)
{
	return (struct store_letter){
		.id = store_get_int(rows, row, 0),
		.message_id = store_get_text(rows, row, 1),
		.kind = store_get_text(rows, row, 2),
		.created_s = store_get_int(rows, row, 3),
		.attempts = store_get_int(rows, row, 4),
		.payload_json = store_get_text(rows, row, 5),
		.incident_id = store_get_int(rows, row, 6),
		.state = store_get_text(rows, row, 7),
		.cause = store_get_text(rows, row, 8),
		.reason = store_get_text(rows, row, 9),
		.flaps = store_get_int(rows, row, 10),
		.connection_id = store_get_int(rows, row, 11),
		.client = store_get_text(rows, row, 12),
		.client_name = store_get_text(rows, row, 13),
		.provider = store_get_text(rows, row, 14),
		.datacenter = store_get_text(rows, row, 15),
		.is_of_app = store_get_bool(rows, row, 16),
		.status = store_get_text(rows, row, 17),
		.action = store_get_text(rows, row, 18),
		.owner = store_get_text(rows, row, 19),
		.opened_at = store_get_text(rows, row, 20),
		.impact_start = store_get_text(rows, row, 21),
		.acknowledged_at = store_get_text(rows, row, 22),
		.acknowledged_by = store_get_text(rows, row, 23),
		.resolved_at = store_get_text(rows, row, 24),
		.resolved_by = store_get_text(rows, row, 25),
		.children = store_get_int(rows, row, 26),
	};
}

enum err store_outbox_claim(struct work *w, struct store_db *db, int64_t limit, int64_t lease_s,
	struct store_letter **letters, size_t *n)
{
	struct store_rows *rows = NULL;
	enum err err =
		store_run(w, db, STMT_OUTBOX_CLAIM, &rows, store_int(limit), store_int(lease_s));

	if (err)
		return err;
	*n = (size_t)store_count(rows);
	*letters = work_alloc(w, (*n + 1) * sizeof(**letters));
	for (int i = 0; i < store_count(rows); i++)
		(*letters)[i] = letter_of(rows, i);
	return ERR_OK;
}

enum err store_outbox_sent(
	struct work *w, struct store_db *db, const int64_t *ids, size_t n, const char *mail_id)
{
	return store_run(w, db, STMT_OUTBOX_SENT, NULL, store_text(store_id_array(w, ids, n)),
		store_text(mail_id));
}

enum err store_outbox_failed(struct work *w, struct store_db *db, const int64_t *ids, size_t n,
	int64_t wait_s, const char *error)
{
	return store_run(w, db, STMT_OUTBOX_FAILED, NULL, store_text(store_id_array(w, ids, n)),
		store_int(wait_s), store_text(error));
}

enum err store_outbox_release(struct work *w, struct store_db *db, const int64_t *ids, size_t n)
{
	return store_run(w, db, STMT_OUTBOX_RELEASE, NULL, store_text(store_id_array(w, ids, n)));
}
