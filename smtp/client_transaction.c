#include "smtp/client_internal.h"

#include "base/text.h"

#include <assert.h>

static void write_mail(struct smtp_client *client, const struct smtp_mail *mail);
static void write_rcpt(struct smtp_client *client, const struct smtp_rcpt *rcpt);
static void write_notify(struct smtp_client *client, unsigned notify);
static void add_clean(struct buffer *out, struct slice text);
static void send_script(struct smtp_client *client);
static void move_all(struct buffer *out, struct buffer *from);
static void on_rset(struct smtp_client *client, const struct smtp_reply *reply);
static void on_mail(struct smtp_client *client, const struct smtp_reply *reply);
static void on_rcpt(struct smtp_client *client, const struct smtp_reply *reply);
static void on_data(struct smtp_client *client, const struct smtp_reply *reply);
static void on_chunk(struct smtp_client *client, const struct smtp_reply *reply);
static void on_final(struct smtp_client *client, const struct smtp_reply *reply);
static void refuse(struct smtp_client *client, const struct smtp_reply *reply);
static void begin_content(struct smtp_client *client);
static void ask_for_content(struct smtp_client *client);
static void give_content_up(struct smtp_client *client);
static void finish(struct smtp_client *client, const struct smtp_reply *last);
static void send_chunk(struct smtp_client *client, bool last);

void smtp_client_mail(struct smtp_client *client, const struct smtp_transaction *transaction)
{
    assert(client->stage == SMTP_STAGE_READY);
    assert(transaction->recipient_count > 0);
    assert(transaction->recipient_count <= CLIENT_RECIPIENTS_MAX);
    assert(transaction->mail.tls == SMTP_TLS_OPTIONAL || client->secured);
    bool pipelined = smtp_client_offers(client, SMTP_EXTENSION_PIPELINING);
    bool counted = client->options.chunking && pipelined && smtp_client_offers(client, SMTP_EXTENSION_CHUNKING);
    client->transaction = (struct client_transaction){
        .recipient_count = transaction->recipient_count, .pipelined = pipelined, .counted = counted};
    client->transaction.eager = transaction->eager && counted && !client->needs_reset;
    if (client->needs_reset) {
        buffer_add(&client->script, SLICE("RSET\r\n"));
    }
    write_mail(client, &transaction->mail);
    for (size_t i = 0; i < transaction->recipient_count; i++) {
        write_rcpt(client, &transaction->recipients[i]);
    }
    if (!counted) {
        buffer_add(&client->script, SLICE("DATA\r\n"));
    }
    client->stage = client->needs_reset ? SMTP_STAGE_RSET : SMTP_STAGE_MAIL;
    send_script(client);
    if (client->transaction.eager) {
        begin_content(client);
    }
}

bool smtp_client_wants_content(const struct smtp_client *client)
{
    const struct client_transaction *transaction = &client->transaction;
    bool before_replies = client->stage == SMTP_STAGE_MAIL || client->stage == SMTP_STAGE_RCPT;
    return client->stage == SMTP_STAGE_CONTENT || (before_replies && transaction->eager && !transaction->content_ended);
}

void smtp_client_content(struct smtp_client *client, struct slice bytes)
{
    if (!smtp_client_wants_content(client)) {
        return; /* a refused chunk or a failure ended it meanwhile */
    }
    struct client_transaction *transaction = &client->transaction;
    if (!transaction->counted) {
        smtp_content_encode(&transaction->encoder, bytes, &client->out);
        return;
    }
    if (buffer_length(&client->chunk) > 0) {
        send_chunk(client, false);
    }
    smtp_content_encode(&transaction->encoder, bytes, &client->chunk);
}

void smtp_client_content_end(struct smtp_client *client)
{
    if (!smtp_client_wants_content(client)) {
        return;
    }
    struct client_transaction *transaction = &client->transaction;
    transaction->content_ended = true;
    smtp_content_encode_end(&transaction->encoder, transaction->counted ? &client->chunk : &client->out);
    if (transaction->counted) {
        send_chunk(client, true);
    }
    if (client->stage == SMTP_STAGE_CONTENT) {
        client->stage = SMTP_STAGE_FINAL;
    }
}

bool smtp_client_is_in_doubt(const struct smtp_client *client)
{
    return client->stage >= SMTP_STAGE_MAIL && client->stage <= SMTP_STAGE_FINAL && client->transaction.content_ended &&
           !client->transaction.refused;
}

void smtp_client_transaction_reply(struct smtp_client *client, const struct smtp_reply *reply)
{
    switch (client->stage) {
        case SMTP_STAGE_RSET:
            on_rset(client, reply);
            return;
        case SMTP_STAGE_MAIL:
            on_mail(client, reply);
            return;
        case SMTP_STAGE_RCPT:
            on_rcpt(client, reply);
            return;
        case SMTP_STAGE_DATA:
            on_data(client, reply);
            return;
        case SMTP_STAGE_CONTENT:
        case SMTP_STAGE_FINAL:
            if (client->transaction.counted) {
                on_chunk(client, reply);
            } else {
                on_final(client, reply);
            }
            return;
        default:
            smtp_client_fail(client, SMTP_CLIENT_FAULT_MALFORMED, reply);
    }
}

/* ---- commands ---- */

static void write_mail(struct smtp_client *client, const struct smtp_mail *mail)
{
    struct buffer *out = &client->script;
    bool dsn = smtp_client_offers(client, SMTP_EXTENSION_DSN);
    buffer_add(out, SLICE("MAIL FROM:<"));
    add_clean(out, mail->reverse_path);
    buffer_add(out, SLICE(">"));
    if (mail->size > 0 && smtp_client_offers(client, SMTP_EXTENSION_SIZE)) {
        buffer_print(out, " SIZE=%llu", (unsigned long long)mail->size);
    }
    if (mail->body == SMTP_BODY_8BITMIME && smtp_client_offers(client, SMTP_EXTENSION_8BITMIME)) {
        buffer_add(out, SLICE(" BODY=8BITMIME"));
    }
    if (mail->utf8 && smtp_client_offers(client, SMTP_EXTENSION_SMTPUTF8)) {
        buffer_add(out, SLICE(" SMTPUTF8"));
    }
    if (dsn && mail->ret != SMTP_RET_NONE) {
        buffer_add(out, mail->ret == SMTP_RET_FULL ? SLICE(" RET=FULL") : SLICE(" RET=HDRS"));
    }
    if (dsn && mail->envid.length > 0) {
        buffer_add(out, SLICE(" ENVID="));
        add_clean(out, mail->envid);
    }
    buffer_add(out, SLICE("\r\n"));
}

static void write_rcpt(struct smtp_client *client, const struct smtp_rcpt *rcpt)
{
    struct buffer *out = &client->script;
    bool dsn = smtp_client_offers(client, SMTP_EXTENSION_DSN);
    buffer_add(out, SLICE("RCPT TO:<"));
    add_clean(out, rcpt->address);
    buffer_add(out, SLICE(">"));
    if (dsn && rcpt->notify != SMTP_NOTIFY_DEFAULT) {
        write_notify(client, rcpt->notify);
    }
    if (dsn && rcpt->orcpt.length > 0) {
        buffer_add(out, SLICE(" ORCPT="));
        add_clean(out, rcpt->orcpt);
    }
    buffer_add(out, SLICE("\r\n"));
}

static void write_notify(struct smtp_client *client, unsigned notify)
{
    if ((notify & SMTP_NOTIFY_NEVER) != 0) {
        buffer_add(&client->script, SLICE(" NOTIFY=NEVER"));
        return;
    }
    const char *success = (notify & SMTP_NOTIFY_SUCCESS) != 0 ? ",SUCCESS" : "";
    const char *failure = (notify & SMTP_NOTIFY_FAILURE) != 0 ? ",FAILURE" : "";
    const char *delay = (notify & SMTP_NOTIFY_DELAY) != 0 ? ",DELAY" : "";
    char list[32];
    struct slice words = text_print(list, sizeof list, "%s%s%s", success, failure, delay);
    buffer_print(&client->script, " NOTIFY=%.*s", SLICE_ARGS(slice_from(words, 1)));
}

/* What reaches this was judged when it came in; should a control byte have got past all that, it adds no line here. */
static void add_clean(struct buffer *out, struct slice text)
{
    for (size_t i = 0; i < text.length; i++) {
        uint8_t byte = (uint8_t)text.data[i];
        buffer_add_byte(out, byte < 0x20 || byte == 0x7f ? '?' : text.data[i]);
    }
}

/* RFC 2920 3.1: with PIPELINING all in one, else one line for each reply. */
static void send_script(struct smtp_client *client)
{
    if (!client->transaction.pipelined) {
        smtp_client_send_line(client);
        return;
    }
    move_all(&client->out, &client->script);
}

/* What did not all fit into from must not go out in part. */
static void move_all(struct buffer *out, struct buffer *from)
{
    if (from->failed) {
        out->failed = true;
    } else {
        buffer_add(out, buffer_slice(from));
    }
    buffer_clear(from);
}

/* ---- replies ---- */

static void on_rset(struct smtp_client *client, const struct smtp_reply *reply)
{
    if (!smtp_reply_is_positive(reply)) {
        smtp_client_fail(client, SMTP_CLIENT_FAULT_REFUSED, reply);
        return;
    }
    client->needs_reset = false;
    client->stage = SMTP_STAGE_MAIL;
    smtp_client_send_line(client);
}

static void on_mail(struct smtp_client *client, const struct smtp_reply *reply)
{
    struct client_transaction *transaction = &client->transaction;
    transaction->mail_accepted = smtp_reply_is_positive(reply);
    if (!transaction->mail_accepted) {
        refuse(client, reply);
    }
    if (transaction->refused && !transaction->pipelined) {
        finish(client, NULL);
        return;
    }
    client->stage = SMTP_STAGE_RCPT;
    smtp_client_send_line(client);
}

static void on_rcpt(struct smtp_client *client, const struct smtp_reply *reply)
{
    struct client_transaction *transaction = &client->transaction;
    bool accepted = smtp_reply_is_positive(reply);
    size_t recipient = transaction->recipient_next++;
    if (transaction->mail_accepted) {
        transaction->accepted_count += accepted;
        smtp_client_raise(client, SMTP_CLIENT_RECIPIENT, reply);
        client->event.recipient = recipient;
        client->event.accepted = accepted;
    }
    if (transaction->recipient_next < transaction->recipient_count) {
        smtp_client_send_line(client);
    } else if (transaction->accepted_count == 0 && !transaction->refused) {
        refuse(client, reply);
    }
}

static void on_data(struct smtp_client *client, const struct smtp_reply *reply)
{
    struct client_transaction *transaction = &client->transaction;
    if (reply->code == 354 && transaction->refused) {
        /* RFC 2920 3.1: it took the DATA that was on its way. Nothing but the end mark, and whatever it answers, no. */
        client->stage = SMTP_STAGE_FINAL;
        buffer_add(&client->out, SLICE(".\r\n"));
    } else if (reply->code == 354) {
        ask_for_content(client);
    } else if (smtp_reply_is_negative(reply)) {
        refuse(client, reply);
        client->needs_reset = transaction->mail_accepted;
        finish(client, NULL);
    } else {
        smtp_client_fail(client, SMTP_CLIENT_FAULT_MALFORMED, reply);
    }
}

static void on_final(struct smtp_client *client, const struct smtp_reply *reply)
{
    bool decided = smtp_reply_is_positive(reply) || smtp_reply_is_negative(reply);
    if (client->stage != SMTP_STAGE_FINAL || !decided) {
        smtp_client_fail(client, SMTP_CLIENT_FAULT_MALFORMED, reply);
        return;
    }
    if (smtp_reply_is_negative(reply)) {
        refuse(client, reply);
    }
    finish(client, reply);
}

/* RFC 3030 2 and 4.2: each BDAT has its reply, and after a failed one only RSET helps. */
static void on_chunk(struct smtp_client *client, const struct smtp_reply *reply)
{
    struct client_transaction *transaction = &client->transaction;
    bool decided = smtp_reply_is_positive(reply) || smtp_reply_is_negative(reply);
    if (transaction->chunk_count == 0 || !decided) {
        smtp_client_fail(client, SMTP_CLIENT_FAULT_MALFORMED, reply);
        return;
    }
    transaction->chunk_count--;
    if (smtp_reply_is_negative(reply)) {
        client->stage = SMTP_STAGE_FINAL;
        buffer_clear(&client->chunk);
        refuse(client, reply);
    }
    if (client->stage == SMTP_STAGE_FINAL && transaction->chunk_count == 0) {
        client->needs_reset = transaction->refused;
        finish(client, reply);
    }
}

bool smtp_client_transaction_advance(struct smtp_client *client)
{
    struct client_transaction *transaction = &client->transaction;
    if (client->stage != SMTP_STAGE_RCPT || transaction->recipient_next < transaction->recipient_count) {
        return false;
    }
    if (transaction->eager && transaction->refused) {
        give_content_up(client);
    } else if (transaction->eager) {
        client->stage = transaction->content_ended ? SMTP_STAGE_FINAL : SMTP_STAGE_CONTENT;
    } else if (!transaction->counted && (transaction->pipelined || !transaction->refused)) {
        client->stage = SMTP_STAGE_DATA;
        smtp_client_send_line(client);
    } else if (transaction->refused) {
        client->needs_reset = transaction->mail_accepted;
        finish(client, NULL);
    } else {
        ask_for_content(client);
    }
    return true;
}

/* The first refusal is the one that counts. */
static void refuse(struct smtp_client *client, const struct smtp_reply *reply)
{
    struct client_transaction *transaction = &client->transaction;
    if (transaction->refused) {
        return;
    }
    transaction->refused = true;
    transaction->verdict_stage = client->stage;
    transaction->verdict = *reply;
    buffer_clear(&client->verdict_text);
    buffer_add(&client->verdict_text, reply->text);
    transaction->verdict.text = buffer_slice(&client->verdict_text);
}

static void begin_content(struct smtp_client *client)
{
    struct client_transaction *transaction = &client->transaction;
    smtp_content_encoder_init(&transaction->encoder);
    transaction->encoder.counted = transaction->counted;
}

static void ask_for_content(struct smtp_client *client)
{
    begin_content(client);
    client->stage = SMTP_STAGE_CONTENT;
    smtp_client_raise(client, SMTP_CLIENT_CONTENT, NULL);
}

/* Nobody takes it. The replies to what has left already are still to come. */
static void give_content_up(struct smtp_client *client)
{
    client->stage = SMTP_STAGE_FINAL;
    buffer_clear(&client->chunk);
    if (client->transaction.chunk_count == 0) {
        client->needs_reset = client->transaction.mail_accepted;
        finish(client, NULL);
    }
}

/* last: the reply to the end of content, if one came. */
static void finish(struct smtp_client *client, const struct smtp_reply *last)
{
    struct client_transaction *transaction = &client->transaction;
    buffer_clear(&client->script);
    smtp_client_raise(client, SMTP_CLIENT_DONE, transaction->refused ? &transaction->verdict : last);
    client->event.stage = transaction->refused ? transaction->verdict_stage : SMTP_STAGE_FINAL;
    client->event.accepted = !transaction->refused;
    client->stage = SMTP_STAGE_READY;
}

static void send_chunk(struct smtp_client *client, bool last)
{
    if (!client->chunk.failed) {
        buffer_print(&client->out, "BDAT %zu%s\r\n", buffer_length(&client->chunk), last ? " LAST" : "");
    }
    move_all(&client->out, &client->chunk);
    client->transaction.chunk_count++;
}
