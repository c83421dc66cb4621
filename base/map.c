#include "base/map.h"

#include "base/text.h"

#include <assert.h>
#include <stdlib.h>

#define MAP_BUCKETS_MIN ((size_t)16)

static struct map_node *find(const struct map *map, struct slice key, uint64_t hash);
static struct map_node **bucket_of(const struct map *map, uint64_t hash);
static struct map_node *first_from(const struct map *map, size_t bucket);
static bool resize(struct map *map, size_t bucket_count);

void map_init(struct map *map, const uint64_t seed[2])
{
    *map = (struct map){.seed = {seed[0], seed[1]}};
}

void map_free(struct map *map)
{
    free(map->buckets);
    map_init(map, (const uint64_t[2]){map->seed[0], map->seed[1]});
}

struct map_node *map_get(const struct map *map, struct slice key)
{
    return find(map, key, text_siphash(map->seed, key));
}

enum err map_add(struct map *map, struct map_node *node, struct slice key)
{
    uint64_t hash = text_siphash(map->seed, key);
    assert(find(map, key, hash) == NULL);
    size_t wanted = map->bucket_count == 0 ? MAP_BUCKETS_MIN : map->bucket_count * 2;
    /* A table that cannot grow any more is slower but right; only one without a single bucket cannot take it. */
    if (map->count >= map->bucket_count && !resize(map, wanted) && map->bucket_count == 0) {
        return ERR_MEMORY;
    }
    struct map_node **bucket = bucket_of(map, hash);
    *node = (struct map_node){.next = *bucket, .key = key, .hash = hash};
    *bucket = node;
    map->count++;
    return ERR_NONE;
}

void map_remove(struct map *map, struct map_node *node)
{
    assert(map->count > 0);
    struct map_node **place = bucket_of(map, node->hash);
    while (*place != node) {
        assert(*place != NULL);
        place = &(*place)->next;
    }
    *place = node->next;
    node->next = NULL;
    map->count--;
}

struct map_node *map_first(const struct map *map)
{
    return first_from(map, 0);
}

struct map_node *map_after(const struct map *map, const struct map_node *node)
{
    if (node->next != NULL) {
        return node->next;
    }
    return first_from(map, (size_t)(bucket_of(map, node->hash) - map->buckets) + 1);
}

static struct map_node *find(const struct map *map, struct slice key, uint64_t hash)
{
    if (map->bucket_count == 0) {
        return NULL;
    }
    struct map_node *node = *bucket_of(map, hash);
    while (node != NULL && !(node->hash == hash && slice_equal(node->key, key))) {
        node = node->next;
    }
    return node;
}

static struct map_node **bucket_of(const struct map *map, uint64_t hash)
{
    return &map->buckets[hash & (map->bucket_count - 1)];
}

static struct map_node *first_from(const struct map *map, size_t bucket)
{
    for (; bucket < map->bucket_count; bucket++) {
        if (map->buckets[bucket] != NULL) {
            return map->buckets[bucket];
        }
    }
    return NULL;
}

static bool resize(struct map *map, size_t bucket_count)
{
    struct map old = *map;
    struct map_node **buckets = calloc(bucket_count, sizeof(struct map_node *));
    if (buckets == NULL) {
        return false;
    }
    map->buckets = buckets;
    map->bucket_count = bucket_count;
    for (size_t i = 0; i < old.bucket_count; i++) {
        for (struct map_node *node = old.buckets[i], *next; node != NULL; node = next) {
            next = node->next;
            struct map_node **bucket = bucket_of(map, node->hash);
            node->next = *bucket;
            *bucket = node;
        }
    }
    free(old.buckets);
    return true;
}
