/* What is in the queue: `queue list` and `queue show`. */
#include "relay/control_filter.h"

#include "base/text.h"
#include "relay/gathering.h"

#include <string.h>

#define ENTRIES_PER_STEP 64
/* One answer holds no more recipients; a message with more is continued in the next one. */
#define RECIPIENTS_PER_ANSWER 1000

struct lister {
    struct control_filter filter;
    struct queue_listing listing;
    bool is_done; /* what has ended instead of what waits */
    bool is_show; /* of one message, with its header section */
    bool is_over; /* the rest is not asked for */
    struct slice header;
    struct json *message, *recipients; /* being gathered */
    uint64_t message_id;
    size_t message_count;
    size_t limit;   /* of messages; 0: all */
    bool is_cut;    /* there are more */
    /* The entry just read: what is still to be said of it needs a look at its destination. */
    bool has_entry;
    size_t first_recipient;
    int64_t due_ms; /* 0: it does not wait */
    bool is_waiting;
    char destination[QUEUE_NAME_MAX];
    size_t destination_length;
};

static void start_list(struct control_session *session);
static void start_show(struct control_session *session);
static void step_list(struct control_session *session);
static void cancel_list(struct control_session *session);
static bool visit(void *owner, const struct queue_message *message, const struct queue_entry *entry);
static void add_destination(struct control_session *session, struct lister *lister);
static void flush_message(struct control_session *session, struct lister *lister);
static void finish_list(struct control_session *session, struct lister *lister);
static bool load_header(struct control_session *session, struct lister *lister);

const struct control_command control_queue_list = {
    .name = "queue list",
    .state_size = sizeof(struct lister),
    .start = start_list,
    .step = step_list,
    .cancel = cancel_list,
    .is_public = true};
const struct control_command control_queue_show = {
    .name = "queue show", .state_size = sizeof(struct lister), .start = start_show, .step = step_list, .cancel = cancel_list};

static void start_list(struct control_session *session)
{
    struct lister *lister = session->own;
    if (!control_filter_read(session, &lister->filter) || !control_filter_read_limit(session, &lister->limit))
        return;
    lister->is_done = json_flag(session->request, "done", false);
    if (!lister->is_done)
        lister->listing = control_filter_listing(&lister->filter);
    control_go_on(session);
}

static void start_show(struct control_session *session)
{
    struct lister *lister = session->own;
    if (!control_filter_read(session, &lister->filter))
        return;
    if (lister->filter.id == 0) {
        control_fail(session, CONTROL_USAGE, "which message? Its id is wanted");
        return;
    }
    lister->is_show = true;
    lister->listing = control_filter_listing(&lister->filter);
    if (load_header(session, lister))
        control_go_on(session);
}

/* The header section is all in the first chunk, or cut. */
static bool load_header(struct control_session *session, struct lister *lister)
{
    struct queue_message message;
    struct buffer chunk;
    char id[QUEUE_ID_TEXT];
    enum err err = queue_message_get(session->relay->queue, lister->filter.id, session->scratch, &message);
    if (err == ERR_NOT_FOUND) {
        control_fail(session, CONTROL_NO, "%s is not in the queue; queue list --done tells what has ended",
                     queue_id_print(lister->filter.id, id).data);
        return false;
    }
    buffer_init(&chunk, QUEUE_CHUNK_MAX);
    if (err == ERR_NONE)
        err = queue_chunk_get(session->relay->queue, lister->filter.id, 0, &chunk);
    struct slice header = slice_to(buffer_slice(&chunk), err == ERR_NONE ? message.header_length : 0);
    if (!arena_slice(session->arena, header, &lister->header))
        lister->header = SLICE_EMPTY;
    buffer_free(&chunk);
    if (err != ERR_NONE)
        control_note(session, "the content of this message cannot be read: %s", err_text(err));
    return true;
}

static void cancel_list(struct control_session *session)
{
    struct lister *lister = session->own;
    json_free(&lister->recipients);
    json_free(&lister->message);
}

/* ---- one entry after the other ---- */

static enum err list_one(struct control_session *session, struct lister *lister)
{
    arena_reset(session->scratch);
    lister->has_entry = false;
    lister->listing.limit = 1;
    lister->listing.arena = session->scratch;
    lister->listing.visit = visit;
    lister->listing.owner = session;
    struct queue *queue = session->relay->queue;
    enum err err = lister->is_done ? queue_list_done(queue, &lister->listing) : queue_list(queue, &lister->listing);
    if (lister->has_entry)
        add_destination(session, lister);
    return lister->is_over ? ERR_END : err;
}

static void step_list(struct control_session *session)
{
    struct lister *lister = session->own;
    enum err err = ERR_NONE;
    for (size_t i = 0; err == ERR_NONE && i < ENTRIES_PER_STEP; i++)
        err = list_one(session, lister);
    if (err == ERR_END) {
        finish_list(session, lister);
    } else if (err != ERR_NONE) {
        cancel_list(session);
        control_fail(session, CONTROL_IO, "the queue cannot be read: %s", err_text(err));
    } else {
        control_go_on(session);
    }
}

static void finish_list(struct control_session *session, struct lister *lister)
{
    flush_message(session, lister);
    if (lister->is_cut)
        control_note(session, lister->is_done ? "there are more; the latest are shown" : "there are more; the oldest are shown");
    if (lister->listing.damaged_count > 0)
        control_note(session, "%llu records cannot be read and were passed over; see sternpost queue check",
                     (unsigned long long)lister->listing.damaged_count);
    control_done(session, lister->is_show && lister->message_count == 0 ? CONTROL_NO : CONTROL_DONE);
}

/* ---- what is said of a message ---- */

/* Whoever sees a failed recipient wants to know where the bounce is. */
static void add_gathering(struct json *message, const struct gathering *gathering, uint64_t id)
{
    int64_t due_ms;
    size_t count = gathering_count(gathering, id, &due_ms);
    if (count == 0)
        return;
    json_set_number(message, "report_recipients", (int64_t)count);
    control_set_time(message, "report_due", due_ms);
}

static void open_message(struct control_session *session, struct lister *lister, const struct queue_message *message)
{
    bool is_continued = lister->message_id == message->id && !lister->is_done;
    lister->message = json_object_new();
    lister->recipients = json_array_new();
    lister->message_id = message->id;
    control_set_id(lister->message, "id", message->id);
    if (is_continued)
        json_set_flag(lister->message, "continued", true);
    else
        lister->message_count++;
    control_set_time(lister->message, "arrived", message->arrival_ms);
    json_set_number(lister->message, "size", (int64_t)message->size);
    json_set_text(lister->message, "sender", message->sender);
    json_set_text(lister->message, "origin", message->origin);
    if (message->envid.length > 0)
        json_set_text(lister->message, "envid", message->envid);
    if (lister->is_done)
        control_set_time(lister->message, "ended", lister->listing.after_time_ms);
    else if (!is_continued)
        add_gathering(lister->message, session->relay->gathering, message->id);
    if (lister->is_show && !is_continued)
        json_set_text(lister->message, "header", lister->header);
}

static void add_recipient(struct json *recipients, const struct queue_entry *entry, const struct queue_recipient *recipient,
                          enum control_status status)
{
    char dsn[16];
    bool is_pending = recipient->status == QUEUE_PENDING;
    struct json *object = json_object_new();
    json_set_text(object, "address", recipient->address);
    json_set_text(object, "destination", entry->destination);
    json_set_string(object, "status", is_pending ? control_status_name(status) : queue_status_name(recipient->status));
    json_set_number(object, "attempts", entry->attempts);
    control_set_time(object, "first_attempt", entry->first_attempt_ms);
    control_set_time(object, "last_attempt", entry->last_attempt_ms);
    if (entry->reason.length > 0 && is_pending)
        json_set_text(object, "reason", entry->reason);
    if (recipient->code != 0)
        json_set_number(object, "code", recipient->code);
    if (recipient->dsn[0] != 0)
        json_set_text(object, "dsn",
                      text_print(dsn, sizeof dsn, "%u.%u.%u", recipient->dsn[0], recipient->dsn[1], recipient->dsn[2]));
    if (recipient->host.length > 0)
        json_set_text(object, "host", recipient->host);
    if (recipient->text.length > 0)
        json_set_text(object, "text", recipient->text);
    json_append(recipients, &object);
}

static bool visit(void *owner, const struct queue_message *message, const struct queue_entry *entry)
{
    struct control_session *session = owner;
    struct lister *lister = session->own;
    lister->is_over = control_filter_is_past(&lister->filter, message);
    if (lister->is_over || !control_filter_admits(&lister->filter, session->relay, message, entry))
        return !lister->is_over;
    bool is_full = json_count(lister->recipients) >= RECIPIENTS_PER_ANSWER;
    if (lister->message != NULL && (lister->is_done || is_full || lister->message_id != message->id))
        flush_message(session, lister);
    if (lister->message == NULL && lister->limit > 0 && lister->message_count == lister->limit &&
        (lister->is_done || lister->message_id != message->id)) {
        lister->is_over = lister->is_cut = true;
        return false;
    }
    if (lister->message == NULL)
        open_message(session, lister, message);
    enum control_status status = control_status_of(session->relay, entry);
    lister->first_recipient = json_count(lister->recipients);
    for (size_t i = 0; i < entry->recipient_count; i++) {
        if (control_filter_admits_recipient(&lister->filter, &entry->recipients[i]))
            add_recipient(lister->recipients, entry, &entry->recipients[i], status);
    }
    lister->has_entry = !lister->is_done;
    lister->is_waiting = status == CONTROL_STATUS_WAITING;
    lister->due_ms = status == CONTROL_STATUS_WAITING || status == CONTROL_STATUS_DEFERRED ? entry->due_ms : 0;
    lister->destination_length = entry->destination.length;
    memcpy(lister->destination, entry->destination.data, entry->destination.length);
    return true;
}

/* An entry is not tried before its destination is; where it never was, the destination's trouble is its own. */
static void add_destination(struct control_session *session, struct lister *lister)
{
    struct queue_destination known = {.text = SLICE_EMPTY};
    struct slice name = slice_make(lister->destination, lister->destination_length);
    if (lister->due_ms == 0)
        return;
    if (queue_destination_get(session->relay->queue, name, session->scratch, &known) != ERR_NONE)
        known = (struct queue_destination){.text = SLICE_EMPTY};
    int64_t next_ms = known.not_before_ms > lister->due_ms ? known.not_before_ms : lister->due_ms;
    for (size_t i = lister->first_recipient; i < json_count(lister->recipients); i++) {
        struct json *recipient = json_at(lister->recipients, i);
        control_set_time(recipient, "next_attempt", next_ms);
        if (lister->is_waiting && known.text.length > 0) {
            json_set_text(recipient, "reason", known.reason);
            json_set_text(recipient, "text", known.text);
        }
    }
}

static void flush_message(struct control_session *session, struct lister *lister)
{
    if (lister->message == NULL)
        return;
    json_set(lister->message, "recipients", &lister->recipients);
    control_answer(session, &lister->message);
}
