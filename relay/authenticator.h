/* Is it the password of this user? Checks run as jobs, a few at a time, since each computes for a fraction of a second; what was right
 * once is known again at once, and the same asked several times at once is computed once. Only a wrong password counts, and only when
 * that is known: whoever asks beside it waits for his turn. Who got it wrong too often is refused for a while, by address; a name that
 * was guessed at from many places is looked at more slowly (by seconds), but never refused, or anybody could lock a user out. From an
 * address where a user got it right only that user's own failures there count, so that an application locks out none beside it.
 * Unknown names cost the same as known ones. */
#ifndef RELAY_AUTHENTICATOR_H
#define RELAY_AUTHENTICATOR_H

#include "base/ip.h"
#include "base/list.h"
#include "relay/users.h"

struct authenticator;
struct authenticator_check;

enum authentication_result {
    AUTHENTICATION_YES,
    AUTHENTICATION_NO,
    AUTHENTICATION_WAIT, /* not even looked at: too many failures from there; wait_ms says how long */
    AUTHENTICATION_BUSY, /* too many others are being checked, or no memory for it */
};
/* Embedded in its owner; zeroed: nothing is under way. */
struct authentication {
    void (*done)(struct authentication *authentication, enum authentication_result result); /* never inside the start */
    int64_t wait_ms;
    struct authenticator_check *check;
    struct list_node node; /* the authenticator's */
};
struct authentication_request {
    const struct users *users;   /* looked at during the start only */
    struct slice name, password; /* copied, and wiped in the end */
    struct ip client;            /* IP_NONE: of this machine */
};

struct authenticator *authenticator_new(void (*idle)(void *owner), void *owner); /* idle: nothing is under way any more */
void authenticator_free(struct authenticator **authenticator); /* when idle */
bool authenticator_is_idle(const struct authenticator *authenticator);
/* ERR_MEMORY: done() will not be called. */
MUST_CHECK enum err authentication_start(struct authenticator *authenticator, struct authentication *authentication,
                                         const struct authentication_request *request);
/* Has anybody logged in from there before, as far as is remembered? */
bool authenticator_knows(const struct authenticator *authenticator, const struct ip *client);
/* No call of done() any more. What has not begun is as if never asked; what runs goes on and counts. */
void authentication_cancel(struct authentication *authentication);

#endif
