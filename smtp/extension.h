/* SMTP service extensions: the keywords of an EHLO reply, as a set of bits and the SIZE and AUTH values. */
#ifndef SMTP_EXTENSION_H
#define SMTP_EXTENSION_H

#include "base/slice.h"

#define SMTP_EXTENSION_LIST(X)                                                                                         \
    X(PIPELINING, 0) X(SIZE, 1) X(8BITMIME, 2) X(ENHANCEDSTATUSCODES, 3) X(STARTTLS, 4) X(AUTH, 5) X(DSN, 6)            \
    X(SMTPUTF8, 7) X(CHUNKING, 8) X(REQUIRETLS, 9) X(LIMITS, 10)

enum smtp_extension {
#define X(name, bit) SMTP_EXTENSION_##name = 1 << bit,
    SMTP_EXTENSION_LIST(X)
#undef X
};
enum smtp_auth_mechanism { SMTP_AUTH_PLAIN = 1, SMTP_AUTH_LOGIN = 2, SMTP_AUTH_CRAM_MD5 = 4 };

struct smtp_extensions {
    unsigned set;      /* of enum smtp_extension */
    uint64_t size_max; /* bytes; 0: no limit was stated */
    unsigned auth;     /* set of enum smtp_auth_mechanism */
    char auth_names[96]; /* all that it offers, also what is unknown here, for people: "CRAM-MD5 XOAUTH2"; cut where it is longer */
};

/* Adds what one line of an EHLO reply (without code) says; unknown keywords are nothing. "AUTH=LOGIN" counts too. */
void smtp_extension_add(struct smtp_extensions *extensions, struct slice line);

#endif
