#include "relay/draft_internal.h"

#include "base/idna.h"
#include "relay/relay.h"
#include "relay/signers.h"
#include "smtp/convert.h"
#include "smtp/dkim.h"

#include <stdlib.h>

#define DOMAIN_MAX 1024
#define CONVERTED_MAX (4u * QUEUE_CHUNK_MAX + 4 * SMTP_HEAD_MAX)
#define SIGNED_MAX (8 * SMTP_HEAD_MAX)

/* A DKIM signature on its way. Mail that leaves as it came (plain, or signed by somebody) is hashed while it streams in. Other mail is
 * signed in its 7-bit form (RFC 6376 5.3), which can be made only when all of it is known: then it is read once more, a chunk in a turn
 * of the loop. */
struct draft_signing {
    struct draft *draft;
    struct slice domain, selector;
    struct tls_sign_key *key;
    struct tls_digest *digest;
    struct smtp_dkim_body body;
    struct smtp_convert *convert; /* of the second reading; NULL: there is none */
    struct buffer header;         /* as it leaves */
    uint32_t chunks_read;
    struct timer timer;
    struct job job;
    uint8_t body_hash[TLS_DIGEST_LENGTH], header_hash[TLS_DIGEST_LENGTH];
    struct buffer signature;
    enum err err; /* of the job */
};

static const struct signer *find_signer(struct draft *draft);
static void log_unsigned(const struct draft *draft, struct slice domain, const char *why);
static enum err hash_body(struct draft_signing *signing, struct slice content);
static void read_again(struct draft_signing *signing);
static void on_chunk(struct timer *timer);
static enum err read_chunk(struct draft_signing *signing);
static void sign_header(struct draft_signing *signing);
static struct smtp_dkim_signature describe(const struct draft_signing *signing);
static void sign(struct job *job);
static void on_signed(struct job *job);
static void add_signature(struct draft_signing *signing);
static void end(struct draft_signing *signing, enum err err);

/* ---- while the content comes ---- */

void draft_sign_begin(struct draft *draft)
{
    const struct signer *signer = find_signer(draft);
    if (signer == NULL)
        return;
    struct draft_signing *signing = calloc(1, sizeof *signing);
    draft->signing = signing;
    if (signing == NULL) {
        draft_fail(draft);
        return;
    }
    signing->draft = draft;
    signing->key = tls_sign_key_share(signer->key);
    signing->digest = tls_digest_new();
    buffer_init(&signing->header, CONVERTED_MAX);
    buffer_init(&signing->signature, 4096);
    if (signing->digest == NULL || !arena_slice(draft->arena, signer->domain, &signing->domain) ||
        !arena_slice(draft->arena, signer->selector, &signing->selector))
        draft_fail(draft);
}

/* Also of mail that carries somebody else's signature: receivers want one of the author's domain (RFC 7489 3.1). */
static const struct signer *find_signer(struct draft *draft)
{
    const struct signer *signer = NULL;
    struct slice section = buffer_slice(&draft->front), domain;
    struct buffer text;
    if (draft->relay->signers == NULL || draft->is_report)
        return NULL;
    buffer_init(&text, DOMAIN_MAX);
    if (smtp_head_author_domain(section, &text) && idna_canonical(buffer_slice(&text), draft->arena, &domain) == ERR_NONE)
        signer = signers_find(draft->relay->signers, domain);
    buffer_free(&text);
    if (signer == NULL || smtp_dkim_is_signed_by(section, signer->domain))
        return NULL;
    const char *obstacle = smtp_dkim_obstacle(section);
    if (obstacle == NULL)
        return signer;
    log_unsigned(draft, signer->domain, obstacle);
    return NULL;
}

static void log_unsigned(const struct draft *draft, struct slice domain, const char *why)
{
    struct log_line line;
    char id[QUEUE_ID_TEXT];
    if (!log_open(&line, draft->relay->log, LOG_WARNING, "unsigned"))
        return;
    log_text(&line, "id", queue_id_print(draft->message.id, id));
    log_text(&line, "domain", domain);
    log_string(&line, "why", why);
    log_string(&line, "advice", "the program that makes this message has to make it otherwise");
    log_close(&line);
}

void draft_sign_body(struct draft *draft, struct slice content)
{
    bool is_plain = !draft->message.eight_bit && draft->line_length_max <= SMTP_LINE_MAX;
    bool leaves_as_it_came = is_plain || draft->message.is_signed;
    if (draft->signing != NULL && draft->err == ERR_NONE && leaves_as_it_came && hash_body(draft->signing, content) != ERR_NONE)
        draft_fail(draft);
}

static enum err hash_body(struct draft_signing *signing, struct slice content)
{
    struct buffer relaxed;
    buffer_init(&relaxed, 2 * CONVERTED_MAX);
    smtp_dkim_body_feed(&signing->body, content, &relaxed);
    tls_digest_add(signing->digest, buffer_slice(&relaxed));
    enum err err = buffer_err(&relaxed);
    buffer_free(&relaxed);
    return err;
}

void draft_sign_free(struct draft *draft)
{
    struct draft_signing *signing = draft->signing;
    if (signing == NULL)
        return;
    timer_cancel(&signing->timer);
    tls_sign_key_free(&signing->key);
    tls_digest_free(&signing->digest);
    free(signing->convert);
    buffer_free(&signing->header);
    buffer_free(&signing->signature);
    free(signing);
    draft->signing = NULL;
}

/* ---- when all of it is there ---- */

bool draft_sign(struct draft *draft)
{
    struct draft_signing *signing = draft->signing;
    if (signing == NULL)
        return false;
    if (draft->message.form.length > 0 && !draft->message.is_signed) {
        read_again(signing);
    } else {
        buffer_add(&signing->header, buffer_slice(&draft->front));
        sign_header(signing);
    }
    return true;
}

static void read_again(struct draft_signing *signing)
{
    signing->convert = malloc(sizeof *signing->convert);
    if (signing->convert == NULL) {
        end(signing, ERR_MEMORY);
        return;
    }
    signing->body = (struct smtp_dkim_body){.in_line = false};
    tls_digest_finish(signing->digest, signing->body_hash); /* what it had of the other form */
    smtp_convert_init(signing->convert, SMTP_CONVERT_SEVEN_BIT, signing->draft->message.form);
    smtp_convert_feed(signing->convert, buffer_slice(&signing->draft->front), &signing->header);
    timer_start(&signing->timer, 0, on_chunk);
}

static void on_chunk(struct timer *timer)
{
    struct draft_signing *signing = LIST_OF(timer, struct draft_signing, timer);
    bool is_last = signing->chunks_read == signing->draft->body_chunks;
    enum err err = read_chunk(signing);
    if (err != ERR_NONE)
        end(signing, err);
    else if (is_last)
        sign_header(signing);
    else
        timer_start(&signing->timer, 0, on_chunk);
}

/* Those that are stored, then the one that is not yet. */
static enum err read_chunk(struct draft_signing *signing)
{
    const struct draft *draft = signing->draft;
    struct buffer chunk, converted;
    enum err err = ERR_NONE;
    buffer_init(&chunk, QUEUE_CHUNK_MAX + 1024);
    buffer_init(&converted, CONVERTED_MAX);
    if (signing->chunks_read == draft->body_chunks) {
        smtp_convert_feed(signing->convert, buffer_slice(&draft->chunk), &converted);
        smtp_convert_finish(signing->convert, &converted);
    } else {
        err = queue_chunk_get(draft->relay->queue, draft->message.id, draft->front_chunks + signing->chunks_read, &chunk);
        smtp_convert_feed(signing->convert, buffer_slice(&chunk), &converted);
        signing->chunks_read++;
    }
    if (err == ERR_NONE)
        err = buffer_err(&converted);
    if (err == ERR_NONE)
        err = hash_body(signing, buffer_slice(&converted));
    buffer_free(&chunk);
    buffer_free(&converted);
    return err;
}

static void sign_header(struct draft_signing *signing)
{
    struct buffer text;
    buffer_init(&text, SIGNED_MAX);
    smtp_dkim_body_finish(&signing->body, &text);
    tls_digest_add(signing->digest, buffer_slice(&text));
    tls_digest_finish(signing->digest, signing->body_hash);
    buffer_clear(&text);
    struct smtp_dkim_signature signature = describe(signing);
    smtp_dkim_header(&signature, buffer_slice(&signing->header), &text);
    tls_digest_add(signing->digest, buffer_slice(&text));
    tls_digest_finish(signing->digest, signing->header_hash);
    enum err err = buffer_failed(&text) ? buffer_err(&text) : buffer_err(&signing->header);
    buffer_free(&text);
    if (err != ERR_NONE)
        end(signing, err);
    else
        job_start(&signing->job, sign, on_signed);
}

static struct smtp_dkim_signature describe(const struct draft_signing *signing)
{
    return (struct smtp_dkim_signature){
        .domain = signing->domain,
        .selector = signing->selector,
        .body_hash = slice_make(signing->body_hash, sizeof signing->body_hash),
        .time_ms = signing->draft->message.arrival_ms,
    };
}

/* On a thread of the pool. */
static void sign(struct job *job)
{
    struct draft_signing *signing = LIST_OF(job, struct draft_signing, job);
    signing->err = tls_sign(signing->key, signing->header_hash, &signing->signature);
}

static void on_signed(struct job *job)
{
    struct draft_signing *signing = LIST_OF(job, struct draft_signing, job);
    if (signing->err == ERR_NONE)
        add_signature(signing);
    end(signing, signing->err);
}

/* In front of everything, Received too (RFC 6376 5.6). */
static void add_signature(struct draft_signing *signing)
{
    struct draft *draft = signing->draft;
    struct smtp_dkim_signature signature = describe(signing);
    struct buffer front;
    buffer_init(&front, draft->front.limit);
    smtp_dkim_field(&signature, buffer_slice(&signing->header), buffer_slice(&signing->signature), &front);
    size_t added = buffer_length(&front);
    buffer_add(&front, buffer_slice(&draft->front));
    buffer_free(&draft->front);
    draft->front = front;
    draft->message.header_length += (uint32_t)added;
    draft->message.size += added;
    draft->message.is_sealed = !draft->message.is_signed;
    if (buffer_failed(&draft->front))
        draft_fail_for(draft, buffer_err(&draft->front));
    else if (added > DRAFT_FRONT_RESERVE)
        draft_fail_for(draft, ERR_LIMIT);
}

/* Never unsigned where a signature is wanted: what cannot be signed is not taken. */
static void end(struct draft_signing *signing, enum err err)
{
    struct draft *draft = signing->draft;
    if (err != ERR_NONE && draft->err == ERR_NONE)
        draft->err = err;
    draft_signed(draft);
}
