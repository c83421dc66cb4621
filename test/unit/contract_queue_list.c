/* The contract: listings, and what they and others do with damage. */
#include "test/unit/contract_queue.h"
#include "test/unit/check.h"
#include "test/unit/mail.h"

#define T0 1000000

/* What a listing has shown. */
struct seen {
    char text[1024];
    size_t length;
    size_t stop_after; /* visits; 0: never */
    size_t count;
};

static bool see(void *owner, const struct queue_message *message, const struct queue_entry *entry);
static bool see_policy(void *owner, struct slice domain, struct slice bytes);
static void check_list(struct contract *contract, const char *name, const char *destination, const char *expected);
static void check_done(struct contract *contract, const char *name, const char *expected);
static enum err list_whole(struct contract *contract, struct queue_listing *listing, bool is_done);

void contract_list_goes_in_slices(void **state)
{
    struct contract *contract = *state;
    check_list(contract, "empty", NULL, "");
    check_number("accept", mail_accept(contract->queue, &(struct mail){.id = 5, .to = {"a", "b", "c", "d"}}), ERR_NONE);
    check_number("accept", mail_accept(contract->queue, &(struct mail){.id = UINT64_MAX}), ERR_NONE);
    check_number("accept", mail_accept(contract->queue, &(struct mail){.id = 2, .held = true}), ERR_NONE);
    check_number("accept", mail_accept(contract->queue, &(struct mail){.id = 3, .to = {"a", "b"}}), ERR_NONE);
    check_list(contract, "all", NULL, "2.0 3.0 3.1 5.0 5.1 5.2 5.3 18446744073709551615.0");
    check_number("deliver", mail_update(contract->queue, 5, 1, MAIL_DELIVER, T0), ERR_NONE);
    check_list(contract, "one less", NULL, "2.0 3.0 3.1 5.0 5.2 5.3 18446744073709551615.0");
}

void contract_list_of_a_destination(void **state)
{
    struct contract *contract = *state;
    check_number("accept", mail_accept(contract->queue, &(struct mail){.id = 5, .to = {"a.x", "b.x", "a.x"}}),
                 ERR_NONE);
    check_number("accept", mail_accept(contract->queue, &(struct mail){.id = 4, .to = {"a.x"}, .from = "z@z"}),
                 ERR_NONE);
    check_number("accept", mail_accept(contract->queue, &(struct mail){.id = 3, .to = {"a.x"}, .held = true}),
                 ERR_NONE);
    check_number("accept", mail_accept(contract->queue, &(struct mail){.id = 9, .to = {"a.xy"}}), ERR_NONE);
    check_list(contract, "a", "a.x", "3.0 4.0 5.0 5.2");
    check_list(contract, "b", "b.x", "5.1");
    check_list(contract, "none", "c.x", "");
    check_number("hold", mail_update(contract->queue, 5, 0, MAIL_HOLD, 0), ERR_NONE);
    check_number("defer", mail_update(contract->queue, 4, 0, MAIL_DEFER, T0), ERR_NONE);
    check_list(contract, "held or deferred", "a.x", "3.0 4.0 5.0 5.2");
    check_number("deliver", mail_update(contract->queue, 5, 2, MAIL_DELIVER, T0), ERR_NONE);
    check_list(contract, "one less", "a.x", "3.0 4.0 5.0");
    check_number("faults", contract_faults(contract), 0);
}

void contract_list_stops_when_told(void **state)
{
    struct contract *contract = *state;
    for (uint64_t id = 1; id <= 5; id++) {
        check_number("accept", mail_accept(contract->queue, &(struct mail){.id = id}), ERR_NONE);
    }
    struct seen seen = {.stop_after = 2};
    struct queue_listing listing = {.limit = 10, .arena = contract->arena, .visit = see, .owner = &seen};
    check_number("stopped", queue_list(contract->queue, &listing), ERR_NONE);
    check_slice("two", slice_of(seen.text), SLICE("1.0 2.0"));
    seen.stop_after = 0;
    check_number("to the end", queue_list(contract->queue, &listing), ERR_END);
    check_slice("all", slice_of(seen.text), SLICE("1.0 2.0 3.0 4.0 5.0"));
    struct queue_listing from = {.after_id = 3, .limit = 10, .arena = contract->arena, .visit = see, .owner = &seen};
    seen = (struct seen){0};
    check_number("ids above one", queue_list(contract->queue, &from), ERR_END);
    check_slice("ids above one", slice_of(seen.text), SLICE("4.0 5.0"));
}

void contract_damaged_records_are_told(void **state)
{
    struct contract *contract = *state;
    struct queue_message message;
    struct queue_entry entry;
    struct queue_destination destination;
    struct slice bytes;
    struct buffer content;
    buffer_init(&content, 1000);
    struct queue_destination known = {.name = SLICE("down.example"), .reason = SLICE("marker-destination")};
    struct queue_change changes[] = {
        {.kind = QUEUE_CHANGE_CHUNK, .id = 9, .bytes = SLICE("marker-content")},
        {.kind = QUEUE_CHANGE_POLICY, .key = SLICE("p.example"), .bytes = SLICE("marker-policy")},
        {.kind = QUEUE_CHANGE_META, .key = SLICE("name"), .bytes = SLICE("marker-state")},
        {.kind = QUEUE_CHANGE_DESTINATION, .destination = &known},
    };
    for (size_t i = 0; i < COUNT_OF(changes); i++) {
        check_number("apply", mail_apply(contract->queue, &changes[i]), ERR_NONE);
    }
    const struct mail mail = {.id = 0xabc, .from = "marker-sender@example.com"};
    check_number("accept", mail_accept(contract->queue, &mail), ERR_NONE);
    check_number("whole", contract_faults(contract), 0);
    /* Pending content is swept at open, so it becomes part of a message first. */
    struct mail_changes made;
    mail_make(&(struct mail){.id = 9, .size = 14}, &made);
    check_number("chunk again", mail_apply(contract->queue, &changes[0]), ERR_NONE);
    check_number("accept", mail_apply(contract->queue, &made.changes[1]), ERR_NONE);
    mail_free(&made);

    contract_close(contract);
    static const char *const markers[] = {"marker-sender", "user0.abc",    "marker-content",
                                          "marker-policy", "marker-state", "marker-destination"};
    for (size_t i = 0; i < COUNT_OF(markers); i++) {
        check_true(markers[i], contract->store->damage(slice_of(markers[i])));
    }
    contract_open(contract);
    struct arena *arena = contract->arena;
    check_number("message", queue_message_get(contract->queue, 0xabc, arena, &message), ERR_CORRUPT);
    check_number("entry", queue_entry_get(contract->queue, 0xabc, 0, arena, &entry), ERR_CORRUPT);
    check_number("chunk", queue_chunk_get(contract->queue, 9, 0, &content), ERR_CORRUPT);
    check_number("policy", queue_policy_get(contract->queue, SLICE("p.example"), arena, &bytes), ERR_CORRUPT);
    check_number("state", queue_meta_get(contract->queue, SLICE("name"), arena, &bytes), ERR_CORRUPT);
    check_number("destination", queue_destination_get(contract->queue, known.name, arena, &destination), ERR_CORRUPT);
    check_true("the check finds them", contract_faults(contract) >= COUNT_OF(markers) - 1);
    buffer_free(&content);
}

void contract_damaged_message_can_be_deleted(void **state)
{
    struct contract *contract = *state;
    const struct mail mail = {.id = 0xabc, .from = "marker-sender@example.com", .to = {"a.x", "b.x"}, .due_ms = T0};
    check_number("accept", mail_accept(contract->queue, &mail), ERR_NONE);
    check_number("accept", mail_accept(contract->queue, &(struct mail){.id = 1, .to = {"a.x"}, .due_ms = T0 + 5}),
                 ERR_NONE);
    contract_close(contract);
    check_true("entry", contract->store->damage(SLICE("user1.abc")));
    check_true("message", contract->store->damage(SLICE("marker-sender")));
    contract_open(contract);
    struct queue_change delete = {.kind = QUEUE_CHANGE_DELETE, .id = 0xabc, .now_ms = T0};
    check_number("delete", mail_apply(contract->queue, &delete), ERR_NONE);
    int64_t next_ms;
    check_number("next", queue_ready_next(contract->queue, 0, &next_ms), ERR_NONE);
    check_number("of the other", next_ms, T0 + 5);
    check_list(contract, "place", "b.x", "");
    struct queue_totals totals;
    check_number("totals", queue_totals(contract->queue, &totals), ERR_NONE);
    check_number("messages", totals.messages, 1);
    check_number("bytes", totals.bytes, 10);
    check_number("faults", contract_faults(contract), 0);
}

void contract_list_passes_over_damage(void **state)
{
    struct contract *contract = *state;
    const struct mail mails[] = {{.id = 1, .to = {"a", "a"}},
                                 {.id = 0xbad, .to = {"a"}},
                                 {.id = 0xfff, .to = {"a"}, .from = "marker@x"},
                                 {.id = 0x1000, .to = {"a"}}};
    for (size_t i = 0; i < COUNT_OF(mails); i++) {
        check_number("accept", mail_accept(contract->queue, &mails[i]), ERR_NONE);
    }
    contract_close(contract);
    check_true("entry", contract->store->damage(SLICE("user0.bad")));
    check_true("message", contract->store->damage(SLICE("marker@x")));
    contract_open(contract);
    struct seen seen = {0};
    struct queue_listing listing = {.limit = 2, .arena = contract->arena, .visit = see, .owner = &seen};
    check_number("list", list_whole(contract, &listing, false), ERR_END);
    check_slice("seen", slice_of(seen.text), SLICE("1.0 1.1 4096.0"));
    check_number("damaged", listing.damaged_count, 2);
}

void contract_outcomes_newest_first(void **state)
{
    struct contract *contract = *state;
    for (uint64_t id = 1; id <= 4; id++) {
        const struct mail mail = {.id = id, .to = {"a", "b"}};
        check_number("accept", mail_accept(contract->queue, &mail), ERR_NONE);
        check_number("deliver", mail_update(contract->queue, id, 1, MAIL_DELIVER, T0 + (int64_t)id), ERR_NONE);
    }
    check_done(contract, "each", "4.1 3.1 2.1 1.1");
    contract_reopen(contract);
    check_number("deliver", mail_update(contract->queue, 2, 0, MAIL_DELIVER, T0 + 9), ERR_NONE);
    check_done(contract, "one more", "2.0 4.1 3.1 2.1 1.1");
    check_number("faults", contract_faults(contract), 0);
}

void contract_outcomes_of_one_millisecond(void **state)
{
    struct contract *contract = *state;
    struct queue_change deletes[6];
    const struct queue_change *batch[6];
    for (uint64_t id = 1; id <= COUNT_OF(deletes); id++) {
        const struct mail mail = {.id = id, .to = {"a", "b"}};
        check_number("accept", mail_accept(contract->queue, &mail), ERR_NONE);
        deletes[id - 1] = (struct queue_change){.kind = QUEUE_CHANGE_DELETE, .id = id, .now_ms = T0};
        batch[id - 1] = &deletes[id - 1];
    }
    check_number("apply", queue_apply(contract->queue, batch, COUNT_OF(batch)), ERR_NONE);
    check_done(contract, "all",
               "6.1deleted 6.0deleted 5.1deleted 5.0deleted 4.1deleted 4.0deleted 3.1deleted 3.0deleted 2.1deleted "
               "2.0deleted 1.1deleted 1.0deleted");
    check_number("faults", contract_faults(contract), 0);
}

void contract_outcomes_are_forgotten(void **state)
{
    struct contract *contract = *state;
    for (uint64_t id = 1; id <= 30; id++) {
        check_number("accept", mail_accept(contract->queue, &(struct mail){.id = id}), ERR_NONE);
        check_number("deliver", mail_update(contract->queue, id, 0, MAIL_DELIVER, T0), ERR_NONE);
    }
    for (uint64_t id = 101; id <= 110; id++) {
        check_number("accept", mail_accept(contract->queue, &(struct mail){.id = id}), ERR_NONE);
        check_number("deliver", mail_update(contract->queue, id, 0, MAIL_DELIVER, T0 + CONTRACT_DONE_KEEP_MS + 1),
                     ERR_NONE);
    }
    check_done(contract, "the old are gone", "110.0 109.0 108.0 107.0 106.0 105.0 104.0 103.0 102.0 101.0");
    check_number("faults", contract_faults(contract), 0);
}

void contract_outcomes_of_deleted_mail(void **state)
{
    struct contract *contract = *state;
    struct queue_change delete = {.kind = QUEUE_CHANGE_DELETE, .id = 1, .now_ms = T0};
    check_number("accept", mail_accept(contract->queue, &(struct mail){.id = 1, .to = {"a", "b"}}), ERR_NONE);
    check_number("deliver", mail_update(contract->queue, 1, 0, MAIL_DELIVER, T0), ERR_NONE);
    check_number("delete", mail_apply(contract->queue, &delete), ERR_NONE);
    check_done(contract, "one of each", "1.1deleted 1.0");
}

void contract_policies_are_listed(void **state)
{
    struct contract *contract = *state;
    static const char *const names[] = {"b.example", "a.example", "c.example"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct queue_change change = {
            .kind = QUEUE_CHANGE_POLICY, .key = slice_of(names[i]), .bytes = slice_of(names[i])};
        check_number("apply", mail_apply(contract->queue, &change), ERR_NONE);
    }
    check_number("count", queue_policy_count(contract->queue), 3);
    for (size_t limit = 1; limit <= 4; limit++) {
        struct seen seen = {0};
        struct buffer after;
        enum err err;
        size_t calls = 0;
        buffer_init(&after, QUEUE_NAME_MAX);
        do {
            err = queue_list_policies(contract->queue, &after, limit, see_policy, &seen);
        } while (err == ERR_NONE && calls++ < 10);
        check_number("end", err, ERR_END);
        check_slice("seen", slice_of(seen.text), SLICE("a.example b.example c.example"));
        buffer_free(&after);
    }
}

/* ---- help ---- */

/* All, in slices of every size. */
static void check_list(struct contract *contract, const char *name, const char *destination, const char *expected)
{
    for (size_t limit = 1; limit <= 9; limit++) {
        struct seen seen = {0};
        struct queue_listing listing = {.destination = slice_of(destination),
                                        .limit = limit,
                                        .arena = contract->arena,
                                        .visit = see,
                                        .owner = &seen};
        check_number(name, list_whole(contract, &listing, false), ERR_END);
        check_slice(name, slice_of(seen.text), slice_of(expected));
        check_number(name, listing.damaged_count, 0);
    }
}

static void check_done(struct contract *contract, const char *name, const char *expected)
{
    for (size_t limit = 1; limit <= 13; limit++) {
        struct seen seen = {0};
        struct queue_listing listing = {.limit = limit, .arena = contract->arena, .visit = see, .owner = &seen};
        check_number(name, list_whole(contract, &listing, true), ERR_END);
        check_slice(name, slice_of(seen.text), slice_of(expected));
        check_number(name, listing.damaged_count, 0);
    }
}

static enum err list_whole(struct contract *contract, struct queue_listing *listing, bool is_done)
{
    enum err err;
    size_t calls = 0;
    do {
        arena_reset(contract->arena);
        err = is_done ? queue_list_done(contract->queue, listing) : queue_list(contract->queue, listing);
    } while (err == ERR_NONE && calls++ < 1000);
    return err;
}

static bool see(void *owner, const struct queue_message *message, const struct queue_entry *entry)
{
    struct seen *seen = owner;
    check_true("belongs to it", message->id == entry->id);
    check_number("recipients", entry->recipient_count, 1);
    seen->length += (size_t)snprintf(seen->text + seen->length, sizeof seen->text - seen->length, "%s%llu.%u%s",
                                     seen->length > 0 ? " " : "", (unsigned long long)entry->id, entry->number,
                                     entry->recipients[0].status == QUEUE_DELETED ? "deleted" : "");
    return ++seen->count != seen->stop_after;
}

static bool see_policy(void *owner, struct slice domain, struct slice bytes)
{
    struct seen *seen = owner;
    check_slice("bytes", bytes, domain);
    seen->length += (size_t)snprintf(seen->text + seen->length, sizeof seen->text - seen->length, "%s%.*s",
                                     seen->length > 0 ? " " : "", SLICE_ARGS(domain));
    return true;
}
