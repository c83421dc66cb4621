/* The contract: what is kept, and what a batch does. */
#include "test/unit/contract_queue.h"
#include "test/unit/check.h"
#include "test/unit/mail.h"

#define T0 1000000

static void check_gone(struct contract *contract, const char *name, uint64_t id);
static void check_totals(struct contract *contract, const char *name, struct queue_totals expected);
static enum err put(struct contract *contract, enum queue_change_kind kind, struct slice key, struct slice bytes);
static enum err put_chunk(struct contract *contract, uint64_t id, uint32_t number, struct slice bytes);

void contract_accepted_message_is_kept(void **state)
{
    struct contract *contract = *state;
    struct queue_recipient recipients[] = {
        {.address = SLICE("one@example.net"),
         .orcpt = SLICE("rfc822;eins@example.net"),
         .notify = 3,
         .status = QUEUE_PENDING,
         .code = 451,
         .dsn = {4, 7, 1},
         .text = SLICE("later"),
         .host = SLICE("mx.example.net")},
        {.address = SLICE("two@example.net"), .status = QUEUE_DELIVERED, .code = 250, .dsn = {2, 0, 0}},
    };
    struct queue_entry entry = {.id = 77,
                                .number = 0,
                                .destination = SLICE("example.net"),
                                .due_ms = T0,
                                .warned = true,
                                .attempts = 3,
                                .first_attempt_ms = 5,
                                .last_attempt_ms = 6,
                                .reason = SLICE("policy"),
                                .why = SLICE("{}"),
                                .recipients = recipients,
                                .recipient_count = 2};
    struct queue_message message = {.id = 77,
                                    .arrival_ms = 4,
                                    .size = 0,
                                    .entry_count = 1,
                                    .sender = SLICE("a@example.com"),
                                    .origin = SLICE("report"),
                                    .eight_bit = true,
                                    .is_signed = true,
                                    .ret = 2,
                                    .envid = SLICE("x"),
                                    .header_length = 9};
    struct queue_change accept = {
        .kind = QUEUE_CHANGE_ACCEPT, .message = &message, .entries = &entry, .entry_count = 1};
    check_number("apply", mail_apply(contract->queue, &accept), ERR_NONE);

    for (int round = 0; round < 2; round++) {
        struct queue_message m;
        struct queue_entry e;
        check_number("message", queue_message_get(contract->queue, 77, contract->arena, &m), ERR_NONE);
        check_number("entry", queue_entry_get(contract->queue, 77, 0, contract->arena, &e), ERR_NONE);
        check_slice("sender", m.sender, message.sender);
        check_slice("origin", m.origin, message.origin);
        check_slice("envid", m.envid, message.envid);
        check_true("flags", m.eight_bit && !m.utf8 && m.is_signed);
        check_number("header", m.header_length, 9);
        check_number("recipients", e.recipient_count, 2);
        check_slice("address", e.recipients[0].address, recipients[0].address);
        check_slice("orcpt", e.recipients[0].orcpt, recipients[0].orcpt);
        check_slice("text", e.recipients[0].text, recipients[0].text);
        check_slice("host", e.recipients[0].host, recipients[0].host);
        check_number("code", e.recipients[0].code, 451);
        check_number("status", e.recipients[1].status, QUEUE_DELIVERED);
        check_slice("why", e.why, entry.why);
        check_true("warned", e.warned && !e.held);
        check_number("attempts", e.attempts, 3);
        contract_reopen(contract);
    }
    check_number("faults", contract_faults(contract), 0);
}

void contract_content_is_kept_in_chunks(void **state)
{
    struct contract *contract = *state;
    static const uint32_t sizes[] = {
        1, 2000, 4096, QUEUE_CHUNK_MAX - 1, QUEUE_CHUNK_MAX, QUEUE_CHUNK_MAX + 1, 3 * QUEUE_CHUNK_MAX};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        uint64_t id = 100 + i;
        check_number("accept", mail_accept(contract->queue, &(struct mail){.id = id, .size = sizes[i]}), ERR_NONE);
    }
    contract_reopen(contract);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        uint64_t id = 100 + i;
        uint32_t chunks = (sizes[i] + QUEUE_CHUNK_MAX - 1) / QUEUE_CHUNK_MAX;
        char *expected = malloc(sizes[i]);
        struct buffer content;
        buffer_init(&content, sizes[i]);
        mail_content(id, expected, sizes[i]);
        for (uint32_t sequence = 0; sequence < chunks; sequence++) {
            check_number("chunk", queue_chunk_get(contract->queue, id, sequence, &content), ERR_NONE);
        }
        check_true("content", slice_equal(buffer_slice(&content), slice_make(expected, sizes[i])));
        check_number("behind", queue_chunk_get(contract->queue, id, chunks, &content), ERR_NOT_FOUND);
        buffer_free(&content);
        free(expected);
    }
    check_number("faults", contract_faults(contract), 0);
}

void contract_message_without_content_is_refused(void **state)
{
    struct contract *contract = *state;
    struct mail_changes made;
    mail_make(&(struct mail){.id = 5, .size = 70000}, &made);
    check_number("chunks", made.count, 3);
    const struct queue_change *batch[] = {&made.changes[0], &made.changes[2]};
    check_number("apply", queue_apply(contract->queue, batch, 2), ERR_NOT_FOUND);
    mail_free(&made);
    check_gone(contract, "after", 5);
    check_totals(contract, "after", (struct queue_totals){0});
}

void contract_used_id_is_refused(void **state)
{
    struct contract *contract = *state;
    const struct mail first = {.id = 9, .from = "first@example.com"}, second = {.id = 9, .from = "second@example.com"};
    struct queue_message message;
    check_number("first", mail_accept(contract->queue, &first), ERR_NONE);
    check_number("second", mail_accept(contract->queue, &second), ERR_EXISTS);
    check_number("chunk", put_chunk(contract, 9, 1, SLICE("more")), ERR_EXISTS);
    check_number("get", queue_message_get(contract->queue, 9, contract->arena, &message), ERR_NONE);
    check_slice("sender", message.sender, SLICE("first@example.com"));
    check_number("pending", put_chunk(contract, 10, 0, SLICE("x")), ERR_NONE);
    check_number("pending again", put_chunk(contract, 10, 0, SLICE("y")), ERR_EXISTS);
}

void contract_batch_is_all_or_nothing(void **state)
{
    struct contract *contract = *state;
    check_number("first", mail_accept(contract->queue, &(struct mail){.id = 1}), ERR_NONE);
    struct mail_changes made, again;
    mail_make(&(struct mail){.id = 2, .to = {"fresh.example"}}, &made);
    mail_make(&(struct mail){.id = 1}, &again);
    struct queue_change state_change = {.kind = QUEUE_CHANGE_META, .key = SLICE("name"), .bytes = SLICE("x")};
    struct queue_destination known = {.name = SLICE("fresh.example"), .failures = 1};
    struct queue_change destination = {.kind = QUEUE_CHANGE_DESTINATION, .destination = &known};
    const struct queue_change *batch[] = {&made.changes[0], &made.changes[1], &state_change, &destination,
                                          &again.changes[0]};
    struct slice bytes;
    struct queue_destination found;
    check_number("apply", queue_apply(contract->queue, batch, COUNT_OF(batch)), ERR_EXISTS);
    check_gone(contract, "second", 2);
    check_number("state", queue_meta_get(contract->queue, SLICE("name"), contract->arena, &bytes), ERR_NOT_FOUND);
    check_number("destination", queue_destination_get(contract->queue, known.name, contract->arena, &found),
                 ERR_NOT_FOUND);
    check_totals(contract, "after",
                 (struct queue_totals){.messages = 1, .bytes = 10, .entries = 1, .oldest_id = 1, .newest_id = 1});
    mail_free(&made);
    mail_free(&again);
    check_number("faults", contract_faults(contract), 0);
}

void contract_pending_content_is_swept(void **state)
{
    struct contract *contract = *state;
    struct buffer content;
    buffer_init(&content, 100);
    for (uint64_t id = 1; id <= 40; id++) {
        check_number("chunk", put_chunk(contract, id, 0, SLICE("half a message")), ERR_NONE);
        check_number("chunk", put_chunk(contract, id, 1, SLICE("and a bit")), ERR_NONE);
    }
    check_number("kept", mail_accept(contract->queue, &(struct mail){.id = 41}), ERR_NONE);
    check_number("before", queue_chunk_get(contract->queue, 1, 0, &content), ERR_NONE);
    check_totals(contract, "before",
                 (struct queue_totals){.messages = 1, .bytes = 10, .entries = 1, .oldest_id = 41, .newest_id = 41});
    contract_reopen(contract);
    buffer_clear(&content);
    for (uint64_t id = 1; id <= 40; id++) {
        check_number("after", queue_chunk_get(contract->queue, id, 0, &content), ERR_NOT_FOUND);
        check_number("after", queue_chunk_get(contract->queue, id, 1, &content), ERR_NOT_FOUND);
    }
    check_number("kept", queue_chunk_get(contract->queue, 41, 0, &content), ERR_NONE);
    check_number("id is free again", mail_accept(contract->queue, &(struct mail){.id = 1}), ERR_NONE);
    buffer_free(&content);
    check_number("faults", contract_faults(contract), 0);
}

void contract_discarded_content_is_gone(void **state)
{
    struct contract *contract = *state;
    struct queue_change discard = {.kind = QUEUE_CHANGE_DISCARD, .id = 3};
    struct queue_change discard_accepted = {.kind = QUEUE_CHANGE_DISCARD, .id = 4};
    check_number("chunk", put_chunk(contract, 3, 0, SLICE("x")), ERR_NONE);
    check_number("accept", mail_accept(contract->queue, &(struct mail){.id = 4}), ERR_NONE);
    check_number("discard", mail_apply(contract->queue, &discard), ERR_NONE);
    check_number("discard again", mail_apply(contract->queue, &discard), ERR_NONE);
    check_number("discard accepted", mail_apply(contract->queue, &discard_accepted), ERR_NONE);
    check_gone(contract, "discarded", 3);
    struct buffer content;
    buffer_init(&content, 100);
    check_number("accepted stays", queue_chunk_get(contract->queue, 4, 0, &content), ERR_NONE);
    buffer_free(&content);
    check_number("faults", contract_faults(contract), 0);
}

void contract_update_reschedules(void **state)
{
    struct contract *contract = *state;
    struct queue_entry entry;
    int64_t next_ms;
    check_number("accept", mail_accept(contract->queue, &(struct mail){.id = 1, .due_ms = T0}), ERR_NONE);
    check_number("defer", mail_update(contract->queue, 1, 0, MAIL_DEFER, T0 + 500), ERR_NONE);
    check_number("get", queue_entry_get(contract->queue, 1, 0, contract->arena, &entry), ERR_NONE);
    check_number("due", entry.due_ms, T0 + 500);
    check_number("attempts", entry.attempts, 1);
    check_number("next", queue_ready_next(contract->queue, 0, &next_ms), ERR_NONE);
    check_number("time", next_ms, T0 + 500);
    check_number("faults", contract_faults(contract), 0);
}

void contract_update_of_a_deleted_entry_does_nothing(void **state)
{
    struct contract *contract = *state;
    struct mail_changes made;
    mail_make(&(struct mail){.id = 8, .to = {"example.org", "example.net"}}, &made);
    struct queue_change update = {.kind = QUEUE_CHANGE_UPDATE, .entries = &made.entries[1], .entry_count = 1};
    check_number("never there", mail_apply(contract->queue, &update), ERR_NONE);
    check_gone(contract, "never there", 8);
    check_number("accept", mail_accept(contract->queue, &(struct mail){.id = 8, .to = {"example.org", "example.net"}}),
                 ERR_NONE);
    check_number("deliver", mail_update(contract->queue, 8, 1, MAIL_DELIVER, T0), ERR_NONE);
    check_number("gone", mail_apply(contract->queue, &update), ERR_NONE);
    mail_free(&made);
    struct queue_entry entry;
    check_number("stays gone", queue_entry_get(contract->queue, 8, 1, contract->arena, &entry), ERR_NOT_FOUND);
    check_totals(contract, "after",
                 (struct queue_totals){.messages = 1, .bytes = 10, .entries = 1, .oldest_id = 8, .newest_id = 8});
    check_number("faults", contract_faults(contract), 0);
}

void contract_update_moves_to_another_destination(void **state)
{
    struct contract *contract = *state;
    struct mail_changes made;
    mail_make(&(struct mail){.id = 8, .to = {"example.net"}, .due_ms = T0}, &made);
    struct queue_change update = {.kind = QUEUE_CHANGE_UPDATE, .entries = made.entries, .entry_count = 1};
    check_number("accept", mail_accept(contract->queue, &(struct mail){.id = 8, .to = {"example.org"}, .due_ms = T0}),
                 ERR_NONE);
    check_number("move", mail_apply(contract->queue, &update), ERR_NONE);
    mail_free(&made);
    struct queue_ready ready[2];
    size_t count;
    struct queue_ready_request request = {.now_ms = T0, .limit = 2, .arena = contract->arena};
    check_number("ready", queue_ready(contract->queue, &request, ready, &count), ERR_NONE);
    check_number("count", count, 1);
    check_slice("name", ready[0].name, SLICE("example.net"));
    check_number("faults", contract_faults(contract), 0);
}

void contract_last_entry_takes_the_message_along(void **state)
{
    struct contract *contract = *state;
    const struct mail mail = {.id = 6, .to = {"one.example", "two.example", "one.example"}, .size = 70000};
    struct queue_message message;
    check_number("accept", mail_accept(contract->queue, &mail), ERR_NONE);
    check_number("first", mail_update(contract->queue, 6, 1, MAIL_DELIVER, T0), ERR_NONE);
    check_number("second", mail_update(contract->queue, 6, 0, MAIL_DELIVER, T0), ERR_NONE);
    check_number("still there", queue_message_get(contract->queue, 6, contract->arena, &message), ERR_NONE);
    check_totals(contract, "one left",
                 (struct queue_totals){.messages = 1, .bytes = 70000, .entries = 1, .oldest_id = 6, .newest_id = 6});
    check_number("third", mail_update(contract->queue, 6, 2, MAIL_DELIVER, T0), ERR_NONE);
    check_gone(contract, "after", 6);
    check_totals(contract, "none left", (struct queue_totals){0});
    check_number("faults", contract_faults(contract), 0);
}

void contract_delete_takes_all(void **state)
{
    struct contract *contract = *state;
    struct queue_change delete = {.kind = QUEUE_CHANGE_DELETE, .id = 6, .now_ms = T0};
    int64_t next_ms;
    check_number("absent", mail_apply(contract->queue, &delete), ERR_NONE);
    check_number("accept", mail_accept(contract->queue, &(struct mail){.id = 6, .to = {"one.example", "two.example"}}),
                 ERR_NONE);
    check_number("hold", mail_update(contract->queue, 6, 1, MAIL_HOLD, 0), ERR_NONE);
    check_number("delete", mail_apply(contract->queue, &delete), ERR_NONE);
    check_gone(contract, "after", 6);
    check_number("nothing waits", queue_ready_next(contract->queue, INT64_MIN, &next_ms), ERR_NOT_FOUND);
    check_totals(contract, "after", (struct queue_totals){0});
    check_number("faults", contract_faults(contract), 0);
}

void contract_delete_leaves_pending_content(void **state)
{
    struct contract *contract = *state;
    struct queue_change delete = {.kind = QUEUE_CHANGE_DELETE, .id = 6, .now_ms = T0};
    struct buffer content;
    buffer_init(&content, 100);
    check_number("chunk", put_chunk(contract, 6, 0, SLICE("under way")), ERR_NONE);
    check_number("delete", mail_apply(contract->queue, &delete), ERR_NONE);
    check_number("stays", queue_chunk_get(contract->queue, 6, 0, &content), ERR_NONE);
    check_slice("content", buffer_slice(&content), SLICE("under way"));
    buffer_free(&content);
}

void contract_policies_and_states_are_kept(void **state)
{
    struct contract *contract = *state;
    const struct {
        enum queue_change_kind kind;
        struct slice key, bytes, expected;
        enum err err;
    } steps[] = {
        {QUEUE_CHANGE_POLICY, SLICE("example.org"), SLICE("first"), SLICE("first"), ERR_NONE},
        {QUEUE_CHANGE_POLICY, SLICE("example.org"), SLICE("second, longer"), SLICE("second, longer"), ERR_NONE},
        {QUEUE_CHANGE_POLICY, SLICE("example.org"), SLICE(""), SLICE(""), ERR_NOT_FOUND},
        {QUEUE_CHANGE_POLICY, SLICE("example.org"), SLICE(""), SLICE(""), ERR_NOT_FOUND},
        {QUEUE_CHANGE_META, SLICE("example.org"), SLICE("\0binary"), SLICE("\0binary"), ERR_NONE},
        {QUEUE_CHANGE_META, SLICE("totals"), SLICE("not ours"), SLICE("not ours"), ERR_NONE},
        {QUEUE_CHANGE_META, SLICE("totals"), SLICE(""), SLICE(""), ERR_NOT_FOUND},
    };
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        struct slice bytes = SLICE_EMPTY;
        check_number("apply", put(contract, steps[i].kind, steps[i].key, steps[i].bytes), ERR_NONE);
        contract_reopen(contract);
        enum err err = steps[i].kind == QUEUE_CHANGE_POLICY
                           ? queue_policy_get(contract->queue, steps[i].key, contract->arena, &bytes)
                           : queue_meta_get(contract->queue, steps[i].key, contract->arena, &bytes);
        check_number("get", err, steps[i].err);
        if (err == ERR_NONE) {
            check_slice("bytes", bytes, steps[i].expected);
        }
    }
    check_number("count", queue_policy_count(contract->queue), 0);
    check_number("faults", contract_faults(contract), 0);
}

void contract_totals_follow(void **state)
{
    struct contract *contract = *state;
    check_totals(contract, "empty", (struct queue_totals){0});
    check_number("accept", mail_accept(contract->queue, &(struct mail){.id = 30, .size = 300}), ERR_NONE);
    check_number("accept", mail_accept(contract->queue, &(struct mail){.id = 20, .size = 50, .to = {"a.b", "c.d"}}),
                 ERR_NONE);
    check_totals(contract, "two",
                 (struct queue_totals){.messages = 2, .bytes = 350, .entries = 3, .oldest_id = 20, .newest_id = 30});
    check_number("chunk", put_chunk(contract, 99, 0, SLICE("x")), ERR_NONE);
    check_totals(contract, "pending",
                 (struct queue_totals){.messages = 2, .bytes = 350, .entries = 3, .oldest_id = 20, .newest_id = 99});
    contract_reopen(contract);
    check_number("deliver", mail_update(contract->queue, 20, 1, MAIL_DELIVER, T0), ERR_NONE);
    check_totals(contract, "half of one",
                 (struct queue_totals){.messages = 2, .bytes = 350, .entries = 2, .oldest_id = 20, .newest_id = 30});
    check_number("deliver", mail_update(contract->queue, 20, 0, MAIL_DELIVER, T0), ERR_NONE);
    check_totals(contract, "one",
                 (struct queue_totals){.messages = 1, .bytes = 300, .entries = 1, .oldest_id = 30, .newest_id = 30});
}

void contract_second_relay_is_kept_out(void **state)
{
    struct contract *contract = *state;
    struct queue_options options = {.path = contract->store->path(), .map_size = 1 << 20};
    struct queue *second;
    struct buffer fault;
    buffer_init(&fault, 1024);
    check_number("open", queue_open(&options, &second, &fault), ERR_IN_USE);
    check_true("names the holder", slice_find_slice(buffer_slice(&fault), SLICE("(pid ")) < buffer_length(&fault));
    check_true("no queue", second == NULL);
    buffer_free(&fault);
    contract_reopen(contract);
}

void contract_reader_needs_a_queue(void **state)
{
    struct contract *contract = *state;
    char path[512];
    snprintf(path, sizeof path, "%.*s-absent", SLICE_ARGS(contract->store->path()));
    struct queue_options options = {.path = slice_of(path), .read_only = true};
    struct queue *queue;
    struct buffer fault;
    buffer_init(&fault, 1024);
    check_number("absent", queue_open(&options, &queue, &fault), ERR_NOT_FOUND);
    check_true("says so", buffer_length(&fault) > 0);
    buffer_free(&fault);

    check_number("accept", mail_accept(contract->queue, &(struct mail){.id = 1}), ERR_NONE);
    check_number("pending", put_chunk(contract, 2, 0, SLICE("not swept")), ERR_NONE);
    contract_close(contract);
    options.path = contract->store->path();
    check_number("open", queue_open(&options, &contract->queue, &fault), ERR_NONE);
    struct queue_message message;
    check_number("read", queue_message_get(contract->queue, 1, contract->arena, &message), ERR_NONE);
    struct buffer content;
    buffer_init(&content, 100);
    check_number("not swept", queue_chunk_get(contract->queue, 2, 0, &content), ERR_NONE);
    buffer_free(&content);
}

void contract_small_arena_is_an_error(void **state)
{
    struct contract *contract = *state;
    const struct mail mail = {.id = 1, .to = {"example.org", "example.net"}};
    check_number("accept", mail_accept(contract->queue, &mail), ERR_NONE);
    bool fitted = false;
    for (size_t limit = 1; limit < 4096; limit += 8) {
        struct arena *small = arena_new(limit);
        struct queue_entry entry;
        enum err err = queue_entry_get(contract->queue, 1, 1, small, &entry);
        check_true("memory or nothing", err == ERR_MEMORY || (err == ERR_NONE && entry.recipient_count == 1));
        check_true("more never fits less", err == ERR_NONE || !fitted);
        fitted = err == ERR_NONE;
        arena_free(&small);
    }
    check_true("fits at last", fitted);
}

/* ---- help ---- */

static void check_gone(struct contract *contract, const char *name, uint64_t id)
{
    struct queue_message message;
    struct queue_entry entry;
    struct buffer content;
    buffer_init(&content, 100000);
    check_number(name, queue_message_get(contract->queue, id, contract->arena, &message), ERR_NOT_FOUND);
    for (uint16_t i = 0; i < MAIL_RECIPIENTS; i++) {
        check_number(name, queue_entry_get(contract->queue, id, i, contract->arena, &entry), ERR_NOT_FOUND);
        check_number(name, queue_chunk_get(contract->queue, id, i, &content), ERR_NOT_FOUND);
    }
    buffer_free(&content);
}

static void check_totals(struct contract *contract, const char *name, struct queue_totals expected)
{
    struct queue_totals totals;
    check_number(name, queue_totals(contract->queue, &totals), ERR_NONE);
    check_number(name, totals.messages, expected.messages);
    check_number(name, totals.bytes, expected.bytes);
    check_number(name, totals.entries, expected.entries);
    check_number(name, totals.oldest_id, expected.oldest_id);
    check_number(name, totals.newest_id, expected.newest_id);
}

static enum err put(struct contract *contract, enum queue_change_kind kind, struct slice key, struct slice bytes)
{
    struct queue_change change = {.kind = kind, .key = key, .bytes = bytes};
    return mail_apply(contract->queue, &change);
}

static enum err put_chunk(struct contract *contract, uint64_t id, uint32_t number, struct slice bytes)
{
    struct queue_change change = {.kind = QUEUE_CHANGE_CHUNK, .id = id, .number = number, .bytes = bytes};
    return mail_apply(contract->queue, &change);
}
