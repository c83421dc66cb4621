/* Measures how many signatures a second a DKIM key makes, with one thread and with more.
 *     tls-bench KEY.pem ...       each of an RSA key
 * The rounds with one thread and with more go in turn, so that what else the machine does falls upon both; figures are
 * medians, the ratio is that of each round's pair. */
#include "tls/context.h"
#include "tls/sign.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 9
#define ROUND_S 0.5
#define THREADS_MAX 16

struct worker {
    pthread_t thread;
    struct tls_sign_key *key;
    double until_s;
    size_t count;
};

static double now_s(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "tls-bench: %s\n", what);
        exit(EXIT_FAILURE);
    }
}

static void *run_worker(void *argument)
{
    struct worker *worker = argument;
    uint8_t digest[TLS_DIGEST_LENGTH] = {0};
    struct buffer signature;
    buffer_init(&signature, 4096);
    for (; now_s() < worker->until_s; worker->count++) {
        digest[0]++;
        buffer_clear(&signature);
        require(tls_sign(worker->key, digest, &signature) == ERR_NONE, "the key does not sign");
    }
    buffer_free(&signature);
    return NULL;
}

/* Signatures a second. */
static double run_round(struct tls_sign_key *key, size_t thread_count)
{
    struct worker workers[THREADS_MAX];
    double start_s = now_s();
    size_t count = 0;
    for (size_t i = 0; i < thread_count; i++) {
        workers[i] = (struct worker){.key = key, .until_s = start_s + ROUND_S};
        require(pthread_create(&workers[i].thread, NULL, run_worker, &workers[i]) == 0, "no thread");
    }
    for (size_t i = 0; i < thread_count; i++) {
        require(pthread_join(workers[i].thread, NULL) == 0, "a thread is lost");
        count += workers[i].count;
    }
    return (double)count / (now_s() - start_s);
}

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof *values, compare);
    return values[ROUNDS / 2];
}

static void measure(struct tls_sign_key *key, size_t thread_count)
{
    double one[ROUNDS], more[ROUNDS], ratio[ROUNDS];
    for (size_t i = 0; i < ROUNDS; i++) {
        one[i] = run_round(key, 1);
        more[i] = run_round(key, thread_count);
        ratio[i] = more[i] / one[i];
    }
    printf("%5zu bits   1 thread %7.0f/s   %zu threads %7.0f/s   ratio %.2f\n", tls_sign_key_bits(key), median(one),
           thread_count, median(more), median(ratio));
}

int main(int count, char **arguments)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    size_t thread_count = processors < 2 ? 2 : processors > THREADS_MAX ? THREADS_MAX : (size_t)processors;
    require(count > 1, "usage: tls-bench KEY.pem ...");
    require(tls_start() == ERR_NONE, "the library does not start");
    for (int i = 1; i < count; i++) {
        struct tls_sign_key *key;
        struct buffer fault;
        buffer_init(&fault, 4096);
        enum err err = tls_sign_key_open(slice_of(arguments[i]), &key, &fault);
        fprintf(stderr, "%.*s", SLICE_ARGS(buffer_slice(&fault)));
        require(err == ERR_NONE, err_text(err));
        measure(key, thread_count);
        tls_sign_key_free(&key);
        buffer_free(&fault);
    }
    tls_stop();
    return 0;
}
