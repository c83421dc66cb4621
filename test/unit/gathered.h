/* A message whose recipients fail one after the other, over the journal of drafting.h: what its sender is told, and when. */
#ifndef TEST_UNIT_GATHERED_H
#define TEST_UNIT_GATHERED_H

#include "test/unit/drafting.h"

#include "base/text.h"
#include "relay/digest.h"
#include "relay/gathering.h"
#include "relay/locals.h"
#include "smtp/envelope.h"

#define GATHER_MS INT64_C(30000)
#define ENTRIES_MAX 130
#define FIRST_ID UINT64_C(0x6A0000000000001)

static struct {
    struct log log;
    size_t lost; /* event=report_lost */
    struct destination destination;
    size_t released, paused, digested;
    uint64_t id; /* of the message that the test is about */
    struct buffer reports; /* the content of all in the queue */
    size_t report_count;
} world;

/* ---- the rest of the relay ---- */

void destination_release(struct destination *destination, uint64_t id, uint16_t number)
{
    (void)id;
    (void)number;
    assert_ptr_equal(destination, &world.destination);
    world.released++;
}

void destination_pause(struct destination *destination)
{
    assert_ptr_equal(destination, &world.destination);
    world.paused++;
}

bool digest_add(struct digest *digest, const struct digest_item *item, struct arena *arena, struct queue_change *change)
{
    (void)digest;
    (void)item;
    (void)arena;
    *change = (struct queue_change){.kind = QUEUE_CHANGE_META, .key = SLICE("digest"), .bytes = SLICE("item")};
    world.digested++;
    return true;
}

void digest_wake(struct digest *digest)
{
    (void)digest;
}

static inline void keep_line(struct log *log, struct slice line)
{
    (void)log;
    world.lost += slice_find_slice(line, SLICE("event=report_lost")) < line.length;
}

/* ---- set-up ---- */

static inline int set_up_world(void **state)
{
    struct buffer warnings;
    assert_int_equal(set_up(state), 0);
    memset(&world, 0, sizeof world);
    world.id = FIRST_ID;
    world.log = (struct log){.level = LOG_DEBUG, .write = keep_line};
    buffer_init(&world.reports, 8u << 20);
    test.relay.log = &world.log;
    test.config.expire_ms = INT64_C(5) * 24 * 3600000;
    test.config.report_gather_ms = GATHER_MS;
    test.config.aliases_file = test.config.local_root = test.config.postmaster = SLICE_EMPTY;
    buffer_init(&warnings, 4096);
    assert_int_equal(locals_load(&test.config, &test.relay.locals, &warnings), ERR_NONE);
    buffer_free(&warnings);
    test.relay.gathering = gathering_new(&test.relay);
    assert_non_null(test.relay.gathering);
    return 0;
}

static inline int tear_down_world(void **state)
{
    answer_all(ERR_NONE);
    gathering_free(&test.relay.gathering);
    locals_free(&test.relay.locals);
    buffer_free(&world.reports);
    return tear_down(state);
}

#define WORLD_TEST(test) cmocka_unit_test_setup_teardown(test, set_up_world, tear_down_world)

/* The process has ended, whatever was on its way to the disk is lost, and another one begins. */
static inline void restart(void)
{
    answer_all(ERR_IO);
    gathering_free(&test.relay.gathering);
    test.relay.gathering = gathering_new(&test.relay);
    assert_non_null(test.relay.gathering);
}

/* A message with so many entries, of so many recipients each: "e3r0@d3.example". */
struct letter {
    const char *from;
    size_t entries, recipients;
    uint8_t notify;
};
static inline void accept(const struct letter *letter)
{
    static struct queue_entry entries[ENTRIES_MAX];
    static struct queue_recipient recipients[ENTRIES_MAX][QUEUE_RECIPIENTS_MAX];
    static char addresses[ENTRIES_MAX][QUEUE_RECIPIENTS_MAX][40], names[ENTRIES_MAX][32];
    for (size_t i = 0; i < letter->entries; i++) {
        struct slice name = text_print(names[i], sizeof names[i], "d%zu.example", i);
        entries[i] = (struct queue_entry){.id = world.id,
                                          .number = (uint16_t)i,
                                          .destination = name,
                                          .recipients = recipients[i],
                                          .recipient_count = letter->recipients};
        for (size_t j = 0; j < letter->recipients; j++)
            recipients[i][j] = (struct queue_recipient){
                .address = text_print(addresses[i][j], sizeof addresses[i][j], "e%zur%zu@%s", i, j, names[i]),
                .notify = letter->notify};
    }
    struct queue_message message = {.id = world.id,
                                    .arrival_ms = clock_wall_ms(),
                                    .size = strlen(HEADER),
                                    .chunk_count = 1,
                                    .entry_count = (uint32_t)letter->entries,
                                    .sender = slice_of(letter->from),
                                    .header_length = strlen(HEADER)};
    const struct queue_change chunk = {.kind = QUEUE_CHANGE_CHUNK, .id = world.id, .bytes = SLICE(HEADER)};
    const struct queue_change accepted = {
        .kind = QUEUE_CHANGE_ACCEPT, .message = &message, .entries = entries, .entry_count = letter->entries};
    const struct queue_change *changes[] = {&chunk, &accepted};
    assert_int_equal(queue_apply(test.relay.queue, changes, COUNT_OF(changes)), ERR_NONE);
}

/* An attempt ends: the first so many recipients of the entry that are pending come to this. False: it is not in the queue. */
static inline bool outcome_text(uint16_t number, size_t count, enum queue_status status, struct slice text)
{
    struct arena *arena = arena_new(4u << 20);
    struct queue_message message;
    struct queue_entry entry;
    struct record_context context = {.reports_deliveries = false};
    bool is_there = queue_entry_get(test.relay.queue, world.id, number, arena, &entry) == ERR_NONE;
    if (is_there) {
        bool decided[QUEUE_RECIPIENTS_MAX] = {false};
        assert_int_equal(queue_message_get(test.relay.queue, world.id, arena, &message), ERR_NONE);
        for (size_t i = 0; i < entry.recipient_count && count > 0; i++) {
            if (entry.recipients[i].status != QUEUE_PENDING)
                continue;
            entry.recipients[i].status = status;
            entry.recipients[i].text = text;
            entry.recipients[i].dsn[0] = status == QUEUE_DELIVERED ? 2 : 5;
            decided[i] = true;
            count--;
        }
        struct record_request request = {.message = &message,
                                         .entry = &entry,
                                         .destination = &world.destination,
                                         .context = &context,
                                         .decided = decided,
                                         .advice = SLICE_EMPTY};
        record_outcome(&test.relay, &request);
    }
    arena_free(&arena);
    return is_there;
}

static inline bool outcome(uint16_t number, enum queue_status status)
{
    return outcome_text(number, QUEUE_RECIPIENTS_MAX, status, SLICE("550 no such user"));
}

static inline void refuse(uint16_t number)
{
    assert_true(outcome(number, QUEUE_FAILED));
    answer_all(ERR_NONE);
}

/* ---- what is in the queue ---- */

static inline bool visit(void *owner, const struct queue_message *message, const struct queue_entry *entry)
{
    (void)owner;
    (void)entry;
    bool is_report = slice_starts(message->origin, SLICE("report on"));
    world.report_count += is_report;
    for (uint32_t i = 0; i < message->chunk_count && is_report; i++)
        assert_int_equal(queue_chunk_get(test.relay.queue, message->id, i, &world.reports), ERR_NONE);
    return true;
}

static inline size_t reports(void)
{
    struct arena *arena = arena_new(4u << 20);
    struct queue_listing listing = {.limit = 1000, .arena = arena, .visit = visit};
    buffer_clear(&world.reports);
    world.report_count = 0;
    assert_int_equal(queue_list(test.relay.queue, &listing), ERR_END);
    arena_free(&arena);
    return world.report_count;
}

static inline size_t count_of(const char *part)
{
    return check_count_of(buffer_slice(&world.reports), part);
}

static inline size_t told(size_t entry, size_t recipient)
{
    char text[80];
    snprintf(text, sizeof text, "Final-Recipient: rfc822; e%zur%zu@d%zu.example\r\n", entry, recipient, entry);
    return count_of(text);
}

static inline size_t owed(void)
{
    struct arena *arena = arena_new(1u << 20);
    size_t count = 0;
    for (size_t i = 0; i < 600; i++) {
        char key[24];
        struct slice bytes;
        arena_reset(arena);
        count += queue_meta_get(test.relay.queue, text_print(key, sizeof key, "owed/%zu", i), arena, &bytes) == ERR_NONE;
    }
    arena_free(&arena);
    return count;
}

static inline bool is_in_queue(void)
{
    struct arena *arena = arena_new(1u << 20);
    struct queue_message message;
    bool is_there = queue_message_get(test.relay.queue, world.id, arena, &message) == ERR_NONE;
    arena_free(&arena);
    return is_there;
}

/* Time passes, and the disk answers. */
static inline void pass(int64_t duration_ms)
{
    turn_for(duration_ms);
    while (test.count > 0) {
        answer_all(ERR_NONE);
        turn_settle();
    }
}

#endif
