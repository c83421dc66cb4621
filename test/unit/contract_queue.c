#include "test/unit/contract_queue.h"
#include "test/unit/check.h"

#define MAP_SIZE (UINT64_C(64) << 20)
#define ARENA_LIMIT ((size_t)16 << 20)

static struct contract contract;

static int set_up(void **state);
static int tear_down(void **state);
static void print_fault(void *owner, struct slice fault);

int contract_queue_run(const struct contract_store *store)
{
    contract.store = store;
    const struct CMUnitTest tests[] = {
#define X(name) cmocka_unit_test_setup_teardown(contract_##name, set_up, tear_down),
        CONTRACT_TEST_LIST(X)
#undef X
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

void contract_open(struct contract *opened)
{
    struct queue_options options = {
        .path = opened->store->path(), .map_size = MAP_SIZE, .done_keep_ms = CONTRACT_DONE_KEEP_MS};
    struct buffer fault;
    buffer_init(&fault, 1024);
    enum err err = queue_open(&options, &opened->queue, &fault);
    check_slice("fault", buffer_slice(&fault), SLICE_EMPTY);
    check_number("open", err, ERR_NONE);
    buffer_free(&fault);
}

void contract_close(struct contract *closed)
{
    queue_close(&closed->queue);
}

void contract_reopen(struct contract *reopened)
{
    contract_close(reopened);
    contract_open(reopened);
}

uint64_t contract_faults(struct contract *checked)
{
    uint64_t faults = 0;
    contract_close(checked);
    enum err err = queue_check(checked->store->path(), print_fault, NULL, &faults);
    check_number("check", err, ERR_NONE);
    contract_open(checked);
    return faults;
}

static int set_up(void **state)
{
    contract.store->make();
    contract.arena = arena_new(ARENA_LIMIT);
    contract_open(&contract);
    *state = &contract;
    return contract.arena == NULL ? -1 : 0;
}

/* What every test leaves behind must be whole, unless it did the damage. */
static int tear_down(void **state)
{
    struct contract *ended = *state;
    queue_close(&ended->queue);
    arena_free(&ended->arena);
    ended->store->remove();
    return 0;
}

static void print_fault(void *owner, struct slice fault)
{
    (void)owner;
    print_message("  check: %.*s\n", SLICE_ARGS(fault));
}
