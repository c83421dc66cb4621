/* The functions behind the commands of the table in cli_table.c; each returns the exit status. */
#ifndef RELAY_CLI_COMMANDS_H
#define RELAY_CLI_COMMANDS_H

#include "relay/cli.h"

/* cli_config.c */
int cli_serve(const struct cli *cli);
int cli_version(const struct cli *cli);
/* cli_check_config.c */
int cli_check_config(const struct cli *cli);
/* cli_passwd.c */
int cli_passwd(const struct cli *cli);
/* cli_dkim.c */
int cli_dkim_keygen(const struct cli *cli);
/* cli_queue.c */
int cli_queue_list(const struct cli *cli);
int cli_queue_show(const struct cli *cli);
int cli_queue_why(const struct cli *cli);
int cli_queue_flush(const struct cli *cli);
int cli_queue_hold(const struct cli *cli);
int cli_queue_release(const struct cli *cli);
int cli_queue_delete(const struct cli *cli);
int cli_queue_export(const struct cli *cli);
int cli_queue_check(const struct cli *cli);
/* cli_policy.c, cli_lint.c */
int cli_policy_list(const struct cli *cli);
int cli_policy_show(const struct cli *cli);
int cli_policy_refresh(const struct cli *cli);
int cli_policy_forget(const struct cli *cli);
int cli_policy_exempt(const struct cli *cli);
int cli_policy_lint(const struct cli *cli);
int cli_policy_lint_record(const struct cli *cli);
int cli_policy_match(const struct cli *cli);
/* cli_health.c */
int cli_health(const struct cli *cli);
int cli_metrics(const struct cli *cli);
/* cli_status.c */
int cli_status(const struct cli *cli);
int cli_reload(const struct cli *cli);
/* cli_explain.c */
int cli_explain(const struct cli *cli);
int cli_explain_to_all(const struct cli *cli); /* over the submit socket: for users that may not use the other one */
int cli_test_send(const struct cli *cli);

#endif
