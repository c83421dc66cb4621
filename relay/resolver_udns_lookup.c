/* A lookup: which server is asked next, over what, and what the answers mean together.
 *
 * - WAITING: too many lookups are asking; its turn comes.
 * - ASKING: an exchange is under way, or a short pause before the next.
 * - SETTLED: the status is known without asking; told in the next turn.
 *
 * A server that answers with an error, nonsense or a referral is not asked again by this lookup; one that does not
 * answer is, after the others. All ends with the total timeout.
 *
 * Against forged answers each question has a port of its own, an id, and letters of random case, which the answer has to
 * repeat. Where it does not, or where several packets came that do not match, the question is asked over TCP, which
 * nobody forges from aside. Only there it shows whether the server itself loses the case; else a single forged packet
 * could talk us out of looking at it. */
#include "relay/resolver_udns.h"

#include "base/text.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ASKING_MAX 200U /* each has a socket */
#define ALIASES_MAX 8U  /* CNAMEs followed by further questions; a loop ends there too */
#define PAUSE_MS 1000   /* before a server that refuses is asked again: it may be starting */
#define REFUSALS_MAX 3U
#define MISMATCHES_MAX 3U /* of one server; then its answers come over TCP only */
#define DOWN_MS 30000 /* a server that does not answer comes last for so long */
#define ARENA_MAX ((size_t)512 << 10)

enum lookup_state { LOOKUP_WAITING, LOOKUP_ASKING, LOOKUP_SETTLED };

struct lookup {
    struct list_node node; /* in waiting */
    struct resolve *owner;
    enum lookup_state state;
    struct resolver_servers *servers;
    struct resolver_question question; /* the name changes along a chain of CNAMEs */
    struct resolver_question asked;    /* the same with the name as it is sent */
    struct udp_exchange *udp;
    struct tcp_exchange *tcp;
    struct timer attempt, total;
    struct host_deferred settled;
    size_t server;                        /* that is asked */
    unsigned tries[RESOLVER_SERVERS_MAX]; /* that brought no answer */
    bool is_excluded[RESOLVER_SERVERS_MAX];
    bool is_plain[RESOLVER_SERVERS_MAX]; /* it knows no EDNS */
    unsigned mismatches[RESOLVER_SERVERS_MAX];
    bool has_lost_case; /* what came over UDP had; over TCP it shows who is to blame */
    unsigned alias_count;
    uint32_t ttl_s;
    bool secure;
    enum resolve_status failure; /* what the servers' failures amount to */
    char detail[200];
    size_t detail_length;
    struct arena *arena;
};

static struct list waiting = {.head = {&waiting.head, &waiting.head}};
static size_t asking_count;

static void settle(struct lookup *lookup, enum resolve_status status, const char *detail);
static void begin(struct lookup *lookup);
static void ask_next(struct lookup *lookup);
static bool choose_server(struct lookup *lookup);
static void ask(struct lookup *lookup);
static void vary_case(struct lookup *lookup);
static void ask_udp(struct lookup *lookup);
static void ask_tcp(struct lookup *lookup);
static struct exchange_request request_of(struct lookup *lookup);
static void close_exchange(struct lookup *lookup);
static void on_udp_done(void *owner, struct slice packet);
static bool take_mismatches(struct lookup *lookup);
static void judge_udp(struct lookup *lookup, struct slice packet);
static void on_tcp_done(void *owner, struct slice packet);
static void judge_case(struct lookup *lookup, struct slice packet);
static void fail_tcp(struct lookup *lookup);
static void on_pause_over(struct timer *timer);
static void on_attempt_over(struct timer *timer);
static void on_total_over(struct timer *timer);
static void on_settled(struct host_deferred *deferred);
static void judge(struct lookup *lookup, struct slice packet);
static void judge_error(struct lookup *lookup, const struct resolver_reply *reply);
static void follow_alias(struct lookup *lookup, const struct resolver_reply *reply);
static void exclude(struct lookup *lookup, enum resolve_status failure, const char *what);
static void note_failure(struct lookup *lookup, enum resolve_status failure, const char *what);
static void describe_error(const struct resolver_reply *reply, char text[80]);
static void finish_reply(struct lookup *lookup, const struct resolver_reply *reply, enum resolve_status status);
static void finish_failure(struct lookup *lookup);
static void finish(struct lookup *lookup, struct resolve_answer *answer);
static void start_waiting(void);

struct lookup *lookup_open(struct resolve *owner, const struct resolver_question *question,
                           struct resolver_servers *servers)
{
    struct lookup *lookup = host_allocate(sizeof *lookup);
    lookup->owner = owner;
    lookup->question = *question;
    lookup->ttl_s = UINT32_MAX;
    lookup->secure = true;
    lookup->failure = RESOLVE_NO_SERVER;
    lookup->arena = arena_new(ARENA_MAX);
    if (lookup->arena == NULL) {
        host_give_up("memory");
    }
    if (question->name.length == 0) {
        settle(lookup, RESOLVE_NXDOMAIN, "no domain name can be written like that");
    } else if (servers == NULL || servers->count == 0) {
        settle(lookup, RESOLVE_NO_SERVER, "no name server is configured");
    } else {
        lookup->servers = resolver_servers_take(servers);
        lookup->state = LOOKUP_WAITING;
        list_add_last(&waiting, &lookup->node);
        timer_start(&lookup->total, servers->total_timeout_ms, on_total_over);
        start_waiting();
    }
    return lookup;
}

void lookup_close(struct lookup **lookup)
{
    struct lookup *closing = *lookup;
    if (closing == NULL) {
        return;
    }
    *lookup = NULL;
    close_exchange(closing);
    timer_cancel(&closing->total);
    host_defer_cancel(&closing->settled);
    if (closing->state == LOOKUP_WAITING) {
        list_remove(&waiting, &closing->node);
    }
    asking_count -= closing->state == LOOKUP_ASKING ? 1 : 0;
    resolver_servers_drop(&closing->servers);
    arena_free(&closing->arena);
    free(closing);
    start_waiting();
}

static void start_waiting(void)
{
    while (asking_count < ASKING_MAX && !list_is_empty(&waiting)) {
        begin(LIST_OF(list_take_first(&waiting), struct lookup, node));
    }
}

static void begin(struct lookup *lookup)
{
    lookup->state = LOOKUP_ASKING;
    asking_count++;
    ask_next(lookup);
}

/* For what is known at once: the owner hears of it in the next turn. */
static void settle(struct lookup *lookup, enum resolve_status status, const char *detail)
{
    lookup->state = LOOKUP_SETTLED;
    lookup->failure = status;
    lookup->detail_length = text_print(lookup->detail, sizeof lookup->detail, "%s", detail).length;
    host_defer(&lookup->settled, on_settled);
}

static void on_settled(struct host_deferred *deferred)
{
    finish_failure(LIST_OF(deferred, struct lookup, settled));
}

/* Never ends the lookup within its start: then no server is excluded yet. */
static void ask_next(struct lookup *lookup)
{
    if (choose_server(lookup)) {
        ask(lookup);
    } else {
        finish_failure(lookup);
    }
}

/* The one asked least; of these one that is not known to be down; of these the first. */
static bool choose_server(struct lookup *lookup)
{
    const struct resolver_servers *servers = lookup->servers;
    int64_t now_ms = clock_monotonic_ms();
    size_t best = servers->count;
    unsigned best_cost = UINT32_MAX;
    for (size_t i = 0; i < servers->count; i++) {
        unsigned cost = 2 * lookup->tries[i] + (servers->down_until_ms[i] > now_ms ? 1 : 0);
        if (!lookup->is_excluded[i] && cost < best_cost) {
            best = i;
            best_cost = cost;
        }
    }
    lookup->server = best;
    return best < servers->count;
}

static void ask(struct lookup *lookup)
{
    vary_case(lookup);
    if (lookup->mismatches[lookup->server] < MISMATCHES_MAX) {
        ask_udp(lookup);
    } else {
        ask_tcp(lookup);
    }
}

static void vary_case(struct lookup *lookup)
{
    uint8_t bits[RESOLVER_CASE_BYTES];
    lookup->asked = lookup->question;
    lookup->has_lost_case = false;
    if (!resolver_servers_is_lowered(lookup->servers, lookup->server)) {
        dice_fill(bits, sizeof bits);
        resolver_name_vary(&lookup->asked.name, bits);
    }
}

static void ask_udp(struct lookup *lookup)
{
    close_exchange(lookup);
    struct exchange_request request = request_of(lookup);
    request.done = on_udp_done;
    lookup->udp = udp_exchange_open(&request);
    timer_start(&lookup->attempt, lookup->servers->attempt_timeout_ms, on_attempt_over);
}

static void ask_tcp(struct lookup *lookup)
{
    close_exchange(lookup);
    struct exchange_request request = request_of(lookup);
    request.done = on_tcp_done;
    lookup->tcp = tcp_exchange_open(&request);
    timer_start(&lookup->attempt, lookup->servers->attempt_timeout_ms, on_attempt_over);
}

static struct exchange_request request_of(struct lookup *lookup)
{
    return (struct exchange_request){
        .server = &lookup->servers->endpoints[lookup->server],
        .question = &lookup->asked,
        .use_edns = !lookup->is_plain[lookup->server],
        .mismatches_max = MISMATCHES_MAX - lookup->mismatches[lookup->server],
        .owner = lookup,
    };
}

static void close_exchange(struct lookup *lookup)
{
    udp_exchange_close(&lookup->udp);
    tcp_exchange_close(&lookup->tcp);
    timer_cancel(&lookup->attempt);
}

static void on_udp_done(void *owner, struct slice packet)
{
    struct lookup *lookup = owner;
    if (take_mismatches(lookup)) {
        resolver_servers_saw_mismatches(lookup->servers, lookup->server);
        ask_tcp(lookup);
        return;
    }
    if (packet.length > 0) {
        judge_udp(lookup, packet);
        return;
    }
    close_exchange(lookup);
    lookup->servers->down_until_ms[lookup->server] = clock_monotonic_ms() + DOWN_MS;
    note_failure(lookup, RESOLVE_NO_SERVER, "cannot reach");
    unsigned refusals = ++lookup->tries[lookup->server];
    lookup->is_excluded[lookup->server] = refusals >= REFUSALS_MAX;
    bool is_left = choose_server(lookup);
    if (is_left && lookup->tries[lookup->server] >= refusals) {
        timer_start(&lookup->attempt, PAUSE_MS, on_pause_over);
    } else {
        ask_next(lookup);
    }
}

/* Of the exchange that ends. True: too many by now. */
static bool take_mismatches(struct lookup *lookup)
{
    unsigned *mismatches = &lookup->mismatches[lookup->server];
    *mismatches += lookup->udp != NULL ? udp_exchange_mismatches(lookup->udp) : 0;
    return *mismatches >= MISMATCHES_MAX;
}

static void judge_udp(struct lookup *lookup, struct slice packet)
{
    bool is_varied = !resolver_name_equal(&lookup->asked.name, &lookup->question.name);
    if (!is_varied) {
        judge(lookup, packet); /* by chance, or on purpose */
    } else if (!resolver_reply_echoes(packet, &lookup->asked.name)) {
        lookup->has_lost_case = true;
        ask_tcp(lookup);
    } else {
        resolver_servers_saw_case(lookup->servers, lookup->server, true);
        judge(lookup, packet);
    }
}

static void on_pause_over(struct timer *timer)
{
    ask_next(LIST_OF(timer, struct lookup, attempt));
}

static void on_tcp_done(void *owner, struct slice packet)
{
    struct lookup *lookup = owner;
    if (packet.length == 0) {
        fail_tcp(lookup);
        return;
    }
    if (lookup->has_lost_case) {
        judge_case(lookup, packet);
    }
    judge(lookup, packet);
}

/* The question in the same letters, over a way on which only the server itself can have changed them. */
static void judge_case(struct lookup *lookup, struct slice packet)
{
    if (resolver_reply_echoes(packet, &lookup->asked.name)) {
        resolver_servers_saw_mismatches(lookup->servers, lookup->server);
    } else {
        resolver_servers_saw_case(lookup->servers, lookup->server, false);
    }
}

/* What came over UDP is not believed for that. */
static void fail_tcp(struct lookup *lookup)
{
    if (lookup->mismatches[lookup->server] >= MISMATCHES_MAX) {
        exclude(lookup, RESOLVE_MALFORMED, "answers that do not match, perhaps forged, and no TCP to ask over, from");
    } else if (lookup->has_lost_case) {
        exclude(lookup, RESOLVE_MALFORMED, "an answer to the name in other letters, perhaps forged, and no TCP, from");
    } else {
        exclude(lookup, RESOLVE_TIMEOUT, "the answer needs TCP, which fails with");
    }
}

static void on_attempt_over(struct timer *timer)
{
    struct lookup *lookup = LIST_OF(timer, struct lookup, attempt);
    lookup->tries[lookup->server]++;
    lookup->servers->down_until_ms[lookup->server] = clock_monotonic_ms() + DOWN_MS;
    if (lookup->udp != NULL && udp_exchange_mismatches(lookup->udp) > 0) {
        take_mismatches(lookup);
        note_failure(lookup, RESOLVE_MALFORMED, "malformed answer from");
    } else {
        note_failure(lookup, RESOLVE_TIMEOUT, "no answer from");
    }
    ask_next(lookup);
}

static void on_total_over(struct timer *timer)
{
    struct lookup *lookup = LIST_OF(timer, struct lookup, total);
    if (lookup->state == LOOKUP_WAITING) {
        list_remove(&waiting, &lookup->node);
        settle(lookup, RESOLVE_TIMEOUT, "too many other lookups are waiting for answers");
        return;
    }
    bool is_pausing = lookup->udp == NULL && lookup->tcp == NULL;
    if (!is_pausing) {
        note_failure(lookup, RESOLVE_TIMEOUT, "no answer from");
    }
    finish_failure(lookup);
}

static void judge(struct lookup *lookup, struct slice packet)
{
    struct resolver_reply reply;
    arena_reset(lookup->arena);
    resolver_reply_parse(packet, &lookup->question, lookup->arena, &reply);
    lookup->servers->down_until_ms[lookup->server] = 0;
    switch (reply.finding) {
        case RESOLVER_RECORDS:
            finish_reply(lookup, &reply, RESOLVE_FOUND);
            return;
        case RESOLVER_NO_NAME:
            finish_reply(lookup, &reply, RESOLVE_NXDOMAIN);
            return;
        case RESOLVER_NO_RECORD:
            finish_reply(lookup, &reply, RESOLVE_NODATA);
            return;
        case RESOLVER_ALIAS:
            follow_alias(lookup, &reply);
            return;
        case RESOLVER_TRUNCATED:
            if (lookup->tcp != NULL) {
                exclude(lookup, RESOLVE_MALFORMED, "truncated answer over TCP from");
            } else {
                ask_tcp(lookup);
            }
            return;
        case RESOLVER_LOOP:
            exclude(lookup, RESOLVE_SERVFAIL, "CNAME loop, told by");
            return;
        case RESOLVER_REFERRAL:
            exclude(lookup, RESOLVE_SERVFAIL, "referral instead of an answer from");
            return;
        case RESOLVER_ERROR:
            judge_error(lookup, &reply);
            return;
        case RESOLVER_UNUSABLE:
            /* Not as if there were none: without MX records the mail would go to the domain's own address. */
            exclude(lookup, RESOLVE_MALFORMED, "no usable record in the answer from");
            return;
        case RESOLVER_MALFORMED:
            exclude(lookup, RESOLVE_MALFORMED, "malformed answer from");
            return;
    }
}

/* A server that cannot read the question may know nothing of EDNS: it is asked in the old way, for an answer without
 * the AD bit. */
static void judge_error(struct lookup *lookup, const struct resolver_reply *reply)
{
    bool no_edns = reply->code == RESOLVER_FORMERR || reply->code == RESOLVER_NOTIMP || reply->code == RESOLVER_BADVERS;
    if (no_edns && !lookup->is_plain[lookup->server]) {
        lookup->is_plain[lookup->server] = true;
        ask(lookup);
        return;
    }
    char text[80];
    describe_error(reply, text);
    exclude(lookup, RESOLVE_SERVFAIL, text);
}

static void describe_error(const struct resolver_reply *reply, char text[80])
{
    const char *code = resolver_code_name(reply->code), *reason = resolver_reason_name(reply->reason);
    char number[24];
    text_print(number, sizeof number, "error %u", reply->code);
    const char *name = code != NULL ? code : number;
    text_print(text, 80, reason != NULL ? "%s (%s) from" : "%s from", name, reason);
}

static void follow_alias(struct lookup *lookup, const struct resolver_reply *reply)
{
    lookup->secure = lookup->secure && reply->secure;
    lookup->ttl_s = reply->ttl_s < lookup->ttl_s ? reply->ttl_s : lookup->ttl_s;
    lookup->question.name = reply->canonical;
    if (++lookup->alias_count > ALIASES_MAX) {
        note_failure(lookup, RESOLVE_SERVFAIL, "too long a chain of CNAMEs, or a loop, told by");
        finish_failure(lookup);
        return;
    }
    /* To the same server: it has just answered. */
    ask(lookup);
}

static void exclude(struct lookup *lookup, enum resolve_status failure, const char *what)
{
    lookup->is_excluded[lookup->server] = true;
    note_failure(lookup, failure, what);
    ask_next(lookup);
}

/* Of several failures the one that says most is told: an error of a server that answered before silence. */
static void note_failure(struct lookup *lookup, enum resolve_status failure, const char *what)
{
    static const int weights[] = {
        [RESOLVE_NO_SERVER] = 0, [RESOLVE_TIMEOUT] = 1, [RESOLVE_MALFORMED] = 2, [RESOLVE_SERVFAIL] = 3};
    if (lookup->detail_length > 0 && weights[failure] <= weights[lookup->failure]) {
        return;
    }
    char server[128];
    struct slice text = endpoint_print(&lookup->servers->endpoints[lookup->server], server);
    lookup->failure = failure;
    lookup->detail_length = text_print(lookup->detail, sizeof lookup->detail, "%s %.*s", what, SLICE_ARGS(text)).length;
}

static void finish_reply(struct lookup *lookup, const struct resolver_reply *reply, enum resolve_status status)
{
    struct resolve_answer answer = {
        .status = status,
        .secure = lookup->secure && reply->secure,
        .ttl_s = reply->ttl_s < lookup->ttl_s ? reply->ttl_s : lookup->ttl_s,
        .canonical = SLICE_EMPTY,
        .records = reply->records,
        .count = reply->count,
        .dropped = reply->dropped,
        .detail = SLICE_EMPTY,
    };
    if (!resolver_name_print(&reply->canonical, lookup->arena, &answer.canonical)) {
        exclude(lookup, RESOLVE_MALFORMED, "too large an answer from");
        return;
    }
    finish(lookup, &answer);
}

static void finish_failure(struct lookup *lookup)
{
    struct resolve_answer answer = {
        .status = lookup->failure,
        .canonical = SLICE_EMPTY,
        .detail = slice_make(lookup->detail, lookup->detail_length),
    };
    finish(lookup, &answer);
}

static void finish(struct lookup *lookup, struct resolve_answer *answer)
{
    struct resolve *owner = lookup->owner;
    owner->host = NULL;
    owner->done(owner, answer);
    lookup_close(&lookup);
}
