/* `test-send`: a small message of our own, and what becomes of it. One that has to wait is withdrawn: the answer is what was wanted.
 * The client may go away at any time; the message is withdrawn then too. */
#include "relay/control_internal.h"

#include "base/text.h"
#include "relay/draft.h"
#include "relay/explain.h"
#include "relay/recipient.h"
#include "relay/schedule.h"

#define LOOK_INTERVAL_MS 200
#define PATIENCE_MS (10 * 60 * 1000)
#define DONE_PER_LOOK 2000
#define DONE_LOOKS_MAX 25
#define RECIPIENTS_MAX 64

struct sending {
    struct control_session *session;
    struct slice address, sender;
    struct draft *draft;
    struct timer timer;
    uint64_t id;              /* of the message, once it is in the queue; 0: it is not */
    int64_t sent_ms, deadline_ms;
    size_t entry_count;
    bool told[RECIPIENTS_MAX]; /* what became of this entry */
    size_t told_count;
    unsigned done_looks;
    bool has_failed, has_waited;
    struct queue_change withdrawal;
};

static void start(struct control_session *session);
static void cancel(struct control_session *session);
static bool add_recipients(struct sending *sending);
static void add_content(struct sending *sending);
static void on_stored(struct draft *draft, enum err err);
static void on_look(struct timer *timer);
static bool look_at_entry(struct sending *sending, uint16_t number);
static void look_at_done(struct sending *sending);
static bool visit_done(void *owner, const struct queue_message *message, const struct queue_entry *entry);
static void tell(struct sending *sending, const struct queue_entry *entry);
static void finish(struct sending *sending);
static void withdraw(struct sending *sending, void (*withdrawn)(struct control_session *session, enum err err));
static void on_withdrawn(struct control_session *session, enum err err);
static void on_forgotten(struct control_session *session, enum err err);

const struct control_command control_test_send = {
    .name = "test-send", .state_size = sizeof(struct sending), .start = start, .cancel = cancel};

static struct slice default_sender(const struct sending *sending)
{
    const struct config *config = sending->session->relay->config;
    struct arena *arena = sending->session->arena;
    struct slice address;
    bool fits = config->postmaster.length > 0 ? arena_slice(arena, config->postmaster, &address)
                                              : arena_print(arena, &address, "postmaster@%.*s", SLICE_ARGS(config->hostname));
    return fits ? address : SLICE_EMPTY;
}

static void start(struct control_session *session)
{
    struct sending *sending = session->own;
    char origin[32];
    sending->session = session;
    sending->address = control_text(session, "address");
    sending->sender = control_text(session, "from");
    if (!explain_is_address(sending->address)) {
        control_fail(session, CONTROL_USAGE, "\"%.*s\" is no address", SLICE_ARGS(slice_to(sending->address, 320)));
        return;
    }
    if (sending->sender.length == 0)
        sending->sender = default_sender(sending); /* a copy: the configuration may go while we wait */
    if (slice_equal(sending->sender, SLICE("<>")))
        sending->sender = SLICE_EMPTY;
    struct draft_options options = {
        .sender = sending->sender,
        .origin = text_print(origin, sizeof origin, "test-send uid %u", session->uid),
        .utf8 = !text_is_ascii(sending->address),
        .owner = sending,
        .finished = on_stored,
    };
    sending->draft = draft_new(session->relay, &options);
    if (sending->draft == NULL) {
        control_fail(session, CONTROL_SOFTWARE, "out of memory");
    } else if (add_recipients(sending)) {
        add_content(sending);
        sending->id = draft_id(sending->draft);
        control_begin_write(session);
        draft_finish(sending->draft, clock_wall_ms());
    } else {
        draft_free(&sending->draft);
    }
}

/* ---- the message ---- */

/* It is tried at once, whatever others have met there. */
static void hurry(struct sending *sending)
{
    struct relay *relay = sending->session->relay;
    struct slice name;
    for (size_t i = 0; (name = draft_destination_name(sending->draft, i)).length > 0; i++) {
        struct destination *destination = schedule_destination(relay->schedule, name);
        if (destination != NULL)
            destination_try_now(destination);
    }
    dead_hosts_forget(&relay->dead_hosts);
}

/* RFC 3461: whoever tests sees the outcome here, nobody needs a report. */
static bool add_recipients(struct sending *sending)
{
    struct control_session *session = sending->session;
    struct draft_recipient given = {.address = sending->address, .orcpt = SLICE_EMPTY, .notify = SMTP_NOTIFY_NEVER};
    enum recipient_result result = recipient_add(session->relay->locals, sending->draft, &given, session->arena);
    if (result != RECIPIENT_ADDED) {
        control_fail(session, result == RECIPIENT_INVALID ? CONTROL_USAGE : CONTROL_NO, "%.*s: %.*s", SLICE_ARGS(sending->address),
                     SLICE_ARGS(recipient_reply(result).text));
        return false;
    }
    if (draft_recipient_count(sending->draft) > RECIPIENTS_MAX) {
        control_fail(session, CONTROL_USAGE, "%.*s leads to more than %d addresses: name one of them", SLICE_ARGS(sending->address),
                     RECIPIENTS_MAX);
        return false;
    }
    hurry(sending);
    return true;
}

static void add_content(struct sending *sending)
{
    const struct config *config = sending->session->relay->config;
    char id[QUEUE_ID_TEXT];
    char date[40];
    char uid[32];
    struct buffer text;
    buffer_init(&text, 16384);
    struct slice printed = queue_id_print(draft_id(sending->draft), id);
    struct smtp_trace trace = {
        .hello = SLICE_EMPTY,
        .address = text_print(uid, sizeof uid, "uid %u", sending->session->uid),
        .hostname = config->hostname,
        .with = SLICE("local"),
        .tls = SLICE_EMPTY,
        .id = printed,
        .recipient = SLICE_EMPTY,
        .date_ms = clock_wall_ms(),
    };
    smtp_message_received(&text, &trace);
    struct slice from = sending->sender.length > 0 ? sending->sender : default_sender(sending);
    buffer_print(&text, "From: <%.*s>\r\nTo: <%.*s>\r\nSubject: Test message %.*s\r\n", SLICE_ARGS(from),
                 SLICE_ARGS(sending->address), SLICE_ARGS(printed));
    buffer_print(&text, "Date: %.*s\r\nMessage-ID: <%.*s@%.*s>\r\n", SLICE_ARGS(text_date_rfc5322(trace.date_ms, date)),
                 SLICE_ARGS(printed), SLICE_ARGS(config->hostname));
    buffer_print(&text,
                 "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
                 "The administrator of %.*s tests whether mail reaches you.\r\n",
                 SLICE_ARGS(config->hostname));
    draft_add_content(sending->draft, buffer_slice(&text));
    buffer_free(&text);
}

static void log_accepted(const struct sending *sending)
{
    struct log_line line;
    char id[QUEUE_ID_TEXT];
    sending->session->relay->metrics.accepted++;
    if (!control_log(sending->session, &line, "accepted"))
        return;
    log_text(&line, "id", queue_id_print(sending->id, id));
    log_text(&line, "from", sending->sender.length > 0 ? sending->sender : SLICE("<>"));
    log_text(&line, "to", sending->address);
    log_string(&line, "with", "test-send");
    log_close(&line);
}

static void on_stored(struct draft *draft, enum err err)
{
    struct sending *sending = draft_owner(draft);
    struct control_session *session = sending->session;
    draft_free(&sending->draft);
    if (err != ERR_NONE) {
        sending->id = 0;
        control_fail(session, CONTROL_NO, "the test message could not be stored: %s", err_text(err));
    } else if (session->state == CONTROL_GONE) {
        withdraw(sending, on_forgotten);
    } else {
        struct queue_message message = {0};
        if (queue_message_get(session->relay->queue, sending->id, session->scratch, &message) == ERR_NONE)
            sending->entry_count = message.entry_count;
        log_accepted(sending);
        sending->sent_ms = clock_wall_ms();
        sending->deadline_ms = clock_monotonic_ms() + PATIENCE_MS;
        struct json *answer = json_object_new();
        control_set_id(answer, "id", sending->id);
        json_set_string(answer, "status", "submitted");
        control_answer(session, &answer);
        timer_start(&sending->timer, LOOK_INTERVAL_MS, on_look);
    }
    control_end_write(session);
}

/* ---- its outcome ---- */

static void on_look(struct timer *timer)
{
    struct sending *sending = LIST_OF(timer, struct sending, timer);
    bool has_ended = false;
    arena_reset(sending->session->scratch);
    for (size_t i = 0; i < sending->entry_count; i++)
        has_ended = (!sending->told[i] && look_at_entry(sending, (uint16_t)i)) || has_ended;
    if (has_ended)
        look_at_done(sending);
    if (sending->told_count == sending->entry_count || clock_monotonic_ms() > sending->deadline_ms ||
        sending->done_looks > DONE_LOOKS_MAX)
        finish(sending);
    else
        timer_start(&sending->timer, LOOK_INTERVAL_MS, on_look);
}

/* True: it is not in the queue any more. */
static bool look_at_entry(struct sending *sending, uint16_t number)
{
    struct control_session *session = sending->session;
    struct queue_entry entry;
    enum err err = queue_entry_get(session->relay->queue, sending->id, number, session->scratch, &entry);
    if (err != ERR_NONE)
        return err == ERR_NOT_FOUND;
    if (entry.attempts == 0 && !entry.held)
        return false;
    sending->has_waited = true;
    tell(sending, &entry);
    return false;
}

static void look_at_done(struct sending *sending)
{
    struct control_session *session = sending->session;
    struct queue_listing listing = {
        .limit = DONE_PER_LOOK, .arena = session->scratch, .visit = visit_done, .owner = sending};
    sending->done_looks++;
    enum err err = queue_list_done(session->relay->queue, &listing);
    if (err != ERR_NONE && err != ERR_END)
        sending->done_looks = DONE_LOOKS_MAX + 1;
}

static bool visit_done(void *owner, const struct queue_message *message, const struct queue_entry *entry)
{
    struct sending *sending = owner;
    if (message->id == sending->id && entry->number < RECIPIENTS_MAX && !sending->told[entry->number])
        tell(sending, entry);
    return sending->told_count < sending->entry_count;
}

static void add_record(struct json *answer, const struct queue_entry *entry)
{
    struct json *record = NULL;
    if (entry->why.length == 0 || json_parse(entry->why, &record) != ERR_NONE)
        return;
    json_set_text(answer, "problem", json_text(record, "problem"));
    json_set_text(answer, "advice", json_text(record, "advice"));
    json_set(answer, "record", &record);
}

static void tell(struct sending *sending, const struct queue_entry *entry)
{
    sending->told[entry->number] = true;
    sending->told_count++;
    for (size_t i = 0; i < entry->recipient_count; i++) {
        const struct queue_recipient *recipient = &entry->recipients[i];
        struct json *answer = json_object_new();
        bool is_pending = recipient->status == QUEUE_PENDING;
        sending->has_failed = sending->has_failed || recipient->status != QUEUE_DELIVERED;
        control_set_id(answer, "id", entry->id);
        json_set_text(answer, "address", recipient->address);
        json_set_string(answer, "status", is_pending ? "deferred" : queue_status_name(recipient->status));
        json_set_text(answer, "host", recipient->host);
        json_set_number(answer, "code", recipient->code);
        json_set_text(answer, "text", recipient->text);
        if (is_pending)
            add_record(answer, entry);
        control_answer(sending->session, &answer);
    }
}

static void finish(struct sending *sending)
{
    struct control_session *session = sending->session;
    bool is_whole = sending->told_count == sending->entry_count && sending->entry_count > 0;
    if (!is_whole)
        control_note(session, "what became of the test message is not known; see the relay's log");
    if (sending->has_waited || !is_whole)
        withdraw(sending, on_withdrawn);
    else
        control_done(session, sending->has_failed ? CONTROL_NO : CONTROL_DONE);
}

/* ---- withdrawal ---- */

static void withdraw(struct sending *sending, void (*withdrawn)(struct control_session *session, enum err err))
{
    sending->withdrawal =
        (struct queue_change){.kind = QUEUE_CHANGE_DELETE, .id = sending->id, .now_ms = clock_wall_ms()};
    sending->id = 0;
    control_submit(sending->session, &sending->withdrawal, 1, withdrawn);
}

static void on_withdrawn(struct control_session *session, enum err err)
{
    if (err == ERR_NONE)
        control_note(session, "the test message was withdrawn from the queue: it is not tried again");
    control_done(session, CONTROL_NO);
}

static void on_forgotten(struct control_session *session, enum err err)
{
    (void)session;
    (void)err; /* nobody listens any more, and the journal has told what failed */
}

static void cancel(struct control_session *session)
{
    struct sending *sending = session->own;
    bool is_stored = sending->draft == NULL && sending->id != 0;
    timer_cancel(&sending->timer);
    if (is_stored)
        withdraw(sending, on_forgotten);
}
