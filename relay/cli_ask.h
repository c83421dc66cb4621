/* Asks the running relay over its control socket, or over the submit socket that is open to everybody. */
#ifndef RELAY_CLI_ASK_H
#define RELAY_CLI_ASK_H

#include "base/json.h"
#include "relay/cli.h"

struct cli_asking {
    const struct cli *cli;
    const char *command;
    struct json *request; /* made by cli_ask_new(); taken over */
    /* What is to be done with an answer; notes and errors are told by cli_ask(). With --json answers are printed as they come and
     * this is not called, unless is_raw. NULL: nothing. */
    void (*answer)(void *owner, const struct json *answer);
    void *owner;
    bool is_raw;
    bool is_quiet; /* not a word on errors */
    bool is_optional; /* that no relay runs is no error, and is not told: was_absent */
    bool is_submit;   /* over the submit socket */
    bool may_go_on;   /* from there to the control socket, for those who may: the relay says where it is */
    bool was_absent;  /* no relay could be reached */
    bool was_broken;  /* it went away, or said nothing more, before it had answered */
    const struct config *config; /* NULL: loaded as the command line says */
    /* What follows the request when the relay says that it is ready for it. Sent as it is taken, never copied as a whole. */
    const struct slice *content;
    size_t content_count;
    struct buffer *fault; /* what would be said goes here instead; NULL: standard error */
    int64_t patience_ms; /* how long nothing may happen; 0: for ever */
};
/* A request for the command, with the id (first argument, where there is one) and the options of the command line. */
void cli_ask_new(struct cli_asking *asking, const struct cli *cli, const char *command);
/* The exit status: the relay's, 69 when there is none, 77 without permission, 78 for the configuration. */
int cli_ask(struct cli_asking *asking);

#endif
