/* What a failure means: the one place that turns the facts of a delivery attempt into an outcome, its enhanced status code, the
 * words for the operator, and what to do about it. Pure. RFC 5321 4.2.1, RFC 3463, RFC 8461 5. */
#ifndef RELAY_VERDICT_H
#define RELAY_VERDICT_H

#include "base/buffer.h"
#include "queue/envelope.h"
#include "smtp/client.h"

/* name, reason word (bounded: metrics, `reason=`), enhanced status (subject, detail), is a matter of the policy. */
#define TROUBLE_LIST(X)                                                                                                \
    X(NONE, "none", 0, 0)                                                                                              \
    X(POLICY_UNKNOWN, "dns", 4, 3)    /* the _mta-sts lookup failed and nothing is cached */                           \
    X(MX_LOOKUP, "dns", 4, 3)         /* temporary */                                                                  \
    X(NO_DOMAIN, "dns", 1, 2)         /* NXDOMAIN: permanent, but not under a policy */                                \
    X(NULL_MX, "dns", 1, 10)          /* the same */                                                                   \
    X(LOOP, "dns", 4, 6)              /* the best MX host is ourselves: the same */                                      \
    X(NOT_ADMITTED, "policy", 7, 0)   /* the policy does not list the host */                                          \
    X(ADDRESS_LOOKUP, "dns", 4, 3)                                                                                     \
    X(NO_ADDRESS, "dns", 4, 4)                                                                                         \
    X(NOT_GLOBAL, "connect", 4, 4)    /* only addresses that are not to be connected to */                             \
    X(CONNECT, "connect", 4, 1)                                                                                        \
    X(TIMEOUT, "connect", 4, 2)                                                                                        \
    X(LOST, "connect", 4, 2)                                                                                           \
    X(GREETING, "reply", 4, 2)        /* greeting or EHLO refused */                                                   \
    X(MALFORMED, "reply", 5, 0)                                                                                        \
    X(NO_STARTTLS, "tls", 7, 5)       /* not offered, refused, or bytes injected behind it */                          \
    X(HANDSHAKE, "tls", 7, 5)         /* failed, or the certificate does not prove the name */                         \
    X(CREDENTIALS, "credentials", 7, 8)     /* the upstream refused our credentials */                                       \
    X(NO_MECHANISM, "credentials", 7, 4)    /* the upstream offers no way to log in that this relay knows */              \
    X(EXPECTS_TLS, "connect", 4, 2)         /* silent on port 465, where TLS begins with the first byte */               \
    X(REPLY, "reply", 0, 0)           /* to MAIL, RCPT, DATA or the content: its own code decides */                   \
    X(NO_UTF8, "reply", 6, 7)         /* the host lacks SMTPUTF8, which the addresses need: permanent */               \
    X(TOO_BIG, "reply", 3, 4)         /* larger than the host's SIZE (RFC 1870): permanent */                          \
    X(STORAGE, "internal", 3, 0)      /* our own queue could not be read */                                            \
    X(INTERNAL, "internal", 3, 0)

enum trouble {
#define X(name, reason, subject, detail) TROUBLE_##name,
    TROUBLE_LIST(X)
#undef X
};

/* One thing that went wrong on the way. Texts live in the attempt's arena. */
struct trouble_facts {
    enum trouble trouble;
    struct slice host;           /* MX host, or what was looked up; empty: none */
    struct slice address;        /* printed, of the connection */
    struct slice domain;         /* whose policy or mail this is about: the Policy Domain; empty: none is known */
    enum smtp_client_stage stage;
    struct smtp_reply reply;     /* code 0: none */
    struct slice detail;         /* what exactly: "SERVFAIL from 127.0.0.1", names in the certificate, ... */
    bool required_tls;           /* TLS was demanded */
    bool by_policy;              /* ... by an enforced policy */
};

enum verdict_kind { VERDICT_DEFER, VERDICT_FAIL };
enum verdict_scope {
    VERDICT_RECIPIENT,   /* this recipient only */
    VERDICT_MESSAGE,     /* this message for this destination */
    VERDICT_DESTINATION, /* everything for this destination waits */
};
struct verdict {
    enum verdict_kind kind;
    enum verdict_scope scope;
    const char *reason; /* word */
    uint16_t code;      /* 0: no reply */
    uint8_t dsn[3];
};
struct verdict verdict_of(const struct trouble_facts *facts);
bool verdict_is_policy_matter(const struct trouble_facts *facts); /* would another policy or certificate cure it? */
/* Where only the reason word of the most telling trouble is known: may one of that attempt have been a policy matter? */
bool verdict_may_hide_policy(struct slice reason);
/* Which of two troubles tells the operator more (the outcome shows the most telling one of all hosts). */
bool verdict_is_more_telling(const struct trouble_facts *a, const struct trouble_facts *b);
/* "mx1.example.com[192.0.2.1] offers no STARTTLS, which the MTA-STS policy of example.com requires" */
void verdict_print(const struct trouble_facts *facts, struct buffer *out);
bool verdict_is_mute(const struct trouble_facts *facts);       /* the host has not said a word */
bool verdict_is_tls_failure(const struct trouble_facts *facts); /* where TLS is not demanded, plaintext is left */
#define VERDICT_NO_NAME "an address cannot be verified, only a host name can"
/* What a host offers that we cannot log in to, by the names of its AUTH. */
#define VERDICT_MECHANISMS_TEXT 200
struct slice verdict_mechanisms(const char *names, char out[VERDICT_MECHANISMS_TEXT]);
/* What it means and what the operator can do, for one who has never heard of MTA-STS; in verdict_advice.c. */
void verdict_advice(const struct trouble_facts *facts, struct buffer *out);

#endif
