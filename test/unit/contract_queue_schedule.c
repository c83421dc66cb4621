/* The contract: which destination is called when, and which entries it gets. */
#include "test/unit/contract_queue.h"
#include "test/unit/check.h"
#include "test/unit/mail.h"

#define T0 1000000
#define MAILS_MAX 12
#define PICKS_MAX 16

static void check_ready(struct contract *contract, const char *name, int64_t now_ms, const char *expected);
static void check_next(struct contract *contract, const char *name, int64_t from_ms, int64_t expected_ms);
static void set_destination(struct contract *contract, const char *name, int64_t not_before_ms);
static void check_window(struct contract *contract, const char *name, const struct queue_window_request *request,
                         const char *expected);
static bool skip_listed(void *owner, uint64_t id, uint16_t number);

void contract_ready_is_sorted_and_continued(void **state)
{
    struct contract *contract = *state;
    static const struct mail mails[] = {
        {.id = 1, .to = {"c.example"}, .due_ms = T0 + 2}, {.id = 2, .to = {"a.example"}, .due_ms = T0 + 2},
        {.id = 3, .to = {"b.example"}, .due_ms = T0 + 1}, {.id = 4, .to = {"b.example"}, .due_ms = T0 + 9},
        {.id = 5, .to = {"d.example"}, .due_ms = T0 + 3},
    };
    check_ready(contract, "empty", INT64_MAX, "");
    for (size_t i = 0; i < COUNT_OF(mails); i++) {
        check_number("accept", mail_accept(contract->queue, &mails[i]), ERR_NONE);
    }
    check_ready(contract, "none yet", T0, "");
    check_ready(contract, "one", T0 + 1, "b.example");
    check_ready(contract, "three", T0 + 2, "b.example a.example c.example");
    check_ready(contract, "all", INT64_MAX, "b.example a.example c.example d.example");
    check_next(contract, "first", 0, T0 + 1);
    check_next(contract, "same", T0 + 1, T0 + 1);
    check_next(contract, "second", T0 + 2, T0 + 2);
    check_next(contract, "third", T0 + 3, T0 + 3);
    check_next(contract, "behind all", T0 + 4, -1);
    check_number("faults", contract_faults(contract), 0);
}

void contract_ready_waits_for_the_destination(void **state)
{
    struct contract *contract = *state;
    check_number("accept", mail_accept(contract->queue, &(struct mail){.id = 1, .to = {"a.example"}, .due_ms = T0}),
                 ERR_NONE);
    set_destination(contract, "a.example", T0 + 100);
    check_ready(contract, "waits", T0 + 99, "");
    check_ready(contract, "over", T0 + 100, "a.example");
    check_number("new mail",
                 mail_accept(contract->queue, &(struct mail){.id = 2, .to = {"a.example"}, .due_ms = T0 - 5}),
                 ERR_NONE);
    check_ready(contract, "waits still", T0 + 99, "");
    set_destination(contract, "a.example", T0 - 50);
    check_next(contract, "earliest entry", 0, T0 - 5);
    set_destination(contract, "a.example", T0 + 100);
    set_destination(contract, "a.example", 0);
    check_next(contract, "forgotten", 0, T0 - 5);
    set_destination(contract, "b.example", T0 + 100);
    check_ready(contract, "no entries, no call", INT64_MAX, "a.example");
    contract_reopen(contract);
    check_number("accept", mail_accept(contract->queue, &(struct mail){.id = 3, .to = {"b.example"}, .due_ms = T0}),
                 ERR_NONE);
    check_ready(contract, "known before its first entry", T0 + 99, "a.example");
    check_ready(contract, "then", T0 + 100, "a.example b.example");
    check_number("faults", contract_faults(contract), 0);
}

void contract_ready_follows_changes(void **state)
{
    struct contract *contract = *state;
    const struct mail mail = {.id = 1, .to = {"a.example", "a.example", "b.example"}, .due_ms = T0};
    check_number("accept", mail_accept(contract->queue, &mail), ERR_NONE);
    check_number("other sender",
                 mail_accept(contract->queue,
                             &(struct mail){.id = 2, .from = "b@example.com", .to = {"a.example"}, .due_ms = T0 + 7}),
                 ERR_NONE);
    check_ready(contract, "start", T0, "a.example b.example");
    check_number("defer", mail_update(contract->queue, 1, 0, MAIL_DEFER, T0 + 10), ERR_NONE);
    check_ready(contract, "second entry is left", T0, "a.example b.example");
    check_number("defer", mail_update(contract->queue, 1, 1, MAIL_DEFER, T0 + 20), ERR_NONE);
    check_ready(contract, "none is left", T0, "b.example");
    check_next(contract, "of the other sender", T0 + 1, T0 + 7);
    check_number("deliver", mail_update(contract->queue, 2, 0, MAIL_DELIVER, T0), ERR_NONE);
    check_next(contract, "of the first sender", T0 + 1, T0 + 10);
    check_number("deliver", mail_update(contract->queue, 1, 2, MAIL_DELIVER, T0), ERR_NONE);
    check_next(contract, "one destination less", 0, T0 + 10);
    check_number("sooner", mail_update(contract->queue, 1, 1, MAIL_DEFER, T0 + 5), ERR_NONE);
    check_next(contract, "sooner", 0, T0 + 5);
    check_number("faults", contract_faults(contract), 0);
}

void contract_held_entries_are_not_called(void **state)
{
    struct contract *contract = *state;
    check_number("accept", mail_accept(contract->queue, &(struct mail){.id = 1, .due_ms = T0, .held = true}), ERR_NONE);
    check_number("accept", mail_accept(contract->queue, &(struct mail){.id = 2, .due_ms = T0 + 5}), ERR_NONE);
    check_next(contract, "first is held", 0, T0 + 5);
    check_number("hold", mail_update(contract->queue, 2, 0, MAIL_HOLD, 0), ERR_NONE);
    check_next(contract, "both are", 0, -1);
    check_number("hold again", mail_update(contract->queue, 2, 0, MAIL_HOLD, 0), ERR_NONE);
    check_number("release", mail_update(contract->queue, 1, 0, MAIL_RELEASE, T0 + 9), ERR_NONE);
    check_next(contract, "released", 0, T0 + 9);
    struct queue_change delete = {.kind = QUEUE_CHANGE_DELETE, .id = 2, .now_ms = T0};
    check_number("delete held", mail_apply(contract->queue, &delete), ERR_NONE);
    check_number("faults", contract_faults(contract), 0);
}

void contract_parked_entry_is_not_called(void **state)
{
    struct contract *contract = *state;
    check_number("accept", mail_accept(contract->queue, &(struct mail){.id = 1, .due_ms = T0}), ERR_NONE);
    check_number("accept", mail_accept(contract->queue, &(struct mail){.id = 2, .due_ms = T0 + 5}), ERR_NONE);
    struct queue_change park = {.kind = QUEUE_CHANGE_PARK, .id = 1, .key = SLICE("example.org")};
    struct queue_change park_absent = {.kind = QUEUE_CHANGE_PARK, .id = 3, .key = SLICE_EMPTY};
    check_number("absent", mail_apply(contract->queue, &park_absent), ERR_NONE);
    check_number("park", mail_apply(contract->queue, &park), ERR_NONE);
    check_next(contract, "the other", 0, T0 + 5);
    struct queue_entry entry;
    check_number("is kept", queue_entry_get(contract->queue, 1, 0, contract->arena, &entry), ERR_NONE);
    check_number("schedule again", mail_update(contract->queue, 1, 0, MAIL_DEFER, T0 + 1), ERR_NONE);
    check_next(contract, "back", 0, T0 + 1);
    park.key = SLICE_EMPTY;
    check_number("park anywhere", mail_apply(contract->queue, &park), ERR_NONE);
    check_next(contract, "the other", 0, T0 + 5);
    struct queue_change delete = {.kind = QUEUE_CHANGE_DELETE, .id = 1, .now_ms = T0};
    check_number("delete", mail_apply(contract->queue, &delete), ERR_NONE);
    check_number("faults", contract_faults(contract), 0);
}

/* ---- windows: each mail is one entry "ID" of one sender, all to w.example ---- */

struct window_case {
    const char *name;
    struct mail mails[MAILS_MAX];
    struct queue_window_request request;
    const char *skipped;
    const char *expected; /* ids in order */
};

static const struct window_case cases[] = {
    {.name = "nothing", .request = {.now_ms = T0, .per_sender = 5, .limit = 5}, .expected = ""},
    {.name = "nothing due",
     .mails = {{.id = 1, .due_ms = T0 + 1}},
     .request = {.now_ms = T0, .per_sender = 5, .limit = 5},
     .expected = ""},
    {.name = "by time, not by id",
     .mails = {{.id = 1, .due_ms = 9}, {.id = 2, .due_ms = 8}, {.id = 3, .due_ms = 7}},
     .request = {.now_ms = T0, .per_sender = 5, .limit = 5},
     .expected = "3 2 1"},
    {.name = "by id at the same time",
     .mails = {{.id = 3, .due_ms = 7}, {.id = 1, .due_ms = 7}, {.id = 2, .due_ms = 7}},
     .request = {.now_ms = T0, .per_sender = 5, .limit = 5},
     .expected = "1 2 3"},
    {.name = "limit",
     .mails = {{.id = 1}, {.id = 2}, {.id = 3}},
     .request = {.now_ms = T0, .per_sender = 5, .limit = 2},
     .expected = "1 2"},
    {.name = "per sender",
     .mails = {{.id = 1}, {.id = 2}, {.id = 3}},
     .request = {.now_ms = T0, .per_sender = 2, .limit = 5},
     .expected = "1 2"},
    {.name = "no room", .mails = {{.id = 1}}, .request = {.now_ms = T0, .per_sender = 2, .limit = 0}, .expected = ""},
    {.name = "no room for a sender",
     .mails = {{.id = 1}},
     .request = {.now_ms = T0, .per_sender = 0, .limit = 5},
     .expected = ""},
    {.name = "in turns",
     .mails = {{.id = 1, .due_ms = 1},
               {.id = 2, .due_ms = 2},
               {.id = 3, .due_ms = 3},
               {.id = 4, .due_ms = 4},
               {.id = 5, .from = "b@x", .due_ms = 5},
               {.id = 6, .from = "c@x", .due_ms = 6},
               {.id = 7, .from = "c@x", .due_ms = 7}},
     .request = {.now_ms = T0, .per_sender = 3, .limit = 9},
     .expected = "1 5 6 2 7 3"},
    {.name = "in turns, to the limit",
     .mails = {{.id = 1, .due_ms = 1},
               {.id = 2, .due_ms = 2},
               {.id = 5, .from = "b@x", .due_ms = 5},
               {.id = 6, .from = "c@x", .due_ms = 6},
               {.id = 7, .from = "c@x", .due_ms = 7}},
     .request = {.now_ms = T0, .per_sender = 3, .limit = 4},
     .expected = "1 5 6 2"},
    {.name = "a sender without regard to case",
     .mails = {{.id = 1, .from = "A@X"}, {.id = 2, .from = "a@x"}, {.id = 3, .from = "b@x", .due_ms = 1}},
     .request = {.now_ms = T0, .per_sender = 1, .limit = 9},
     .expected = "1 3"},
    {.name = "the null sender is one",
     .mails = {{.id = 1, .from = ""}, {.id = 2, .from = ""}, {.id = 3, .from = "b@x", .due_ms = 1}},
     .request = {.now_ms = T0, .per_sender = 1, .limit = 9},
     .expected = "1 3"},
    {.name = "due ones only",
     .mails = {{.id = 1, .due_ms = T0}, {.id = 2, .due_ms = T0 + 1}, {.id = 3, .from = "b@x", .due_ms = T0 + 1}},
     .request = {.now_ms = T0, .per_sender = 5, .limit = 9},
     .expected = "1"},
    {.name = "held ones not",
     .mails = {{.id = 1, .held = true}, {.id = 2}},
     .request = {.now_ms = T0, .per_sender = 5, .limit = 9},
     .expected = "2"},
    {.name = "passes over",
     .mails = {{.id = 1}, {.id = 2}, {.id = 3}, {.id = 4}},
     .skipped = "1 3",
     .request = {.now_ms = T0, .per_sender = 5, .limit = 9},
     .expected = "2 4"},
    {.name = "what is passed over does not count",
     .mails = {{.id = 1}, {.id = 2}, {.id = 3}, {.id = 4, .from = "b@x", .due_ms = 1}},
     .skipped = "1",
     .request = {.now_ms = T0, .per_sender = 1, .limit = 2},
     .expected = "2 4"},
    {.name = "a sender all passed over",
     .mails = {{.id = 1}, {.id = 2}, {.id = 4, .from = "b@x", .due_ms = 1}},
     .skipped = "1 2",
     .request = {.now_ms = T0, .per_sender = 9, .limit = 9},
     .expected = "4"},
};

void contract_window_cases(void **state)
{
    struct contract *contract = *state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct queue_change delete = {.kind = QUEUE_CHANGE_DELETE, .now_ms = T0};
        for (size_t j = 0; j < MAILS_MAX && cases[i].mails[j].id != 0; j++) {
            struct mail mail = cases[i].mails[j];
            mail.to[0] = "w.example";
            check_number(cases[i].name, mail_accept(contract->queue, &mail), ERR_NONE);
        }
        struct queue_window_request request = cases[i].request;
        request.destination = SLICE("w.example");
        request.skip = cases[i].skipped != NULL ? skip_listed : NULL;
        request.owner = (void *)(uintptr_t)cases[i].skipped;
        check_window(contract, cases[i].name, &request, cases[i].expected);
        for (delete.id = 1; delete.id <= MAILS_MAX; delete.id++) {
            check_number(cases[i].name, mail_apply(contract->queue, &delete), ERR_NONE);
        }
    }
    check_number("faults", contract_faults(contract), 0);
}

/* Three senders, one of them with many entries: every window of two goes on behind the last, and comes round. */
void contract_window_takes_turns_over_calls(void **state)
{
    struct contract *contract = *state;
    static const struct mail mails[] = {
        {.id = 1, .from = "a@x", .to = {"w.example"}, .due_ms = 1},
        {.id = 2, .from = "a@x", .to = {"w.example"}, .due_ms = 2},
        {.id = 3, .from = "b@x", .to = {"w.example"}, .due_ms = 3},
        {.id = 4, .from = "c@x", .to = {"w.example"}, .due_ms = 4},
    };
    for (size_t i = 0; i < COUNT_OF(mails); i++) {
        check_number("accept", mail_accept(contract->queue, &mails[i]), ERR_NONE);
    }
    uint64_t a = queue_sender_hash(SLICE("a@x")), b = queue_sender_hash(SLICE("b@x")),
             c = queue_sender_hash(SLICE("c@x"));
    struct queue_window_request request = {
        .destination = SLICE("w.example"), .now_ms = T0, .per_sender = 1, .limit = 2};
    check_window(contract, "start", &request, "1 3");
    request.first_sender = b;
    request.first_due_ms = 3;
    check_window(contract, "behind b", &request, "4 1");
    request.first_sender = a;
    request.first_due_ms = 1;
    check_window(contract, "behind a", &request, "3 4");
    request.first_sender = c;
    request.first_due_ms = 4;
    check_window(contract, "behind c", &request, "1 3");
    request.first_due_ms = 0;
    request.first_sender = b;
    check_window(contract, "behind b, time not told", &request, "4 1");
    request.first_sender = queue_sender_hash(SLICE("gone@x"));
    check_window(contract, "behind one that is gone", &request, "1 3");
    request.first_due_ms = 3;
    request.first_sender = b;
    request.per_sender = 9;
    request.limit = 9;
    check_window(contract, "all, behind b", &request, "4 1 3 2");
    check_number("deliver", mail_update(contract->queue, 3, 0, MAIL_DELIVER, T0), ERR_NONE);
    check_window(contract, "b itself is gone", &request, "4 1 2");
}

void contract_window_of_similar_names(void **state)
{
    struct contract *contract = *state;
    static const char *const names[] = {"a.b", "a.bc", "a", "a.b.c", "a.b-c", "A.b"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const struct mail mail = {.id = i + 1, .to = {names[i]}, .due_ms = T0};
        check_number(names[i], mail_accept(contract->queue, &mail), ERR_NONE);
    }
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char expected[8];
        snprintf(expected, sizeof expected, "%zu", i + 1);
        struct queue_window_request request = {
            .destination = slice_of(names[i]), .now_ms = T0, .per_sender = 9, .limit = 9};
        check_window(contract, names[i], &request, expected);
    }
}

void contract_longest_names_fit(void **state)
{
    struct contract *contract = *state;
    char longest[QUEUE_NAME_MAX + 1];
    memset(longest, 'x', QUEUE_NAME_MAX);
    longest[QUEUE_NAME_MAX] = '\0';
    const struct mail mail = {.id = 1, .to = {longest}, .due_ms = T0};
    check_number("accept", mail_accept(contract->queue, &mail), ERR_NONE);
    set_destination(contract, longest, T0 + 1);
    check_ready(contract, "ready", T0 + 1, longest);
    struct queue_window_request request = {.destination = slice_of(longest), .now_ms = T0, .per_sender = 9, .limit = 9};
    check_window(contract, "window", &request, "1");
    struct queue_change policy = {.kind = QUEUE_CHANGE_POLICY, .key = slice_of(longest), .bytes = SLICE("x")};
    check_number("policy", mail_apply(contract->queue, &policy), ERR_NONE);
    check_number("faults", contract_faults(contract), 0);
}

void contract_times_sort_over_zero(void **state)
{
    struct contract *contract = *state;
    static const int64_t times[] = {-1, INT64_MIN, 5, 0, INT64_MAX};
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        const struct mail mail = {.id = i + 1, .due_ms = times[i], .to = {"w.example"}};
        check_number("accept", mail_accept(contract->queue, &mail), ERR_NONE);
    }
    struct queue_window_request request = {
        .destination = SLICE("w.example"), .now_ms = INT64_MAX, .per_sender = 9, .limit = 9};
    check_window(contract, "all", &request, "2 1 4 3 5");
    request.now_ms = 0;
    check_window(contract, "to zero", &request, "2 1 4");
}

/* ---- help ---- */

/* The names in order; asked for at once and in pages of every size. */
static void check_ready(struct contract *contract, const char *name, int64_t now_ms, const char *expected)
{
    struct queue_ready ready[PICKS_MAX];
    for (size_t page = 1; page <= PICKS_MAX; page++) {
        char got[1024] = "";
        size_t length = 0, count;
        struct queue_ready_request request = {.now_ms = now_ms, .limit = page, .arena = contract->arena};
        do {
            check_number(name, queue_ready(contract->queue, &request, ready, &count), ERR_NONE);
            check_true(name, count <= page);
            for (size_t i = 0; i < count; i++) {
                length += (size_t)snprintf(got + length, sizeof got - length, "%s%.*s", length > 0 ? " " : "",
                                           SLICE_ARGS(ready[i].name));
            }
            request.after = count > 0 ? &ready[count - 1] : NULL;
        } while (count == page);
        check_slice(name, slice_of(got), slice_of(expected));
    }
}

/* expected_ms -1: nothing waits. */
static void check_next(struct contract *contract, const char *name, int64_t from_ms, int64_t expected_ms)
{
    int64_t time_ms = -1;
    enum err err = queue_ready_next(contract->queue, from_ms, &time_ms);
    check_number(name, err, expected_ms < 0 ? ERR_NOT_FOUND : ERR_NONE);
    if (err == ERR_NONE) {
        check_number(name, time_ms, expected_ms);
    }
}

static void set_destination(struct contract *contract, const char *name, int64_t not_before_ms)
{
    struct queue_destination known = {.name = slice_of(name), .not_before_ms = not_before_ms};
    struct queue_change change = {.kind = QUEUE_CHANGE_DESTINATION, .destination = &known};
    check_number(name, mail_apply(contract->queue, &change), ERR_NONE);
    struct queue_destination found;
    enum err err = queue_destination_get(contract->queue, known.name, contract->arena, &found);
    check_number(name, err, not_before_ms == 0 ? ERR_NOT_FOUND : ERR_NONE);
    if (err == ERR_NONE) {
        check_number(name, found.not_before_ms, not_before_ms);
        check_slice(name, found.name, known.name);
    }
}

static void check_window(struct contract *contract, const char *name, const struct queue_window_request *request,
                         const char *expected)
{
    struct queue_pick picks[PICKS_MAX];
    char got[256] = "";
    size_t length = 0, count;
    check_number(name, queue_window(contract->queue, request, picks, &count), ERR_NONE);
    for (size_t i = 0; i < count; i++) {
        length += (size_t)snprintf(got + length, sizeof got - length, "%s%llu", i > 0 ? " " : "",
                                   (unsigned long long)picks[i].id);
        struct queue_entry entry;
        struct queue_message message;
        check_number(name, queue_entry_get(contract->queue, picks[i].id, picks[i].number, contract->arena, &entry),
                     ERR_NONE);
        check_number(name, queue_message_get(contract->queue, picks[i].id, contract->arena, &message), ERR_NONE);
        check_number(name, picks[i].due_ms, entry.due_ms);
        check_true(name, picks[i].sender_hash == queue_sender_hash(message.sender));
    }
    check_slice(name, slice_of(got), slice_of(expected));
}

/* owner: ids with blanks between them. */
static bool skip_listed(void *owner, uint64_t id, uint16_t number)
{
    struct slice rest = slice_of(owner), word;
    uint64_t listed;
    (void)number;
    while (slice_word(&rest, &word)) {
        if (slice_number(word, UINT64_MAX, &listed) && listed == id) {
            return true;
        }
    }
    return false;
}
