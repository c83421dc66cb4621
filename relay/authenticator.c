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
#define WAITING_MAX 200
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
    struct list waiting; /* of checks */
    size_t running, count;
    void (*idle)(void *owner);
    void *owner;
};

enum check_state { CHECK_DECIDED, CHECK_WAITING, CHECK_RUNNING };
struct authenticator_check {
    struct authenticator *authenticator;
    struct authentication *authentication; /* NULL: cancelled */
    enum check_state state;
    enum authentication_result result;
    struct list_node node; /* while it waits */
    struct timer timer;    /* of what is decided at once */
    struct job job;
    struct tls_password stored;
    uint32_t iterations;
    bool is_known, matches;
    enum err err;
    struct slice place, name, pair, password; /* in bytes: where from, who, both */
    char bytes[];
};

static struct authenticator_check *check_new(struct authenticator *authenticator, const struct authentication_request *request);
static void check_free(struct authenticator_check *check);
static bool is_decided(struct authenticator_check *check, const struct users *users);
static void refund(struct authenticator_check *check);
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
    list_init(&authenticator->waiting);
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

enum err authentication_start(struct authenticator *authenticator, struct authentication *authentication,
                              const struct authentication_request *request)
{
    assert(authentication->done != NULL && authentication->check == NULL);
    struct authenticator_check *check = check_new(authenticator, request);
    if (check == NULL)
        return ERR_MEMORY;
    authentication->wait_ms = 0;
    authentication->check = check;
    check->authentication = authentication;
    if (is_decided(check, request->users)) {
        timer_start(&check->timer, 0, on_decided);
        return ERR_NONE;
    }
    check->state = CHECK_WAITING;
    if (check->is_known)
        list_add_first(&authenticator->waiting, &check->node);
    else
        list_add_last(&authenticator->waiting, &check->node);
    run_waiting(authenticator);
    return ERR_NONE;
}

void authentication_cancel(struct authentication *authentication)
{
    struct authenticator_check *check = authentication->check;
    if (check == NULL)
        return;
    authentication->check = NULL;
    check->authentication = NULL;
    if (check->state == CHECK_RUNNING)
        return;
    if (check->state == CHECK_WAITING) {
        list_remove(&check->authenticator->waiting, &check->node);
        refund(check);
    }
    timer_cancel(&check->timer);
    check_free(check);
}

/* ---- what needs no computing ---- */

static int64_t wait_ms(const struct authenticator_check *check)
{
    const struct authenticator *authenticator = check->authenticator;
    int64_t now_ms = clock_monotonic_ms();
    if (check->is_known)
        return throttle_wait_ms(&authenticator->pairs, check->pair, now_ms);
    int64_t by_place_ms = throttle_wait_ms(&authenticator->addresses, check->place, now_ms);
    int64_t by_name_ms = throttle_wait_ms(&authenticator->names, check->name, now_ms);
    return by_place_ms > by_name_ms ? by_place_ms : by_name_ms;
}

static bool charge(struct authenticator_check *check)
{
    struct authenticator *authenticator = check->authenticator;
    int64_t now_ms = clock_monotonic_ms();
    if (check->is_known)
        return throttle_charge(&authenticator->pairs, check->pair, now_ms);
    return throttle_charge(&authenticator->addresses, check->place, now_ms) &&
           throttle_charge(&authenticator->names, check->name, now_ms);
}

static void refund(struct authenticator_check *check)
{
    struct authenticator *authenticator = check->authenticator;
    if (check->is_known) {
        throttle_refund(&authenticator->pairs, check->pair);
        return;
    }
    throttle_refund(&authenticator->addresses, check->place);
    throttle_refund(&authenticator->names, check->name);
}

/* It was this password here before. A guess is never compared so while its kind has to wait. */
static bool is_known_password(const struct authenticator_check *check, struct known *known)
{
    struct tls_password_mark mark;
    if (tls_password_mark(check->authenticator->mark_key, &check->stored, check->password, &mark) != ERR_NONE ||
        !tls_password_mark_equal(&mark, &known->mark))
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
    check->state = CHECK_DECIDED;
    check->authentication->wait_ms = wait_ms(check);
    if (check->authentication->wait_ms > 0)
        check->result = AUTHENTICATION_WAIT;
    else if (known != NULL && is_known_password(check, known))
        check->result = AUTHENTICATION_YES;
    else if (authenticator->waiting.count >= WAITING_MAX || !charge(check))
        check->result = AUTHENTICATION_BUSY;
    else
        return false;
    return true;
}

static void on_decided(struct timer *timer)
{
    tell(LIST_OF(timer, struct authenticator_check, timer));
}

static void tell(struct authenticator_check *check)
{
    struct authentication *authentication = check->authentication;
    enum authentication_result result = check->result;
    if (authentication != NULL)
        authentication->check = NULL;
    check_free(check);
    if (authentication != NULL)
        authentication->done(authentication, result);
}

/* ---- the computing ---- */

static void run_waiting(struct authenticator *authenticator)
{
    while (authenticator->running < RUNNING_MAX && !list_is_empty(&authenticator->waiting)) {
        struct authenticator_check *check =
            LIST_OF(list_take_first(&authenticator->waiting), struct authenticator_check, node);
        check->state = CHECK_RUNNING;
        authenticator->running++;
        job_start(&check->job, work, work_done);
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
    authenticator->running--;
    bool is_right = check->err == ERR_NONE && check->matches;
    check->result = is_right                  ? AUTHENTICATION_YES
                    : check->err == ERR_NONE ? AUTHENTICATION_NO
                                             : AUTHENTICATION_BUSY;
    refund(check);
    if (check->result == AUTHENTICATION_NO)
        (void)charge(check); /* anew: the wait begins with the answer. Its place is there, so it needs no memory */
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
    struct tls_password_mark mark;
    if (authenticator->known == NULL)
        authenticator->known = calloc(KNOWN_COUNT, sizeof *authenticator->known);
    if (authenticator->known == NULL ||
        tls_password_mark(authenticator->mark_key, &check->stored, check->password, &mark) != ERR_NONE)
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
    *place = (struct known){.tag = tag, .used_ms = clock_monotonic_ms(), .mark = mark};
}
