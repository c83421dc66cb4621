/* Certificates for the TLS tests, made by pki.sh when a test program starts: give pki_set_up() and pki_tear_down() to
 * cmocka_run_group_tests(); every test's state is then the struct pki. */
#ifndef TEST_UNIT_PKI_H
#define TEST_UNIT_PKI_H

#include "test/unit/check.h"
#include "tls/context.h"

#include <sys/wait.h>
#include <unistd.h>

struct pki {
    char folder[64];
};
struct pki_path {
    char text[256];
};

/* Runs a program to its end; its exit code, or -1. */
static inline int pki_run(const char *const *arguments)
{
    pid_t child = fork();
    if (child == 0) {
        execvp(arguments[0], (char *const *)arguments);
        _exit(127);
    }
    int status;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline int pki_set_up(void **state)
{
    static struct pki pki;
    snprintf(pki.folder, sizeof pki.folder, "/tmp/sternpost-pki-XXXXXX");
    if (mkdtemp(pki.folder) == NULL || tls_start() != ERR_NONE)
        return -1;
    *state = &pki;
    return pki_run((const char *const[]){"sh", STERNPOST_SOURCE "/test/unit/pki.sh", pki.folder, NULL});
}

static inline int pki_tear_down(void **state)
{
    struct pki *pki = *state;
    tls_stop();
    return pki_run((const char *const[]){"rm", "-rf", pki->folder, NULL});
}

static inline struct pki_path pki_path(const struct pki *pki, const char *file)
{
    struct pki_path path;
    snprintf(path.text, sizeof path.text, "%s/%s", pki->folder, file);
    return path;
}

static inline void pki_write(const struct pki *pki, const char *file, struct slice content)
{
    FILE *out = fopen(pki_path(pki, file).text, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(content.data, 1, content.length, out), content.length);
    assert_int_equal(fclose(out), 0);
}

/* A context that trusts NAME.pem of anchors and, with a certificate, serves NAME.pem with the key of the file up to
 * "-chain". */
static inline struct tls_context *pki_context(const struct pki *pki, const char *anchors, const char *certificate)
{
    struct pki_path ca = {""}, own = {""}, key = {""};
    char name[64];
    snprintf(name, sizeof name, "%s.pem", anchors);
    ca = pki_path(pki, name);
    if (certificate != NULL) {
        snprintf(name, sizeof name, "%s.pem", certificate);
        own = pki_path(pki, name);
        const char *chain = strstr(certificate, "-chain");
        int length = chain == NULL ? (int)strlen(certificate) : (int)(chain - certificate);
        snprintf(name, sizeof name, "%.*s.key", length, certificate);
        key = pki_path(pki, name);
    }
    struct tls_context_options options = {
        .ca_file = slice_of(ca.text), .certificate = slice_of(own.text), .key = slice_of(key.text)};
    struct tls_context *context;
    struct buffer fault, warnings;
    buffer_init(&fault, 4096);
    buffer_init(&warnings, 4096);
    enum err err = tls_context_new(&options, &context, &fault, &warnings);
    if (err != ERR_NONE)
        print_error("%s: %.*s\n", err_text(err), SLICE_ARGS(buffer_slice(&fault)));
    assert_int_equal(err, ERR_NONE);
    assert_int_equal(buffer_length(&warnings), 0);
    buffer_free(&fault);
    buffer_free(&warnings);
    return context;
}

#endif
