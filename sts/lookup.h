/* Finding the policy that applies to one Policy Domain: RFC 8461 3 and 5.1 as a machine. It asks for the TXT record and
 * for the HTTPS body, is fed the answers, and ends with a result. It does no I/O and has no clock.
 *
 *   sts_lookup_start(&lookup, &request);
 *   for (;;) switch (sts_lookup_next(&lookup)) {
 *       case STS_LOOKUP_TXT:   query _mta-sts.DOMAIN, then sts_lookup_txt(...)
 *       case STS_LOOKUP_HTTPS: fetch, then sts_lookup_body(...) or sts_lookup_fetch_failed(...)
 *       case STS_LOOKUP_DONE:  sts_lookup_result(...); store the entry when result.store says so
 *   }
 */
#ifndef STS_LOOKUP_H
#define STS_LOOKUP_H

#include "sts/cache.h"

enum sts_lookup_step { STS_LOOKUP_TXT, STS_LOOKUP_HTTPS, STS_LOOKUP_DONE };

/* Why the machine was started. REFRESH and RENEW differ from DELIVERY only where there is a policy. */
enum sts_lookup_purpose {
    STS_LOOKUP_DELIVERY, /* a delivery attempt wants to know: cache, TXT, HTTPS only when the id is new */
    STS_LOOKUP_REFRESH,  /* in the background: HTTPS whatever the TXT record says or lacks (RFC 8461 10.2) */
    STS_LOOKUP_RENEW,    /* no host passed the policy: HTTPS although the id is the same (RFC 8461 5.1 step 3), also for one
                            that binds after its expiry ([sts] expired-floor), but once in 5 minutes a domain */
};

enum sts_txt_status {
    STS_TXT_FOUND,   /* texts */
    STS_TXT_NONE,    /* NXDOMAIN or no data: authoritative */
    STS_TXT_FAILED,  /* SERVFAIL, time-out, bogus: nothing is known */
};

/* What was decided, and why: the words that logs, `explain` and the why-record use. */
#define STS_SOURCE_LIST(X)                                                                                             \
    X(NONE, "none")                 /* no policy is known and none is published: as RFC 8461 says for no policy */     \
    X(FRESH, "fresh")               /* fetched just now */                                                             \
    X(CACHED, "cached")             /* in the cache and confirmed by the TXT record's id */                            \
    X(KEPT, "kept")                 /* in the cache; what should have confirmed or replaced it failed or is gone */    \
    X(UNAVAILABLE, "unavailable")   /* a record is published but its policy could not be had, and none is cached: goes \
                                       on as for no policy (RFC 8461 3.3), logged and counted */                       \
    X(UNKNOWN, "unknown")           /* the TXT lookup failed and nothing is cached: the caller defers for a while */   \
    X(UNREADABLE, "unreadable")     /* what is known could not be read, or memory or turns were short: the caller      \
                                       defers for as long as that lasts */
enum sts_source {
#define X(name, text) STS_SOURCE_##name,
    STS_SOURCE_LIST(X)
#undef X
};
const char *sts_source_name(enum sts_source source);

struct sts_lookup_request {
    struct slice domain;       /* canonical; lives as long as the lookup */
    enum sts_lookup_purpose purpose;
    const struct sts_entry *cached; /* NULL: nothing in the cache; its slices live as long as the result */
    bool is_damaged;           /* there is something in the cache that nobody can read: a policy may bind. cached is NULL */
    int64_t now_ms;            /* wall clock */
    struct arena *arena;       /* of the caller: what is new in the result lives in it; 256 KiB are room enough */
};
struct sts_lookup_result {
    enum sts_source source;
    bool has_policy;            /* entry.policy applies now (its mode may be any) */
    struct sts_entry entry;     /* as it is now; refresh_ms 0: plan the next refresh. A policy that expired stays in it */
    bool store;                 /* the entry changed and belongs in the cache (used_ms alone: once an hour) */
    bool changed;               /* another policy than before came */
    bool weakened;              /* changed from enforce to testing or none */
    bool fetch_failed;          /* HTTPS was tried and failed, or the body is invalid */
    bool record_gone;           /* live policy, but no usable TXT record now */
    struct slice why;           /* a sentence on what failed or was decided; empty when all went well */
    struct slice record_id;     /* the TXT record's id as seen now; empty when none */
};
struct sts_lookup {
    struct sts_lookup_request request;
    enum sts_lookup_step step;
    struct sts_record record; /* id empty: no usable TXT record */
    struct sts_lookup_result result;
};

void sts_lookup_start(struct sts_lookup *lookup, const struct sts_lookup_request *request);
enum sts_lookup_step sts_lookup_next(const struct sts_lookup *lookup);
/* detail: what failed, for status FAILED ("SERVFAIL from 127.0.0.1"). */
void sts_lookup_txt(struct sts_lookup *lookup, enum sts_txt_status status, const struct slice *texts, size_t count,
                    struct slice detail);
void sts_lookup_body(struct sts_lookup *lookup, struct slice body);
void sts_lookup_fetch_failed(struct sts_lookup *lookup, struct slice why);
/* Ends it where it is, for a reason of our own: nothing was learned, and nothing is held against the domain. */
void sts_lookup_give_up(struct sts_lookup *lookup, struct slice why);
const struct sts_lookup_result *sts_lookup_result(const struct sts_lookup *lookup);

#endif
