#include "relay/finder_internal.h"

#include "relay/config.h"
#include "relay/journal.h"
#include "relay/relay.h"

#include <stdlib.h>
#include <string.h>

#define PAGE 64
#define PAGE_INTERVAL_MS 100
#define TIGHT_INTERVAL_MS 10
#define WALK_INTERVAL_MS 60000
#define REFRESHES_MAX 8
/* Entries that nothing was sent to for so long are forgotten, unless their policy is still in force. */
#define UNUSED_MS (30ll * 24 * 3600 * 1000)
#define REFRESH_AHEAD_MAX_MS (48ll * 3600 * 1000)
#define DOMAIN_MAX 255

struct refresh {
    struct finder *finder;
    struct finder_request request;
    char domain[DOMAIN_MAX + 1];
    size_t length;
};
struct page {
    struct finder *finder;
    struct arena *arena;
    int64_t now_ms;
    size_t visited;
    struct refresh *due[PAGE];
    size_t due_count;
    struct slice unused[PAGE];
    size_t unused_count;
};

static void on_walk(struct timer *timer);
static bool visit(void *owner, struct slice domain, struct slice bytes);
static enum err write_entry(struct finder *finder, struct slice domain, const struct sts_entry *entry);

void finder_plan(struct finder *finder)
{
    bool hurries = finder->room.is_tight && !finder->room.is_stuck;
    timer_start(&finder->timer,
                hurries                                ? TIGHT_INTERVAL_MS
                : buffer_length(&finder->walked) > 0 ? PAGE_INTERVAL_MS
                                                     : WALK_INTERVAL_MS,
                on_walk);
}

size_t finder_count_mode(const struct finder *finder, enum sts_mode mode)
{
    return finder->modes[mode];
}

size_t finder_count_failing(const struct finder *finder)
{
    return finder->failing;
}

uint64_t finder_cache_bytes(const struct finder *finder)
{
    return finder->cache_bytes;
}

void finder_count(struct finder *finder, const struct sts_entry *before, const struct sts_entry *after)
{
    int64_t now_ms = steady_now_ms(&finder->relay->steady);
    if (before != NULL && sts_entry_is_live(before, now_ms) && finder->modes[before->policy.mode] > 0)
        finder->modes[before->policy.mode]--;
    if (after != NULL && sts_entry_is_live(after, now_ms))
        finder->modes[after->policy.mode]++;
}

/* ---- the walk: a page at a time over the whole cache ---- */

static void refreshed(struct finder_request *request, const struct finding *finding)
{
    (void)finding; /* the finder has logged and stored it */
    struct refresh *refresh = LIST_OF(request, struct refresh, request);
    refresh->finder->refresh_count--;
    free(refresh);
}

static void start_refreshes(struct page *page)
{
    for (size_t i = 0; i < page->due_count; i++) {
        struct refresh *refresh = page->due[i];
        page->finder->refresh_count++;
        finder_start(page->finder, &refresh->request, slice_make(refresh->domain, refresh->length), STS_LOOKUP_REFRESH);
    }
}

static void on_walk(struct timer *timer)
{
    struct finder *finder = LIST_OF(timer, struct finder, timer);
    struct page page = {.finder = finder, .arena = arena_new(PAGE * (STS_POLICY_SIZE_MAX + 4096)), .now_ms = steady_now_ms(&finder->relay->steady)};
    enum err err = ERR_MEMORY;
    if (page.arena != NULL)
        err = queue_list_policies(finder->relay->queue, &finder->walked, PAGE, visit, &page);
    if (err == ERR_END || page.visited == 0) {
        buffer_clear(&finder->walked);
        memcpy(finder->modes, finder->counting, sizeof finder->modes);
        memset(finder->counting, 0, sizeof finder->counting);
        finder->failing = finder->counting_failing;
        finder->counting_failing = 0;
        finder_room_walked(finder);
    }
    start_refreshes(&page);
    for (size_t i = 0; i < page.unused_count; i++) {
        if (!finder_is_busy(finder, page.unused[i]))
            finder_forget(finder, page.unused[i]);
    }
    arena_free(&page.arena);
    finder_plan(finder);
}

static void note_due(struct page *page, struct slice domain)
{
    if (page->finder->refresh_count + page->due_count >= REFRESHES_MAX || domain.length > DOMAIN_MAX)
        return;
    struct refresh *refresh = calloc(1, sizeof *refresh);
    if (refresh == NULL)
        return; /* met again in the next walk */
    refresh->finder = page->finder;
    refresh->request.done = refreshed;
    memcpy(refresh->domain, domain.data, domain.length);
    refresh->length = domain.length;
    page->due[page->due_count++] = refresh;
}

static bool visit(void *owner, struct slice domain, struct slice bytes)
{
    struct page *page = owner;
    struct sts_entry entry;
    page->visited++;
    if (sts_entry_decode(bytes, page->arena, &entry) != ERR_NONE)
        return true; /* told when mail asks for it */
    bool live = sts_entry_is_live(&entry, page->now_ms);
    if (live)
        page->finder->counting[entry.policy.mode]++;
    if (live && entry.policy.mode != STS_MODE_NONE && entry.failing_since_ms != 0)
        page->finder->counting_failing++;
    /* A plan for the far future was made by a clock that has stepped back since. */
    bool due = entry.refresh_ms != 0 &&
               (entry.refresh_ms <= page->now_ms || entry.refresh_ms > page->now_ms + REFRESH_AHEAD_MAX_MS);
    /* Mode none has nothing to lose by expiring; a domain that nothing is sent to any more is left to expire as well. */
    bool matters = entry.policy.mode != STS_MODE_NONE && page->now_ms - entry.used_ms <= UNUSED_MS;
    if (live && due && matters && page->finder->relay->config->sts_enabled)
        note_due(page, domain);
    bool unused = !live && !sts_entry_is_exempt(&entry, steady_latest_ms(&page->finder->relay->steady)) && page->now_ms - entry.used_ms > UNUSED_MS;
    bool goes = !finder_room_admits(page->finder, domain, &entry, domain.length + bytes.length) || unused;
    if (goes && arena_slice(page->arena, domain, &page->unused[page->unused_count]))
        page->unused_count++;
    return true;
}

/* ---- the administrator's words ---- */

struct entry_write {
    struct journal_write write;
    struct queue_change change;
    struct buffer bytes;
    char domain[DOMAIN_MAX + 1];
};

static void entry_written(struct journal_write *write, enum err err)
{
    (void)err; /* the journal has told; the walk or the administrator comes again */
    struct entry_write *entry = LIST_OF(write, struct entry_write, write);
    buffer_free(&entry->bytes);
    free(entry);
}

static enum err write_entry(struct finder *finder, struct slice domain, const struct sts_entry *entry)
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
    journal_submit(finder->relay->journal, &write->write);
    return ERR_NONE;
}

void finder_forget(struct finder *finder, struct slice domain)
{
    (void)write_entry(finder, domain, NULL); /* the walk or the administrator comes again */
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
        err = write_entry(finder, domain, &entry);
    }
    arena_free(&arena);
    return err;
}
