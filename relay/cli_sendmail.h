/* What the program is when it is called sendmail, mailq or newaliases. Messages for people go to standard error with that name. */
#ifndef RELAY_CLI_SENDMAIL_H
#define RELAY_CLI_SENDMAIL_H

#include "relay/cli.h"
#include "relay/cli_sendmail_options.h"
#include "relay/drop_files.h"
#include "relay/submission.h"

/* As in sysexits.h; those that cli.h lacks. */
enum sendmail_exit {
    SENDMAIL_DONE = 0,
    SENDMAIL_USAGE = 64,
    SENDMAIL_DATA = 65,
    SENDMAIL_NO_USER = 67,
    SENDMAIL_UNAVAILABLE = 69,
    SENDMAIL_SOFTWARE = 70,
    SENDMAIL_CANNOT_CREATE = 73,
    SENDMAIL_IO = 74,
    SENDMAIL_TEMPORARY = 75,
    SENDMAIL_NOT_PERMITTED = 77,
    SENDMAIL_CONFIG = 78,
};

struct sendmail {
    struct sendmail_options options;
    struct cli cli; /* without words of its own: only the environment */
    struct config *config;
    struct arena *arena;
};

/* words: argv without the name. The exit status. */
int sendmail_run(const char *name, const char *const *words, size_t count, const char *const *environment);

/* The modes. */
int sendmail_send(struct sendmail *sendmail);    /* cli_sendmail_send.c: a message from standard input */
int sendmail_smtp(struct sendmail *sendmail);    /* cli_sendmail_smtp.c: -bs */
int sendmail_queue(struct sendmail *sendmail);   /* cli_mailq.c */
int sendmail_count(struct sendmail *sendmail);
int sendmail_flush(struct sendmail *sendmail);
int sendmail_verify(struct sendmail *sendmail);  /* cli_sendmail.c */
int sendmail_aliases(struct sendmail *sendmail);
int sendmail_daemon(struct sendmail *sendmail);  /* cli_sendmail_daemon.c */

/* cli_handover.c: gives the message to the relay, or to the drop directory when none can be reached; DONE only when it is on disk.
 * submission->size is set here. Why not is said on standard error, and in fault. */
struct handover {
    const struct sendmail *sendmail;
    struct submission submission;
    const struct slice *content; /* the text of the message, in parts */
    size_t content_count;
    struct buffer *fault;        /* NULL: say it on standard error */
    struct drop_name name;       /* of its file, if one is needed */
    char id[24];                 /* of the relay; empty: the message is in the drop directory */
};
int sendmail_hand_over(struct handover *handover);
/* cli_drop.c: one file, on disk and in place when it returns DONE. */
int sendmail_drop(struct handover *handover, struct slice head);
/* What the configuration says of a recipient, as far as the caller may read it: SENDMAIL_NO_USER, with a sentence on standard error or in
 * fault, for a local user without alias or root; DONE where that is not certain. */
int sendmail_check_local(const struct sendmail *sendmail, struct slice address, struct buffer *fault);
/* An address of -f or of the command line, which may have a name around it: "local@domain" or a bare "local", in the arena; empty for
 * the null reverse-path. False: it is none. */
bool sendmail_address(const struct sendmail *sendmail, struct slice text, struct slice *address);
/* The caller's name in /etc/passwd, else the number of its user. */
struct slice sendmail_user(const struct sendmail *sendmail, struct slice *full_name);

#endif
