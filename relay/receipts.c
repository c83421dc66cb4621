#include "relay/receipts.h"

#include "base/text.h"

#define ARENA_MAX 1024

static void load_one(struct receipts *receipts, uint64_t place, struct slice value);

static struct slice print_key(uint64_t place, char key[24])
{
    return text_print(key, 24, "receipt/%u", (unsigned)place);
}

enum err receipts_load(struct receipts *receipts, struct queue *queue)
{
    struct arena *arena = arena_new(ARENA_MAX);
    enum err err = arena == NULL ? ERR_MEMORY : ERR_NONE;
    *receipts = (struct receipts){.next = 0};
    for (uint64_t place = 0; place < RECEIPTS_MAX && err == ERR_NONE; place++) {
        char key[24];
        struct slice value;
        arena_reset(arena);
        err = queue_meta_get(queue, print_key(place, key), arena, &value);
        if (err == ERR_NONE)
            load_one(receipts, place, value);
        err = err == ERR_NOT_FOUND ? ERR_NONE : err;
    }
    arena_free(&arena);
    return err;
}

/* "NAME NUMBER" */
static void load_one(struct receipts *receipts, uint64_t place, struct slice value)
{
    uint64_t number;
    struct slice name = slice_to(value, DROP_NAME_LENGTH);
    if (!drop_name_is_valid(name) || !slice_number(slice_from(value, DROP_NAME_LENGTH + 1), UINT64_MAX - 1, &number) ||
        number % RECEIPTS_MAX != place)
        return;
    text_print(receipts->names[place].text, sizeof receipts->names[place].text, "%.*s", SLICE_ARGS(name));
    receipts->next = number >= receipts->next ? number + 1 : receipts->next;
}

bool receipts_make(struct receipts *receipts, struct slice name, struct receipt *receipt)
{
    if (!drop_name_is_valid(name))
        return false;
    *receipt = (struct receipt){.number = receipts->next++};
    text_print(receipt->name.text, sizeof receipt->name.text, "%.*s", SLICE_ARGS(name));
    print_key(receipt->number % RECEIPTS_MAX, receipt->key);
    text_print(receipt->value, sizeof receipt->value, "%s %llu", receipt->name.text, (unsigned long long)receipt->number);
    return true;
}

void receipts_note(struct receipts *receipts, const struct receipt *receipt)
{
    receipts->names[receipt->number % RECEIPTS_MAX] = receipt->name;
}

bool receipts_have(const struct receipts *receipts, struct slice name)
{
    for (unsigned i = 0; i < RECEIPTS_MAX; i++) {
        if (name.length > 0 && slice_equal(slice_of(receipts->names[i].text), name))
            return true;
    }
    return false;
}
