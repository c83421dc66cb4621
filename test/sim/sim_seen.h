/* Which situations the runs really met. A simulator that never meets one judges nothing about it: over many seeds each class
 * that is expected must have been met. */
#ifndef TEST_SIM_SIM_SEEN_H
#define TEST_SIM_SIM_SEEN_H

#include "base/buffer.h"
#include "test/sim/sim_mx_internal.h"
#include "test/sim/sim_story.h"

/* Name, where it is expected: in the world at large (WORLD), in sieges too (BOTH), in crowds (CROWD) or nowhere (RARE), and what it is. */
#define SIM_SEEN_LIST(X)                                                                                               \
    X(POLICY_LEARNED, BOTH, "a policy was learned")                                                                    \
    X(POLICY_AGAIN, BOTH, "a policy was fetched again")                                                                \
    X(POLICY_REPLACED, BOTH, "a policy was replaced by another")                                                       \
    X(POLICY_WEAKENED, WORLD, "an enforced policy was replaced by one that is not")                                    \
    X(POLICY_ENDED, WORLD, "a policy reached its end")                                                                 \
    X(POLICY_UNWRITTEN, WORLD, "the relay died between a policy and its disk")                                          \
    X(WAIT_ENDED, WORLD, "a policy that kept mail waiting was replaced")                                               \
    X(ENFORCED, BOTH, "an envelope left under an enforced policy")                                                     \
    X(ENFORCED_BETWEEN, RARE, "an envelope left while a successor was on its way to the disk")                         \
    X(FREE_TLS, WORLD, "an envelope left over TLS without a policy")                                                   \
    X(FREE_PLAIN, WORLD, "an envelope left in plaintext")                                                              \
    X(ATTACKED, BOTH, "a connection was the attacker's")                                                               \
    X(ATTACKER_REFUSED, BOTH, "the attacker was connected to and got no envelope")                                     \
    X(FOREIGN_USAGE, BOTH, "a certificate was shown whose issuer is not for TLS servers")                              \
    X(OWN_MX, WORLD, "the only mail host is the relay itself")                                                         \
    X(DENIED_ENFORCED, BOTH, "DNS denied a domain whose policy is in force")                                           \
    X(BOUNCED, BOTH, "mail was reported as failed")                                                                    \
    X(DELAYED, BOTH, "mail was reported as delayed")                                                                   \
    X(REPORTED, BOTH, "a message was reported on as failed")                                                           \
    X(REPORT, BOTH, "a report on failures was made")                                                                   \
    X(GATHERED, BOTH, "one report told of several destinations")                                                       \
    X(OWED, WORLD, "a report was owed when the relay started")                                                         \
    X(CROWD_MUTE, CROWD, "a mute policy host was asked")                                                               \
    X(CROWD_GONE, CROWD, "a policy of the crowd was given up for want of room")                                        \
    X(COPY, BOTH, "a second copy was right")
enum sim_seen {
#define X(name, where, text) SIM_SEEN_##name,
    SIM_SEEN_LIST(X)
#undef X
    /* Behind these the kinds of faults and scenes, and where and how mail hosts are odd. */
    SIM_SEEN_FAULTS,
    SIM_SEEN_SCENES = SIM_SEEN_FAULTS + WORLD_FAULT_KINDS,
    SIM_SEEN_STAGES = SIM_SEEN_SCENES + SIM_SCENE_KINDS,
    SIM_SEEN_ODDITIES = SIM_SEEN_STAGES + STAGE_NOWHERE,
    SIM_SEEN_MAX = SIM_SEEN_ODDITIES + ODDITY_KINDS
};

void sim_saw(size_t what); /* enum sim_seen, plus the kind */
uint64_t sim_seen_count(size_t what);
/* False: a class was never met that is to be met; they are named in out. */
bool sim_seen_all(struct buffer *out);
void sim_seen_print(struct buffer *out); /* all classes and how often they were met */

#endif
