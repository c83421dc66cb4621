/* Heaps of certificates, by the classes of BetterTLS and x509-limbo: each must be judged as written here, and each
 * refusal named. OpenSSL judges beside us; where it does not agree, why is written too. Whatever is refused as a proof
 * must still do to encrypt. */
#include "test/unit/forge.h"
#include "test/unit/tls_chains.h"
#include "tls/session.h"

#include <openssl/ssl.h>
#include <stdlib.h>
#include <unistd.h>

#define TRACE_MAX 160

/* ---- OpenSSL as judge, and as the server --------------------------------------------------- */

static bool openssl_accepts(const char *names, const char *anchors, const char *host)
{
    STACK_OF(X509) *sent = forge_stack(names), *trusted = forge_stack(anchors);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    for (int i = 0; i < sk_X509_num(trusted); i++)
        X509_STORE_add_cert(store, sk_X509_value(trusted, i));
    X509_STORE_CTX_init(context, store, sk_X509_value(sent, 0), sent);
    X509_VERIFY_PARAM *parameters = X509_STORE_CTX_get0_param(context);
    X509_STORE_CTX_set_default(context, "ssl_server");
    X509_VERIFY_PARAM_set1_host(parameters, host, 0);
    X509_VERIFY_PARAM_set_hostflags(parameters,
                                    X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_PARTIAL_CHAIN);
    X509_VERIFY_PARAM_set_auth_level(parameters, 2);
    bool accepts = X509_verify_cert(context) == 1;
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    sk_X509_free(sent);
    sk_X509_free(trusted);
    return accepts;
}

static SSL_CTX *server_make(const char *names, int version)
{
    STACK_OF(X509) *sent = forge_stack(names);
    char leaf[48];
    snprintf(leaf, sizeof leaf, "%.*s", (int)strcspn(names, " "), names);
    SSL_CTX *server = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_security_level(server, 0);
    SSL_CTX_set_mode(server, SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_min_proto_version(server, version);
    SSL_CTX_set_max_proto_version(server, version);
    assert_int_equal(SSL_CTX_use_certificate(server, sk_X509_value(sent, 0)), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(server, forge_find(leaf)->key), 1);
    for (int i = 1; i < sk_X509_num(sent); i++) {
        X509_up_ref(sk_X509_value(sent, i));
        SSL_CTX_add_extra_chain_cert(server, sk_X509_value(sent, i));
    }
    sk_X509_free(sent);
    return server;
}

/* ---- ours ----------------------------------------------------------------------------------- */

struct contexts {
    char folder[64];
    size_t count;
    struct {
        char anchors[128];
        struct tls_context *context;
    } made[32];
};

/* With these anchors and no others. */
static struct tls_context *context_of(struct contexts *contexts, const char *anchors)
{
    size_t i = 0;
    while (i < contexts->count && strcmp(contexts->made[i].anchors, anchors) != 0)
        i++;
    if (i < contexts->count)
        return contexts->made[i].context;
    assert_true(i < COUNT_OF(contexts->made));
    char path[128];
    struct buffer fault, warnings;
    buffer_init(&fault, 4096);
    buffer_init(&warnings, 4096);
    snprintf(path, sizeof path, "%s/%zu.pem", contexts->folder, i);
    STACK_OF(X509) *trusted = forge_stack(anchors);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int j = 0; j < sk_X509_num(trusted); j++)
        PEM_write_X509(file, sk_X509_value(trusted, j));
    fclose(file);
    sk_X509_free(trusted);
    struct tls_context_options options = {.ca_file = slice_of(path)};
    assert_int_equal(tls_context_new(&options, &contexts->made[i].context, &fault, &warnings), ERR_NONE);
    assert_int_equal(buffer_length(&warnings), 0);
    snprintf(contexts->made[i].anchors, sizeof contexts->made[i].anchors, "%s", anchors);
    contexts->count++;
    buffer_free(&fault);
    buffer_free(&warnings);
    return contexts->made[i].context;
}

/* What one side has for the other. False: nothing. */
static bool exchange(struct tls_session *client, BIO *to_server, BIO *from_server)
{
    char bytes[16384];
    struct slice wire = tls_session_wire(client);
    if (wire.length > 0) {
        BIO_write(to_server, wire.data, (int)wire.length);
        tls_session_wired(client, wire.length);
        return true;
    }
    int got = BIO_read(from_server, bytes, sizeof bytes);
    if (got > 0)
        tls_session_feed(client, slice_make(bytes, (size_t)got));
    return got > 0;
}

static struct tls_session *shake_hands(struct tls_context *context, SSL_CTX *server, enum tls_demand demand,
                                       const char *host)
{
    struct tls_session *client = tls_session_client(context, demand, slice_of(host), NULL);
    SSL *ssl = SSL_new(server);
    BIO *to_server = BIO_new(BIO_s_mem()), *from_server = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, to_server, from_server);
    SSL_set_accept_state(ssl);
    do {
        tls_session_work(client);
        (void)SSL_do_handshake(ssl);
    } while (exchange(client, to_server, from_server));
    SSL_free(ssl);
    return client;
}

/* ---- both ------------------------------------------------------------------------------------ */

static size_t complaint_count;

/* All of a table are told before the test fails. */
__attribute__((format(printf, 1, 2))) static void complain(const char *format, ...)
{
    char text[1024];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    print_error("%s\n", text);
    complaint_count++;
}

static void check_session(const char *label, struct tls_session *session, const struct chain *chain,
                          enum tls_demand demand)
{
    const struct tls_verdict *verdict = tls_session_verdict(session);
    bool is_good = chain->failure == TLS_FAILURE_NONE;
    bool is_open = is_good || demand == TLS_ENCRYPT;
    if (tls_session_status(session) != (is_open ? TLS_OPEN : TLS_FAILED) || verdict->failure != chain->failure ||
        verdict->verified != is_good || (chain->detail != NULL && strstr(verdict->detail, chain->detail) == NULL)) {
        complain("%s (%s): status %d, %s instead of %s; \"%s\"", label, demand == TLS_VERIFY ? "verify" : "encrypt",
                 (int)tls_session_status(session), tls_failure_text(verdict->failure), tls_failure_text(chain->failure),
                 verdict->detail);
    }
}

/* What is proved needs no other handshake; what is refused must still do to encrypt. Both versions take their turn. */
static void check_ours(struct contexts *contexts, const char *label, const struct chain *chain)
{
    static unsigned turn;
    struct tls_context *context = context_of(contexts, chain->anchors);
    SSL_CTX *server = server_make(chain->sent, turn++ % 2 == 0 ? TLS1_3_VERSION : TLS1_2_VERSION);
    enum tls_demand last = chain->failure == TLS_FAILURE_NONE ? TLS_VERIFY : TLS_ENCRYPT;
    for (int demand = TLS_VERIFY; demand >= (int)last; demand--) {
        struct tls_session *session = shake_hands(context, server, (enum tls_demand)demand, chain->host);
        check_session(label, session, chain, (enum tls_demand)demand);
        tls_session_free(&session);
    }
    SSL_CTX_free(server);
}

/* An acceptance must be OpenSSL's too, if need be of the one path shown alone: more is never accepted. */
static void check_openssl(const char *label, const struct chain *chain)
{
    bool is_good = chain->failure == TLS_FAILURE_NONE;
    bool accepts = openssl_accepts(chain->sent, chain->anchors, chain->host);
    if (chain->differs == NULL && accepts != is_good)
        complain("%s: OpenSSL %s it", label, accepts ? "accepts" : "refuses");
    if (chain->differs != NULL && accepts == is_good)
        complain("%s: OpenSSL agrees, though \"%s\"", label, chain->differs);
    const char *anchors = chain->path_anchors == NULL ? chain->anchors : chain->path_anchors;
    if (is_good && !accepts && (chain->path == NULL || !openssl_accepts(chain->path, anchors, chain->host)))
        complain("%s: OpenSSL does not accept the path %s", label, chain->path == NULL ? "(none)" : chain->path);
}

static void check_chain(struct contexts *contexts, const char *class, const struct chain *test)
{
    char label[TRACE_MAX];
    struct chain chain = *test;
    chain.anchors = chain.anchors == NULL ? "root" : chain.anchors;
    chain.host = chain.host == NULL ? "mx.example.com" : chain.host;
    snprintf(label, sizeof label, "%s: %s", class, chain.sent);
    check_ours(contexts, label, &chain);
    check_openssl(label, &chain);
}

/* ---- an issuer with a fault, alone and beside a good one --------------------------------------- */

static const char *print(char out[TRACE_MAX], const char *format, const char *name)
{
    char *at = out;
    for (const char *from = format; *from != '\0' && at + strlen(name) + 1 < out + TRACE_MAX; from++) {
        if (*from == '%')
            at += snprintf(at, TRACE_MAX - (size_t)(at - out), "%s", name);
        else
            *at++ = *from;
    }
    *at = '\0';
    return out;
}

/* The same authority twice, one of its certificates with the fault; % is the fault's name. */
static void forge_pair(const struct fault *fault)
{
    char name[TRACE_MAX], good[TRACE_MAX], lower[TRACE_MAX], leaf[TRACE_MAX], deep[TRACE_MAX], key[TRACE_MAX],
        subject[TRACE_MAX];
    struct forge bad = fault->forge;
    bad.name = print(name, "%", fault->forge.name);
    bad.issuer = fault->forge.issuer == NULL ? "root" : fault->forge.issuer;
    bad.key = fault->forge.key == NULL ? print(key, "key-%", bad.name) : fault->forge.key;
    bad.subject = print(subject, "O=Example/CN=Issuer %", bad.name);
    forge(&bad);
    forge(
        &(struct forge){.name = print(good, "good-%", name), .issuer = "root", .key = bad.key, .subject = bad.subject});
    forge(&(struct forge){.name = print(lower, "lower-%", name), .issuer = good});
    forge(&(struct forge){.name = print(leaf, "host-%", name), .issuer = good, .extensions = FORGE_HOST});
    forge(&(struct forge){.name = print(deep, "deep-%", name), .issuer = lower, .extensions = FORGE_HOST});
}

static void check_fault(struct contexts *contexts, const struct fault *fault)
{
    static const struct {
        const char *sent, *path;
    } good[] = {
        {"host-% % good-%", "host-% good-%"},
        {"host-% good-% %", "host-% good-%"},
        {"host-% stray ed-root % root ed-signed good-%", "host-% good-%"},
        {"deep-% % good-% lower-%", "deep-% lower-% good-%"},
        {"deep-% lower-% stray % good-%", "deep-% lower-% good-%"},
        {"deep-% stray good-% ed-signed % lower-% stray", "deep-% lower-% good-%"},
    };
    static const char *const bad[] = {"host-% %", "host-% root %", "deep-% lower-% %",
                                      "deep-% stray % ed-signed lower-%"};
    const char *name = fault->forge.name;
    char sent[TRACE_MAX], path[TRACE_MAX];
    forge_pair(fault);
    for (size_t i = 0; i < COUNT_OF(good) && !fault->is_weak_key; i++) {
        struct chain chain = {.sent = print(sent, good[i].sent, name), .path = print(path, good[i].path, name)};
        if (!openssl_accepts(chain.sent, "root", "mx.example.com"))
            chain.differs = "OpenSSL never turns back from the first issuer that fits";
        check_chain(contexts, name, &chain);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct chain chain = {.sent = print(sent, bad[i], name), .failure = fault->failure, .detail = fault->detail};
        chain.differs = fault->differs;
        check_chain(contexts, name, &chain);
    }
}

static void test_faulty_issuers(void **state)
{
    for (size_t i = 0; i < fault_count; i++)
        check_fault(*state, &faults[i]);
    assert_int_equal(complaint_count, 0);
}

/* ---- all others ------------------------------------------------------------------------------- */

static void test_chains(void **state)
{
    for (size_t i = 0; i < chain_count; i++)
        check_chain(*state, "chain", &chains[i]);
    assert_int_equal(complaint_count, 0);
}

/* Every certificate fits behind every other by its name: there are more ways than anybody can try. What is asked of us
 * has an end, and what is refused a name; the path that there is at the beginning is found all the same. */
static void test_bombs(void **state)
{
    char all[TRACE_MAX * 4], name[32], before[32];
    int length = snprintf(all, sizeof all, "leaf-of-loop");
    forge(&(struct forge){.name = "loop", .subject = "CN=Root"});
    for (int i = 0; i < 24; i++) {
        snprintf(name, sizeof name, "loop%d", i);
        snprintf(before, sizeof before, i == 0 ? "loop" : "loop%d", i - 1);
        forge(&(struct forge){.name = name, .issuer = before, .subject = "CN=Root"});
        length += snprintf(all + length, sizeof all - (size_t)length, " %s", name);
    }
    forge(&(struct forge){.name = "leaf-of-loop", .issuer = "loop23", .extensions = FORGE_HOST});
    check_chain(*state, "bomb", &(struct chain){.sent = all, .failure = TLS_FAILURE_TANGLED});
    check_chain(*state, "bomb", &(struct chain){.sent = all, .anchors = "stranger", .failure = TLS_FAILURE_TANGLED});
    snprintf(all + length, sizeof all - (size_t)length, " issuer");
    memcpy(all, "plain-leaf  ", strlen("leaf-of-loop"));
    check_chain(*state, "bomb", &(struct chain){.sent = all});
    assert_int_equal(complaint_count, 0);
}

static int set_up(void **state)
{
    static struct contexts contexts;
    snprintf(contexts.folder, sizeof contexts.folder, "/tmp/sternpost-chains-XXXXXX");
    if (mkdtemp(contexts.folder) == NULL || tls_start() != ERR_NONE)
        return -1;
    for (size_t i = 0; i < plan_count; i++)
        forge(&plans[i]);
    *state = &contexts;
    return 0;
}

static int tear_down(void **state)
{
    struct contexts *contexts = *state;
    char path[128];
    for (size_t i = 0; i < contexts->count; i++) {
        tls_context_free(&contexts->made[i].context);
        snprintf(path, sizeof path, "%s/%zu.pem", contexts->folder, i);
        unlink(path);
    }
    rmdir(contexts->folder);
    forge_clear();
    tls_stop();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faulty_issuers),
        cmocka_unit_test(test_chains),
        cmocka_unit_test(test_bombs),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
