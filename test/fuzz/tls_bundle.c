/* A bundle of trust anchors, and our certificate and key from the same file: it loads, or is refused in a sentence. */
#include "tls/context.h"

#include <assert.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tls_context *context;
    struct buffer fault, warnings;
    char path[32];
    assert(tls_start() == ERR_NONE);
    int file = memfd_create("bundle", MFD_CLOEXEC);
    assert(file >= 0 && write(file, data, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    buffer_init(&fault, 1 << 20);
    buffer_init(&warnings, 1 << 20);
    struct tls_context_options options = {.ca_file = slice_of(path)};
    enum err err = tls_context_new(&options, &context, &fault, &warnings);
    assert((err == ERR_NONE) == (context != NULL) && (err == ERR_NONE) == (buffer_length(&fault) == 0));
    assert(err == ERR_NONE || err == ERR_SYNTAX);
    assert(err != ERR_NONE || tls_context_anchor_count(context) > 0);
    tls_context_free(&context);
    buffer_clear(&fault);
    options.key = options.certificate = options.ca_file;
    err = tls_context_new(&options, &context, &fault, &warnings);
    assert((err == ERR_NONE) == (context != NULL && tls_context_serves(context)));
    tls_context_free(&context);
    buffer_free(&fault);
    buffer_free(&warnings);
    close(file);
    return 0;
}
