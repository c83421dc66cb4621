/* What every implementation of queue/queue.h must do, as tests. Each implementation has a program that calls
 * contract_queue_run() with the ways to handle its storage. */
#ifndef TEST_UNIT_CONTRACT_QUEUE_H
#define TEST_UNIT_CONTRACT_QUEUE_H

#include "queue/queue.h"

struct contract_store {
    void (*make)(void);         /* an empty place for one queue */
    struct slice (*path)(void); /* of the queue there */
    /* With no queue open: turns over a byte of the first stored record that has this marker. False: there is none. */
    bool (*damage)(struct slice marker);
    void (*remove)(void);
};
int contract_queue_run(const struct contract_store *store); /* the exit status */

/* ---- for the files of the contract ---- */

#define CONTRACT_DONE_KEEP_MS 3600000
struct contract {
    const struct contract_store *store;
    struct queue *queue; /* open at the start of each test */
    struct arena *arena;
};
void contract_open(struct contract *contract);
void contract_close(struct contract *contract);
void contract_reopen(struct contract *contract);
uint64_t contract_faults(struct contract *contract); /* found by queue_check(); the queue is closed for it */

#define CONTRACT_TEST_LIST(X)                                                                                          \
    X(accepted_message_is_kept)                                                                                        \
    X(content_is_kept_in_chunks)                                                                                       \
    X(message_without_content_is_refused)                                                                              \
    X(used_id_is_refused)                                                                                              \
    X(batch_is_all_or_nothing)                                                                                         \
    X(pending_content_is_swept)                                                                                        \
    X(discarded_content_is_gone)                                                                                       \
    X(update_reschedules)                                                                                              \
    X(update_of_a_deleted_entry_does_nothing)                                                                          \
    X(update_moves_to_another_destination)                                                                             \
    X(last_entry_takes_the_message_along)                                                                              \
    X(delete_takes_all)                                                                                                \
    X(delete_leaves_pending_content)                                                                                   \
    X(policies_and_states_are_kept)                                                                                    \
    X(totals_follow)                                                                                                   \
    X(damaged_records_are_told)                                                                                        \
    X(damaged_message_can_be_deleted)                                                                                  \
    X(parked_entry_is_not_called)                                                                                      \
    X(second_relay_is_kept_out)                                                                                        \
    X(reader_needs_a_queue)                                                                                            \
    X(small_arena_is_an_error)                                                                                         \
    X(ready_is_sorted_and_continued)                                                                                   \
    X(ready_waits_for_the_destination)                                                                                 \
    X(ready_follows_changes)                                                                                           \
    X(held_entries_are_not_called)                                                                                     \
    X(window_cases)                                                                                                    \
    X(window_takes_turns_over_calls)                                                                                   \
    X(window_of_similar_names)                                                                                         \
    X(longest_names_fit)                                                                                               \
    X(times_sort_over_zero)                                                                                            \
    X(list_goes_in_slices)                                                                                             \
    X(list_of_a_destination)                                                                                           \
    X(list_stops_when_told)                                                                                            \
    X(list_passes_over_damage)                                                                                         \
    X(outcomes_newest_first)                                                                                           \
    X(outcomes_of_one_millisecond)                                                                                     \
    X(outcomes_are_forgotten)                                                                                          \
    X(outcomes_of_deleted_mail)                                                                                        \
    X(policies_are_listed)
#define X(name) void contract_##name(void **state);
CONTRACT_TEST_LIST(X)
#undef X

#endif
