/* key: the key rings. Their bytes stay in their files. */
#include "ctl/cmd.h"
#include "ctl/ctl.h"
#include "custody/checkpoint.h"
#include "store/audit.h"

static void show_key(struct jout *j, const char *ring, const struct vault_key_info *key)
{
	jout_object(j, NULL);
	jout_text(j, "ring", ring);
	jout_text(j, "id", key->id);
	jout_text(j, "status", vault_key_status_name(key->status));
	jout_bool(j, "primary", key->primary);
	jout_text(j, "createdAt", key->created);
	jout_end_object(j);
}

/* --- add ------------------------------------------------------------------------------------- */

/* The first keys are made before there is a database; then there is nobody to tell. */
static void record(struct ctl *ctl, const char *ring, const struct vault_key_info *key)
{
	const char *fault = ctl->db_fault;
	enum err err;

	if (!fault) {
		err = store_audit_add(ctl->w, ctl->c.db,
			&(struct store_event){.action = "key.added",
				.object_type = "key_ring",
				.object_id = ring,
				.key_id = key->id});
		fault = err ? ctl_explain(ctl, err) : NULL;
		work_forgive(ctl->w);
	}
	if (fault)
		ctl_note("the new key is not in the audit trail: %s", fault);
}

/* Whoever wants to prove the audit trail needs the public half. */
static enum err publish(struct ctl *ctl)
{
	struct vault_publics publics;
	struct vault_keyring *keyring = NULL;
	enum err err = custody_checkpoint_keys(ctl->w, &ctl->conf, &keyring, &publics);

	vault_keyring_free(keyring);
	return err;
}

static const char *dir_of(const struct ctl *ctl, enum vault_ring ring)
{
	return ring == VAULT_RING_AUDIT ? custody_checkpoint_key_dir(&ctl->conf)
					: conf_text(&ctl->conf, CONF_key_dir);
}

enum err ctl_cmd_key_add(struct ctl *ctl)
{
	const char *name = ctl->args->positionals[0];
	enum vault_ring ring = vault_ring_by_name(name);
	struct vault_key_info key = {.id = ""};
	enum err err;

	if (ring == VAULT_RING_COUNT)
		return work_fail(ctl->w, ERR_USAGE,
			"RING: %s is not a ring; there is token, app, copy, spool, audit, session",
			name);
	err = vault_keyring_add(ctl->w, dir_of(ctl, ring), ring, &key);
	if (!err && ring == VAULT_RING_AUDIT)
		err = publish(ctl);
	if (err)
		return err;
	record(ctl, name, &key);
	if (ctl->out.is_json)
		show_key(&ctl->out.json, name, &key);
	else
		buf_printf(&ctl->out.text, "key %s added to ring %s%s\n", key.id, name,
			key.primary ? ", which seals with it" : "");
	return ERR_OK;
}

/* --- list ------------------------------------------------------------------------------------ */

struct ring {
	struct vault_key_info *keys; /* owned by the work */
	size_t n;
	int is_missing;
};

static enum err load(struct ctl *ctl, enum vault_ring which, struct ring *ring)
{
	struct vault_keyring *keyring = NULL;
	enum err err =
		vault_keyring_load(ctl->w, dir_of(ctl, which), VAULT_RING_BIT(which), &keyring);

	/* The audit key may be another account's, who alone sees that it is there. */
	if (err == ERR_IO && which == VAULT_RING_AUDIT &&
		*conf_text(&ctl->conf, CONF_audit_key_dir)) {
		work_forgive(ctl->w);
		err = ERR_KEY_UNKNOWN;
	}
	*ring = (struct ring){.is_missing = err == ERR_KEY_UNKNOWN};
	if (ring->is_missing) {
		work_forgive(ctl->w);
		return ERR_OK;
	}
	if (!err)
		ring->n = vault_keyring_list(ctl->w, keyring, which, &ring->keys);
	vault_keyring_free(keyring);
	return err;
}

static void show_json(struct ctl *ctl, const struct ring *rings)
{
	struct jout *j = &ctl->out.json;

	jout_object(j, NULL);
	jout_array(j, "keys");
	for (int ring = 0; ring < VAULT_RING_COUNT; ring++)
		for (size_t i = 0; i < rings[ring].n; i++)
			show_key(j, vault_ring_name((enum vault_ring)ring), &rings[ring].keys[i]);
	jout_end_array(j);
	jout_array(j, "missing");
	for (int ring = 0; ring < VAULT_RING_COUNT; ring++)
		if (rings[ring].is_missing)
			jout_text(j, NULL, vault_ring_name((enum vault_ring)ring));
	jout_end_array(j);
	jout_end_object(j);
}

static void show_table(struct ctl *ctl, const struct ring *rings)
{
	static const char *const heads[] = {"RING", "ID", "STATUS", "USE", "CREATED", NULL};
	struct ctl_table table;

	ctl_table_begin(&table, &ctl->out, heads, 2);
	for (int ring = 0; ring < VAULT_RING_COUNT; ring++) {
		const char *name = vault_ring_name((enum vault_ring)ring);

		if (rings[ring].is_missing)
			ctl_table_row(&table, CTL_DOUBTFUL,
				(const char *const[]){name, NULL, "missing", NULL, NULL});
		for (size_t i = 0; i < rings[ring].n; i++) {
			const struct vault_key_info *key = &rings[ring].keys[i];

			ctl_table_row(&table, CTL_PLAIN,
				(const char *const[]){name, key->id,
					vault_key_status_name(key->status),
					key->primary ? "seals" : "opens", key->created});
		}
	}
	ctl_table_end(&table);
}

enum err ctl_cmd_key_list(struct ctl *ctl)
{
	struct ring rings[VAULT_RING_COUNT];
	enum err err = ERR_OK;

	for (int ring = 0; !err && ring < VAULT_RING_COUNT; ring++)
		err = load(ctl, (enum vault_ring)ring, &rings[ring]);
	if (!err)
		(ctl->out.is_json ? show_json : show_table)(ctl, rings);
	return err;
}
