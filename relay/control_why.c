/* `queue why`: what is known of each entry of a message, and of its destination where that is what waits. */
#include "relay/control_filter.h"

#include "relay/hop.h"
#include "relay/schedule.h"

#define ENTRIES_PER_STEP 16
#define RECIPIENTS_TOLD 20
#define DELAY_MAX 1024

struct asking {
    struct control_filter filter;
    struct queue_listing listing;
    bool is_over;
    uint64_t id;      /* of the entry met last; 0: none */
    uint16_t number;
    size_t told;
};

static void start(struct control_session *session);
static void step(struct control_session *session);
static bool visit(void *owner, const struct queue_message *message, const struct queue_entry *entry);
static enum err tell(struct control_session *session, const struct asking *asking);

const struct control_command control_queue_why = {
    .name = "queue why", .state_size = sizeof(struct asking), .start = start, .step = step};

static void start(struct control_session *session)
{
    struct asking *asking = session->own;
    if (!control_filter_read(session, &asking->filter))
        return;
    asking->listing = control_filter_listing(&asking->filter);
    if (asking->filter.id == 0)
        control_fail(session, CONTROL_USAGE, "which message? Its id is wanted");
    else
        control_go_on(session);
}

static enum err step_one(struct control_session *session, struct asking *asking)
{
    arena_reset(session->scratch);
    asking->id = 0;
    asking->listing.limit = 1;
    asking->listing.arena = session->scratch;
    asking->listing.visit = visit;
    asking->listing.owner = asking;
    enum err err = queue_list(session->relay->queue, &asking->listing);
    if (asking->id == 0)
        return asking->is_over ? ERR_END : err;
    enum err told = tell(session, asking);
    asking->told += told == ERR_NONE;
    return told != ERR_NONE && told != ERR_NOT_FOUND ? told : err;
}

static void step(struct control_session *session)
{
    struct asking *asking = session->own;
    char id[QUEUE_ID_TEXT];
    enum err err = ERR_NONE;
    for (size_t i = 0; err == ERR_NONE && i < ENTRIES_PER_STEP; i++)
        err = step_one(session, asking);
    if (err == ERR_NONE)
        control_go_on(session);
    else if (err != ERR_END)
        control_fail(session, CONTROL_IO, "the queue cannot be read: %s", err_text(err));
    else if (asking->told > 0)
        control_done(session, CONTROL_DONE);
    else
        control_fail(session, CONTROL_NO, "%s is not in the queue; queue list --done tells what has ended",
                     queue_id_print(asking->filter.id, id).data);
}

static bool visit(void *owner, const struct queue_message *message, const struct queue_entry *entry)
{
    struct asking *asking = owner;
    asking->is_over = control_filter_is_past(&asking->filter, message);
    if (!asking->is_over) {
        asking->id = entry->id;
        asking->number = entry->number;
    }
    return false;
}

/* ---- one entry ---- */

static void add_recipients(struct json *answer, const struct queue_entry *entry)
{
    struct json *recipients = json_array_new();
    size_t pending = 0;
    for (size_t i = 0; i < entry->recipient_count; i++) {
        if (entry->recipients[i].status != QUEUE_PENDING)
            continue;
        if (pending++ < RECIPIENTS_TOLD)
            json_append_text(recipients, entry->recipients[i].address);
    }
    json_set(answer, "recipients", &recipients);
    json_set_number(answer, "recipient_count", (int64_t)pending);
}

static void add_times(struct json *answer, const struct queue_entry *entry, const struct queue_destination *known,
                      enum control_status status)
{
    json_set_number(answer, "attempts", entry->attempts);
    control_set_time(answer, "first_attempt", entry->first_attempt_ms);
    control_set_time(answer, "last_attempt", entry->last_attempt_ms);
    if (status == CONTROL_STATUS_WAITING || status == CONTROL_STATUS_DEFERRED)
        control_set_time(answer, "next_attempt", known->not_before_ms > entry->due_ms ? known->not_before_ms : entry->due_ms);
}

/* The record of the last attempt, which for a destination that fails as a whole may have been made for another message. */
static void add_record(struct json *answer, const struct queue_entry *entry, const struct queue_destination *known)
{
    struct json *own = NULL;
    struct json *other = NULL;
    if (entry->why.length > 0 && json_parse(entry->why, &own) != ERR_NONE)
        own = NULL;
    if (known->why.length > 0 && json_parse(known->why, &other) != ERR_NONE)
        other = NULL;
    bool is_other = other != NULL &&
                    (own == NULL || json_number(other, "attempted_ms", 0) > json_number(own, "attempted_ms", 0));
    struct json **record = is_other ? &other : &own;
    json_set_flag(answer, "of_destination", is_other);
    if (*record != NULL) {
        json_set_text(answer, "problem", json_text(*record, "problem"));
        json_set_text(answer, "advice", json_text(*record, "advice"));
        json_set(answer, "record", record);
    }
    json_free(&own);
    json_free(&other);
}

/* ---- who or what has its place ---- */

struct waiting {
    const struct queue_entry *entry;
    const struct queue_destination *known;
    const struct destination *destination; /* NULL: nothing of it is in memory */
    const struct hop *hop;                 /* NULL: it goes by MX */
    bool is_parked;                        /* at the hop, for its place alone */
};

static struct waiting waiting_of(const struct control_session *session, const struct queue_entry *entry, struct slice sender)
{
    struct schedule *schedule = session->relay->schedule;
    struct map_node *node = map_get(&schedule->destinations, entry->destination);
    struct waiting waiting = {
        .entry = entry,
        .destination = node == NULL ? NULL : LIST_OF(node, struct destination, node),
        .hop = hop_of_message(schedule, entry->destination, sender),
    };
    waiting.is_parked = hop_has_parked(waiting.hop, entry->id, entry->number);
    return waiting;
}

/* All that its own domain may have are in use. */
static bool has_all_connections(const struct config *config, const struct destination *destination)
{
    return destination->idle_count == 0 && destination->deliveries.count > 0 &&
           destination->deliveries.count >= config_limits_find(config, destination->name).connections;
}

/* Of an entry that is due: the limit that holds it back, by the name of its key. */
static void print_limit(const struct control_session *session, const struct waiting *waiting, struct buffer *out)
{
    const struct destination *destination = waiting->destination;
    const struct hop *hop = waiting->hop;
    if (destination != NULL && destination->pace_next_ms > clock_monotonic_ms())
        buffer_print(out, "for its turn: the rate of its destination ([destination] rate) holds it back");
    else if (hop_is_paced(hop))
        buffer_print(out, "for its turn: the rate of its next hop %s ([route] rate, else [destination] rate) holds it back",
                     hop->name);
    else if (!hop_has_place(hop))
        buffer_print(out,
                     "for a connection to its next hop %s: all that it may have, %u ([route] connections, else [destination] "
                     "connections, else [delivery] per-destination), are in use",
                     hop->name, hop->connections_max);
    else if (!schedule_has_room(session->relay->schedule))
        buffer_print(out, "for a connection: all ([delivery] connections-max) are in use");
    else if (destination != NULL && has_all_connections(session->relay->config, destination))
        buffer_print(out, "for a connection: all that its destination may have ([destination] connections, else [delivery] "
                          "per-destination) are in use");
    else
        buffer_print(out, "for its turn, which is due");
}

static void print_delay(const struct control_session *session, const struct waiting *waiting, struct buffer *out)
{
    int64_t now_ms = clock_wall_ms();
    if (waiting->known->not_before_ms > now_ms)
        buffer_print(out, "for the next attempt of its destination, which failed as a whole");
    else if (waiting->entry->due_ms > now_ms)
        buffer_print(out, "for its next attempt");
    else
        print_limit(session, waiting, out);
}

static void add_delay(struct json *answer, const struct control_session *session, const struct waiting *waiting)
{
    struct buffer text;
    buffer_init(&text, DELAY_MAX);
    print_delay(session, waiting, &text);
    json_set_text(answer, "delay", buffer_slice(&text));
    buffer_free(&text);
}

static enum err tell(struct control_session *session, const struct asking *asking)
{
    struct queue *queue = session->relay->queue;
    struct queue_message message;
    struct queue_entry entry;
    struct queue_destination known = {0};
    enum err err = queue_entry_get(queue, asking->id, asking->number, session->scratch, &entry);
    if (err == ERR_NONE)
        err = queue_message_get(queue, asking->id, session->scratch, &message);
    if (err != ERR_NONE)
        return err;
    if (queue_destination_get(queue, entry.destination, session->scratch, &known) != ERR_NONE)
        known = (struct queue_destination){0};
    enum control_status status = control_status_of(session->relay, &entry);
    struct waiting waiting = waiting_of(session, &entry, message.sender);
    waiting.known = &known;
    struct json *answer = json_object_new();
    control_set_id(answer, "id", entry.id);
    json_set_text(answer, "sender", message.sender);
    control_set_time(answer, "arrived", message.arrival_ms);
    control_set_time(answer, "expires", message.arrival_ms + session->relay->config->expire_ms);
    json_set_text(answer, "destination", entry.destination);
    json_set_string(answer, "status", control_status_name(status));
    add_recipients(answer, &entry);
    add_times(answer, &entry, &known, status);
    if (known.failures > 0) {
        json_set_number(answer, "destination_failures", known.failures);
        control_set_time(answer, "destination_failing_since", known.failing_since_ms);
    }
    if (status == CONTROL_STATUS_WAITING || status == CONTROL_STATUS_DEFERRED || waiting.is_parked)
        add_delay(answer, session, &waiting);
    add_record(answer, &entry, &known);
    control_answer(session, &answer);
    return ERR_NONE;
}
