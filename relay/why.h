/* The why-record: the chain of lookups, decisions and contacts of one delivery attempt, gathered while it runs and stored with a
 * deferral as JSON, so that the operator can ask later why mail waits. */
#ifndef RELAY_WHY_H
#define RELAY_WHY_H

#include "base/arena.h"
#include "relay/finder.h"
#include "relay/host.h"
#include "relay/verdict.h"

#define WHY_STEPS_MAX 32

struct why_step {
    const char *what; /* "policy", "mx", "route", "address", "connect", "tls"; of a trouble the word of its reason */
    struct slice subject;
    struct slice result;
};
struct why {
    struct arena *arena;
    struct why_step steps[WHY_STEPS_MAX];
    size_t count, dropped;
    struct slice policy_source, policy_id, policy_mode;
    int64_t policy_age_ms; /* -1: no policy */
};
void why_init(struct why *why, struct arena *arena);
void why_add(struct why *why, const char *what, struct slice subject, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void why_policy(struct why *why, struct slice domain, const struct finding *finding, int64_t now_ms);
/* The policy has expired and binds this message all the same ([sts] expired-floor). */
void why_floor(struct why *why, struct slice domain, const struct sts_entry *expired, int64_t now_ms);
struct why_end {
    const struct trouble_facts *trouble;
    int64_t attempted_ms, since_ms, next_ms;
    uint32_t attempts;
};
/* The JSON text, at most some 8 KiB. */
void why_print(const struct why *why, const struct why_end *end, struct buffer *out);

#endif
