/* The finder of policies: drives sts_lookup over cache, DNS and HTTPS, once per domain at a time, stores what it learned
 * through the journal, logs what happened, and refreshes in the background. Policy hosts are reached over verified TLS at
 * global addresses only. */
#ifndef RELAY_FINDER_H
#define RELAY_FINDER_H

#include "base/list.h"
#include "sts/lookup.h"

struct relay;
struct finder;

struct finding {
    struct sts_lookup_result result;
    bool exempt;            /* an administrator's exemption is in force: as if there were no policy, logged at each use */
    struct slice exempt_reason;
    enum sts_exempt_level exempt_level;
};
/* done() is called once, never inside finder_start(); the finding lives during the call. */
struct finder_request {
    void (*done)(struct finder_request *request, const struct finding *finding);
    struct list_node node; /* the finder's */
    void *host;
};
struct finder *finder_new(struct relay *relay);
void finder_free(struct finder **finder);
void finder_start(struct finder *finder, struct finder_request *request, struct slice domain, enum sts_lookup_purpose purpose);
void finder_cancel(struct finder *finder, struct finder_request *request);
/* A lookup of this domain is under way. It has read the cache already: what is stored meanwhile may be overwritten by its result. */
bool finder_is_busy(const struct finder *finder, struct slice domain);
/* So many wait for policies that others have to keep their places meanwhile: one lookup that is in their way ends without a result. */
void finder_make_way(struct finder *finder);
void finder_stop(struct finder *finder); /* no further background work */
bool finder_is_idle(const struct finder *finder);
size_t finder_count_mode(const struct finder *finder, enum sts_mode mode);
/* Policies in force (but for mode none) whose refresh fails, and the bytes of the cache: as of the last walk over it. */
size_t finder_count_failing(const struct finder *finder);
size_t finder_count_overdue(const struct finder *finder); /* enforced ones that were not refreshed in time */
uint64_t finder_cache_bytes(const struct finder *finder);
/* For the administrator; done through the journal. */
void finder_forget(struct finder *finder, struct slice domain);
struct finder_exemption {
    int64_t until_ms; /* 0: it ends now */
    struct slice reason;
    enum sts_exempt_level level;
};
/* Not done where what is stored cannot be read: it may be a policy, which would be lost. */
MUST_CHECK enum err finder_exempt(struct finder *finder, struct slice domain, const struct finder_exemption *exemption);

#endif
