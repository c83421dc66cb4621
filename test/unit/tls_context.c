#include "test/unit/pki.h"
#include "test/unit/tls_pair.h"

#include <sched.h>
#include <sys/stat.h>

/* What making a context said. */
struct attempt {
    enum err err;
    struct tls_context *context;
    struct buffer fault, warnings;
};

static void attempt_start(struct attempt *attempt, const struct tls_context_options *options)
{
    buffer_init(&attempt->fault, 8192);
    buffer_init(&attempt->warnings, 65536);
    attempt->err = tls_context_new(options, &attempt->context, &attempt->fault, &attempt->warnings);
    assert_int_equal(attempt->err == ERR_NONE, attempt->context != NULL);
    assert_int_equal(attempt->err == ERR_NONE, buffer_length(&attempt->fault) == 0);
}

static void attempt_end(struct attempt *attempt)
{
    tls_context_free(&attempt->context);
    buffer_free(&attempt->fault);
    buffer_free(&attempt->warnings);
}

static void check_says(const char *name, const struct buffer *text, const char *part)
{
    if (part[0] != '\0' && slice_find_slice(buffer_slice(text), slice_of(part)) == buffer_length(text)) {
        print_error("%s: \"%s\" is not in \"%.*s\"\n", name, part, SLICE_ARGS(buffer_slice(text)));
        fail();
    }
}

/* Joins the files into one of the name. */
static void join(const struct pki *pki, const char *name, const char *const *parts, size_t count)
{
    struct buffer all;
    buffer_init(&all, 1 << 20);
    for (size_t i = 0; i < count; i++) {
        char chunk[16384];
        FILE *in = fopen(pki_path(pki, parts[i]).text, "rb");
        assert_non_null(in);
        size_t length = fread(chunk, 1, sizeof chunk, in);
        fclose(in);
        buffer_add(&all, slice_make(chunk, length));
    }
    pki_write(pki, name, buffer_slice(&all));
    buffer_free(&all);
}

static void write_files(const struct pki *pki)
{
    static const char *const some_bad[] = {"root.pem", "odd.pem", "ed25519-root.pem", "constrained.pem", "middle.pem"};
    static const char *const reordered[] = {"good.pem", "root.pem"};
    static const char *const broken_chain[] = {"by-odd.pem", "odd.pem"};
    static const char *const without_end[] = {"no-end.part", "root.pem"};
    static const char *const comments[] = {"comment.part", "root.pem", "comment.part", "middle.pem", "comment.part"};
    static const char *const bad_base64[] = {"bad-base64.part", "root.pem"};
    pki_write(pki, "empty.pem", SLICE_EMPTY);
    pki_write(pki, "text.pem", SLICE("this is no certificate\n"));
    pki_write(pki, "no-end.part", SLICE("\n\n-----BEGIN CERTIFICATE-----\nMIIB\n"));
    pki_write(pki, "comment.part", SLICE("\r\n# Subject: CN = something\r\n"));
    pki_write(pki, "bad-base64.part", SLICE("-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n"));
    pki_write(pki, "empty-block.pem", SLICE("-----BEGIN CERTIFICATE-----\n\n-----END CERTIFICATE-----\n"));
    pki_write(pki, "bad.key", SLICE("-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n"));
    join(pki, "some-bad.pem", some_bad, COUNT_OF(some_bad));
    join(pki, "reordered.pem", reordered, COUNT_OF(reordered));
    join(pki, "broken-chain.pem", broken_chain, COUNT_OF(broken_chain));
    join(pki, "without-end.pem", without_end, COUNT_OF(without_end));
    join(pki, "comments.pem", comments, COUNT_OF(comments));
    join(pki, "bad-base64.pem", bad_base64, COUNT_OF(bad_base64));
    (void)mkfifo(pki_path(pki, "fifo.pem").text, 0600);
    assert_int_equal(mkdir(pki_path(pki, "folder.pem").text, 0700), 0);
}

static int set_up(void **state)
{
    if (pki_set_up(state) != 0)
        return -1;
    write_files(*state);
    return 0;
}

static void test_bundles(void **state)
{
    static const struct {
        const char *file;
        enum err err;
        size_t anchor_count, warning_count;
        const char *says; /* in fault or warnings */
    } cases[] = {
        {"root.pem", ERR_NONE, 1, 0, ""},
        {"anchors.pem", ERR_NONE, 2, 0, ""},
        {"some-bad.pem", ERR_NONE, 3, 2, ": certificate 2 cannot be read: a critical extension that is not supported"},
        {"some-bad.pem", ERR_NONE, 3, 2, ": certificate 3 cannot be read: a key or signature algorithm"},
        {"without-end.pem", ERR_NONE, 1, 1, "without-end.pem:3: certificate 1 cannot be read"},
        {"bad-base64.pem", ERR_NONE, 1, 1, "bad-base64.pem:1: certificate 1 cannot be read"},
        {"comments.pem", ERR_NONE, 2, 0, ""},
        {"good-with-key.pem", ERR_NONE, 1, 0, ""},
        {"constrained.pem", ERR_NONE, 1, 0, ""},
        {"odd.pem", ERR_SYNTAX, 0, 1, "odd.pem: no certificate found"},
        {"empty.pem", ERR_SYNTAX, 0, 0, "empty.pem: no certificate found"},
        {"empty-block.pem", ERR_SYNTAX, 0, 1, "empty-block.pem: no certificate found"},
        {"text.pem", ERR_SYNTAX, 0, 0, "text.pem: no certificate found"},
        {"good.key", ERR_SYNTAX, 0, 0, "good.key: no certificate found"},
        {"none.pem", ERR_NOT_FOUND, 0, 0, "none.pem: not found"},
        {"folder.pem", ERR_IO, 0, 0, "folder.pem: it is a directory"},
        {"fifo.pem", ERR_IO, 0, 0, "fifo.pem: it is not a regular file"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct pki_path path = pki_path(*state, cases[i].file);
        struct attempt attempt;
        attempt_start(&attempt, &(struct tls_context_options){.ca_file = slice_of(path.text)});
        check_number(cases[i].file, attempt.err, cases[i].err);
        size_t lines = 0;
        for (size_t j = 0; j < buffer_length(&attempt.warnings); j++)
            lines += buffer_slice(&attempt.warnings).data[j] == '\n';
        check_number(cases[i].file, lines, cases[i].warning_count);
        check_says(cases[i].file, attempt.err == ERR_NONE ? &attempt.warnings : &attempt.fault, cases[i].says);
        if (attempt.err == ERR_NONE) {
            check_number(cases[i].file, tls_context_anchor_count(attempt.context), cases[i].anchor_count);
            assert_false(tls_context_serves(attempt.context));
        }
        attempt_end(&attempt);
    }
}

static void test_long_path(void **state)
{
    (void)state;
    char path[5000];
    memset(path, 'a', sizeof path);
    struct attempt attempt;
    attempt_start(&attempt, &(struct tls_context_options){.ca_file = slice_make(path, sizeof path)});
    assert_int_equal(attempt.err, ERR_LIMIT);
    attempt_end(&attempt);
}

static void test_unreadable_file(void **state)
{
    struct pki *pki = *state;
    struct pki_path path = pki_path(pki, "secret.pem");
    pki_write(pki, "secret.pem", SLICE("nothing"));
    assert_int_equal(chmod(path.text, 0), 0);
    bool is_root = geteuid() == 0; /* whom no mode stops */
    if (is_root) {
        assert_int_equal(chmod(pki->folder, 0711), 0);
        assert_int_equal(seteuid(65534), 0);
    }
    struct attempt attempt;
    attempt_start(&attempt, &(struct tls_context_options){.ca_file = slice_of(path.text)});
    if (is_root)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(attempt.err, ERR_PERMISSION);
    check_says("unreadable", &attempt.fault, "secret.pem: permission denied");
    attempt_end(&attempt);
}

static void test_own_certificates(void **state)
{
    static const struct {
        const char *certificate, *key;
        enum err err;
        const char *fault;
    } cases[] = {
        {"good.pem", "good.key", ERR_NONE, ""},
        {"rsa.pem", "rsa.key", ERR_NONE, ""},
        {"by-middle-chain.pem", "by-middle.key", ERR_NONE, ""},
        {"by-constrained-chain.pem", "by-constrained.key", ERR_NONE, ""},
        {"good-with-key.pem", "good-with-key.pem", ERR_NONE, ""},
        {"good.pem", "", ERR_SYNTAX, "a certificate and its key are needed together"},
        {"", "good.key", ERR_SYNTAX, "a certificate and its key are needed together"},
        {"none.pem", "good.key", ERR_NOT_FOUND, "none.pem: not found"},
        {"good.pem", "none.key", ERR_NOT_FOUND, "none.key: not found"},
        {"good.pem", "rsa.key", ERR_SYNTAX, "the key does not belong to the first certificate of"},
        {"rsa.pem", "good.key", ERR_SYNTAX, "the key does not belong to the first certificate of"},
        {"middle.pem", "good.key", ERR_SYNTAX, "the key does not belong to the first certificate of"},
        {"good.pem", "good.pem", ERR_SYNTAX, "good.pem: no private key found"},
        {"good.pem", "empty.pem", ERR_SYNTAX, "empty.pem: no private key found"},
        {"good.pem", "bad.key", ERR_SYNTAX, "bad.key: the key cannot be read"},
        {"good.pem", "locked.key", ERR_SYNTAX, "locked by a passphrase"},
        {"good.pem", "locked-old.key", ERR_SYNTAX, "locked by a passphrase"},
        {"good.key", "good.key", ERR_SYNTAX, "good.key: no certificate found"},
        {"ed25519.pem", "ed25519.key", ERR_SYNTAX, "certificate 1 cannot be read"},
        {"broken-chain.pem", "by-odd.key", ERR_SYNTAX, "certificate 2 cannot be read: a critical extension"},
    };
    struct pki_path root = pki_path(*state, "root.pem");
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct pki_path certificate = pki_path(*state, cases[i].certificate), key = pki_path(*state, cases[i].key);
        struct tls_context_options options = {.ca_file = slice_of(root.text)};
        options.certificate = cases[i].certificate[0] == '\0' ? SLICE_EMPTY : slice_of(certificate.text);
        options.key = cases[i].key[0] == '\0' ? SLICE_EMPTY : slice_of(key.text);
        struct attempt attempt;
        char name[128];
        snprintf(name, sizeof name, "%s with %s", cases[i].certificate, cases[i].key);
        attempt_start(&attempt, &options);
        check_number(name, attempt.err, cases[i].err);
        check_says(name, &attempt.fault, cases[i].fault);
        check_true(name, slice_find(buffer_slice(&attempt.fault), '\n') == buffer_length(&attempt.fault));
        if (attempt.err == ERR_NONE)
            check_true(name, tls_context_serves(attempt.context));
        attempt_end(&attempt);
    }
}

static uint64_t generation_of(const struct pki *pki, const char *anchors, const char *certificate)
{
    struct tls_context *context = pki_context(pki, anchors, certificate);
    uint64_t generation = tls_context_generation(context);
    tls_context_free(&context);
    return generation;
}

/* What changes is read, what does not is shared, whatever has become of its file. */
static void test_parts_of_another(void **state)
{
    struct tls_context *first = pki_context(*state, "root", "good");
    struct pki_path none = pki_path(*state, "none.pem"), middle = pki_path(*state, "middle.pem");
    struct attempt other_anchors, other_own, neither;
    struct tls_context_options options = {.ca_file = slice_of(middle.text), .own_of = first};
    attempt_start(&other_anchors, &options);
    assert_true(tls_context_serves(other_anchors.context));
    assert_true(tls_context_generation(other_anchors.context) != tls_context_generation(first));
    options = (struct tls_context_options){.ca_file = slice_of(none.text), .anchors_of = first};
    attempt_start(&other_own, &options);
    assert_false(tls_context_serves(other_own.context));
    assert_true(tls_context_generation(other_own.context) == tls_context_generation(first));
    options = (struct tls_context_options){.ca_file = slice_of(none.text), .own_of = first};
    attempt_start(&neither, &options);
    assert_int_equal(neither.err, ERR_NOT_FOUND);
    tls_context_free(&first);
    struct tls_session *client = tls_session_client(other_own.context, TLS_VERIFY, SLICE("mx.example.com"), NULL);
    struct tls_session *server = tls_session_server(other_anchors.context);
    attempt_end(&other_own);
    attempt_end(&other_anchors);
    pair_settle(client, server, SIZE_MAX);
    assert_int_equal(tls_session_status(client), TLS_OPEN);
    assert_true(tls_session_verdict(client)->verified);
    pair_free(&client, &server);
    attempt_end(&neither);
}

static void test_generations(void **state)
{
    uint64_t root = generation_of(*state, "root", NULL);
    assert_true(root != 0);
    assert_true(root == generation_of(*state, "root", NULL));
    assert_true(root == generation_of(*state, "root", "good"));
    assert_true(root != generation_of(*state, "middle", NULL));
    assert_true(root != generation_of(*state, "anchors", NULL));
    /* Comments and an unreadable certificate change nothing that is verified. */
    assert_true(generation_of(*state, "reordered", NULL) != root);
    assert_true(generation_of(*state, "comments", NULL) != root);
    static const char *const plain[] = {"root.pem", "middle.pem"};
    join(*state, "plain.pem", plain, COUNT_OF(plain));
    assert_true(generation_of(*state, "comments", NULL) == generation_of(*state, "plain", NULL));
}

static void test_system_bundle(void **state)
{
    (void)state;
    static const char bundle[] = "/etc/ssl/certs/ca-certificates.crt";
    struct attempt attempt;
    attempt_start(&attempt, &(struct tls_context_options){.ca_file = SLICE_EMPTY});
    assert_int_equal(attempt.err, ERR_NONE);
    if (access(bundle, R_OK) == 0)
        assert_true(tls_context_anchor_count(attempt.context) > 10);
    attempt_end(&attempt);
}

/* In a folder without any of the system's places. */
static bool check_without_bundle(const struct pki *pki)
{
    if (geteuid() != 0 && unshare(CLONE_NEWUSER) != 0)
        return false;
    if (chroot(pki->folder) != 0 || chdir("/") != 0)
        return false;
    struct attempt attempt;
    attempt_start(&attempt,
                  &(struct tls_context_options){.certificate = SLICE("/good.pem"), .key = SLICE("/good.key")});
    assert_int_equal(attempt.err, ERR_NONE);
    assert_int_equal(tls_context_anchor_count(attempt.context), 0);
    check_says("no bundle", &attempt.warnings, "no certificate can be verified");

    struct tls_session *strict = tls_session_client(attempt.context, TLS_VERIFY, SLICE("mx.example.com"), NULL);
    assert_int_equal(tls_session_status(strict), TLS_FAILED);
    assert_int_equal(tls_session_verdict(strict)->failure, TLS_FAILURE_NO_ANCHORS);
    struct tls_session *client = tls_session_client(attempt.context, TLS_ENCRYPT, SLICE("mx.example.com"), NULL);
    struct tls_session *server = tls_session_server(attempt.context);
    pair_settle(client, server, SIZE_MAX);
    assert_int_equal(tls_session_status(client), TLS_OPEN);
    assert_false(tls_session_verdict(client)->verified);
    assert_int_equal(tls_session_verdict(client)->failure, TLS_FAILURE_NO_ANCHORS);
    pair_free(&client, &server);
    tls_session_free(&strict);
    attempt_end(&attempt);
    return true;
}

static void test_no_bundle(void **state)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setenv("CMOCKA_TEST_ABORT", "1", 1); /* else a failed check would go on with the other tests, in the child */
        _exit(check_without_bundle(*state) ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_minimum(void **state)
{
    struct pki_path root = pki_path(*state, "root.pem"), certificate = pki_path(*state, "good.pem");
    struct pki_path key = pki_path(*state, "good.key");
    struct attempt attempt;
    attempt_start(&attempt, &(struct tls_context_options){.ca_file = slice_of(root.text),
                                                          .certificate = slice_of(certificate.text),
                                                          .key = slice_of(key.text),
                                                          .minimum = TLS_1_3});
    assert_int_equal(attempt.err, ERR_NONE);
    struct tls_session *client = tls_session_client(attempt.context, TLS_VERIFY, SLICE("mx.example.com"), NULL);
    struct tls_session *server = tls_session_server(attempt.context);
    pair_settle(client, server, SIZE_MAX);
    assert_int_equal(tls_session_status(client), TLS_OPEN);
    assert_string_equal(tls_session_verdict(client)->version, "TLSv1.3");
    pair_free(&client, &server);
    attempt_end(&attempt);
}

static void test_references(void **state)
{
    struct tls_context *context = pki_context(*state, "root", NULL);
    struct tls_context *other = tls_context_share(context);
    assert_ptr_equal(context, other);
    tls_context_free(&context);
    assert_null(context);
    assert_int_equal(tls_context_anchor_count(other), 1);
    tls_context_free(&other);
    tls_context_free(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bundles),          cmocka_unit_test(test_long_path),
        cmocka_unit_test(test_unreadable_file),  cmocka_unit_test(test_own_certificates),
        cmocka_unit_test(test_parts_of_another), cmocka_unit_test(test_generations),
        cmocka_unit_test(test_system_bundle),    cmocka_unit_test(test_no_bundle),
        cmocka_unit_test(test_minimum),          cmocka_unit_test(test_references),
    };
    return cmocka_run_group_tests(tests, set_up, pki_tear_down);
}
