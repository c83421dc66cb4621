/* What a client makes of every kind of certificate: asked for proof, it must fail; asked for encryption only, it must
 * go on and tell the truth. */
#include "test/unit/pki.h"
#include "test/unit/tls_pair.h"

static const struct certificate_case {
    const char *name;
    const char *certificate;
    const char *host;    /* NULL: mx.example.com */
    const char *anchors; /* NULL: root */
    enum tls_failure failure;
    const char *detail; /* a part of it */
    const char *subject;
} cases[] = {
    {.name = "good",
     .certificate = "good",
     .detail = "for mx.example.com; issued by CN=Root",
     .subject = "mx.example.com"},
    {.name = "RSA, first name", .certificate = "rsa", .subject = "mx.example.com"},
    {.name = "RSA, second name", .certificate = "rsa", .host = "mail.example.com", .subject = "mx.example.com"},
    {.name = "host in capitals", .certificate = "good", .host = "MX.EXAMPLE.COM", .subject = "mx.example.com"},
    {.name = "host with a dot at its end",
     .certificate = "good",
     .host = "mx.example.com.",
     .subject = "mx.example.com"},
    {.name = "certificate in capitals", .certificate = "upper", .subject = "MX.Example.COM"},
    {.name = "last of many names",
     .certificate = "many",
     .detail = "and 10 more",
     .subject = "host1.long-name.example.net"},
    {.name = "wildcard", .certificate = "wildcard", .subject = "*.example.com"},
    {.name = "wildcard, two labels",
     .certificate = "wildcard",
     .host = "a.mx.example.com",
     .failure = TLS_FAILURE_HOST_MISMATCH,
     .detail = "not for a.mx.example.com; it is for *.example.com",
     .subject = "*.example.com"},
    {.name = "wildcard, apex",
     .certificate = "wildcard",
     .host = "example.com",
     .failure = TLS_FAILURE_HOST_MISMATCH,
     .subject = "*.example.com"},
    {.name = "wildcard, partial",
     .certificate = "partial",
     .failure = TLS_FAILURE_HOST_MISMATCH,
     .subject = "m*.example.com"},
    {.name = "two stars", .certificate = "double", .failure = TLS_FAILURE_HOST_MISMATCH, .subject = "*.*.com"},
    {.name = "other names",
     .certificate = "wrong",
     .failure = TLS_FAILURE_HOST_MISMATCH,
     .detail = "not for mx.example.com; it is for other.example.net, www.other.example.net; issued by CN=Root",
     .subject = "other.example.net"},
    {.name = "dot at the name's end",
     .certificate = "dot",
     .failure = TLS_FAILURE_HOST_MISMATCH,
     .subject = "mx.example.com."},
    {.name = "a name in pieces, which DER does not have",
     .certificate = "constructed",
     .failure = TLS_FAILURE_NO_DNS_NAME},
    {.name = "NUL in the name",
     .certificate = "nul",
     .failure = TLS_FAILURE_HOST_MISMATCH,
     .detail = "it is for mx.example.com?.evil.test",
     .subject = "mx.example.com?.evil.test"},
    {.name = "common name only",
     .certificate = "cn",
     .failure = TLS_FAILURE_NO_DNS_NAME,
     .detail = "a common name does not count",
     .subject = ""},
    {.name = "e-mail address and common name",
     .certificate = "email",
     .failure = TLS_FAILURE_NO_DNS_NAME,
     .subject = ""},
    {.name = "URI", .certificate = "uri", .failure = TLS_FAILURE_NO_DNS_NAME, .subject = ""},
    {.name = "IP addresses", .certificate = "ip", .failure = TLS_FAILURE_NO_DNS_NAME, .subject = ""},
    {.name = "expired",
     .certificate = "expired",
     .failure = TLS_FAILURE_EXPIRED,
     .detail = "the certificate expired on 2021-03-04T05:06:07Z",
     .subject = "mx.example.com"},
    {.name = "not valid yet",
     .certificate = "future",
     .failure = TLS_FAILURE_NOT_YET_VALID,
     .detail = "not valid before 2048-01-01T00:00:00Z",
     .subject = "mx.example.com"},
    {.name = "self-signed",
     .certificate = "self",
     .failure = TLS_FAILURE_SELF_SIGNED,
     .detail = "self-signed",
     .subject = "mx.example.com"},
    {.name = "self-signed, but an anchor", .certificate = "self", .anchors = "self", .subject = "mx.example.com"},
    {.name = "unknown authority",
     .certificate = "unknown",
     .failure = TLS_FAILURE_NOT_TRUSTED,
     .detail = "signed by CN=Unknown, which is not among the 1 trust anchors",
     .subject = "mx.example.com"},
    {.name = "with the intermediate",
     .certificate = "by-middle-chain",
     .detail = "issued by CN=Middle",
     .subject = "mx.example.com"},
    {.name = "without the intermediate",
     .certificate = "by-middle",
     .failure = TLS_FAILURE_NOT_TRUSTED,
     .detail = "the peer sent no intermediate certificate",
     .subject = "mx.example.com"},
    {.name = "intermediate is the anchor",
     .certificate = "by-middle",
     .anchors = "middle",
     .subject = "mx.example.com"},
    {.name = "expired intermediate",
     .certificate = "by-old-middle-chain",
     .failure = TLS_FAILURE_EXPIRED,
     .detail = "the certificate of the issuer CN=Old Middle expired on 2021-01-01T00:00:00Z",
     .subject = "mx.example.com"},
    {.name = "constrained to our domain", .certificate = "by-permitted-chain", .subject = "mx.example.com"},
    {.name = "constrained to our domain, apex",
     .certificate = "by-permitted-chain",
     .host = "example.com",
     .subject = "mx.example.com"},
    {.name = "constrained to another domain",
     .certificate = "by-elsewhere-chain",
     .failure = TLS_FAILURE_CONSTRAINED,
     .detail = "the certificate of the issuer CN=Elsewhere may not be used to issue for mx.example.com",
     .subject = "mx.example.com"},
    {.name = "our host excluded",
     .certificate = "by-excluded-chain",
     .failure = TLS_FAILURE_CONSTRAINED,
     .detail = "name constraints",
     .subject = "mx.example.com"},
    {.name = "another of its hosts excluded",
     .certificate = "by-excluded-chain",
     .host = "example.com",
     .failure = TLS_FAILURE_CONSTRAINED,
     .detail = "may not be used to issue for example.com or the other names below it",
     .subject = "mx.example.com"},
    {.name = "another host excluded",
     .certificate = "apex-excluded-chain",
     .host = "example.com",
     .subject = "example.com"},
    {.name = "constraints on addresses only", .certificate = "by-addresses-chain", .subject = "mx.example.com"},
    {.name = "constrained to below our domain", .certificate = "by-dotted-chain", .subject = "mx.example.com"},
    {.name = "constrained to below our domain, apex",
     .certificate = "apex-dotted-chain",
     .host = "example.com",
     .failure = TLS_FAILURE_CONSTRAINED,
     .detail = "name constraints",
     .subject = "example.com"},
    {.name = "constraints that cannot be read",
     .certificate = "by-unclear-chain",
     .failure = TLS_FAILURE_CONSTRAINED,
     .detail = "name constraints",
     .subject = "mx.example.com"},
    {.name = "critical constraints", .certificate = "by-constrained-chain", .subject = "mx.example.com"},
    {.name = "authority for e-mail",
     .certificate = "by-mail-only-chain",
     .failure = TLS_FAILURE_USAGE,
     .detail =
         "the certificate of the issuer CN=Mail Only may not be used to issue for TLS servers (extended key usage)",
     .subject = "mx.example.com"},
    {.name = "authority for code and time",
     .certificate = "by-signing-chain",
     .failure = TLS_FAILURE_USAGE,
     .detail = "CN=Signing",
     .subject = "mx.example.com"},
    {.name = "authority for clients",
     .certificate = "by-clients-chain",
     .failure = TLS_FAILURE_USAGE,
     .detail = "CN=Clients",
     .subject = "mx.example.com"},
    {.name = "authority for any purpose", .certificate = "by-any-purpose-chain", .subject = "mx.example.com"},
    {.name = "authority for servers", .certificate = "by-servers-chain", .subject = "mx.example.com"},
    {.name = "anchor for e-mail",
     .certificate = "by-mail-root",
     .anchors = "mail-root",
     .failure = TLS_FAILURE_USAGE,
     .detail = "CN=Mail Root",
     .subject = "mx.example.com"},
    {.name = "anchor for e-mail, in the middle",
     .certificate = "by-mail-only",
     .anchors = "mail-only",
     .failure = TLS_FAILURE_USAGE,
     .subject = "mx.example.com"},
    {.name = "RSA key of 1024 bits",
     .certificate = "weak",
     .failure = TLS_FAILURE_WEAK,
     .detail = "weak key (RSA, 1024 bits)",
     .subject = "mx.example.com"},
    {.name = "SHA-1",
     .certificate = "sha1",
     .failure = TLS_FAILURE_WEAK,
     .detail = "signed with ECDSA with SHA1",
     .subject = "mx.example.com"},
    {.name = "weak authority",
     .certificate = "by-weak",
     .anchors = "weak-root",
     .failure = TLS_FAILURE_WEAK,
     .detail = "an issuer with a weak key (RSA, 1024 bits)",
     .subject = "mx.example.com"},
    {.name = "expired and for others",
     .certificate = "expired",
     .host = "mx.example.org",
     .failure = TLS_FAILURE_EXPIRED,
     .detail = "expired",
     .subject = "mx.example.com"},
};

static const char *host_of(const struct certificate_case *test)
{
    return test->host == NULL ? "mx.example.com" : test->host;
}

/* What holds under either demand. */
static void check_told(const struct certificate_case *test, const struct tls_verdict *verdict)
{
    check_number(test->name, verdict->failure, test->failure);
    check_slice(test->name, slice_of(verdict->subject), slice_of(test->subject));
    if (test->detail != NULL && strstr(verdict->detail, test->detail) == NULL) {
        print_error("%s: \"%s\" is not in \"%s\"\n", test->name, test->detail, verdict->detail);
        fail();
    }
    check_true(test->name, verdict->not_after_ms > INT64_C(1600000000000));
}

static void check_encrypt(const struct certificate_case *test, struct tls_context *anchors, struct tls_context *peer)
{
    struct tls_session *client = tls_session_client(anchors, TLS_ENCRYPT, slice_of(host_of(test)), NULL);
    struct tls_session *server = tls_session_server(peer);
    pair_settle(client, server, SIZE_MAX);
    const struct tls_verdict *verdict = tls_session_verdict(client);
    check_number(test->name, tls_session_status(client), TLS_OPEN);
    check_number(test->name, tls_session_status(server), TLS_OPEN);
    check_true(test->name, verdict->secured);
    check_number(test->name, verdict->verified, test->failure == TLS_FAILURE_NONE);
    check_told(test, verdict);
    pair_free(&client, &server);
}

static void check_verify(const struct certificate_case *test, struct tls_context *anchors, struct tls_context *peer)
{
    bool good = test->failure == TLS_FAILURE_NONE;
    struct tls_session *client = tls_session_client(anchors, TLS_VERIFY, slice_of(host_of(test)), NULL);
    struct tls_session *server = tls_session_server(peer);
    pair_settle(client, server, SIZE_MAX);
    const struct tls_verdict *verdict = tls_session_verdict(client);
    check_number(test->name, tls_session_status(client), good ? TLS_OPEN : TLS_FAILED);
    check_number(test->name, tls_session_status(server), good ? TLS_OPEN : TLS_FAILED);
    check_number(test->name, verdict->secured, good);
    check_number(test->name, verdict->verified, good);
    check_number(test->name, strlen(verdict->version) > 0, good);
    check_number(test->name, tls_session_write(client, SLICE("secret")), good ? 6 : 0);
    check_told(test, verdict);
    pair_free(&client, &server);
}

static void test_certificates(void **state)
{
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct tls_context *peer = pki_context(*state, "root", cases[i].certificate);
        struct tls_context *anchors = pki_context(*state, cases[i].anchors == NULL ? "root" : cases[i].anchors, NULL);
        check_encrypt(&cases[i], anchors, peer);
        check_verify(&cases[i], anchors, peer);
        tls_context_free(&peer);
        tls_context_free(&anchors);
    }
}

/* Names that no certificate can prove, though one says so: encryption goes on, proof is refused before a byte is sent.
 */
static void test_hosts_that_cannot_be_proved(void **state)
{
    static const struct {
        const char *host, *certificate;
    } hosts[] = {
        {"192.0.2.1", "ip"}, {"192.0.2.1", "ip-as-dns"},  {"[192.0.2.1]", "ip"},        {"2001:db8::1", "ip"},
        {".", "good"},       {"mx..example.com", "good"}, {"mx.example.com\n", "good"}, {"*.example.com", "wildcard"},
    };
    for (size_t i = 0; i < COUNT_OF(hosts); i++) {
        struct tls_context *context = pki_context(*state, "root", hosts[i].certificate);
        struct tls_session *strict = tls_session_client(context, TLS_VERIFY, slice_of(hosts[i].host), NULL);
        tls_session_work(strict);
        check_number(hosts[i].host, tls_session_status(strict), TLS_FAILED);
        check_number(hosts[i].host, tls_session_verdict(strict)->failure, TLS_FAILURE_HOST_MISMATCH);
        check_number(hosts[i].host, tls_session_wire(strict).length, 0);

        struct tls_session *client = tls_session_client(context, TLS_ENCRYPT, slice_of(hosts[i].host), NULL);
        struct tls_session *server = tls_session_server(context);
        pair_settle(client, server, SIZE_MAX);
        check_number(hosts[i].host, tls_session_status(client), TLS_OPEN);
        check_number(hosts[i].host, tls_session_verdict(client)->verified, false);
        check_true(hosts[i].host, tls_session_verdict(client)->failure != TLS_FAILURE_NONE);
        pair_free(&client, &server);
        tls_session_free(&strict);
        tls_context_free(&context);
    }
}

static void test_no_name(void **state)
{
    struct tls_context *context = pki_context(*state, "root", "good");
    struct tls_session *client = tls_session_client(context, TLS_ENCRYPT, SLICE_EMPTY, NULL);
    struct tls_session *server = tls_session_server(context);
    pair_settle(client, server, SIZE_MAX);
    assert_int_equal(tls_session_status(client), TLS_OPEN);
    assert_false(tls_session_verdict(client)->verified);
    assert_int_equal(tls_session_verdict(client)->failure, TLS_FAILURE_HOST_MISMATCH);
    assert_non_null(strstr(tls_session_verdict(client)->detail, "there is no host name to be proved"));
    pair_free(&client, &server);
    tls_context_free(&context);
}

static void test_long_name(void **state)
{
    char name[300];
    memset(name, 'a', sizeof name);
    for (size_t i = 50; i < sizeof name; i += 51)
        name[i] = '.';
    struct tls_context *context = pki_context(*state, "root", "good");
    struct tls_session *strict = tls_session_client(context, TLS_VERIFY, slice_make(name, sizeof name), NULL);
    assert_int_equal(tls_session_status(strict), TLS_FAILED);
    struct tls_session *client = tls_session_client(context, TLS_ENCRYPT, slice_make(name, sizeof name), NULL);
    struct tls_session *server = tls_session_server(context);
    pair_settle(client, server, SIZE_MAX);
    assert_int_equal(tls_session_status(client), TLS_OPEN);
    assert_false(tls_session_verdict(client)->verified);
    pair_free(&client, &server);
    tls_session_free(&strict);
    tls_context_free(&context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_certificates),
        cmocka_unit_test(test_hosts_that_cannot_be_proved),
        cmocka_unit_test(test_no_name),
        cmocka_unit_test(test_long_name),
    };
    return cmocka_run_group_tests(tests, pki_set_up, pki_tear_down);
}
