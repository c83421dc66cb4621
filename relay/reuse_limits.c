#include "relay/reuse_limits.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define KEY_LENGTH 19

struct limit {
    struct map_node node;
    struct list_node place;
    char key[KEY_LENGTH];
    uint32_t messages;
    int64_t end_ms;
};

static struct limit *find(const struct reuse_limits *limits, const struct endpoint *peer);
static struct limit *add(struct reuse_limits *limits, const struct endpoint *peer);
static void make_key(const struct endpoint *peer, char key[KEY_LENGTH]);
static void forget(struct reuse_limits *limits, struct limit *limit);

void reuse_limits_init(struct reuse_limits *limits, const uint64_t seed[2])
{
    map_init(&limits->map, seed);
    list_init(&limits->list);
}

void reuse_limits_free(struct reuse_limits *limits)
{
    struct list_node *node;
    while ((node = list_first(&limits->list)) != NULL)
        forget(limits, LIST_OF(node, struct limit, place));
    map_free(&limits->map);
}

bool reuse_limits_learn(struct reuse_limits *limits, const struct endpoint *peer, uint32_t messages, int64_t now_ms)
{
    assert(messages > 0);
    struct limit *limit = find(limits, peer);
    bool is_known = limit != NULL && limit->end_ms > now_ms && limit->messages == messages;
    if (limit == NULL)
        limit = add(limits, peer);
    if (limit == NULL)
        return true;
    limit->messages = messages;
    limit->end_ms = now_ms + REUSE_LIMITS_KEEP_MS;
    list_remove(&limits->list, &limit->place);
    list_add_last(&limits->list, &limit->place);
    return !is_known;
}

uint32_t reuse_limits_ask(struct reuse_limits *limits, const struct endpoint *peer, int64_t now_ms)
{
    struct limit *limit = limits->map.count == 0 ? NULL : find(limits, peer);
    if (limit == NULL)
        return UINT32_MAX;
    if (limit->end_ms > now_ms)
        return limit->messages;
    forget(limits, limit);
    return UINT32_MAX;
}

static void make_key(const struct endpoint *peer, char key[KEY_LENGTH])
{
    memset(key, 0, KEY_LENGTH);
    key[0] = (char)peer->ip.family;
    memcpy(key + 1, peer->ip.bytes, peer->ip.family == IP_V4 ? 4 : 16);
    memcpy(key + 17, &peer->port, sizeof peer->port);
}

static struct limit *find(const struct reuse_limits *limits, const struct endpoint *peer)
{
    char key[KEY_LENGTH];
    make_key(peer, key);
    struct map_node *node = map_get(&limits->map, slice_make(key, KEY_LENGTH));
    return node == NULL ? NULL : LIST_OF(node, struct limit, node);
}

static struct limit *add(struct reuse_limits *limits, const struct endpoint *peer)
{
    if (limits->map.count >= REUSE_LIMITS_MAX)
        forget(limits, LIST_OF(list_first(&limits->list), struct limit, place));
    struct limit *limit = calloc(1, sizeof *limit);
    if (limit == NULL)
        return NULL;
    make_key(peer, limit->key);
    if (map_add(&limits->map, &limit->node, slice_make(limit->key, KEY_LENGTH)) != ERR_NONE) {
        free(limit);
        return NULL;
    }
    list_add_last(&limits->list, &limit->place);
    return limit;
}

static void forget(struct reuse_limits *limits, struct limit *limit)
{
    map_remove(&limits->map, &limit->node);
    list_remove(&limits->list, &limit->place);
    free(limit);
}
