/* Addresses that could just not be connected to, by whatever message or destination: they are passed over for a moment,
 * so that not everybody who shares one waits for it too. A rest lasts no longer than the first waits of [retry]
 * schedule, so that mail whose only host has failed finds the rest over when it is tried again. When a rest is over one
 * delivery finds out, and the others go on passing over until it has. This only ever takes hosts away from an attempt:
 * which may be used at all is the policy's matter. Pure but for its memory, which is bounded: of more addresses than
 * there is room for, those that failed longest ago are forgotten. The clock (monotonic) is the caller's. */
#ifndef RELAY_DEAD_HOSTS_H
#define RELAY_DEAD_HOSTS_H

#include "base/ip.h"
#include "base/list.h"
#include "base/map.h"
#include "queue/backoff.h"
#include "relay/verdict.h"

#define DEAD_HOSTS_MAX 4096
#define DEAD_HOSTS_REST_MAX_MS (5 * 60 * 1000)
#define DEAD_HOSTS_TRIAL_MS 60000 /* so long the others wait for the delivery that finds out */

struct dead_hosts {
    struct map map;   /* by address and port */
    struct list list; /* by their last failure, the oldest first */
};
struct dead_host {
    enum trouble trouble; /* CONNECT, TIMEOUT or LOST */
    enum smtp_client_stage stage;
    struct slice detail;     /* a view: until the next call */
    int64_t age_ms, rest_ms; /* since the failure, until the next try */
};

void dead_hosts_init(struct dead_hosts *hosts, const uint64_t seed[2]);
void dead_hosts_free(struct dead_hosts *hosts);
/* Is it to be passed over? found: how it failed. False: the caller connects, and says what came of it. */
bool dead_hosts_ask(struct dead_hosts *hosts, const struct endpoint *peer, int64_t now_ms, struct dead_host *found);
/* The same without becoming the one that finds out: for whom it only decides about the order. */
bool dead_hosts_rests(const struct dead_hosts *hosts, const struct endpoint *peer, int64_t now_ms);
/* It did not answer. rests: [retry] schedule. True: it was not known to be dead. Without memory it is not remembered.
 */
bool dead_hosts_failed(struct dead_hosts *hosts, const struct endpoint *peer, const struct trouble_facts *facts,
                       const struct queue_schedule *rests, int64_t now_ms);
/* It answered, whatever it said. */
void dead_hosts_answered(struct dead_hosts *hosts, const struct endpoint *peer);
void dead_hosts_forget(struct dead_hosts *hosts); /* all: the operator wants everything to be tried now */

#endif
