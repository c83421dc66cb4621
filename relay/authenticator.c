#include "relay/authenticator.h"

#include "base/list.h"
#include "base/text.h"
#include "relay/host.h"
#include "relay/throttle.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* On a pool that also has handshakes to do. */
#define RUNNING_MAX 2
/* So many may wait, of those who are known where they come from and of all others; and of the others, so many of one place. */
#define WAITING_MAX 200
#define WAITING_OF_PLACE_MAX 50
/* Whose name was guessed at elsewhere waits at most so long: he may be the one whose name it is. */
#define NAME_DELAY_MAX_MS 10000
#define KNOWN_COUNT 1024
#define KNOWN_WAYS 4

/* A user at an address who got it right, and what was right. */
struct known {
    uint64_t tag; /* 0: free */
    int64_t used_ms;
    struct tls_password_mark mark;
};
struct authenticator {
    struct throttle addresses, names, pairs;
    struct known *known; /* NULL until the first success */
    uint64_t places[KNOWN_COUNT]; /* tags of where somebody got it right; 0: free */
    uint64_t known_seed[2];
    uint8_t mark_key[32];
    struct list checks; /* those that wait, in order, and those that run */
    size_t running, count;
    void (*idle)(void *owner);
    void *owner;
};

enum check_state {
    CHECK_DECIDED, /* its askers are told in the loop's next turn */
    CHECK_DELAYED, /* for the sake of its name */
    CHECK_WAITING, /* for its turn */
    CHECK_RUNNING,
    CHECK_TOLD,
};
/* One password of one user from one place, for all who ask the same meanwhile. */
struct authenticator_check {
    struct authenticator *authenticator;
    struct list askers; /* struct authentication; without any it goes on only if it runs */
    enum check_state state;
    enum authentication_result result;
    int64_t wait_ms;
    struct list_node node; /* of checks, until it is decided */
    struct timer timer;    /* of the delay, or of telling what is decided */
    struct job job;
    struct tls_password stored;
    struct tls_password_mark mark;
    uint32_t iterations;
    bool is_known, matches;
    enum err err;
    struct slice place, name, pair, password; /* in bytes: where from, who, both */
    char bytes[];
};

static struct authenticator_check *check_new(struct authenticator *authenticator, const struct authentication_request *request);
static void check_free(struct authenticator_check *check);
static struct authenticator_check *find_equal(const struct authenticator_check *check);
static bool is_decided(struct authenticator_check *check, const struct users *users);
static void decide(struct authenticator_check *check, enum authentication_result result);
static int64_t place_wait_ms(const struct authenticator_check *check);
static int64_t name_delay_ms(const struct authenticator_check *check);
static bool has_room(const struct authenticator_check *check);
static bool must_wait_turn(const struct authenticator_check *check);
static void charge(struct authenticator_check *check);
static void on_delayed(struct timer *timer);
static void run_waiting(struct authenticator *authenticator);
static void work(struct job *job);
static void work_done(struct job *job);
static void on_decided(struct timer *timer);
static void tell(struct authenticator_check *check);
static void note_place(struct authenticator_check *check);
static void note_known(struct authenticator_check *check);
static struct known *find_known(const struct authenticator_check *check);

struct authenticator *authenticator_new(void (*idle)(void *owner), void *owner)
{
    struct authenticator *authenticator = calloc(1, sizeof *authenticator);
    uint64_t seeds[4][2];
    if (authenticator == NULL)
        return NULL;
    dice_fill(seeds, sizeof seeds);
    dice_fill(authenticator->mark_key, sizeof authenticator->mark_key);
    throttle_init(&authenticator->addresses, seeds[0]);
    throttle_init(&authenticator->names, seeds[1]);
    throttle_init(&authenticator->pairs, seeds[2]);
    memcpy(authenticator->known_seed, seeds[3], sizeof seeds[3]);
    list_init(&authenticator->checks);
    authenticator->idle = idle;
    authenticator->owner = owner;
    return authenticator;
}

void authenticator_free(struct authenticator **authenticator)
{
    if (*authenticator == NULL)
        return;
    assert(authenticator_is_idle(*authenticator));
    throttle_free(&(*authenticator)->addresses);
    throttle_free(&(*authenticator)->names);
    throttle_free(&(*authenticator)->pairs);
    free((*authenticator)->known);
    explicit_bzero((*authenticator)->mark_key, sizeof (*authenticator)->mark_key);
    free(*authenticator);
    *authenticator = NULL;
}

bool authenticator_is_idle(const struct authenticator *authenticator)
{
    return authenticator->count == 0;
}

/* ---- a check ---- */

/* Of an IPv6 address the network: whoever has one has 2^64 addresses. */
static size_t write_place(const struct ip *client, char out[9])
{
    size_t size = client->family == IP_V4 ? 4 : client->family == IP_V6 ? 8 : 0;
    out[0] = (char)client->family;
    memcpy(out + 1, client->bytes, size);
    return 1 + size;
}

static struct authenticator_check *check_new(struct authenticator *authenticator, const struct authentication_request *request)
{
    char place[9];
    size_t size = write_place(&request->client, place);
    struct slice name = request->name, password = request->password;
    struct authenticator_check *check = calloc(1, sizeof *check + size + name.length + password.length);
    if (check == NULL)
        return NULL;
    check->authenticator = authenticator;
    list_init(&check->askers);
    memcpy(check->bytes, place, size);
    memcpy(check->bytes + size, name.data, name.length);
    memcpy(check->bytes + size + name.length, password.data, password.length);
    check->place = slice_make(check->bytes, size);
    check->pair = slice_make(check->bytes, size + name.length);
    check->name = slice_from(check->pair, size);
    check->password = slice_make(check->bytes + check->pair.length, password.length);
    authenticator->count++;
    return check;
}

static void check_free(struct authenticator_check *check)
{
    struct authenticator *authenticator = check->authenticator;
    explicit_bzero(check->bytes, check->pair.length + check->password.length);
    free(check);
    if (--authenticator->count == 0)
        authenticator->idle(authenticator->owner);
}

static void ask(struct authenticator_check *check, struct authentication *authentication)
{
    authentication->wait_ms = 0;
    authentication->check = check;
    list_add_last(&check->askers, &authentication->node);
}

enum err authentication_start(struct authenticator *authenticator, struct authentication *authentication,
                              const struct authentication_request *request)
{
    assert(authentication->done != NULL && authentication->check == NULL);
    struct authenticator_check *check = check_new(authenticator, request);
    if (check == NULL)
        return ERR_MEMORY;
    if (is_decided(check, request->users)) {
        ask(check, authentication);
        return ERR_NONE;
    }
    struct authenticator_check *equal = find_equal(check);
    if (equal != NULL) {
        ask(equal, authentication);
        check_free(check);
        return ERR_NONE;
    }
    ask(check, authentication);
    if (!has_room(check)) {
        decide(check, AUTHENTICATION_BUSY);
        return ERR_NONE;
    }
    int64_t delay_ms = check->is_known ? 0 : name_delay_ms(check);
    check->state = delay_ms > 0 ? CHECK_DELAYED : CHECK_WAITING;
    if (delay_ms > 0)
        timer_start(&check->timer, delay_ms, on_delayed);
    if (check->is_known)
        list_add_first(&authenticator->checks, &check->node);
    else
        list_add_last(&authenticator->checks, &check->node);
    run_waiting(authenticator);
    return ERR_NONE;
}

void authentication_cancel(struct authentication *authentication)
{
    struct authenticator_check *check = authentication->check;
    if (check == NULL)
        return;
    authentication->check = NULL;
    list_remove(&check->askers, &authentication->node);
    if (!list_is_empty(&check->askers) || check->state == CHECK_RUNNING || check->state == CHECK_TOLD)
        return;
    if (check->state != CHECK_DECIDED)
        list_remove(&check->authenticator->checks, &check->node);
    timer_cancel(&check->timer);
    check_free(check);
}

/* The same password of the same user from the same place, not decided yet. */
static struct authenticator_check *find_equal(const struct authenticator_check *check)
{
    struct list *checks = &check->authenticator->checks;
    struct list_node *node = list_first(checks);
    for (; node != NULL; node = list_next(checks, node)) {
        struct authenticator_check *other = LIST_OF(node, struct authenticator_check, node);
        if (slice_equal(other->pair, check->pair) && tls_password_mark_equal(&other->mark, &check->mark))
            return other;
    }
    return NULL;
}

/* ---- what needs no computing ---- */

/* Only those who got it wrong are refused, and only where they did: the place, or, where the user is known, that user there. */
static int64_t place_wait_ms(const struct authenticator_check *check)
{
    const struct authenticator *authenticator = check->authenticator;
    int64_t now_ms = clock_monotonic_ms();
    return check->is_known ? throttle_wait_ms(&authenticator->pairs, check->pair, now_ms)
                           : throttle_wait_ms(&authenticator->addresses, check->place, now_ms);
}

/* A name that was guessed at from anywhere is looked at more slowly, but looked at: or anybody could lock out its user. */
static int64_t name_delay_ms(const struct authenticator_check *check)
{
    int64_t wait_ms = throttle_wait_ms(&check->authenticator->names, check->name, clock_monotonic_ms());
    return wait_ms < NAME_DELAY_MAX_MS ? wait_ms : NAME_DELAY_MAX_MS;
}

/* Of a wrong password only, when that is known. The memory was made before. */
static void charge(struct authenticator_check *check)
{
    struct authenticator *authenticator = check->authenticator;
    int64_t now_ms = clock_monotonic_ms();
    if (check->is_known) {
        throttle_charge(&authenticator->pairs, check->pair, now_ms);
        return;
    }
    throttle_charge(&authenticator->addresses, check->place, now_ms);
    throttle_charge(&authenticator->names, check->name, now_ms);
}

static bool can_charge(struct authenticator *authenticator)
{
    return throttle_prepare(&authenticator->addresses) && throttle_prepare(&authenticator->names) &&
           throttle_prepare(&authenticator->pairs);
}

static bool has_room(const struct authenticator_check *check)
{
    struct list *checks = &check->authenticator->checks;
    struct list_node *node = list_first(checks);
    size_t count = 0, of_place = 0;
    for (; node != NULL; node = list_next(checks, node)) {
        const struct authenticator_check *other = LIST_OF(node, struct authenticator_check, node);
        count += other->is_known == check->is_known;
        of_place += !other->is_known && slice_equal(other->place, check->place);
    }
    return count < WAITING_MAX && (check->is_known || of_place < WAITING_OF_PLACE_MAX);
}

/* It was this password here before. A guess is never compared so while its kind has to wait. */
static bool is_known_password(const struct authenticator_check *check, struct known *known)
{
    if (!tls_password_mark_equal(&check->mark, &known->mark))
        return false;
    known->used_ms = clock_monotonic_ms();
    return true;
}

static bool is_decided(struct authenticator_check *check, const struct users *users)
{
    struct authenticator *authenticator = check->authenticator;
    const struct tls_password *stored = users_find(users, check->name);
    struct known *known = stored == NULL ? NULL : find_known(check);
    check->iterations = users_iterations(users);
    check->stored = stored != NULL ? *stored : tls_password_nobody(check->iterations);
    check->is_known = known != NULL;
    check->wait_ms = place_wait_ms(check);
    if (check->wait_ms > 0)
        decide(check, AUTHENTICATION_WAIT);
    else if (!can_charge(authenticator) ||
             tls_password_mark(authenticator->mark_key, &check->stored, check->password, &check->mark) != ERR_NONE)
        decide(check, AUTHENTICATION_BUSY);
    else if (known != NULL && is_known_password(check, known))
        decide(check, AUTHENTICATION_YES);
    else
        return false;
    return true;
}

static void decide(struct authenticator_check *check, enum authentication_result result)
{
    check->state = CHECK_DECIDED;
    check->result = result;
    timer_start(&check->timer, 0, on_decided);
}

static void on_decided(struct timer *timer)
{
    tell(LIST_OF(timer, struct authenticator_check, timer));
}

/* Whoever is told may start the next, or cancel another that is told here. */
static void tell(struct authenticator_check *check)
{
    struct list_node *node;
    check->state = CHECK_TOLD;
    while ((node = list_take_first(&check->askers)) != NULL) {
        struct authentication *authentication = LIST_OF(node, struct authentication, node);
        authentication->check = NULL;
        authentication->wait_ms = check->wait_ms;
        authentication->done(authentication, check->result);
    }
    check_free(check);
}

/* ---- the computing ---- */

static void on_delayed(struct timer *timer)
{
    struct authenticator_check *check = LIST_OF(timer, struct authenticator_check, timer);
    check->state = CHECK_WAITING;
    run_waiting(check->authenticator);
}

/* One password at a time from one place, unless the user is known there: so what the one before costs is known. */
static bool must_wait_turn(const struct authenticator_check *check)
{
    struct list *checks = &check->authenticator->checks;
    struct list_node *node = list_first(checks);
    for (; node != NULL; node = list_next(checks, node)) {
        const struct authenticator_check *other = LIST_OF(node, struct authenticator_check, node);
        bool is_same = check->is_known ? slice_equal(other->pair, check->pair) : slice_equal(other->place, check->place);
        if (other->state == CHECK_RUNNING && other->is_known == check->is_known && is_same)
            return true;
    }
    return false;
}

static void run(struct authenticator_check *check)
{
    struct authenticator *authenticator = check->authenticator;
    check->wait_ms = place_wait_ms(check); /* others from there were wrong meanwhile */
    if (check->wait_ms > 0) {
        list_remove(&authenticator->checks, &check->node);
        decide(check, AUTHENTICATION_WAIT);
        return;
    }
    check->state = CHECK_RUNNING;
    authenticator->running++;
    job_start(&check->job, work, work_done);
}

static void run_waiting(struct authenticator *authenticator)
{
    struct list_node *node = list_first(&authenticator->checks);
    while (node != NULL && authenticator->running < RUNNING_MAX) {
        struct authenticator_check *check = LIST_OF(node, struct authenticator_check, node);
        node = list_next(&authenticator->checks, node);
        if (check->state == CHECK_WAITING && !must_wait_turn(check))
            run(check);
    }
}

static void work(struct job *job)
{
    struct authenticator_check *check = LIST_OF(job, struct authenticator_check, job);
    check->err = tls_password_check(&check->stored, check->password, check->iterations, &check->matches);
}

static void work_done(struct job *job)
{
    struct authenticator_check *check = LIST_OF(job, struct authenticator_check, job);
    struct authenticator *authenticator = check->authenticator;
    list_remove(&authenticator->checks, &check->node);
    authenticator->running--;
    bool is_right = check->err == ERR_NONE && check->matches;
    check->result = is_right                  ? AUTHENTICATION_YES
                    : check->err == ERR_NONE ? AUTHENTICATION_NO
                                             : AUTHENTICATION_BUSY;
    if (check->result == AUTHENTICATION_NO)
        charge(check);
    if (is_right) {
        note_place(check);
        note_known(check);
    }
    run_waiting(authenticator);
    tell(check);
}

/* ---- who got it right, and where ---- */

static uint64_t known_tag(const struct authenticator_check *check)
{
    return text_siphash(check->authenticator->known_seed, check->pair) | 1;
}

static struct known *known_set(const struct authenticator *authenticator, uint64_t tag)
{
    return &authenticator->known[(tag >> 1) % (KNOWN_COUNT / KNOWN_WAYS) * KNOWN_WAYS];
}

static struct known *find_known(const struct authenticator_check *check)
{
    if (check->authenticator->known == NULL)
        return NULL;
    uint64_t tag = known_tag(check);
    struct known *set = known_set(check->authenticator, tag);
    for (size_t i = 0; i < KNOWN_WAYS; i++) {
        if (set[i].tag == tag)
            return &set[i];
    }
    return NULL;
}

static bool knows_place(const struct authenticator *authenticator, uint64_t tag)
{
    const uint64_t *set = &authenticator->places[(tag >> 1) % (KNOWN_COUNT / KNOWN_WAYS) * KNOWN_WAYS];
    for (size_t i = 0; i < KNOWN_WAYS; i++) {
        if (set[i] == tag)
            return true;
    }
    return false;
}

bool authenticator_knows(const struct authenticator *authenticator, const struct ip *client)
{
    char place[9];
    size_t size = write_place(client, place);
    return knows_place(authenticator, text_siphash(authenticator->known_seed, slice_make(place, size)) | 1);
}

static void note_place(struct authenticator_check *check)
{
    struct authenticator *authenticator = check->authenticator;
    uint64_t tag = text_siphash(authenticator->known_seed, check->place) | 1;
    if (knows_place(authenticator, tag))
        return;
    uint64_t *set = &authenticator->places[(tag >> 1) % (KNOWN_COUNT / KNOWN_WAYS) * KNOWN_WAYS];
    size_t way = (size_t)dice_below(KNOWN_WAYS);
    for (size_t i = 0; i < KNOWN_WAYS; i++)
        way = set[i] == 0 ? i : way;
    set[way] = tag;
}

/* Without memory it is not known again, and computed again. */
static void note_known(struct authenticator_check *check)
{
    struct authenticator *authenticator = check->authenticator;
    if (authenticator->known == NULL)
        authenticator->known = calloc(KNOWN_COUNT, sizeof *authenticator->known);
    if (authenticator->known == NULL)
        return;
    uint64_t tag = known_tag(check);
    struct known *set = known_set(authenticator, tag), *place = find_known(check);
    for (size_t i = 0; place == NULL && i < KNOWN_WAYS; i++)
        place = set[i].tag == 0 ? &set[i] : NULL;
    if (place == NULL) {
        place = set;
        for (size_t i = 1; i < KNOWN_WAYS; i++)
            place = set[i].used_ms < place->used_ms ? &set[i] : place;
    }
    *place = (struct known){.tag = tag, .used_ms = clock_monotonic_ms(), .mark = check->mark};
}
