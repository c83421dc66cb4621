/* The command line of sendmail, mailq and newaliases. Programs have been calling them for forty years with flags of every sendmail
 * there was: all of those are taken, with their values, and most of them mean nothing here. Pure: from words to a value. */
#ifndef RELAY_CLI_SENDMAIL_OPTIONS_H
#define RELAY_CLI_SENDMAIL_OPTIONS_H

#include "base/buffer.h"

enum sendmail_mode {
    SENDMAIL_SEND,    /* -bm */
    SENDMAIL_SMTP,    /* -bs */
    SENDMAIL_QUEUE,   /* -bp, mailq */
    SENDMAIL_COUNT,   /* -bP */
    SENDMAIL_VERIFY,  /* -bv */
    SENDMAIL_ALIASES, /* -bi, -I, newaliases */
    SENDMAIL_FLUSH,   /* -q, -qI, -qR, -qS */
    SENDMAIL_NOTHING, /* -q15m: the relay tries again by itself */
    SENDMAIL_DAEMON,  /* -bd, -bl */
    SENDMAIL_SERVE,   /* -bD: the same in the foreground */
    SENDMAIL_HELP,
    SENDMAIL_VERSION,
};

struct sendmail_options {
    enum sendmail_mode mode;
    bool has_sender;        /* -f, -r */
    struct slice sender;    /* as given; empty or "<>": the null reverse-path */
    struct slice full_name; /* -F; empty: not given */
    bool dots_stay;         /* -i, -oi: a lone dot does not end the message */
    bool reads_recipients;  /* -t */
    bool is_verbose;        /* -v */
    bool utf8;              /* -O smtputf8=yes */
    unsigned notify;        /* -N: set of enum smtp_notify */
    uint8_t ret;            /* -R: enum smtp_ret */
    struct slice envid;     /* -V, as given */
    struct slice id, site, user; /* -qI, -qR, -qS: what to flush; all empty: everything */
    const char **recipients; /* what is no flag */
    size_t recipient_count;
};

/* name: argv[0], of which the last part says what is wanted. words: argv without it. recipients: room for `count` of them. False:
 * the fault names the flag; the exit status is 64. */
bool sendmail_options_parse(struct sendmail_options *options, const char *name, const char *const *words, size_t count,
                            const char **recipients, struct buffer *fault);
/* Is this program called by one of the names? */
bool sendmail_is_name(const char *name);

#endif
