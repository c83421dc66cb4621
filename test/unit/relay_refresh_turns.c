/* Whose policy is refreshed next. */
#include "test/unit/check.h"

#include "relay/refresh_turns.h"

#include "base/text.h"

#define HOUR_MS INT64_C(3600000)

static struct refresh_turns turns;
static struct refresh_turn all[2000];
static size_t used;

static int start(void **state)
{
    (void)state;
    refresh_turns_init(&turns);
    used = 0;
    return 0;
}

/* due now; expires in so many hours. Returns who had to go for it. */
static struct refresh_turn *add(const char *domain, uint64_t owner, int64_t hours, bool is_failing)
{
    struct refresh_turn *turn = &all[used++];
    *turn = (struct refresh_turn){.owner = owner, .expires_ms = hours * HOUR_MS, .is_failing = is_failing, .length = strlen(domain)};
    memcpy(turn->domain, domain, turn->length);
    return refresh_turns_add(&turns, turn);
}

static void check_next(const char *domain)
{
    struct refresh_turn *turn = refresh_turns_next(&turns);
    assert_non_null(turn);
    assert_true(slice_equal(refresh_turn_domain(turn), slice_of(domain)));
    refresh_turns_over(&turns, turn);
}

static void test_who_expires_first_goes_first(void **state)
{
    (void)state;
    assert_null(add("a.example", 1, 30, false));
    assert_null(add("b.example", 2, 10, false));
    assert_null(add("c.example", 3, 20, false));
    assert_null(add("failing.example", 4, 2, true));
    assert_true(refresh_turns_has(&turns, SLICE("b.example")) && !refresh_turns_has(&turns, SLICE("d.example")));
    check_next("b.example");
    check_next("c.example");
    check_next("a.example");
    check_next("failing.example");
    assert_null(refresh_turns_next(&turns));
}

/* Policies of minutes, due again and again, come behind one whose end is near. */
static void test_minutes_count_as_an_hour(void **state)
{
    (void)state;
    assert_null(add("day.example", 1, 0, false));
    assert_null(add("minutes.example", 2, 0, false));
    all[0].due_ms = -12 * HOUR_MS;
    all[0].expires_ms = HOUR_MS / 2;
    all[1].expires_ms = HOUR_MS / 12;
    check_next("day.example");
    check_next("minutes.example");
}

/* A crowd is there first, and all of its members are more urgent or stand before in the alphabet: how many of them run, and whether a
 * victim still finds a place and a slot. */
static const struct {
    const char *name;
    size_t count, owners;
    int64_t hours;
    bool is_failing;
    size_t running;   /* of the crowd */
    int64_t victim_hours;
    bool victim_runs; /* beside them */
} crowds[] = {
    {"one owner, more urgent", 1000, 1, 2, false, 3, 20, true},
    {"one owner, less urgent", 1000, 1, 200, false, 3, 20, true},
    {"three owners, more urgent", 1000, 3, 2, false, 9, 20, true},
    {"each an owner, less urgent", 1000, 1000, 200, false, 12, 20, false},
    {"failing, one owner, more urgent", 1000, 1, 2, true, 1, 20, true},
    {"failing, each an owner, more urgent", 1000, 1000, 2, true, 4, 20, true},
    {"failing, each an owner, less urgent", 1000, 1000, 200, true, 4, 20, true},
};

static void test_crowds(void **state)
{
    char domain[64];
    for (size_t i = 0; i < COUNT_OF(crowds); i++) {
        size_t running = 0;
        bool victim_runs = false;
        struct refresh_turn *turn, *last = NULL;
        start(state);
        for (size_t k = 0; k < crowds[i].count; k++)
            (void)add(text_print(domain, sizeof domain, "a%zu.example", k).data, k % crowds[i].owners, crowds[i].hours,
                      crowds[i].is_failing);
        assert_true(turns.lanes[crowds[i].is_failing].waiting_count <= REFRESH_TURNS_WAITING_MAX);
        if (!crowds[i].victim_runs) { /* they came when nobody else was there; one ends */
            while ((turn = refresh_turns_next(&turns)) != NULL)
                last = turn;
        }
        struct refresh_turn *victim = &all[used];
        check_true(crowds[i].name, add("victim.example", UINT64_MAX, crowds[i].victim_hours, false) != victim);
        while ((turn = refresh_turns_next(&turns)) != NULL)
            victim_runs = victim_runs || turn == victim;
        running = turns.lanes[0].running_count + turns.lanes[1].running_count - victim_runs;
        check_number(crowds[i].name, running, crowds[i].running);
        check_number(crowds[i].name, victim_runs, crowds[i].victim_runs);
        if (last != NULL) {
            refresh_turns_over(&turns, last);
            assert_ptr_equal(refresh_turns_next(&turns), victim);
        }
    }
}

/* Each that ends makes room: all come to their turn, those of a crowd as well. */
static void test_all_come_to_their_turn(void **state)
{
    char domain[64];
    (void)state;
    for (size_t i = 0; i < 60; i++)
        assert_null(add(text_print(domain, sizeof domain, "a%zu.example", i).data, 1, 10, i % 2 == 0));
    for (size_t done = 0; done < 60; done++) {
        struct refresh_turn *turn = refresh_turns_next(&turns);
        assert_non_null(turn);
        assert_true(refresh_turns_has(&turns, refresh_turn_domain(turn)));
        refresh_turns_over(&turns, turn);
        assert_false(refresh_turns_has(&turns, refresh_turn_domain(turn)));
    }
    assert_null(refresh_turns_next(&turns));
}

/* Who finds no place: whoever can wait longest, and an owner beyond his share gives way to himself alone. */
static void test_who_has_to_go(void **state)
{
    char domain[64];
    (void)state;
    for (size_t i = 0; i < REFRESH_TURNS_WAITING_SHARE; i++)
        assert_null(add(text_print(domain, sizeof domain, "a%zu.example", i).data, 1, 100 - (int64_t)i, false));
    struct refresh_turn *later = &all[used];
    assert_ptr_equal(add("later.example", 1, 200, false), later);
    assert_ptr_equal(add("sooner.example", 1, 10, false), &all[0]);
    assert_null(add("other.example", 2, 300, false));
    for (size_t i = turns.lanes[0].waiting_count; i < REFRESH_TURNS_WAITING_MAX; i++)
        assert_null(add(text_print(domain, sizeof domain, "b%zu.example", i).data, 10 + i, 50, false));
    struct refresh_turn *gone = add("new.example", 3, 20, false);
    assert_non_null(gone);
    assert_true(slice_equal(refresh_turn_domain(gone), SLICE("other.example")));
    size_t taken = 0;
    while (refresh_turns_take(&turns) != NULL)
        taken++;
    check_number("all were there", taken, REFRESH_TURNS_WAITING_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_who_expires_first_goes_first, start),
        cmocka_unit_test_setup(test_minutes_count_as_an_hour, start),
        cmocka_unit_test_setup(test_crowds, start),
        cmocka_unit_test_setup(test_all_come_to_their_turn, start),
        cmocka_unit_test_setup(test_who_has_to_go, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
