/* The cache entry of one Policy Domain and what may be decided from it: RFC 8461 3.3 and 5.1, 10.2. Entries are values;
 * storing them is somebody else's work. */
#ifndef STS_CACHE_H
#define STS_CACHE_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/err.h"
#include "sts/policy.h"

#define STS_BODY_KEPT_MAX 2048u /* of a policy's text; what it says is kept whole */

/* How far an administrator's exemption goes down. */
#define STS_EXEMPT_LEVEL_LIST(X)                                                                                       \
    X(ANY_HOST, "any-host") /* any MX host, over TLS with a certificate that proves its name */                        \
    X(ENCRYPT, "encrypt")   /* any MX host, over TLS with any certificate */                                           \
    X(PLAIN, "plain")       /* as if there were no policy: TLS where it is offered, else plaintext */
enum sts_exempt_level {
#define X(name, text) STS_EXEMPT_##name,
    STS_EXEMPT_LEVEL_LIST(X)
#undef X
};
const char *sts_exempt_level_name(enum sts_exempt_level level);
bool sts_exempt_level_parse(struct slice name, enum sts_exempt_level *level);

/* A domain's entry: the policy last fetched (if any), and the last failure (if any). Times are wall clock ms; 0: never. */
struct sts_entry {
    bool has_policy;
    struct sts_policy policy;
    struct slice body;           /* the policy as fetched, as far as it is kept: for showing it */
    uint32_t body_size;          /* of all of it; 0: not known */
    char id[STS_ID_MAX + 1];     /* of the TXT record under which it was fetched */
    int64_t fetched_ms;          /* last HTTPS success; the policy expires max_age after that, whatever else happens */
    uint32_t fetch_count;        /* successes in a row, each less than five minutes after the one before */
    int64_t first_fetched_ms;    /* of this unbroken series of policies */
    int64_t used_ms;             /* last time that mail asked for it */
    char failed_id[STS_ID_MAX + 1]; /* version id whose fetch failed last; empty: none */
    int64_t failed_ms;           /* when */
    int64_t failing_since_ms;    /* first failure of the present series */
    uint32_t failure_count;
    struct slice failure;        /* a sentence */
    bool record_gone;            /* the TXT record was gone at the last look, although the policy is still in force */
    int64_t refresh_ms;          /* when to refresh next, unpredictable to others; 0: not planned */
    bool is_lapse_told;          /* that an enforced policy ran out has been told */
    bool is_overdue_told;        /* that its refresh is overdue has been told */
    int64_t exempt_until_ms;     /* an administrator's exemption; 0: none */
    enum sts_exempt_level exempt_level;
    struct slice exempt_reason;
};

int64_t sts_entry_expires_ms(const struct sts_entry *entry);              /* 0 without policy */
/* Has a policy that has not expired. One fetched in the future (the clock stepped back) counts as fetched now: it is not
 * dead at once, and the next lookup writes that down, so that it does not live for ever. */
bool sts_entry_is_live(const struct sts_entry *entry, int64_t now_ms);
/* May a fetch of this version id be tried now? Not within 5 minutes after its last failure; another id may, at once, but not
 * after the third failure in a row. Nor may any after the third success within minutes (a max_age of seconds, a record that is
 * forged anew at each look). A clock that stepped back never blocks for
 * longer than 5 minutes. */
bool sts_entry_may_fetch(const struct sts_entry *entry, struct slice id, int64_t now_ms);
/* May a policy whose id did not change be fetched again because every host failed it? Once in 5 minutes a domain. */
bool sts_entry_may_renew(const struct sts_entry *entry, int64_t now_ms);
/* Its policy was fetched less than 5 minutes ago, whether it is live or not. */
bool sts_entry_is_young(const struct sts_entry *entry, int64_t now_ms);
bool sts_entry_is_exempt(const struct sts_entry *entry, int64_t now_ms);
/* An enforced policy is in force, but half of the time in which its refresh was still to succeed is over. */
bool sts_entry_is_overdue(const struct sts_entry *entry, int64_t now_ms);
/* An enforced policy was in force and is over, by its time alone. Not one that lasts for minutes only: its domain wants that. */
bool sts_entry_has_lapsed(const struct sts_entry *entry, int64_t now_ms);

/* The part of a policy's text that an entry keeps: whole lines. */
struct slice sts_entry_cut_body(struct slice body);
/* Stored form: versioned, with a checksum: what the policy says, and the beginning of its text. The form of releases before, with the
 * whole text instead, is read as well. Decoding copies into the arena. ERR_CORRUPT: nobody knows what it said; a policy may bind.
 * ERR_MEMORY: the entry is good, keep it and try later. */
void sts_entry_encode(const struct sts_entry *entry, struct buffer *out);
MUST_CHECK enum err sts_entry_decode(struct slice bytes, struct arena *arena, struct sts_entry *entry);

/* The next refresh (RFC 8461 10.2): 18 to 30 hours after a success, but at the latest half-way to expiry, at a point that
 * dice (uniform 0..2^32-1) choose; after failures 5, 10, 20 minutes and so on up to four hours, lengthened by 0-50 % and
 * faster as expiry nears; never sooner than 5 minutes. 0: none is due before the policy expires, or there is none. */
int64_t sts_entry_next_refresh_ms(const struct sts_entry *entry, int64_t now_ms, uint32_t dice);

#endif
