/* An MTA-STS policy: RFC 8461 3.2, parsed exactly, with the tolerances that cannot change its meaning. */
#ifndef STS_POLICY_H
#define STS_POLICY_H

#include "base/arena.h"
#include "sts/record.h"

#define STS_POLICY_SIZE_MAX 65536
#define STS_MAX_AGE_S 31557600u
#define STS_MX_MAX 1024

#define STS_MODE_LIST(X) X(NONE, "none") X(TESTING, "testing") X(ENFORCE, "enforce")
enum sts_mode {
#define X(name, text) STS_MODE_##name,
    STS_MODE_LIST(X)
#undef X
};
const char *sts_mode_name(enum sts_mode mode);

struct sts_policy {
    enum sts_mode mode;
    uint32_t max_age_s; /* capped */
    const struct slice *mx; /* lower case, without trailing dot, as the policy wrote them otherwise */
    size_t mx_count;
    unsigned warnings; /* set of 1 << enum sts_warning */
};
struct sts_fault {
    size_t line;     /* counted from 1; 0: the whole */
    const char *why; /* static sentence */
    bool out_of_memory; /* the policy is not to blame */
};

/* Everything of the policy lives in the arena. False: invalid (fault says where and why) or out of memory. */
bool sts_policy_parse(struct slice body, struct arena *arena, struct sts_policy *policy, struct sts_fault *fault);
/* The same demands: mode, max_age and patterns in their order. */
bool sts_policy_equal(const struct sts_policy *a, const struct sts_policy *b);
/* Deep, into the arena. False: out of memory. */
bool sts_policy_copy(const struct sts_policy *policy, struct arena *arena, struct sts_policy *copy);
/* Does one of the mx patterns admit the MX host (RFC 8461 4.1)? "*" is exactly one leftmost label. The host may carry a
 * trailing dot and any case. An address never matches. */
bool sts_policy_admits(const struct sts_policy *policy, struct slice host);
bool sts_pattern_admits(struct slice pattern, struct slice host);

#endif
