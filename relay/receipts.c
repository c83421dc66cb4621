#include "relay/receipts.h"

#include "base/text.h"

#include <string.h>

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

/* "NAME NUMBER UID" */
static void load_one(struct receipts *receipts, uint64_t place, struct slice value)
{
    struct slice name, text;
    uint64_t number, uid = RECEIPT_OF_ANYBODY;
    if (!slice_word(&value, &name) || !drop_name_is_valid(name) || !slice_word(&value, &text) ||
        !slice_number(text, UINT64_MAX - 1, &number) || number % RECEIPTS_MAX != place ||
        (slice_word(&value, &text) && !slice_number(text, UINT32_MAX, &uid)))
        return;
    struct receipt_file *file = &receipts->files[place];
    *file = (struct receipt_file){.uid = (uint32_t)uid};
    text_print(file->name.text, sizeof file->name.text, "%.*s", SLICE_ARGS(name));
    receipts->next = number >= receipts->next ? number + 1 : receipts->next;
}

bool receipts_make(struct receipts *receipts, struct slice name, uint32_t uid, struct receipt *receipt)
{
    if (!drop_name_is_valid(name))
        return false;
    *receipt = (struct receipt){.number = receipts->next++, .file = {.uid = uid}};
    text_print(receipt->file.name.text, sizeof receipt->file.name.text, "%.*s", SLICE_ARGS(name));
    print_key(receipt->number % RECEIPTS_MAX, receipt->key);
    text_print(receipt->value, sizeof receipt->value, "%s %llu %u", receipt->file.name.text,
               (unsigned long long)receipt->number, (unsigned)uid);
    return true;
}

void receipts_note(struct receipts *receipts, const struct receipt *receipt)
{
    receipts->files[receipt->number % RECEIPTS_MAX] = receipt->file;
}

bool receipts_have(const struct receipts *receipts, const struct receipt_file *file)
{
    for (unsigned i = 0; i < RECEIPTS_MAX; i++) {
        const struct receipt_file *known = &receipts->files[i];
        bool is_theirs = known->uid == file->uid || known->uid == RECEIPT_OF_ANYBODY;
        if (is_theirs && file->name.text[0] != '\0' && strcmp(known->name.text, file->name.text) == 0)
            return true;
    }
    return false;
}
