#include "relay/delivery_internal.h"

#include "base/text.h"

#define PENDING_MAX 65536
#define EAGER_SIZE_MAX 16384
#define EAGER_SILENCE_MS 2000

/* ---- a transaction ---- */

/* What an enforced policy would have stopped: recorded once a message, delivered all the same (RFC 8461 5, testing mode). */
static void note_testing(struct delivery *delivery)
{
    const struct demand *demand = &delivery->demand;
    if (!demand->has_policy || demand->policy.mode != STS_MODE_TESTING || delivery->would_defer_said)
        return;
    const struct tls_verdict *tls = channel_verdict(&delivery->channel);
    bool admitted = sts_policy_admits(&demand->policy, delivery_host(delivery));
    if (admitted && tls != NULL && tls->verified)
        return;
    delivery->would_defer_said = true;
    delivery->relay->metrics.policy_would_defer++;
    struct log_line line;
    char id[QUEUE_ID_TEXT];
    if (!log_open(&line, delivery->relay->log, LOG_WARNING, "policy_would_defer"))
        return;
    log_text(&line, "id", queue_id_print(delivery->message.id, id));
    log_text(&line, "domain", delivery_domain(delivery));
    log_text(&line, "host", delivery_host(delivery));
    log_text(&line, "policy_id", demand->policy_id);
    log_string(&line, "why", !admitted       ? "the policy does not list this host"
                             : tls == NULL   ? "the host offers no STARTTLS"
                                             : tls_failure_text(tls->failure));
    log_close(&line);
}

/* Why this message cannot be given to a host that offers these extensions; another host may offer more. */
static enum trouble unfitness(const struct delivery *delivery, const struct smtp_extensions *extensions)
{
    const struct queue_message *message = &delivery->message;
    if ((extensions->set & SMTP_EXTENSION_SMTPUTF8) == 0 && delivery_needs_utf8(delivery))
        return TROUBLE_NO_UTF8;
    return extensions->size_max > 0 && message->size > extensions->size_max ? TROUBLE_TOO_BIG : TROUBLE_NONE;
}

static void collect_recipients(struct delivery *delivery, struct smtp_rcpt *recipients)
{
    delivery->sent_count = 0;
    for (size_t i = 0; i < delivery->entry.recipient_count && delivery->sent_count < QUEUE_RECIPIENTS_MAX; i++) {
        const struct queue_recipient *recipient = &delivery->entry.recipients[i];
        if (recipient->status != QUEUE_PENDING || delivery->decided[i])
            continue;
        recipients[delivery->sent_count] =
            (struct smtp_rcpt){.address = recipient->address, .notify = recipient->notify, .orcpt = recipient->orcpt};
        delivery->sent[delivery->sent_count++] = i;
    }
}

/* A small message to a host that has just taken another one leaves at once with its envelope: one round trip. A host that is
 * new, or was silent for a while, is asked first: what it may have got cannot be given to another one. */
static bool may_be_eager(const struct delivery *delivery)
{
    return delivery->transaction_count > 0 && delivery->message.size <= EAGER_SIZE_MAX &&
           clock_monotonic_ms() - delivery->transaction_ms < EAGER_SILENCE_MS;
}

/* At READY only. The replies come by on_readable(). */
bool delivery_send(struct delivery *delivery)
{
    const struct queue_message *message = &delivery->message;
    struct smtp_rcpt recipients[QUEUE_RECIPIENTS_MAX];
    collect_recipients(delivery, recipients);
    const struct smtp_extensions *extensions = smtp_client_extensions(delivery->client);
    struct trouble_facts unfit = {.trouble = unfitness(delivery, extensions)};
    if (unfit.trouble == TROUBLE_TOO_BIG &&
        !arena_print(delivery->arena, &unfit.detail, "it has %llu bytes, and %llu are the most that the host takes (SIZE)",
                     (unsigned long long)delivery->message.size, (unsigned long long)extensions->size_max))
        unfit.detail = SLICE_EMPTY;
    if (unfit.trouble == TROUBLE_NONE && !delivery_prepare_content(delivery, extensions))
        unfit.trouble = TROUBLE_INTERNAL;
    if (unfit.trouble != TROUBLE_NONE) {
        delivery_host_failed(delivery, &unfit);
        return false;
    }
    note_testing(delivery);
    if (!smtp_client_is_secured(delivery->client))
        delivery->relay->metrics.plaintext++;
    struct smtp_transaction transaction = {
        .mail = {
            .reverse_path = message->sender,
            .utf8 = delivery_needs_utf8(delivery),
            .ret = (enum smtp_ret)message->ret,
            .envid = message->envid,
            .tls = delivery_demands_tls(delivery) ? SMTP_TLS_REQUIRED : SMTP_TLS_OPTIONAL,
        },
        .recipients = recipients,
        .recipient_count = delivery->sent_count,
    };
    delivery_describe_content(delivery, &transaction.mail);
    delivery->host_has_dsn = (extensions->set & SMTP_EXTENSION_DSN) != 0;
    transaction.eager = may_be_eager(delivery);
    delivery->chunk_next = 0;
    delivery->transaction_ms = clock_monotonic_ms();
    smtp_client_mail(delivery->client, &transaction);
    delivery->is_sending_content = smtp_client_wants_content(delivery->client);
    if (delivery->is_sending_content && !delivery_send_content(delivery))
        return false;
    delivery_flush(delivery);
    delivery_set_deadline(delivery);
    return true;
}

static struct trouble_facts reply_facts(const struct smtp_client_event *event)
{
    return (struct trouble_facts){.trouble = TROUBLE_REPLY, .stage = event->stage, .reply = event->reply};
}

void delivery_complete_facts(struct delivery *delivery, struct trouble_facts *facts, char address[48])
{
    facts->host = delivery_host(delivery);
    facts->address = delivery_address(delivery, address);
    facts->domain = delivery_domain(delivery);
    facts->required_tls = delivery_demands_tls(delivery);
    facts->by_policy = delivery->demand.by_policy;
}

void delivery_decide_sent(struct delivery *delivery, size_t sent, const struct smtp_client_event *event)
{
    char address[48];
    struct trouble_facts facts = reply_facts(event);
    delivery_complete_facts(delivery, &facts, address);
    if (event->accepted) {
        facts.trouble = TROUBLE_NONE;
        delivery_upstream_accepted(delivery);
    } else if (delivery_is_upstream_refusal(delivery, &event->reply)) {
        facts.trouble = TROUBLE_CREDENTIALS;
        delivery_upstream_refused(delivery, &facts);
    }
    delivery_decide(delivery, delivery->sent[sent], &facts);
}

void delivery_decide_rest(struct delivery *delivery, const struct smtp_client_event *event)
{
    for (size_t i = 0; i < delivery->sent_count; i++) {
        if (!delivery->decided[delivery->sent[i]])
            delivery_decide_sent(delivery, i, event);
    }
}

/* Chunk by chunk, as the peer takes them. False: the delivery has moved on. */
bool delivery_send_content(struct delivery *delivery)
{
    struct buffer chunk;
    buffer_init(&chunk, DELIVERY_CONTENT_MAX);
    while (delivery->chunk_next < delivery->message.chunk_count && channel_pending(&delivery->channel) < PENDING_MAX) {
        buffer_clear(&chunk);
        bool is_last = delivery->chunk_next + 1 == delivery->message.chunk_count;
        enum err err = delivery_read_content(delivery, delivery->chunk_next, is_last, &chunk);
        if (err != ERR_NONE) {
            buffer_free(&chunk);
            struct trouble_facts facts = {.trouble = TROUBLE_STORAGE, .detail = slice_of(err_text(err))};
            delivery_trouble(delivery, &facts);
            channel_abort(&delivery->channel);
            delivery_hang_up(delivery);
            delivery_conclude(delivery);
            return false;
        }
        if (buffer_length(&chunk) > 0)
            smtp_client_content(delivery->client, buffer_slice(&chunk));
        delivery->chunk_next++;
        if (!is_last) /* that one leaves with the end */
            delivery_flush(delivery);
    }
    buffer_free(&chunk);
    delivery_await(delivery, delivery_patience_ms(delivery, SMTP_STAGE_CONTENT));
    if (delivery->chunk_next == delivery->message.chunk_count) {
        delivery->is_sending_content = false;
        smtp_client_content_end(delivery->client);
        delivery_flush(delivery);
    }
    return true;
}
