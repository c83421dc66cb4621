#include "queue/envelope.h"
#include "test/unit/check.h"

#define ARENA_LIMIT ((size_t)1 << 20)
#define RECORD_LIMIT ((size_t)1 << 20)

static void ids_are_times_and_texts(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t wall_ms;
        uint32_t sequence;
        const char *text;
    } cases[] = {
        {"never 0", 0, 0, "0000000000000001"},
        {"sequence", 0, 5, "0000000000000005"},
        {"time", 1700000000000, 0, "18BCFE5680000000"},
        {"both", 1700000000000, 0xABCDE, "18BCFE56800ABCDE"},
        {"sequence wraps", 1, 0x100001, "0000000000100001"},
        {"before the epoch", -5, 7, "0000000000000007"},
        {"last", (INT64_C(1) << 44) - 1, 0xFFFFF, "FFFFFFFFFFFFFFFF"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[QUEUE_ID_TEXT];
        uint64_t id = queue_id_make(cases[i].wall_ms, cases[i].sequence), parsed;
        check_slice(cases[i].name, queue_id_print(id, text), slice_of(cases[i].text));
        check_true(cases[i].name, queue_id_parse(slice_of(text), &parsed) && parsed == id);
        check_number(cases[i].name, queue_id_time_ms(id), cases[i].wall_ms < 0 ? 0 : cases[i].wall_ms);
    }
}

static void ids_are_read_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t id; /* 0: refused */
    } cases[] = {
        {"18BCFE5680000000", 0x18BCFE5680000000},
        {"8BCFE5680000", 0x8BCFE5680000},
        {"8BCFE568000", 0},
        {"18BCFE56800000000", 0},
        {"18bcfe5680000000", 0},
        {"18BCFE568000000G", 0},
        {"0000000000000000", 0},
        {"", 0},
        {"+8BCFE5680000000", 0},
        {"18BCFE568000000 ", 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint64_t id;
        bool is_id = queue_id_parse(slice_of(cases[i].text), &id);
        check_true(cases[i].text, is_id == (cases[i].id != 0));
        check_true(cases[i].text, !is_id || id == cases[i].id);
    }
}

static void ids_sort_by_time(void **state)
{
    (void)state;
    assert_true(queue_id_make(1000, 0xFFFFF) < queue_id_make(1001, 0));
    assert_true(queue_id_make(1000, 1) < queue_id_make(1000, 2));
}

static void senders_are_told_apart_without_case(void **state)
{
    (void)state;
    assert_true(queue_sender_hash(SLICE("A@Example.COM")) == queue_sender_hash(SLICE("a@example.com")));
    assert_true(queue_sender_hash(SLICE("a@example.com")) != queue_sender_hash(SLICE("b@example.com")));
    assert_true(queue_sender_hash(SLICE("")) != 0);
    /* Stored queues depend on it. */
    assert_true(queue_sender_hash(SLICE("a@example.com")) == UINT64_C(0x05C7D56DD046A28B));
    assert_true(queue_sender_hash(SLICE("")) == UINT64_C(0x1D183127F7ED89F4));
}

static void statuses_have_names(void **state)
{
    (void)state;
    assert_string_equal(queue_status_name(QUEUE_PENDING), "pending");
    assert_string_equal(queue_status_name(QUEUE_DELETED), "deleted");
}

static void entry_is_finished_without_pending(void **state)
{
    (void)state;
    struct queue_recipient recipients[] = {
        {.status = QUEUE_DELIVERED}, {.status = QUEUE_FAILED}, {.status = QUEUE_PENDING}};
    struct queue_entry entry = {.recipients = recipients, .recipient_count = 2};
    assert_true(queue_entry_is_finished(&entry));
    entry.recipient_count = 3;
    assert_false(queue_entry_is_finished(&entry));
}

/* Each flag is itself and no other; a form is there or not. */
static void messages_keep_their_flags(void **state)
{
    (void)state;
    for (unsigned set = 0; set < 128; set++) {
        struct buffer record;
        struct queue_message read;
        struct queue_message message = {.id = 1,
                                        .eight_bit = set & 1,
                                        .utf8 = set & 2,
                                        .is_signed = set & 4,
                                        .has_long_lines = set & 8,
                                        .has_eight_bit_header = set & 16,
                                        .is_sealed = set & 32,
                                        .form = set & 64 ? SLICE("\0\x02") : SLICE_EMPTY};
        buffer_init(&record, RECORD_LIMIT);
        queue_message_encode(&message, &record);
        assert_int_equal(queue_message_decode(buffer_slice(&record), &read), ERR_NONE);
        assert_true(read.eight_bit == message.eight_bit && read.utf8 == message.utf8);
        assert_true(read.is_signed == message.is_signed && read.has_long_lines == message.has_long_lines);
        assert_true(read.has_eight_bit_header == message.has_eight_bit_header && read.is_sealed == message.is_sealed);
        assert_true(slice_equal(read.form, message.form));
        buffer_free(&record);
    }
}

/* ---- records: each kind is encoded once here, and the tests below go through all of them ---- */

enum kind { MESSAGE, ENTRY, DESTINATION, KIND_COUNT };

static void encode(enum kind kind, struct buffer *out)
{
    struct queue_recipient recipients[] = {
        {.address = SLICE("one@example.net"),
         .orcpt = SLICE("rfc822;one"),
         .notify = 0xff,
         .status = QUEUE_EXPIRED,
         .code = 65535,
         .dsn = {5, 255, 255},
         .text = SLICE("text"),
         .host = SLICE("mx")},
        {.address = SLICE("")},
    };
    struct queue_message message = {.id = UINT64_MAX,
                                    .arrival_ms = INT64_MIN,
                                    .size = UINT64_MAX,
                                    .chunk_count = UINT32_MAX,
                                    .entry_count = 7,
                                    .sender = SLICE("a@example.com"),
                                    .origin = SLICE("report"),
                                    .utf8 = true,
                                    .ret = 255,
                                    .envid = SLICE("id"),
                                    .header_length = UINT32_MAX,
                                    .form = SLICE("\0\x01")};
    struct queue_entry entry = {.id = 1,
                                .number = UINT16_MAX,
                                .destination = SLICE("[192.0.2.1]"),
                                .due_ms = INT64_MAX,
                                .held = true,
                                .attempts = UINT32_MAX,
                                .first_attempt_ms = -1,
                                .last_attempt_ms = 1,
                                .reason = SLICE("dns"),
                                .why = SLICE("{\"a\":1}"),
                                .recipients = recipients,
                                .recipient_count = 2};
    struct queue_destination destination = {.name = SLICE("example.org"),
                                            .not_before_ms = 5,
                                            .failures = 6,
                                            .failing_since_ms = 7,
                                            .reason = SLICE("connect"),
                                            .why = SLICE("{}"),
                                            .text = SLICE("refused")};
    switch (kind) {
        case MESSAGE:
            queue_message_encode(&message, out);
            break;
        case ENTRY:
            queue_entry_encode(&entry, out);
            break;
        case DESTINATION:
        case KIND_COUNT:
            queue_destination_encode(&destination, out);
    }
}

/* Decodes and encodes again, so that equal bytes say that every field came through. */
static enum err recode(enum kind kind, struct slice bytes, struct arena *arena, struct buffer *out)
{
    struct queue_message message;
    struct queue_entry entry;
    struct queue_destination destination;
    enum err err = ERR_CORRUPT;
    switch (kind) {
        case MESSAGE:
            err = queue_message_decode(bytes, &message);
            if (err == ERR_NONE) {
                queue_message_encode(&message, out);
            }
            break;
        case ENTRY:
            err = queue_entry_decode(bytes, arena, &entry);
            if (err == ERR_NONE) {
                queue_entry_encode(&entry, out);
            }
            break;
        case DESTINATION:
        case KIND_COUNT:
            err = queue_destination_decode(bytes, &destination);
            if (err == ERR_NONE) {
                queue_destination_encode(&destination, out);
            }
    }
    return err;
}

static void records_come_back(void **state)
{
    (void)state;
    struct arena *arena = arena_new(ARENA_LIMIT);
    for (enum kind kind = MESSAGE; kind < KIND_COUNT; kind++) {
        struct buffer record, again;
        buffer_init(&record, RECORD_LIMIT);
        buffer_init(&again, RECORD_LIMIT);
        buffer_add(&record, SLICE("what is in the buffer already is not part of it"));
        size_t before = buffer_length(&record);
        encode(kind, &record);
        struct slice bytes = slice_from(buffer_slice(&record), before);
        check_number("decode", recode(kind, bytes, arena, &again), ERR_NONE);
        check_slice("same bytes", buffer_slice(&again), bytes);
        buffer_free(&record);
        buffer_free(&again);
    }
    arena_free(&arena);
}

/* One kind is no other, no byte may change, and none may be missing or too many. */
static void damage_is_seen(void **state)
{
    (void)state;
    struct arena *arena = arena_new(ARENA_LIMIT);
    struct buffer again;
    buffer_init(&again, RECORD_LIMIT);
    for (enum kind kind = MESSAGE; kind < KIND_COUNT; kind++) {
        struct buffer record;
        buffer_init(&record, RECORD_LIMIT);
        encode(kind, &record);
        struct slice bytes = buffer_slice(&record);
        for (enum kind other = MESSAGE; other < KIND_COUNT; other++) {
            check_number("kind", recode(other, bytes, arena, &again), other == kind ? ERR_NONE : ERR_CORRUPT);
        }
        for (size_t i = 0; i < bytes.length; i++) {
            check_number("cut", recode(kind, slice_to(bytes, i), arena, &again), ERR_CORRUPT);
            for (int bit = 0; bit < 8; bit++) {
                record.data[i] = (char)(record.data[i] ^ (1 << bit));
                check_number("bit", recode(kind, bytes, arena, &again), ERR_CORRUPT);
                record.data[i] = (char)(record.data[i] ^ (1 << bit));
            }
        }
        buffer_add_byte(&record, 0);
        check_number("one more", recode(kind, buffer_slice(&record), arena, &again), ERR_CORRUPT);
        buffer_free(&record);
    }
    buffer_free(&again);
    arena_free(&arena);
}

static void peek_counts_recipients(void **state)
{
    (void)state;
    struct buffer record;
    struct queue_entry entry;
    buffer_init(&record, RECORD_LIMIT);
    encode(ENTRY, &record);
    check_number("peek", queue_entry_peek(buffer_slice(&record), &entry), ERR_NONE);
    check_number("count", entry.recipient_count, 2);
    check_true("none given", entry.recipients == NULL);
    check_slice("destination", entry.destination, SLICE("[192.0.2.1]"));
    check_true("held", entry.held && !entry.warned);
    buffer_free(&record);
}

static void small_arena_is_an_error(void **state)
{
    (void)state;
    struct buffer record;
    struct queue_entry entry;
    buffer_init(&record, RECORD_LIMIT);
    encode(ENTRY, &record);
    for (size_t limit = 1; limit < 2 * sizeof(struct queue_recipient); limit++) {
        struct arena *arena = arena_new(limit);
        check_number("small", queue_entry_decode(buffer_slice(&record), arena, &entry), ERR_MEMORY);
        arena_free(&arena);
    }
    struct arena *arena = arena_new(2 * sizeof(struct queue_recipient) + 16);
    check_number("large enough", queue_entry_decode(buffer_slice(&record), arena, &entry), ERR_NONE);
    arena_free(&arena);
    buffer_free(&record);
}

static void full_buffer_is_told(void **state)
{
    (void)state;
    struct buffer whole;
    buffer_init(&whole, RECORD_LIMIT);
    encode(ENTRY, &whole);
    for (size_t limit = 0; limit < buffer_length(&whole); limit++) {
        struct buffer small;
        buffer_init(&small, limit);
        encode(ENTRY, &small);
        check_true("failed", buffer_failed(&small));
        buffer_free(&small);
    }
    buffer_free(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_times_and_texts),
        cmocka_unit_test(messages_keep_their_flags), cmocka_unit_test(ids_are_read_strictly),
        cmocka_unit_test(ids_sort_by_time),        cmocka_unit_test(senders_are_told_apart_without_case),
        cmocka_unit_test(statuses_have_names),     cmocka_unit_test(entry_is_finished_without_pending),
        cmocka_unit_test(records_come_back),       cmocka_unit_test(damage_is_seen),
        cmocka_unit_test(peek_counts_recipients),  cmocka_unit_test(small_arena_is_an_error),
        cmocka_unit_test(full_buffer_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
