#include "tls/hosts.h"

#include "base/text.h"

static uint64_t hash_of(const struct tls_hosts *hosts, struct slice name);

void tls_hosts_init(struct tls_hosts *hosts, const uint64_t key[2])
{
    hosts->key[0] = key[0];
    hosts->key[1] = key[1];
    for (size_t i = 0; i < TLS_HOSTS_COUNT; i++) {
        atomic_init(&hosts->slots[i], 0);
    }
}

void tls_hosts_add(struct tls_hosts *hosts, struct slice name)
{
    uint64_t hash = hash_of(hosts, name);
    atomic_store_explicit(&hosts->slots[hash % TLS_HOSTS_COUNT], hash, memory_order_relaxed);
}

bool tls_hosts_has(const struct tls_hosts *hosts, struct slice name)
{
    uint64_t hash = hash_of(hosts, name);
    return atomic_load_explicit(&hosts->slots[hash % TLS_HOSTS_COUNT], memory_order_relaxed) == hash;
}

/* Never 0, which is an empty slot. */
static uint64_t hash_of(const struct tls_hosts *hosts, struct slice name)
{
    uint64_t hash = text_siphash(hosts->key, name);
    return hash == 0 ? 1 : hash;
}
