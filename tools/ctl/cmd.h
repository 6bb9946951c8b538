/* What the rows of the command table run. Each returns an error, or ERR_OK with ctl->exit_code as
 * it wants it. */
#ifndef VESTAL_CTL_CMD_H
#define VESTAL_CTL_CMD_H

#include "base/err.h"

struct ctl;

enum err ctl_cmd_alert_test(struct ctl *ctl) MUST_CHECK;
enum err ctl_cmd_api_key_create(struct ctl *ctl) MUST_CHECK;
enum err ctl_cmd_api_key_list(struct ctl *ctl) MUST_CHECK;
enum err ctl_cmd_api_key_revoke(struct ctl *ctl) MUST_CHECK;
enum err ctl_cmd_app_list(struct ctl *ctl) MUST_CHECK;
enum err ctl_cmd_app_set(struct ctl *ctl) MUST_CHECK;
enum err ctl_cmd_audit_export(struct ctl *ctl) MUST_CHECK;
enum err ctl_cmd_audit_prune(struct ctl *ctl) MUST_CHECK;
enum err ctl_cmd_audit_seal(struct ctl *ctl) MUST_CHECK;
enum err ctl_cmd_audit_verify(struct ctl *ctl) MUST_CHECK;
enum err ctl_cmd_client_add(struct ctl *ctl) MUST_CHECK;
enum err ctl_cmd_client_list(struct ctl *ctl) MUST_CHECK;
enum err ctl_cmd_client_remove(struct ctl *ctl) MUST_CHECK;
enum err ctl_cmd_config(struct ctl *ctl) MUST_CHECK;
enum err ctl_cmd_activate(struct ctl *ctl) MUST_CHECK;
enum err ctl_cmd_connect(struct ctl *ctl) MUST_CHECK;
enum err ctl_cmd_doctor(struct ctl *ctl) MUST_CHECK;
enum err ctl_cmd_health(struct ctl *ctl) MUST_CHECK;
enum err ctl_cmd_help(struct ctl *ctl) MUST_CHECK;
enum err ctl_cmd_import(struct ctl *ctl) MUST_CHECK;
enum err ctl_cmd_incident_ack(struct ctl *ctl) MUST_CHECK;
enum err ctl_cmd_incident_list(struct ctl *ctl) MUST_CHECK;
enum err ctl_cmd_incident_show(struct ctl *ctl) MUST_CHECK;
enum err ctl_cmd_key_add(struct ctl *ctl) MUST_CHECK;
enum err ctl_cmd_key_list(struct ctl *ctl) MUST_CHECK;
enum err ctl_cmd_migrate(struct ctl *ctl) MUST_CHECK;
enum err ctl_cmd_provider_check(struct ctl *ctl) MUST_CHECK;
enum err ctl_cmd_provider_list(struct ctl *ctl) MUST_CHECK;
enum err ctl_cmd_reauthorize(struct ctl *ctl) MUST_CHECK;
enum err ctl_cmd_token_show(struct ctl *ctl) MUST_CHECK;
enum err ctl_cmd_undo(struct ctl *ctl) MUST_CHECK;
enum err ctl_cmd_version(struct ctl *ctl) MUST_CHECK;

#endif
