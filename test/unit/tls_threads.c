/* Sessions on several threads that share one context, and sessions that go from one thread to the next, as the jobs of
 * the relay do it. What is wrong with it shows under ThreadSanitizer. */
#include "test/unit/pki.h"
#include "test/unit/tls_pair.h"
#include "tls/sign.h"

#include <pthread.h>
#include <sys/resource.h>

#define THREAD_COUNT 4
#define PAIR_COUNT 24
#define SIGNATURE_COUNT 16

/* Threads report here and the test asserts: cmocka's checks are for the thread that runs the test. */
struct worker {
    pthread_t thread;
    struct tls_context *context; /* a reference of its own */
    size_t good_count;
};

/* Deterministically different certificates and demands on each round. */
static bool run_pair(struct tls_context *context, size_t round)
{
    bool good = round % 3 != 0;
    enum tls_demand demand = round % 2 == 0 ? TLS_VERIFY : TLS_ENCRYPT;
    struct slice host = good ? SLICE("mx.example.com") : SLICE("other.example.com");
    struct tls_session *client = tls_session_client(context, demand, host, NULL);
    struct tls_session *server = tls_session_server(context);
    pair_settle(client, server, 1000);
    bool right = tls_session_verdict(client)->verified == good &&
                 tls_session_status(client) == (good || demand == TLS_ENCRYPT ? TLS_OPEN : TLS_FAILED);
    if (tls_session_status(client) == TLS_OPEN) {
        right = right && tls_session_write(client, SLICE("NOOP\r\n")) == 6;
        tls_session_close(client);
        pair_settle(client, server, 5);
        right = right && slice_equal(tls_session_plain(server), SLICE("NOOP\r\n"));
    }
    pair_free(&client, &server);
    return right;
}

static void *run_worker(void *argument)
{
    struct worker *worker = argument;
    for (size_t i = 0; i < PAIR_COUNT; i++)
        worker->good_count += run_pair(worker->context, i);
    tls_context_free(&worker->context);
    return NULL;
}

static void test_one_context_for_all(void **state)
{
    static const char *const certificates[] = {"good", "rsa"};
    for (size_t i = 0; i < COUNT_OF(certificates); i++) {
        struct worker workers[THREAD_COUNT];
        struct tls_context *context = pki_context(*state, "root", certificates[i]);
        for (size_t j = 0; j < THREAD_COUNT; j++) {
            workers[j] = (struct worker){.context = tls_context_share(context)};
            assert_int_equal(pthread_create(&workers[j].thread, NULL, run_worker, &workers[j]), 0);
        }
        tls_context_free(&context); /* the last of the threads destroys it */
        for (size_t j = 0; j < THREAD_COUNT; j++) {
            assert_int_equal(pthread_join(workers[j].thread, NULL), 0);
            assert_int_equal(workers[j].good_count, PAIR_COUNT);
        }
    }
}

static void *run_work(void *session)
{
    tls_session_work(session);
    return NULL;
}

static void work_elsewhere(struct tls_session *session)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_work, session), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* Each flight on a thread of its own, the rings filled and emptied on this one. */
static void test_a_session_on_many_threads(void **state)
{
    struct tls_context *context = pki_context(*state, "root", "good");
    struct tls_session *client = tls_session_client(context, TLS_VERIFY, SLICE("mx.example.com"), NULL);
    struct tls_session *server = tls_session_server(context);
    size_t moved;
    do {
        work_elsewhere(client);
        work_elsewhere(server);
        moved = pair_move(client, server, SIZE_MAX);
        moved += pair_move(server, client, SIZE_MAX);
    } while (moved > 0);
    assert_true(tls_session_verdict(client)->verified);
    assert_int_equal(tls_session_write(client, SLICE("NOOP\r\n")), 6);
    pair_settle(client, server, SIZE_MAX);
    check_slice("on this thread", tls_session_plain(server), SLICE("NOOP\r\n"));
    pair_free(&client, &server);
    tls_context_free(&context);
}

struct signer {
    pthread_t thread;
    struct tls_sign_key *key; /* a reference of its own */
    struct buffer first;
    size_t same_count;
};

/* A signature of the same is always the same (RFC 8017 8.2.1). */
static void *run_signer(void *argument)
{
    static const uint8_t digest[TLS_DIGEST_LENGTH] = "thirty-two bytes to be signed";
    struct signer *signer = argument;
    for (size_t i = 0; i < SIGNATURE_COUNT; i++) {
        struct buffer signature;
        buffer_init(&signature, 1024);
        bool is_signed = tls_sign(signer->key, digest, &signature) == ERR_NONE;
        if (i == 0)
            buffer_add(&signer->first, buffer_slice(&signature));
        signer->same_count += is_signed && slice_equal(buffer_slice(&signature), buffer_slice(&signer->first));
        buffer_free(&signature);
    }
    tls_sign_key_free(&signer->key);
    return NULL;
}

static void test_one_key_for_all(void **state)
{
    struct signer signers[THREAD_COUNT];
    struct tls_sign_key *key;
    struct buffer fault;
    buffer_init(&fault, 4096);
    assert_int_equal(tls_sign_key_open(slice_of(pki_path(*state, "rsa.key").text), &key, &fault), ERR_NONE);
    for (size_t i = 0; i < THREAD_COUNT; i++) {
        signers[i] = (struct signer){.key = tls_sign_key_share(key)};
        buffer_init(&signers[i].first, 1024);
        assert_int_equal(pthread_create(&signers[i].thread, NULL, run_signer, &signers[i]), 0);
    }
    tls_sign_key_free(&key); /* the last of the threads wipes it */
    for (size_t i = 0; i < THREAD_COUNT; i++) {
        assert_int_equal(pthread_join(signers[i].thread, NULL), 0);
        assert_int_equal(signers[i].same_count, SIGNATURE_COUNT);
        check_slice("of every thread", buffer_slice(&signers[i].first), buffer_slice(&signers[0].first));
    }
    for (size_t i = 0; i < THREAD_COUNT; i++)
        buffer_free(&signers[i].first);
    buffer_free(&fault);
}

#define PAIR_SIGNATURES 100

struct sleeper {
    pthread_t thread;
    struct tls_sign_key *key;
    pthread_barrier_t *start;
    size_t signed_count;
    long sleeps; /* how often the thread gave its processor away, to wait; being preempted does not count */
};

static long sleeps_so_far(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nvcsw : 0;
}

static void *run_sleeper(void *argument)
{
    static const uint8_t digest[TLS_DIGEST_LENGTH] = "thirty-two bytes to be signed";
    struct sleeper *sleeper = argument;
    pthread_barrier_wait(sleeper->start);
    long before = sleeps_so_far();
    for (size_t i = 0; i < PAIR_SIGNATURES; i++) {
        struct buffer signature;
        buffer_init(&signature, 1024);
        sleeper->signed_count += tls_sign(sleeper->key, digest, &signature) == ERR_NONE;
        buffer_free(&signature);
    }
    sleeper->sleeps = sleeps_so_far() - before;
    return NULL;
}

/* The library keeps a context for one signature at a time: two threads with one context sleep at nearly each. */
static void test_no_signature_waits_for_another(void **state)
{
    struct tls_sign_key *key;
    struct sleeper sleepers[2];
    pthread_barrier_t start;
    struct buffer fault;
    buffer_init(&fault, 4096);
    assert_int_equal(tls_sign_key_open(slice_of(pki_path(*state, "rsa.key").text), &key, &fault), ERR_NONE);
    assert_int_equal(pthread_barrier_init(&start, NULL, 2), 0);
    for (size_t i = 0; i < 2; i++) {
        sleepers[i] = (struct sleeper){.key = key, .start = &start};
        assert_int_equal(pthread_create(&sleepers[i].thread, NULL, run_sleeper, &sleepers[i]), 0);
    }
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(sleepers[i].thread, NULL), 0);
        assert_int_equal(sleepers[i].signed_count, PAIR_SIGNATURES);
    }
    check_true("neither slept", sleepers[0].sleeps + sleepers[1].sleeps < PAIR_SIGNATURES / 4);
    pthread_barrier_destroy(&start);
    tls_sign_key_free(&key);
    buffer_free(&fault);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_context_for_all),
        cmocka_unit_test(test_a_session_on_many_threads),
        cmocka_unit_test(test_one_key_for_all),
        cmocka_unit_test(test_no_signature_waits_for_another),
    };
    return cmocka_run_group_tests(tests, pki_set_up, pki_tear_down);
}
