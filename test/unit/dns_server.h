/* A name server for tests: a thread with a UDP and a TCP socket on one free port, that answers by a script. A name is
 * answered by the first entry whose name is its end; what has no entry is not answered. Counters are read while it
 * runs. */
#ifndef TEST_UNIT_DNS_SERVER_H
#define TEST_UNIT_DNS_SERVER_H

#include "base/ip.h"
#include "test/unit/dns.h"

#include <pthread.h>
#include <stdatomic.h>

struct dns_query {
    char asked[256]; /* the name, letter by letter */
    char name[256];  /* in lower case */
    unsigned id, type, flags, source_port;
    bool is_tcp, has_edns, has_do;
    unsigned udp_size;
    size_t count; /* how often this server has been asked, this time included */
};
struct dns_entry {
    const char *name;
    /* Writes the whole answer, dns_begin() first. False: no answer is sent; over TCP the connection is closed. */
    bool (*answer)(const struct dns_query *query, struct dns_message *message);
    /* May be NULL. Over UDP: what a forger sends before it; index counts from 0, until it writes nothing. */
    bool (*forge)(const struct dns_query *query, struct dns_message *message, size_t index);
};
struct dns_server {
    const struct dns_entry *script; /* ends with a NULL name */
    struct endpoint endpoint;
    bool has_tcp;
    int udp, tcp, stop[2];
    pthread_t thread;
    _Atomic size_t udp_count, tcp_count, edns_count;
    _Atomic unsigned ports[64], ids[64]; /* of the first queries over UDP */
};

void dns_server_open(struct dns_server *server, const struct dns_entry *script, const char *address, bool has_tcp);
void dns_server_close(struct dns_server *server);

/* What a name server of its own kind that loses the case of letters says: the same beginning, in lower case. */
void dns_answer_lowered(const struct dns_query *query, struct dns_message *message, unsigned flags);
/* The beginning of an answer: the id, the question, RA, and what else is to be set. */
void dns_answer(const struct dns_query *query, struct dns_message *message, unsigned flags);

#endif
