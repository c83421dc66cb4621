/* A small memory of host names that forgets the older ones, for any number of threads without a lock. It may take one
 * name for another (once in 2^64) and lose one when two share a slot: for hints only. For tls/ only. */
#ifndef TLS_HOSTS_H
#define TLS_HOSTS_H

#include "base/slice.h"

#include <stdatomic.h>

#define TLS_HOSTS_COUNT 512

struct tls_hosts {
    uint64_t key[2]; /* secret, so that nobody can choose names that push others out */
    atomic_uint_least64_t slots[TLS_HOSTS_COUNT];
};

void tls_hosts_init(struct tls_hosts *hosts, const uint64_t key[2]);
void tls_hosts_add(struct tls_hosts *hosts, struct slice name); /* names are compared bytewise */
bool tls_hosts_has(const struct tls_hosts *hosts, struct slice name);

#endif
