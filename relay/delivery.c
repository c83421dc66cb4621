#include "relay/delivery_internal.h"

#include "base/text.h"
#include "relay/hop.h"
#include "relay/schedule.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_MAX (4u << 20)
#define IDLE_MS 2000

static bool load_work(struct delivery *delivery);
static bool enter_hop(struct delivery *delivery);
static void begin_soon(struct delivery *delivery);
static void begin_work(struct delivery *delivery);
static void give_back_work(struct delivery *delivery);
static void record_work(struct delivery *delivery, const struct trouble_facts *trouble);
static void after_work(struct delivery *delivery);
static void become_idle(struct delivery *delivery);
static void leave_idle(struct delivery *delivery);
static int64_t next_attempt_ms(const struct delivery *delivery, bool whole);

bool delivery_start(struct relay *relay, struct destination *destination)
{
    struct delivery *delivery = calloc(1, sizeof *delivery);
    if (delivery == NULL)
        return false;
    delivery->relay = relay;
    delivery->destination = destination;
    delivery->arena = arena_new(ARENA_MAX);
    delivery->route_arena = arena_new(ARENA_MAX);
    if (delivery->arena == NULL || delivery->route_arena == NULL || !delivery_next_work(delivery)) {
        arena_free(&delivery->arena);
        arena_free(&delivery->route_arena);
        free(delivery);
        return false;
    }
    list_add_last(&destination->deliveries, &delivery->node);
    begin_soon(delivery);
    return true;
}

struct delivery *delivery_of(struct list_node *node)
{
    return LIST_OF(node, struct delivery, node);
}

struct delivery *delivery_of_idle(struct list_node *node)
{
    return LIST_OF(node, struct delivery, idle_node);
}

struct delivery *delivery_of_place(struct place *place)
{
    return LIST_OF(place, struct delivery, place);
}

void delivery_has_place(struct delivery *delivery)
{
    delivery_find_hosts(delivery);
}

/* ---- work ---- */

/* Takes entries until one can be read. One that was deleted meanwhile is nobody's; a damaged one stays marked as in flight, so
 * that it is not met again and again until the operator has looked at it. */
bool delivery_next_work(struct delivery *delivery)
{
    assert(!delivery->has_work);
    while (destination_take(delivery->destination, &delivery->pick, delivery->hop, &delivery->turn_count)) {
        if (load_work(delivery) && enter_hop(delivery))
            return true;
    }
    return false;
}

/* False: the way of this message is full now, or its rate is used up; others of the destination may go another one. */
static bool enter_hop(struct delivery *delivery)
{
    struct destination *destination = delivery->destination;
    struct hop *hop = hop_of_message(destination->schedule, destination->name, delivery->message.sender);
    if (hop_enter(hop, &delivery->hop))
        return true;
    delivery->has_work = false;
    hop_park(hop, destination, &delivery->pick);
    return false;
}

struct hop *delivery_hop(const struct delivery *delivery)
{
    return delivery->hop;
}

static bool load_work(struct delivery *delivery)
{
    const struct queue_pick *pick = &delivery->pick;
    arena_reset(delivery->arena);
    enum err err = queue_entry_get(delivery->relay->queue, pick->id, pick->number, delivery->arena, &delivery->entry);
    if (err == ERR_NONE)
        err = queue_message_get(delivery->relay->queue, pick->id, delivery->arena, &delivery->message);
    if (err == ERR_NONE && !queue_entry_is_finished(&delivery->entry) && !delivery->entry.held) {
        why_init(&delivery->why, delivery->arena);
        memset(delivery->decided, 0, sizeof delivery->decided);
        delivery->worst = delivery->told = (struct trouble_facts){0};
        delivery->any_policy = false;
        delivery->upstream_wait_ms = 0;
        delivery->asked_again = 0;
        delivery->asking_ms = clock_monotonic_ms();
        delivery->overtaken_count = 0;
        delivery->spent_count = 0;
        memset(&delivery->tls, 0, sizeof delivery->tls);
        delivery->has_renewed = delivery->has_retried_fresh = delivery->would_defer_said = false;
        delivery->has_work = true;
        return true;
    }
    if (err == ERR_NONE || err == ERR_NOT_FOUND) {
        destination_release(delivery->destination, pick->id, pick->number);
        return false;
    }
    struct log_line line;
    char id[QUEUE_ID_TEXT];
    if (log_open(&line, delivery->relay->log, LOG_ERROR, "unreadable")) {
        log_text(&line, "id", queue_id_print(pick->id, id));
        log_string(&line, "error", err_text(err));
        log_string(&line, "advice", err == ERR_CORRUPT ? "run `sternpost queue check`; this entry is left alone until the relay is started again"
                                                       : "it is tried again in a moment");
        log_close(&line);
    }
    if (err != ERR_CORRUPT) {
        destination_release(delivery->destination, pick->id, pick->number);
        destination_pause(delivery->destination);
    }
    return false;
}

static void on_begin(struct timer *timer)
{
    begin_work(LIST_OF(timer, struct delivery, timer));
}

/* In a turn of the loop of its own: a long row of entries that fail at once must not become a deep recursion. */
static void begin_soon(struct delivery *delivery)
{
    delivery->state = DELIVERY_FINDING_HOSTS;
    timer_start(&delivery->timer, 0, on_begin);
}

static void begin_work(struct delivery *delivery)
{
    if (delivery_waits_for_upstream(delivery))
        return;
    if (delivery_is_connected(delivery) && delivery_may_reuse(delivery) && delivery_same_demand(delivery) &&
        delivery_policy_is_current(delivery)) {
        why_add(&delivery->why, "connect", delivery_host(delivery), "over an open connection");
        (void)delivery_send(delivery);
        return;
    }
    if (delivery_is_connected(delivery))
        delivery_hang_up(delivery);
    delivery_find_policy(delivery);
}

/* The attempt ends without an outcome (the relay stops): the entry stays as it is stored. */
static void give_back_work(struct delivery *delivery)
{
    if (!delivery->has_work)
        return;
    delivery->has_work = false;
    destination_release(delivery->destination, delivery->pick.id, delivery->pick.number);
}

/* ---- what went wrong ---- */

struct slice delivery_host(const struct delivery *delivery)
{
    if (delivery->host_index >= delivery->route.host_count)
        return SLICE_EMPTY;
    return delivery->route.hosts[delivery->host_index].name;
}

struct slice delivery_address(const struct delivery *delivery, char out[48])
{
    if (delivery->address_index >= delivery->addresses.count)
        return SLICE_EMPTY;
    return ip_print(&delivery->addresses.items[delivery->address_index], out);
}

/* The texts of the facts are views of what will be gone soon: copied into the work's arena. */
static void keep_facts(struct delivery *delivery, struct trouble_facts *where, const struct trouble_facts *facts)
{
    struct trouble_facts kept = *facts;
    struct slice *texts[] = {&kept.host, &kept.address, &kept.domain, &kept.detail, &kept.reply.text};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (!arena_slice(delivery->arena, slice_to(*texts[i], 1024), texts[i]))
            *texts[i] = SLICE_EMPTY;
    }
    *where = kept;
}

void delivery_trouble(struct delivery *delivery, const struct trouble_facts *facts)
{
    struct buffer text;
    buffer_init(&text, 2048);
    verdict_print(facts, &text);
    why_add(&delivery->why, verdict_of(facts).reason, facts->host, "%.*s", SLICE_ARGS(buffer_slice(&text)));
    buffer_free(&text);
    if (verdict_is_policy_matter(facts))
        delivery->any_policy = true;
    if (verdict_is_more_telling(facts, &delivery->worst))
        keep_facts(delivery, &delivery->worst, facts);
}

/* ---- outcomes ---- */

/* "550 5.1.1 no such user", in one line and harmless. */
static void print_answer(const struct smtp_reply *reply, struct buffer *text)
{
    char status[16];
    struct slice printed = smtp_status_print(reply->status, status);
    if (reply->code == 0)
        return;
    buffer_print(text, "%u %.*s%s", reply->code, SLICE_ARGS(printed), printed.length > 0 ? " " : "");
    text_clean(text, reply->text, 500);
}

static void set_outcome(struct delivery *delivery, struct queue_recipient *recipient, const struct trouble_facts *facts)
{
    struct verdict verdict = verdict_of(facts);
    struct buffer text;
    buffer_init(&text, 2048);
    if (facts->trouble == TROUBLE_REPLY)
        print_answer(&facts->reply, &text);
    else
        verdict_print(facts, &text);
    recipient->code = verdict.code;
    memcpy(recipient->dsn, verdict.dsn, sizeof recipient->dsn);
    if (verdict.kind == VERDICT_FAIL)
        recipient->status = QUEUE_FAILED;
    if (!arena_slice(delivery->arena, buffer_slice(&text), &recipient->text))
        recipient->text = SLICE_EMPTY;
    /* The host is named where it spoke, or where its silence is the trouble; not for lookups. */
    if (!arena_slice(delivery->arena, facts->address.length > 0 ? facts->host : SLICE_EMPTY, &recipient->host))
        recipient->host = SLICE_EMPTY;
    buffer_free(&text);
}

static void set_delivered(struct delivery *delivery, struct queue_recipient *recipient, const struct smtp_reply *reply)
{
    struct buffer text;
    buffer_init(&text, 2048);
    print_answer(reply, &text);
    recipient->status = QUEUE_DELIVERED;
    recipient->code = (uint16_t)reply->code;
    recipient->dsn[0] = 2;
    recipient->dsn[1] = (uint8_t)reply->status.subject;
    recipient->dsn[2] = (uint8_t)reply->status.detail;
    if (!arena_slice(delivery->arena, buffer_slice(&text), &recipient->text))
        recipient->text = SLICE_EMPTY;
    buffer_free(&text);
    if (!arena_slice(delivery->arena, delivery_host(delivery), &recipient->host))
        recipient->host = SLICE_EMPTY;
}

void delivery_decide(struct delivery *delivery, size_t recipient, const struct trouble_facts *facts)
{
    assert(recipient < delivery->entry.recipient_count && !delivery->decided[recipient]);
    delivery->decided[recipient] = true;
    if (facts->trouble == TROUBLE_NONE) {
        set_delivered(delivery, &delivery->entry.recipients[recipient], &facts->reply);
        return;
    }
    /* What makes mail wait is told before what has ended. */
    bool waits = verdict_of(facts).kind == VERDICT_DEFER;
    if (delivery->told.trouble == TROUBLE_NONE || (waits && verdict_of(&delivery->told).kind == VERDICT_FAIL))
        keep_facts(delivery, &delivery->told, facts);
    set_outcome(delivery, &delivery->entry.recipients[recipient], facts);
}

static void apply_worst(struct delivery *delivery)
{
    struct trouble_facts worst = delivery->worst;
    for (size_t i = 0; i < delivery->entry.recipient_count; i++) {
        if (delivery->entry.recipients[i].status == QUEUE_PENDING && !delivery->decided[i])
            delivery_decide(delivery, i, &worst);
    }
}

static void fail_destination(struct delivery *delivery, int64_t next_ms)
{
    const struct trouble_facts *worst = &delivery->worst;
    struct buffer text;
    buffer_init(&text, 2048);
    verdict_print(worst, &text);
    struct destination_failure failure = {
        .reason = slice_of(verdict_of(worst).reason),
        .text = buffer_slice(&text),
        .why = delivery->entry.why,
        .next_ms = next_ms,
    };
    destination_failed(delivery->destination, &failure);
    buffer_free(&text);
}

/* No host is left to try. Where one of them failed the enforced policy, there may be a newer one, under which it would not (RFC
 * 8461 5.1): it is looked for once. Then the most telling trouble decides. */
void delivery_conclude(struct delivery *delivery)
{
    if (delivery->worst.trouble == TROUBLE_NONE)
        delivery->worst = (struct trouble_facts){.trouble = TROUBLE_INTERNAL};
    if (delivery_lacks_names(delivery) && delivery_asks_again(delivery))
        return;
    if (delivery->any_policy && delivery->demand.by_policy && !delivery->has_renewed && delivery_renew_policy(delivery))
        return;
    apply_worst(delivery);
    struct verdict verdict = verdict_of(&delivery->worst);
    bool whole = verdict.kind == VERDICT_DEFER && verdict.scope == VERDICT_DESTINATION;
    record_work(delivery, &delivery->worst);
    if (whole)
        fail_destination(delivery, delivery->entry.due_ms);
    after_work(delivery);
}

void delivery_conclude_transaction(struct delivery *delivery)
{
    delivery->transaction_count++;
    if (delivery_is_connected(delivery))
        destination_got_through(delivery->destination, &delivery->is_through);
    record_work(delivery, delivery->told.trouble == TROUBLE_NONE ? NULL : &delivery->told);
    after_work(delivery);
}

/* A destination that fails as a whole waits by its own count, so that new mail for it joins the wait. */
static int64_t next_attempt_ms(const struct delivery *delivery, bool whole)
{
    int64_t now_ms = clock_wall_ms();
    int64_t pause_ms = delivery->upstream_wait_ms;
    int64_t next_ms;
    if (pause_ms > 0)
        next_ms = now_ms + pause_ms + (int64_t)dice_below((uint64_t)pause_ms / 5 + 1);
    else if (whole)
        next_ms = destination_next_ms(delivery->destination);
    else
        next_ms = queue_backoff_next_ms(&delivery->relay->config->retry, delivery->entry.attempts, now_ms,
                                        (uint32_t)dice_below((uint64_t)UINT32_MAX + 1));
    int64_t end_ms = steady_wall_ms(&delivery->relay->steady, delivery->message.arrival_ms + delivery->relay->config->expire_ms);
    return next_ms > end_ms && end_ms > now_ms ? end_ms : next_ms;
}

static void print_why(struct delivery *delivery, const struct trouble_facts *trouble)
{
    struct why_end end = {
        .trouble = trouble,
        .attempted_ms = delivery->entry.last_attempt_ms,
        .since_ms = delivery->entry.first_attempt_ms,
        .next_ms = delivery->entry.due_ms,
        .attempts = delivery->entry.attempts,
    };
    struct buffer text;
    buffer_init(&text, 65536);
    why_print(&delivery->why, &end, &text);
    if (!arena_slice(delivery->arena, buffer_slice(&text), &delivery->entry.why))
        delivery->entry.why = SLICE_EMPTY;
    buffer_free(&text);
}

static void record_work(struct delivery *delivery, const struct trouble_facts *trouble)
{
    struct queue_entry *entry = &delivery->entry;
    int64_t now_ms = clock_wall_ms();
    entry->attempts++;
    entry->last_attempt_ms = now_ms;
    if (entry->first_attempt_ms == 0)
        entry->first_attempt_ms = steady_now_ms(&delivery->relay->steady);
    struct buffer advice;
    buffer_init(&advice, 1024);
    bool is_whole = trouble != NULL && verdict_of(trouble).scope == VERDICT_DESTINATION;
    if (trouble != NULL) {
        entry->due_ms = next_attempt_ms(delivery, is_whole);
        entry->reason = slice_of(verdict_of(trouble).reason);
        print_why(delivery, trouble);
        verdict_advice(trouble, &advice);
    }
    const struct demand *demand = &delivery->demand;
    delivery_note_tls(delivery);
    char address[48];
    struct record_context context = {
        .host = delivery_host(delivery),
        .address = delivery_address(delivery, address),
        .tls_version = slice_of(delivery->tls.version),
        .tls_problem = delivery->without_tls ? slice_of(delivery->tls_problem) : SLICE_EMPTY,
        .secured = delivery->tls.secured,
        .verified = delivery->tls.verified,
        .reports_deliveries = delivery->host_has_dsn,
        .policy_mode = slice_of(demand->has_policy ? sts_mode_name(demand->policy.mode) : ""),
        .policy_id = demand->has_policy ? demand->policy_id : SLICE_EMPTY,
    };
    struct record_request request = {
        .message = &delivery->message,
        .entry = entry,
        .destination = delivery->destination,
        .decided = delivery->decided,
        .context = &context,
        .trouble = trouble,
        .advice = buffer_slice(&advice),
        .waiting = is_whole ? destination_waiting(delivery->destination) : 0,
    };
    delivery->has_work = false;
    record_outcome(delivery->relay, &request);
    buffer_free(&advice);
}

/* ---- the next work, or the end ---- */

static void after_work(struct delivery *delivery)
{
    bool is_connected = delivery_is_connected(delivery);
    if (!is_connected && delivery->destination->deliveries.count > destination_limit(delivery->destination)) {
        delivery_finish(delivery); /* it was one too many: the others do its work */
        return;
    }
    if (!delivery->is_stopping && delivery_next_work(delivery)) {
        if (is_connected)
            begin_work(delivery);
        else
            begin_soon(delivery);
        return;
    }
    if (!delivery->is_stopping && is_connected && delivery_may_reuse(delivery))
        become_idle(delivery);
    else
        delivery_finish(delivery);
}

static void on_idle_timer(struct timer *timer)
{
    struct delivery *delivery = LIST_OF(timer, struct delivery, timer);
    delivery_finish(delivery);
}

static void become_idle(struct delivery *delivery)
{
    delivery->state = DELIVERY_IDLE;
    delivery->destination->idle_count++;
    list_add_last(&delivery->destination->schedule->idles, &delivery->idle_node);
    timer_start(&delivery->timer, IDLE_MS, on_idle_timer);
}

static void leave_idle(struct delivery *delivery)
{
    if (delivery->state != DELIVERY_IDLE)
        return;
    delivery->state = DELIVERY_TALKING;
    delivery->destination->idle_count--;
    list_remove(&delivery->destination->schedule->idles, &delivery->idle_node);
    timer_cancel(&delivery->timer);
}

bool delivery_is_idle(const struct delivery *delivery)
{
    return delivery->state == DELIVERY_IDLE;
}

void delivery_wake(struct delivery *delivery)
{
    assert(delivery_is_idle(delivery));
    leave_idle(delivery);
    delivery->turn_count = 0;
    if (delivery_next_work(delivery))
        begin_work(delivery);
    else
        become_idle(delivery);
}

void delivery_reload(struct delivery *delivery)
{
    bool is_under_way = delivery->state == DELIVERY_CONNECTING || delivery->state == DELIVERY_TALKING;
    bool may_have_it = delivery->client != NULL && smtp_client_is_in_doubt(delivery->client);
    if (!delivery->has_work || may_have_it)
        return;
    const struct destination *destination = delivery->destination;
    bool has_place = hop_of_message(destination->schedule, destination->name, delivery->message.sender) == delivery->hop;
    if (!has_place || (is_under_way && !delivery_same_route(delivery)))
        delivery_finish(delivery);
}

/* The answer to a message that has left as a whole, perhaps in one flight with its envelope, is worth waiting for: without it the
 * message would go out twice. */
void delivery_stop(struct delivery *delivery)
{
    delivery->is_stopping = true;
    if (delivery->state == DELIVERY_TALKING && delivery->client != NULL && smtp_client_is_in_doubt(delivery->client))
        return;
    delivery_finish(delivery);
}

void delivery_abort(struct delivery *delivery)
{
    delivery_finish(delivery);
}

void delivery_finish(struct delivery *delivery)
{
    struct destination *destination = delivery->destination;
    leave_idle(delivery);
    delivery_cancel_finding(delivery);
    timer_cancel(&delivery->timer);
    delivery_hang_up(delivery);
    list_remove(&destination->deliveries, &delivery->node);
    delivery->state = DELIVERY_FINISHED;
    place_drop(destination->schedule, &delivery->place);
    hop_leave(destination->schedule, &delivery->hop);
    give_back_work(delivery);
    arena_free(&delivery->arena);
    arena_free(&delivery->route_arena);
    free(delivery);
    schedule_ended(destination->schedule, destination);
}
