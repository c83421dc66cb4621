/* `dkim keygen`: a key for [dkim "DOMAIN"], and the record by which receivers find it. */
#include "relay/cli_commands.h"

#include "base/idna.h"
#include "base/json.h"
#include "base/text.h"
#include "smtp/address.h"
#include "tls/context.h"
#include "tls/sign.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OUTPUT_MAX (1u << 20)
#define STRING_MAX 255 /* bytes of one string of a TXT record, RFC 1035 3.3 */

/* What is printed. */
struct keygen {
    struct slice name; /* of the record */
    struct buffer key, record;
};

static bool name_record(const struct cli *cli, struct arena *arena, struct slice *name);
static enum err make_key(struct keygen *keygen);
static enum err print_record(const struct tls_sign_key *key, struct buffer *record);
static void print_zone(const struct keygen *keygen, struct buffer *out);
static void print_record_of_zone(const struct keygen *keygen, struct buffer *out);
static int write_file(const struct cli *cli, const struct keygen *keygen);
static enum err print_json(const struct keygen *keygen, struct buffer *out);
static void wipe(struct buffer *buffer);

int cli_dkim_keygen(const struct cli *cli)
{
    struct keygen keygen;
    struct buffer out;
    struct arena *arena = arena_new(65536);
    if (arena == NULL || !name_record(cli, arena, &keygen.name)) {
        arena_free(&arena);
        return CLI_USAGE;
    }
    buffer_init(&keygen.key, OUTPUT_MAX);
    buffer_init(&keygen.record, OUTPUT_MAX);
    buffer_init(&out, OUTPUT_MAX);
    enum err err = tls_start();
    if (err == ERR_NONE)
        err = make_key(&keygen);
    tls_stop();
    if (err == ERR_NONE && cli_has(cli, CLI_OPTION_JSON))
        err = print_json(&keygen, &out);
    else if (err == ERR_NONE)
        print_zone(&keygen, &out);
    if (err == ERR_NONE && buffer_failed(&out))
        err = ERR_MEMORY;
    int status = err == ERR_NONE ? CLI_DONE : CLI_SOFTWARE;
    if (err != ERR_NONE)
        cli_say("%s", err_text(err));
    else if (cli_has(cli, CLI_OPTION_OUT))
        status = write_file(cli, &keygen);
    else
        cli_put(buffer_slice(&out));
    wipe(&keygen.key);
    wipe(&out);
    buffer_free(&keygen.record);
    arena_free(&arena);
    return status;
}

/* Nobody else may read it from its first byte on, and no key that signs already is overwritten. */
static int write_file(const struct cli *cli, const struct keygen *keygen)
{
    struct slice path = cli->values[CLI_OPTION_OUT];
    struct buffer zone;
    int fd = open(path.data, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (file == NULL) {
        cli_say("%s: %s", path.data, errno == EEXIST ? "is there already; a key is never overwritten" : strerrordesc_np(errno));
        return CLI_NO;
    }
    buffer_init(&zone, OUTPUT_MAX);
    print_record_of_zone(keygen, &zone);
    struct slice key = buffer_slice(&keygen->key), record = buffer_slice(&zone);
    bool is_written = fchmod(fd, 0600) == 0 && fwrite(key.data, 1, key.length, file) == key.length &&
                      fwrite(record.data, 1, record.length, file) == record.length && fflush(file) == 0 && fsync(fd) == 0;
    if (fclose(file) != 0 || !is_written) {
        cli_say("%s: cannot be written: %s", path.data, strerrordesc_np(errno));
        (void)unlink(path.data);
        buffer_free(&zone);
        return CLI_IO;
    }
    cli_put(record);
    cli_say("%s is made, mode 0600; for the relay: chgrp sternpost and chmod 0640 it", path.data);
    buffer_free(&zone);
    return CLI_DONE;
}

static bool name_record(const struct cli *cli, struct arena *arena, struct slice *name)
{
    struct slice domain;
    struct slice selector = slice_of(cli->arguments[1]);
    if (idna_canonical(slice_of(cli->arguments[0]), arena, &domain) != ERR_NONE || !smtp_domain_is_valid(domain, false)) {
        cli_say("\"%s\" is no domain", cli->arguments[0]);
        return false;
    }
    if (!smtp_domain_is_valid(selector, false)) {
        cli_say("\"%s\" is no selector: letters, digits and hyphens, as in a name of DNS", cli->arguments[1]);
        return false;
    }
    return arena_print(arena, name, "%.*s._domainkey.%.*s", SLICE_ARGS(selector), SLICE_ARGS(domain));
}

static enum err make_key(struct keygen *keygen)
{
    struct tls_sign_key *key;
    enum err err = tls_sign_key_make(&key);
    if (err == ERR_NONE)
        err = tls_sign_key_print(key, &keygen->key);
    if (err == ERR_NONE)
        err = print_record(key, &keygen->record);
    tls_sign_key_free(&key);
    return err;
}

/* RFC 6376 3.6.1. */
static enum err print_record(const struct tls_sign_key *key, struct buffer *record)
{
    struct buffer der;
    buffer_init(&der, OUTPUT_MAX);
    buffer_add(record, SLICE("v=DKIM1; k=rsa; p="));
    enum err err = tls_sign_key_public(key, &der);
    if (err == ERR_NONE)
        err = text_base64_encode(buffer_slice(&der), record);
    buffer_free(&der);
    return err;
}

/* The key as PEM; the record as a zone file has it, in strings that fit. */
static void print_zone(const struct keygen *keygen, struct buffer *out)
{
    buffer_add(out, buffer_slice(&keygen->key));
    print_record_of_zone(keygen, out);
}

static void print_record_of_zone(const struct keygen *keygen, struct buffer *out)
{
    struct slice rest = buffer_slice(&keygen->record);
    buffer_print(out, "%.*s. IN TXT (", SLICE_ARGS(keygen->name));
    while (rest.length > 0) {
        struct slice part = slice_to(rest, STRING_MAX);
        buffer_print(out, "\n    \"%.*s\"", SLICE_ARGS(part));
        rest = slice_from(rest, part.length);
    }
    buffer_add(out, SLICE(" )\n"));
}

static enum err print_json(const struct keygen *keygen, struct buffer *out)
{
    struct json *object = json_object_new();
    json_set_text(object, "name", keygen->name);
    json_set_text(object, "record", buffer_slice(&keygen->record));
    json_set_text(object, "key", buffer_slice(&keygen->key));
    enum err err = json_print(object, out);
    buffer_add_byte(out, '\n');
    json_free(&object);
    return err;
}

static void wipe(struct buffer *buffer)
{
    if (buffer->data != NULL)
        explicit_bzero(buffer->data, buffer->capacity);
    buffer_free(buffer);
}
