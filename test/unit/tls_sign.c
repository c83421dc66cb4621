/* Signing keys and digests; what is signed here the openssl command verifies, and its keys are read here. */
#include "tls/sign.h"

#include "test/unit/pki.h"

static void test_digest(void **state)
{
    /* FIPS 180-2, appendix B. */
    static const uint8_t abc[TLS_DIGEST_LENGTH] = {
        0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
        0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
    struct tls_digest *digest = tls_digest_new();
    (void)state;
    assert_non_null(digest);
    for (int i = 0; i < 2; i++) { /* the second time it has begun anew */
        uint8_t got[TLS_DIGEST_LENGTH];
        tls_digest_add(digest, SLICE("a"));
        tls_digest_add(digest, SLICE_EMPTY);
        tls_digest_add(digest, SLICE("bc"));
        tls_digest_finish(digest, got);
        assert_memory_equal(got, abc, sizeof got);
    }
    tls_digest_free(&digest);
    tls_digest_free(&digest);
}

static void write_public(const struct pki *pki, const struct tls_sign_key *key)
{
    struct buffer der;
    buffer_init(&der, 1 << 16);
    assert_int_equal(tls_sign_key_public(key, &der), ERR_NONE);
    pki_write(pki, "public.der", buffer_slice(&der));
    buffer_free(&der);
}

/* By the openssl command. */
static bool verifies(const struct pki *pki, struct slice text)
{
    struct pki_path public = pki_path(pki, "public.der"), signature = pki_path(pki, "signature"), data = pki_path(pki, "data");
    pki_write(pki, "data", text);
    const char *const arguments[] = {"openssl", "dgst", "-sha256", "-keyform", "DER", "-verify", public.text, "-signature",
                                     signature.text, data.text, NULL};
    return pki_run(arguments) == 0;
}

static void sign(const struct pki *pki, struct tls_sign_key *key, struct slice text)
{
    struct tls_digest *digest = tls_digest_new();
    struct buffer signature;
    uint8_t hash[TLS_DIGEST_LENGTH];
    assert_non_null(digest);
    tls_digest_add(digest, text);
    tls_digest_finish(digest, hash);
    tls_digest_free(&digest);
    buffer_init(&signature, 1024);
    assert_int_equal(tls_sign(key, hash, &signature), ERR_NONE);
    assert_int_equal(buffer_length(&signature), tls_sign_key_bits(key) / 8);
    pki_write(pki, "signature", buffer_slice(&signature));
    buffer_free(&signature);
}

static void test_a_key_of_others(void **state)
{
    const struct pki *pki = *state;
    static const char *const files[] = {"rsa.key", "weak-root.key"};
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        struct tls_sign_key *key;
        struct buffer fault;
        buffer_init(&fault, 4096);
        assert_int_equal(tls_sign_key_open(slice_of(pki_path(pki, files[i]).text), &key, &fault), ERR_NONE);
        check_number(files[i], tls_sign_key_bits(key), i == 0 ? 2048 : 1024);
        write_public(pki, key);
        sign(pki, key, SLICE("signed"));
        check_true(files[i], verifies(pki, SLICE("signed")));
        check_true(files[i], !verifies(pki, SLICE("Signed")));
        tls_sign_key_free(&key);
        buffer_free(&fault);
    }
}

static void test_a_key_of_ours(void **state)
{
    const struct pki *pki = *state;
    struct tls_sign_key *made, *read, *shared;
    struct buffer pem, fault;
    buffer_init(&pem, 1 << 16);
    buffer_init(&fault, 4096);
    assert_int_equal(tls_sign_key_make(&made), ERR_NONE);
    assert_int_equal(tls_sign_key_bits(made), TLS_SIGN_BITS);
    assert_int_equal(tls_sign_key_print(made, &pem), ERR_NONE);
    /* What is printed around it does no harm: a record for DNS stands behind it in the same file. */
    struct buffer file;
    buffer_init(&file, 1 << 16);
    buffer_add(&file, SLICE("; a key\n"));
    buffer_add(&file, buffer_slice(&pem));
    buffer_add(&file, SLICE("s._domainkey.d.example. IN TXT ( \"v=DKIM1\" )\n"));
    pki_write(pki, "made.key", buffer_slice(&file));
    assert_int_equal(tls_sign_key_open(slice_of(pki_path(pki, "made.key").text), &read, &fault), ERR_NONE);
    write_public(pki, made);
    shared = tls_sign_key_share(read);
    tls_sign_key_free(&read);
    sign(pki, shared, SLICE("signed"));
    assert_true(verifies(pki, SLICE("signed")));
    tls_sign_key_free(&shared);
    tls_sign_key_free(&made);
    tls_sign_key_free(&made);
    buffer_free(&pem);
    buffer_free(&file);
    buffer_free(&fault);
}

static void test_faults(void **state)
{
    const struct pki *pki = *state;
    static const struct {
        const char *file, *fault;
        enum err err;
    } cases[] = {
        {"nothing.key", "not found", ERR_NOT_FOUND},
        {"good.pem", "no private key found", ERR_SYNTAX},
        {"leaf.key", "no RSA key", ERR_SYNTAX},
        {"tiny.key", "512 bits", ERR_SYNTAX},
    };
    struct pki_path tiny = pki_path(pki, "tiny.key");
    const char *const make[] = {"openssl", "genrsa", "-out", tiny.text, "512", NULL};
    assert_int_equal(pki_run(make), 0);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct tls_sign_key *key;
        struct buffer fault;
        buffer_init(&fault, 4096);
        check_number(cases[i].file, tls_sign_key_open(slice_of(pki_path(pki, cases[i].file).text), &key, &fault), cases[i].err);
        check_true(cases[i].file, key == NULL);
        struct slice text = buffer_slice(&fault);
        if (slice_find_slice(text, slice_of(cases[i].fault)) == text.length)
            fail_msg("%s: \"%.*s\"", cases[i].file, SLICE_ARGS(text));
        check_true(cases[i].file, slice_find_slice(text, slice_of(cases[i].file)) < text.length);
        buffer_free(&fault);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digest),
        cmocka_unit_test(test_a_key_of_others),
        cmocka_unit_test(test_a_key_of_ours),
        cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, pki_set_up, pki_tear_down);
}
