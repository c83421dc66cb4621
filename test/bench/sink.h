/* The far end of the benchmark: an SMTP server that takes every message, counts it and forgets it. It speaks what the
 * great providers speak (PIPELINING, CHUNKING, 8BITMIME, STARTTLS) and costs as little as it can, so that it is not
 * what is measured. The certificate is served with OpenSSL, whose handshakes are the cheapest to be had. */
#ifndef TEST_BENCH_SINK_H
#define TEST_BENCH_SINK_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What has arrived since the last "expect": each message of the source has a number in a field X-Bench. */
struct ledger {
    uint64_t expected;                             /* numbers below it are awaited */
    unsigned char *seen;                           /* a bit for each of them */
    uint64_t distinct, duplicates, foreign, plain; /* messages; foreign: without a number that is awaited */
    uint64_t connections, handshakes;
    double first_s, last_s; /* monotonic times of the first and the last of the distinct ones */
};
double ledger_now_s(void);
void ledger_expect(struct ledger *ledger, uint64_t count);
void ledger_add(struct ledger *ledger, uint64_t number, bool is_plain);
void ledger_print(const struct ledger *ledger);

enum session_state { SESSION_COMMAND, SESSION_DATA, SESSION_CHUNK, SESSION_HANDSHAKE, SESSION_CLOSING };

struct session {
    int fd;
    SSL *ssl;         /* NULL: plaintext */
    SSL_CTX *context; /* NULL: STARTTLS is not offered */
    struct ledger *ledger;
    enum session_state state;
    bool is_counted; /* this message is in the ledger */
    bool is_last_chunk;
    uint64_t chunk_left;
    size_t in_start, in_end, out_used;
    char in[65536], out[16384];
};
struct session *session_open(int fd, SSL_CTX *context, struct ledger *ledger);
void session_close(struct session **session);
/* Works off what the socket has. False: it is to be closed. */
bool session_run(struct session *session);
bool session_wants_write(const struct session *session);

#endif
