/* What is written into the cache beside what lookups learn: the administrator's words, and what the walk over it has to note. */
#include "relay/finder_internal.h"

#include "relay/journal.h"
#include "relay/relay.h"

#include <stdlib.h>
#include <string.h>

#define DOMAIN_MAX 255

struct entry_write {
    struct finder *finder;
    struct journal_write write;
    struct queue_change change;
    struct buffer bytes;
    char domain[DOMAIN_MAX + 1];
};

static void entry_written(struct journal_write *write, enum err err)
{
    (void)err; /* the journal has told; the walk or the administrator comes again */
    struct entry_write *entry = LIST_OF(write, struct entry_write, write);
    entry->finder->writing_count--;
    buffer_free(&entry->bytes);
    free(entry);
}

enum err finder_write(struct finder *finder, struct slice domain, const struct sts_entry *entry)
{
    struct entry_write *write = calloc(1, sizeof *write);
    if (write == NULL || domain.length > DOMAIN_MAX) {
        free(write);
        return ERR_MEMORY;
    }
    memcpy(write->domain, domain.data, domain.length);
    buffer_init(&write->bytes, STS_POLICY_SIZE_MAX + 8192);
    if (entry != NULL)
        sts_entry_encode(entry, &write->bytes);
    if (buffer_failed(&write->bytes)) { /* no bytes would mean to forget it */
        buffer_free(&write->bytes);
        free(write);
        return ERR_MEMORY;
    }
    write->change = (struct queue_change){
        .kind = QUEUE_CHANGE_POLICY,
        .key = slice_make(write->domain, domain.length),
        .bytes = buffer_slice(&write->bytes),
        .now_ms = steady_now_ms(&finder->relay->steady),
    };
    write->write = (struct journal_write){.changes = &write->change, .change_count = 1, .done = entry_written};
    write->finder = finder;
    finder->writing_count++;
    journal_submit(finder->relay->journal, &write->write);
    return ERR_NONE;
}

void finder_forget(struct finder *finder, struct slice domain)
{
    if (finder_write(finder, domain, NULL) != ERR_NONE)
        return; /* no memory: the walk or the administrator comes again */
}

enum err finder_exempt(struct finder *finder, struct slice domain, const struct finder_exemption *exemption)
{
    struct arena *arena = arena_new(STS_POLICY_SIZE_MAX * 4);
    struct slice bytes;
    struct sts_entry entry;
    if (arena == NULL)
        return ERR_MEMORY;
    enum err err = queue_policy_get(finder->relay->queue, domain, arena, &bytes);
    if (err == ERR_NOT_FOUND)
        entry = (struct sts_entry){.body = SLICE_EMPTY, .failure = SLICE_EMPTY};
    else if (err == ERR_NONE)
        err = sts_entry_decode(bytes, arena, &entry);
    if (err == ERR_NONE || err == ERR_NOT_FOUND) {
        entry.exempt_until_ms = exemption->until_ms;
        entry.exempt_reason = exemption->reason;
        entry.exempt_level = exemption->level;
        entry.used_ms = steady_now_ms(&finder->relay->steady);
        err = finder_write(finder, domain, &entry);
    }
    arena_free(&arena);
    return err;
}
