#include "relay/finder_internal.h"

#include "base/text.h"
#include "relay/config.h"
#include "relay/registrable.h"
#include "relay/relay.h"

#include <stdlib.h>
#include <string.h>

#define PAGE 64
#define PAGE_INTERVAL_MS 100
#define TIGHT_INTERVAL_MS 10
#define WALK_INTERVAL_MS 60000
#define ENTRY_MAX (STS_POLICY_SIZE_MAX + 4096)
/* Entries that nothing was sent to for so long are forgotten, unless their policy is still in force. */
#define UNUSED_MS (30ll * 24 * 3600 * 1000)
#define REFRESH_AHEAD_MAX_MS (48ll * 3600 * 1000)

struct refresh {
    struct finder *finder;
    struct finder_request request;
    struct refresh_turn turn;
};
/* To be told of it. */
struct notice {
    struct slice domain;
    struct sts_entry entry;
};
struct page {
    struct finder *finder;
    struct arena *arena;
    int64_t now_ms;
    size_t visited;
    struct notice *notices[PAGE];
    size_t notice_count;
    struct slice unused[PAGE];
    size_t unused_count;
};

static void on_walk(struct timer *timer);
static bool visit(void *owner, struct slice domain, struct slice bytes);
static void start_refreshes(struct finder *finder);

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

size_t finder_count_overdue(const struct finder *finder)
{
    return finder->overdue;
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

/* ---- refreshes, each in its turn ---- */

static void refreshed(struct finder_request *request, const struct finding *finding)
{
    (void)finding; /* the finder has logged and stored it */
    struct refresh *refresh = LIST_OF(request, struct refresh, request);
    struct finder *finder = refresh->finder;
    refresh_turns_over(&finder->refreshes, &refresh->turn);
    free(refresh);
    if (!finder->is_stopping)
        start_refreshes(finder);
}

/* Does anybody lose by its expiry? Mode none has nothing to lose; a domain that nothing is sent to any more is left to expire as well. */
static bool is_in_use(const struct sts_entry *entry, int64_t now_ms)
{
    return entry->has_policy && entry->policy.mode != STS_MODE_NONE && now_ms - entry->used_ms <= UNUSED_MS;
}

/* A plan for the far future was made by a clock that has stepped back since. */
static bool is_due(const struct finder *finder, const struct sts_entry *entry, int64_t now_ms)
{
    bool is_time = entry->refresh_ms != 0 && (entry->refresh_ms <= now_ms || entry->refresh_ms > now_ms + REFRESH_AHEAD_MAX_MS);
    return is_time && sts_entry_is_live(entry, now_ms) && is_in_use(entry, now_ms) && finder->relay->config->sts_enabled;
}

/* While it waited somebody else may have fetched it, or failed to. Whatever cannot be read is met again in the next walk. */
static bool is_still_due(struct finder *finder, const struct refresh_turn *turn)
{
    struct arena *arena = arena_new(ENTRY_MAX * 2);
    struct slice bytes;
    struct sts_entry entry;
    bool is_read = arena != NULL && queue_policy_get(finder->relay->queue, refresh_turn_domain(turn), arena, &bytes) == ERR_NONE &&
                   sts_entry_decode(bytes, arena, &entry) == ERR_NONE;
    bool still = is_read && is_due(finder, &entry, steady_now_ms(&finder->relay->steady)) &&
                 (entry.failing_since_ms != 0) == turn->is_failing;
    arena_free(&arena);
    return still;
}

static void start_refreshes(struct finder *finder)
{
    struct refresh_turn *turn;
    while ((turn = refresh_turns_next(&finder->refreshes)) != NULL) {
        struct refresh *refresh = LIST_OF(turn, struct refresh, turn);
        if (is_still_due(finder, turn)) {
            finder_start(finder, &refresh->request, refresh_turn_domain(turn), STS_LOOKUP_REFRESH);
        } else {
            refresh_turns_over(&finder->refreshes, turn);
            free(refresh);
        }
    }
}

void finder_end_refreshes(struct finder *finder)
{
    struct refresh_turn *turn;
    while ((turn = refresh_turns_take(&finder->refreshes)) != NULL)
        free(LIST_OF(turn, struct refresh, turn));
}

static void note_due(struct finder *finder, struct slice domain, const struct sts_entry *entry)
{
    if (domain.length > REFRESH_TURNS_DOMAIN_MAX || refresh_turns_has(&finder->refreshes, domain))
        return;
    struct refresh *refresh = calloc(1, sizeof *refresh);
    if (refresh == NULL)
        return; /* met again in the next walk */
    refresh->finder = finder;
    refresh->request.done = refreshed;
    refresh->turn = (struct refresh_turn){
        .owner = text_siphash(finder->flights.seed, registrable_of(domain)),
        .due_ms = entry->refresh_ms,
        .expires_ms = sts_entry_expires_ms(entry),
        .is_failing = entry->failing_since_ms != 0,
        .length = domain.length,
    };
    memcpy(refresh->turn.domain, domain.data, domain.length);
    struct refresh_turn *gone = refresh_turns_add(&finder->refreshes, &refresh->turn);
    if (gone != NULL)
        free(LIST_OF(gone, struct refresh, turn)); /* as well */
}

/* ---- the walk: a page at a time over the whole cache ---- */

static void end_walk(struct finder *finder)
{
    buffer_clear(&finder->walked);
    memcpy(finder->modes, finder->counting, sizeof finder->modes);
    memset(finder->counting, 0, sizeof finder->counting);
    finder->failing = finder->counting_failing;
    finder->overdue = finder->counting_overdue;
    finder->counting_failing = finder->counting_overdue = 0;
    finder_room_walked(finder);
}

/* Where a lookup is under way it would write over the note, and tells by itself what there is to tell. And the note would write over an
 * exemption on its way to the disk. What is left is told in the next walk. */
static void tell(struct page *page)
{
    size_t count = page->finder->writing_count > 0 ? 0 : page->notice_count;
    for (size_t i = 0; i < count; i++) {
        struct notice *notice = page->notices[i];
        if (finder_is_busy(page->finder, notice->domain))
            continue;
        if (sts_entry_has_lapsed(&notice->entry, page->now_ms))
            finder_tell_lapsed(page->finder, notice->domain, &notice->entry);
        else
            finder_tell_overdue(page->finder, notice->domain, &notice->entry);
        if (finder_write(page->finder, notice->domain, &notice->entry) != ERR_NONE)
            return; /* no memory: told once more in the next walk */
    }
}

static void on_walk(struct timer *timer)
{
    struct finder *finder = LIST_OF(timer, struct finder, timer);
    struct page page = {.finder = finder, .arena = arena_new(PAGE * ENTRY_MAX), .now_ms = steady_now_ms(&finder->relay->steady)};
    enum err err = ERR_MEMORY;
    if (page.arena != NULL)
        err = queue_list_policies(finder->relay->queue, &finder->walked, PAGE, visit, &page);
    if (err == ERR_END || page.visited == 0)
        end_walk(finder);
    start_refreshes(finder);
    tell(&page);
    for (size_t i = 0; i < page.unused_count; i++) {
        if (!finder_is_busy(finder, page.unused[i]))
            finder_forget(finder, page.unused[i]);
    }
    arena_free(&page.arena);
    finder_plan(finder);
}

static void note_notice(struct page *page, struct slice domain, const struct sts_entry *entry)
{
    struct notice *notice = arena_array(page->arena, 1, sizeof *notice);
    if (notice == NULL || !arena_slice(page->arena, domain, &notice->domain))
        return; /* met again in the next walk */
    notice->entry = *entry;
    page->notices[page->notice_count++] = notice;
}

static void count(struct page *page, const struct sts_entry *entry)
{
    struct finder *finder = page->finder;
    if (!sts_entry_is_live(entry, page->now_ms))
        return;
    finder->counting[entry->policy.mode]++;
    finder->counting_failing += entry->policy.mode != STS_MODE_NONE && entry->failing_since_ms != 0;
    finder->counting_overdue += is_in_use(entry, page->now_ms) && sts_entry_is_overdue(entry, page->now_ms);
}

static bool is_to_be_told(const struct page *page, const struct sts_entry *entry)
{
    if (!is_in_use(entry, page->now_ms) || !page->finder->relay->config->sts_enabled)
        return false;
    return (sts_entry_has_lapsed(entry, page->now_ms) && !entry->is_lapse_told) ||
           (sts_entry_is_overdue(entry, page->now_ms) && !entry->is_overdue_told);
}

static bool visit(void *owner, struct slice domain, struct slice bytes)
{
    struct page *page = owner;
    struct finder *finder = page->finder;
    struct sts_entry entry;
    page->visited++;
    if (sts_entry_decode(bytes, page->arena, &entry) != ERR_NONE)
        return true; /* told when mail asks for it */
    count(page, &entry);
    if (is_due(finder, &entry, page->now_ms))
        note_due(finder, domain, &entry);
    bool unused = !sts_entry_is_live(&entry, page->now_ms) && !sts_entry_is_exempt(&entry, steady_latest_ms(&finder->relay->steady)) &&
                  page->now_ms - entry.used_ms > UNUSED_MS;
    bool goes = !finder_room_admits(finder, domain, &entry, domain.length + bytes.length) || unused;
    if (goes && arena_slice(page->arena, domain, &page->unused[page->unused_count]))
        page->unused_count++;
    else if (!goes && is_to_be_told(page, &entry))
        note_notice(page, domain, &entry);
    return true;
}
