/* DNS messages as bytes (RFC 1035, 6891): makes a query, takes an answer apart. Pure: no socket, no clock; the answer
 * is judged as something that anybody may have sent. */
#ifndef RELAY_RESOLVER_WIRE_H
#define RELAY_RESOLVER_WIRE_H

#include "base/arena.h"
#include "base/buffer.h"
#include "relay/host.h"

#define RESOLVER_NAME_MAX 255U
#define RESOLVER_RECORDS_MAX 256U /* of one answer; a host's addresses: RESOLVER_ADDRESSES_MAX */
#define RESOLVER_ADDRESSES_MAX 64U

/* A domain name as on the wire: labels with their lengths, lower case, not compressed, with the root's 0. */
struct resolver_name {
    uint8_t bytes[RESOLVER_NAME_MAX];
    size_t length; /* at least 1 */
};
/* Letters, digits, '-' and '_' only; labels of 1 to 63 bytes, 253 in all. False: there can be no such name. */
bool resolver_name_parse(struct slice text, struct resolver_name *name);
/* Without trailing dot, the root is empty. A byte that no host name has is escaped as \DDD; so are '.' and '\' within a
 * label. False: the arena is full. */
bool resolver_name_print(const struct resolver_name *name, struct arena *arena, struct slice *text);
bool resolver_name_equal(const struct resolver_name *a, const struct resolver_name *b);
/* Puts those letters into upper case whose bit is set: what a forger of answers has to guess as well, since a server
 * repeats the name of the question as it was written. */
#define RESOLVER_CASE_BYTES 32U
void resolver_name_vary(struct resolver_name *name, const uint8_t bits[RESOLVER_CASE_BYTES]);
/* Only bytes that resolver_name_parse() takes: safe in logs, in certificates' checks, as a key. */
bool resolver_name_is_host(const struct resolver_name *name);

struct resolver_question {
    struct resolver_name name;
    enum record_kind kind;
};
uint16_t resolver_kind_number(enum record_kind kind); /* the TYPE */

/* Recursion desired. udp_size: with EDNS and the DO and AD bits (so that the answer has its AD bit, RFC 6840 5.7
 * and 5.8); 0: without. */
void resolver_query_print(struct buffer *out, const struct resolver_question *question, uint16_t id, uint16_t udp_size);

#define RESOLVER_FINDING_LIST(X)                                                                                       \
    X(RECORDS, "records")                                                                                              \
    X(NO_NAME, "no name")     /* NXDOMAIN, of the name or of the end of its chain */                                   \
    X(NO_RECORD, "no record") /* NODATA */                                                                             \
    X(ALIAS, "alias")         /* a CNAME whose target is not in the answer: ask for canonical */                       \
    X(LOOP, "loop")           /* a chain of CNAMEs that does not end */                                                \
    X(TRUNCATED, "truncated") /* ask again over TCP */                                                                 \
    X(REFERRAL, "referral")   /* the server does not resolve for us, it only points elsewhere */                       \
    X(ERROR, "error")         /* code says which */                                                                    \
    X(UNUSABLE, "unusable")   /* records, but none of them is usable: see dropped */                                   \
    X(MALFORMED, "malformed")
enum resolver_finding {
#define X(name, text) RESOLVER_##name,
    RESOLVER_FINDING_LIST(X)
#undef X
};

enum {
    RESOLVER_NOERROR = 0,
    RESOLVER_FORMERR = 1,
    RESOLVER_SERVFAIL = 2,
    RESOLVER_NXDOMAIN = 3,
    RESOLVER_NOTIMP = 4,
    RESOLVER_REFUSED = 5,
    RESOLVER_BADVERS = 16
};

struct resolver_reply {
    enum resolver_finding finding;
    unsigned code;  /* RCODE with its EDNS part */
    int reason;     /* extended DNS error (RFC 8914), -1: none */
    bool secure;    /* AD */
    uint32_t ttl_s; /* smallest of chain and records; of a negative answer by RFC 2308 5, 0 without SOA */
    struct resolver_name canonical; /* the end of the chain of CNAMEs; the question's name when there is none */
    struct resolve_record *records; /* in the arena */
    size_t count;
    size_t dropped; /* records beyond the limits, or naming what is no host name */
};
/* The name of its question is the one that was asked, byte for byte. True also where there is no question in it: a
 * server that could not read the query need not repeat it, and says nothing that is believed. */
bool resolver_reply_echoes(struct slice packet, const struct resolver_name *asked);
/* Never fails: what cannot be read is RESOLVER_MALFORMED. The caller has compared the id. */
void resolver_reply_parse(struct slice packet, const struct resolver_question *question, struct arena *arena,
                          struct resolver_reply *reply);

/* "SERVFAIL"; "DNSSEC Bogus". NULL when it has no name. */
const char *resolver_code_name(unsigned code);
const char *resolver_reason_name(int reason);

#endif
