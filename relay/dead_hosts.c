#include "relay/dead_hosts.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#define KEY_LENGTH 19

struct record {
    struct map_node node;
    struct list_node place;
    char key[KEY_LENGTH];
    int64_t failed_ms, end_ms; /* of the rest, or of the time for the one that finds out */
    uint32_t failures;
    bool is_tried; /* the rest is over, and one delivery finds out */
    enum trouble trouble;
    enum smtp_client_stage stage;
    char detail[64];
};

static struct record *find(const struct dead_hosts *hosts, const struct endpoint *peer);
static struct record *add(struct dead_hosts *hosts, const struct endpoint *peer);
static void make_key(const struct endpoint *peer, char key[KEY_LENGTH]);
static void forget(struct dead_hosts *hosts, struct record *record);

void dead_hosts_init(struct dead_hosts *hosts, const uint64_t seed[2])
{
    map_init(&hosts->map, seed);
    list_init(&hosts->list);
}

void dead_hosts_free(struct dead_hosts *hosts)
{
    dead_hosts_forget(hosts);
    map_free(&hosts->map);
}

bool dead_hosts_ask(struct dead_hosts *hosts, const struct endpoint *peer, int64_t now_ms, struct dead_host *found)
{
    struct record *record = find(hosts, peer);
    if (record == NULL)
        return false;
    if (record->end_ms <= now_ms) {
        record->is_tried = true;
        record->end_ms = now_ms + DEAD_HOSTS_TRIAL_MS;
        return false;
    }
    *found = (struct dead_host){
        .trouble = record->trouble,
        .stage = record->stage,
        .detail = slice_of(record->detail),
        .age_ms = now_ms - record->failed_ms,
        .rest_ms = record->end_ms - now_ms,
    };
    return true;
}

bool dead_hosts_rests(const struct dead_hosts *hosts, const struct endpoint *peer, int64_t now_ms)
{
    const struct record *record = hosts->map.count == 0 ? NULL : find(hosts, peer);
    return record != NULL && record->end_ms > now_ms;
}

/* Never longer than a destination that has failed as often would wait itself. */
static int64_t rest_ms(const struct queue_schedule *rests, uint32_t failures)
{
    int64_t next_ms = queue_backoff_next_ms(rests, failures, 0, 0);
    return next_ms < DEAD_HOSTS_REST_MAX_MS ? next_ms : DEAD_HOSTS_REST_MAX_MS;
}

/* Several deliveries may have been on their way when the first one failed: together they count once. */
bool dead_hosts_failed(struct dead_hosts *hosts, const struct endpoint *peer, const struct trouble_facts *facts,
                       const struct queue_schedule *rests, int64_t now_ms)
{
    struct record *record = find(hosts, peer);
    bool is_new = record == NULL;
    if (!is_new && !record->is_tried && record->end_ms > now_ms)
        return false;
    if (is_new)
        record = add(hosts, peer);
    if (record == NULL)
        return false;
    record->failures++;
    record->is_tried = false;
    record->failed_ms = now_ms;
    record->end_ms = now_ms + rest_ms(rests, record->failures);
    record->trouble = facts->trouble;
    record->stage = facts->stage;
    text_print(record->detail, sizeof record->detail, "%.*s",
               SLICE_ARGS(slice_to(facts->detail, sizeof record->detail - 1)));
    list_remove(&hosts->list, &record->place);
    list_add_last(&hosts->list, &record->place);
    return is_new;
}

void dead_hosts_answered(struct dead_hosts *hosts, const struct endpoint *peer)
{
    struct record *record = hosts->map.count == 0 ? NULL : find(hosts, peer);
    if (record != NULL)
        forget(hosts, record);
}

void dead_hosts_forget(struct dead_hosts *hosts)
{
    struct list_node *node;
    while ((node = list_first(&hosts->list)) != NULL)
        forget(hosts, LIST_OF(node, struct record, place));
}

/* ---- records ---- */

static void make_key(const struct endpoint *peer, char key[KEY_LENGTH])
{
    memset(key, 0, KEY_LENGTH);
    key[0] = (char)peer->ip.family;
    memcpy(key + 1, peer->ip.bytes, peer->ip.family == IP_V4 ? 4 : 16);
    memcpy(key + 17, &peer->port, sizeof peer->port);
}

static struct record *find(const struct dead_hosts *hosts, const struct endpoint *peer)
{
    char key[KEY_LENGTH];
    make_key(peer, key);
    struct map_node *node = map_get(&hosts->map, slice_make(key, KEY_LENGTH));
    return node == NULL ? NULL : LIST_OF(node, struct record, node);
}

static struct record *add(struct dead_hosts *hosts, const struct endpoint *peer)
{
    if (hosts->map.count >= DEAD_HOSTS_MAX)
        forget(hosts, LIST_OF(list_first(&hosts->list), struct record, place));
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL)
        return NULL;
    make_key(peer, record->key);
    if (map_add(&hosts->map, &record->node, slice_make(record->key, KEY_LENGTH)) != ERR_NONE) {
        free(record);
        return NULL;
    }
    list_add_last(&hosts->list, &record->place);
    return record;
}

static void forget(struct dead_hosts *hosts, struct record *record)
{
    map_remove(&hosts->map, &record->node);
    list_remove(&hosts->list, &record->place);
    free(record);
}
