/* What the administrator does to the queue: `queue flush`, `hold`, `release` and `delete`. The entries meant are changed so many
 * at a time, each marked as in flight from the moment it is read until its change is on disk, so that no delivery's outcome is
 * overwritten; one that is being delivered right now is left alone and counted. */
#include "relay/control_filter.h"

#include "relay/gathering.h"
#include "relay/hop.h"
#include "relay/schedule.h"
#include "relay/upstream.h"

#include <string.h>

#define BATCH_MAX 64

#define CHANGE_LIST(X)                                                                                                 \
    X(FLUSH, "queue flush", "flushed")                                                                                 \
    X(HOLD, "queue hold", "held")                                                                                      \
    X(RELEASE, "queue release", "released")                                                                            \
    X(DELETE, "queue delete", "deleted")
enum change_kind {
#define X(name, command, event) CHANGE_##name,
    CHANGE_LIST(X)
#undef X
};

struct change {
    enum change_kind kind;
    struct control_filter filter;
    struct queue_listing listing;
    bool is_over;
    uint64_t last_id; /* the message counted last */
    size_t changed, unchanged, active, held; /* messages, and entries of the other kinds */
    /* The batch under way. */
    uint64_t ids[BATCH_MAX];
    uint16_t numbers[BATCH_MAX];
    size_t found;
    struct queue_entry entries[BATCH_MAX];
    struct destination *destinations[BATCH_MAX]; /* of the entries */
    size_t count;
    struct destination *resets[BATCH_MAX]; /* whose back-off is forgotten */
    struct queue_destination forgotten[BATCH_MAX];
    size_t reset_count;
    struct queue_change changes[2 * BATCH_MAX];
    size_t change_count;
};

static void start_flush(struct control_session *session);
static void start_hold(struct control_session *session);
static void start_release(struct control_session *session);
static void start_delete(struct control_session *session);
static void start(struct control_session *session, enum change_kind kind);
static void delete_message(struct control_session *session);
static void step(struct control_session *session);
static bool visit(void *owner, const struct queue_message *message, const struct queue_entry *entry);
static void take(struct control_session *session, struct change *change, size_t index);
static bool apply(struct change *change, struct queue_entry *entry);
static void forget_back_off(struct change *change, struct destination *destination);
static void batch_written(struct control_session *session, enum err err);
static void finish(struct control_session *session, const struct change *change);

const struct control_command control_queue_flush = {
    .name = "queue flush", .state_size = sizeof(struct change), .start = start_flush, .step = step, .is_public = true};
const struct control_command control_queue_hold = {
    .name = "queue hold", .state_size = sizeof(struct change), .start = start_hold, .step = step};
const struct control_command control_queue_release = {
    .name = "queue release", .state_size = sizeof(struct change), .start = start_release, .step = step};
const struct control_command control_queue_delete = {
    .name = "queue delete", .state_size = sizeof(struct change), .start = start_delete, .step = step};

static const char *event_of(enum change_kind kind)
{
    static const char *const events[] = {
#define X(name, command, event) event,
        CHANGE_LIST(X)
#undef X
    };
    return events[kind];
}

static void start_flush(struct control_session *session)
{
    start(session, CHANGE_FLUSH);
}

static void start_hold(struct control_session *session)
{
    start(session, CHANGE_HOLD);
}

static void start_release(struct control_session *session)
{
    start(session, CHANGE_RELEASE);
}

static void start_delete(struct control_session *session)
{
    start(session, CHANGE_DELETE);
}

static bool is_of_one_message(const struct control_filter *filter)
{
    struct control_filter rest = *filter;
    rest.id = 0;
    return filter->id != 0 && control_filter_is_empty(&rest);
}

static void start(struct control_session *session, enum change_kind kind)
{
    struct change *change = session->own;
    change->kind = kind;
    if (!control_filter_read(session, &change->filter))
        return;
    change->listing = control_filter_listing(&change->filter);
    if (kind == CHANGE_FLUSH && session->sees_all) {
        dead_hosts_forget(&session->relay->dead_hosts);
        upstream_try_now(session->relay);
    }
    hop_unpark_all(session->relay->schedule); /* what waits for its route is not being delivered: it may be changed */
    bool says_all = kind == CHANGE_FLUSH || json_flag(session->request, "all", false);
    if (control_filter_is_empty(&change->filter) && !says_all)
        control_fail(session, CONTROL_USAGE, "which messages? An id, a filter, or --all");
    else if (kind == CHANGE_DELETE && is_of_one_message(&change->filter))
        delete_message(session);
    else
        control_go_on(session);
}

static void log_message(struct control_session *session, const struct change *change, uint64_t message_id)
{
    struct log_line line;
    char id[QUEUE_ID_TEXT];
    if (!control_log(session, &line, event_of(change->kind)))
        return;
    log_text(&line, "id", queue_id_print(message_id, id));
    log_close(&line);
}

/* ---- batches ---- */

static void step(struct control_session *session)
{
    struct change *change = session->own;
    arena_reset(session->scratch);
    change->found = change->count = change->reset_count = change->change_count = 0;
    change->listing.limit = BATCH_MAX;
    change->listing.arena = session->scratch;
    change->listing.visit = visit;
    change->listing.owner = session;
    enum err err = change->is_over ? ERR_END : queue_list(session->relay->queue, &change->listing);
    change->is_over = change->is_over || err == ERR_END;
    if (err != ERR_NONE && err != ERR_END) {
        control_fail(session, CONTROL_IO, "the queue cannot be read: %s", err_text(err));
        return;
    }
    arena_reset(session->scratch);
    for (size_t i = 0; i < change->found; i++)
        take(session, change, i);
    if (change->change_count > 0)
        control_submit(session, change->changes, change->change_count, batch_written);
    else if (change->is_over)
        finish(session, change);
    else
        control_go_on(session);
}

static bool visit(void *owner, const struct queue_message *message, const struct queue_entry *entry)
{
    struct control_session *session = owner;
    struct change *change = session->own;
    change->is_over = control_filter_is_past(&change->filter, message);
    if (!change->is_over && control_filter_admits(&change->filter, session->relay, message, entry)) {
        change->ids[change->found] = entry->id;
        change->numbers[change->found++] = entry->number;
    }
    return !change->is_over;
}

/* What has failed of a message whose rest is deleted is told now: the report is made of the message. */
static enum err tell_gathered(struct relay *relay, uint64_t id)
{
    return gathering_count(relay->gathering, id, NULL) > 0 ? record_gathered(relay, id) : ERR_NONE;
}

/* Reads the entry once more, now that it may be marked; between the two nothing else has run. */
static void take(struct control_session *session, struct change *change, size_t index)
{
    struct queue_entry *entry = &change->entries[change->count];
    uint64_t id = change->ids[index];
    enum err err = queue_entry_get(session->relay->queue, id, change->numbers[index], session->scratch, entry);
    if (err != ERR_NONE)
        return; /* it has ended meanwhile */
    struct destination *destination = schedule_destination(session->relay->schedule, entry->destination);
    if (destination == NULL || !destination_fly(destination, id, entry->number)) {
        change->active++;
        return;
    }
    /* A user who flushes his own mail does not decide how often a destination is bothered. */
    if (change->kind == CHANGE_FLUSH && !entry->held && session->sees_all)
        forget_back_off(change, destination);
    err = change->kind == CHANGE_DELETE ? tell_gathered(session->relay, id) : ERR_NONE;
    change->active += err != ERR_NONE;
    if (err != ERR_NONE || !apply(change, entry)) {
        destination_release(destination, id, entry->number);
        return;
    }
    change->changes[change->change_count++] = (struct queue_change){
        .kind = QUEUE_CHANGE_UPDATE,
        .id = id,
        .number = entry->number,
        .entries = entry,
        .entry_count = 1,
        .now_ms = clock_wall_ms(),
    };
    change->destinations[change->count++] = destination;
}

static void count_message(struct change *change, uint64_t id)
{
    change->changed += change->last_id != id;
    change->last_id = id;
}

static void delete_recipients(const struct control_filter *filter, struct queue_entry *entry)
{
    for (size_t i = 0; i < entry->recipient_count; i++) {
        struct queue_recipient *recipient = &entry->recipients[i];
        if (recipient->status == QUEUE_PENDING && control_filter_admits_recipient(filter, recipient))
            recipient->status = QUEUE_DELETED;
    }
}

/* False: it is as it should be already, or is not to be touched. */
static bool apply(struct change *change, struct queue_entry *entry)
{
    int64_t now_ms = clock_wall_ms();
    bool is_held = entry->held;
    switch (change->kind) {
    case CHANGE_FLUSH:
        change->held += is_held;
        if (is_held)
            return false;
        count_message(change, entry->id);
        if (entry->due_ms <= now_ms)
            return false;
        entry->due_ms = now_ms;
        return true;
    case CHANGE_HOLD:
        entry->held = true;
        break;
    case CHANGE_RELEASE:
        entry->held = false;
        entry->due_ms = now_ms;
        break;
    case CHANGE_DELETE:
        delete_recipients(&change->filter, entry);
        count_message(change, entry->id);
        return true;
    }
    if (entry->held == is_held)
        change->unchanged++;
    else
        count_message(change, entry->id);
    return entry->held != is_held;
}

static void forget_back_off(struct change *change, struct destination *destination)
{
    if (destination->not_before_ms == 0 && destination->failures == 0)
        return;
    destination->not_before_ms = 0;
    destination->failures = 0;
    destination->failing_since_ms = 0;
    struct queue_destination *forgotten = &change->forgotten[change->reset_count];
    *forgotten = (struct queue_destination){.name = destination->name};
    destination->stores_pending++;
    change->resets[change->reset_count++] = destination;
    change->changes[change->change_count++] =
        (struct queue_change){.kind = QUEUE_CHANGE_DESTINATION, .destination = forgotten};
}

static void batch_written(struct control_session *session, enum err err)
{
    struct change *change = session->own;
    struct schedule *schedule = session->relay->schedule;
    for (size_t i = 0; i < change->count; i++) {
        const struct queue_entry *entry = &change->entries[i];
        destination_release(change->destinations[i], entry->id, entry->number);
        schedule_wake(schedule, change->destinations[i]->name);
        if (err == ERR_NONE && change->kind == CHANGE_DELETE)
            log_message(session, change, entry->id);
    }
    for (size_t i = 0; i < change->reset_count; i++) {
        change->resets[i]->stores_pending--;
        schedule_wake(schedule, change->resets[i]->name);
    }
    if (err != ERR_NONE)
        control_fail(session, CONTROL_IO, "the change could not be stored: %s", err_text(err));
    else if (change->is_over)
        finish(session, change);
    else
        control_go_on(session);
}

static void finish(struct control_session *session, const struct change *change)
{
    struct json *answer = json_object_new();
    bool found_any = change->changed > 0 || change->unchanged > 0;
    json_set_string(answer, "command", control_text(session, "command").data);
    json_set_number(answer, "messages", (int64_t)change->changed);
    json_set_number(answer, "unchanged", (int64_t)change->unchanged);
    json_set_number(answer, "active", (int64_t)change->active);
    json_set_number(answer, "held", (int64_t)change->held);
    control_answer(session, &answer);
    struct log_line line;
    if (change->changed > 0 && change->kind != CHANGE_DELETE && control_log(session, &line, event_of(change->kind))) {
        log_number(&line, "messages", (int64_t)change->changed);
        log_close(&line);
    }
    if (change->listing.damaged_count > 0)
        control_note(session, "%llu records cannot be read and were passed over; see sternpost queue check",
                     (unsigned long long)change->listing.damaged_count);
    bool is_tried = change->kind == CHANGE_FLUSH && change->active > 0;
    bool is_all = control_filter_is_empty(&change->filter);
    if (found_any || is_tried || is_all)
        control_done(session, CONTROL_DONE);
    else if (change->active > 0 || change->held > 0)
        control_done(session, CONTROL_NO);
    else
        control_fail(session, CONTROL_NO, "nothing in the queue is meant by that");
}

/* ---- one message as a whole, whatever it is doing, readable or not ---- */

static void message_deleted(struct control_session *session, enum err err)
{
    struct change *change = session->own;
    if (err != ERR_NONE) {
        control_fail(session, CONTROL_IO, "the message could not be deleted: %s", err_text(err));
        return;
    }
    log_message(session, change, change->filter.id);
    count_message(change, change->filter.id);
    finish(session, change);
}

static void delete_message(struct control_session *session)
{
    struct change *change = session->own;
    struct queue_message message;
    enum err err = queue_message_get(session->relay->queue, change->filter.id, session->scratch, &message);
    if (err == ERR_NOT_FOUND) {
        control_fail(session, CONTROL_NO, "it is not in the queue");
        return;
    }
    err = tell_gathered(session->relay, change->filter.id);
    if (err != ERR_NONE) {
        control_fail(session, CONTROL_IO, "what has failed of it cannot be reported: %s", err_text(err));
        return;
    }
    change->changes[0] =
        (struct queue_change){.kind = QUEUE_CHANGE_DELETE, .id = change->filter.id, .now_ms = clock_wall_ms()};
    control_submit(session, change->changes, 1, message_deleted);
}
