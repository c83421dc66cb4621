/* An intrusive hash map keyed by bytes, seeded against chosen collisions. The key's bytes belong to the element and
 * must not change while it is in the map. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/err.h"
#include "base/slice.h"

struct map_node {
    struct map_node *next;
    struct slice key;
    uint64_t hash;
};
struct map {
    struct map_node **buckets;
    size_t bucket_count, count;
    uint64_t seed[2];
};

void map_init(struct map *map, const uint64_t seed[2]);
void map_free(struct map *map); /* the buckets; the elements are the owners' */
struct map_node *map_get(const struct map *map, struct slice key); /* NULL when absent */
MUST_CHECK enum err map_add(struct map *map, struct map_node *node, struct slice key); /* key must be absent */
void map_remove(struct map *map, struct map_node *node);
/* Visits every element; the element just returned may be removed: for (n = map_first(m); n; n = map_after(m, n)) with
 * the successor taken before the removal. Order is not defined. */
struct map_node *map_first(const struct map *map);
struct map_node *map_after(const struct map *map, const struct map_node *node);

#endif
