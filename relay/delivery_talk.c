#include "relay/delivery_internal.h"

#include "base/text.h"

#include <assert.h>
#include <stdlib.h>

#define CONNECT_TIMEOUT_MS 30000
#define HANDSHAKE_TIMEOUT_MS 60000
#define PENDING_MAX 65536
#define SESSION_MS (300 * 1000)
#define SESSION_TRANSACTIONS 1000
#define MINUTE_MS 60000

static void on_connected(struct channel *channel, enum err err);
static void on_secured(struct channel *channel, const struct tls_verdict *verdict);
static void on_readable(struct channel *channel);
static void on_writable(struct channel *channel);
static void on_ended(struct channel *channel, enum err err);
static void on_timeout(struct timer *timer);
static void drive(struct delivery *delivery);
static bool handle(struct delivery *delivery, const struct smtp_client_event *event);
static void flush(struct delivery *delivery);
static void set_deadline(struct delivery *delivery);
static bool send_content(struct delivery *delivery);
static void host_failed(struct delivery *delivery, struct trouble_facts *facts);
static void next_address(struct delivery *delivery);
static enum trouble secure(struct delivery *delivery);
static bool start_tls(struct delivery *delivery);

bool delivery_is_connected(const struct delivery *delivery)
{
    return delivery->client != NULL && channel_is_open(&delivery->channel);
}

/* A time limit rather than a count alone: otherwise the slowest host attracts all connections. Bytes that arrived out of turn
 * would be taken for replies to what was not sent yet. */
bool delivery_may_reuse(const struct delivery *delivery)
{
    return smtp_client_stage(delivery->client) == SMTP_STAGE_READY && channel_input(&delivery->channel).length == 0 &&
           delivery->transaction_count < SESSION_TRANSACTIONS &&
           clock_monotonic_ms() - delivery->connected_ms < SESSION_MS;
}

static bool demands_tls(const struct delivery *delivery)
{
    return delivery->demand.tls != CONFIG_TLS_OPPORTUNISTIC;
}

static bool demands_proof(const struct delivery *delivery)
{
    return delivery->demand.tls == CONFIG_TLS_VERIFY || delivery->demand.tls == CONFIG_TLS_IMPLICIT;
}

/* ---- connecting ---- */

static struct endpoint *choose_source(struct delivery *delivery, struct endpoint *source, enum ip_family family)
{
    const struct config *config = delivery->relay->config;
    for (size_t i = 0; i < config->sources.count; i++) {
        if (config->sources.items[i].family != family)
            continue;
        *source = (struct endpoint){.ip = config->sources.items[i]};
        return source;
    }
    return NULL;
}

void delivery_connect(struct delivery *delivery)
{
    assert(!delivery_is_connected(delivery) && delivery->address_index < delivery->addresses.count);
    struct endpoint peer = {.ip = delivery->addresses.items[delivery->address_index], .port = delivery->demand.port};
    struct endpoint source;
    delivery->state = DELIVERY_CONNECTING;
    delivery->channel = (struct channel){
        .connected = on_connected,
        .secured = on_secured,
        .readable = on_readable,
        .writable = on_writable,
        .ended = on_ended,
    };
    delivery->relay->metrics.connections_out++;
    timer_start(&delivery->timer, CONNECT_TIMEOUT_MS, on_timeout);
    enum err err = channel_connect(&delivery->channel, &peer, choose_source(delivery, &source, peer.ip.family));
    if (err != ERR_NONE) {
        struct trouble_facts facts = {.trouble = TROUBLE_CONNECT, .detail = slice_of(err_text(err))};
        host_failed(delivery, &facts);
    }
}

static void on_connected(struct channel *channel, enum err err)
{
    struct delivery *delivery = LIST_OF(channel, struct delivery, channel);
    if (err != ERR_NONE) {
        struct trouble_facts facts = {.trouble = TROUBLE_CONNECT, .detail = slice_of(err_text(err))};
        host_failed(delivery, &facts);
        return;
    }
    bool implicit = delivery->demand.tls == CONFIG_TLS_IMPLICIT;
    struct slice hostname; /* a reload may replace the configuration while the connection lives */
    if (!arena_slice(delivery->route_arena, delivery->relay->config->hostname, &hostname))
        hostname = SLICE("localhost");
    struct smtp_client_options options = {
        .hostname = hostname,
        .starttls = implicit || delivery->without_tls ? SMTP_CLIENT_STARTTLS_NEVER
                    : demands_tls(delivery)           ? SMTP_CLIENT_STARTTLS_MUST
                                                      : SMTP_CLIENT_STARTTLS_MAY,
        .secured = implicit,
        .chunking = true,
    };
    delivery->client = smtp_client_new(&options);
    delivery->state = DELIVERY_TALKING;
    delivery->connected_ms = clock_monotonic_ms();
    delivery->transaction_count = 0;
    delivery->is_authenticated = false;
    delivery->timed_stage = SMTP_STAGE_CLOSED;
    if (delivery->client == NULL) {
        struct trouble_facts facts = {.trouble = TROUBLE_INTERNAL};
        host_failed(delivery, &facts);
    } else if (!implicit || start_tls(delivery)) {
        set_deadline(delivery);
    }
}

/* The name that is proved is the MX host's (RFC 8461 4.2); an address cannot prove itself. */
static enum trouble secure(struct delivery *delivery)
{
    struct ip ip;
    struct slice name = delivery_host(delivery);
    enum tls_demand demand = demands_proof(delivery) ? TLS_VERIFY : TLS_ENCRYPT;
    if (ip_parse(name, &ip))
        name = SLICE_EMPTY;
    if (name.length == 0 && demand == TLS_VERIFY)
        return TROUBLE_HANDSHAKE;
    struct tls_session *session = tls_session_client(delivery->relay->tls, demand, name, NULL);
    if (session == NULL)
        return TROUBLE_INTERNAL;
    timer_start(&delivery->timer, HANDSHAKE_TIMEOUT_MS, on_timeout);
    return channel_secure(&delivery->channel, &session) ? TROUBLE_NONE : TROUBLE_NO_STARTTLS;
}

static bool start_tls(struct delivery *delivery)
{
    struct trouble_facts facts = {.trouble = secure(delivery), .stage = SMTP_STAGE_STARTTLS};
    if (facts.trouble == TROUBLE_NONE)
        return true;
    if (facts.trouble == TROUBLE_NO_STARTTLS)
        facts.detail = slice_of(smtp_client_fault_text(SMTP_CLIENT_FAULT_INJECTION));
    if (facts.trouble == TROUBLE_HANDSHAKE)
        facts.detail = SLICE("an address cannot be verified, only a host name can");
    host_failed(delivery, &facts);
    return false;
}

static void count_handshake(struct delivery *delivery, const struct tls_verdict *verdict)
{
    struct metrics *metrics = &delivery->relay->metrics;
    *(!verdict->secured    ? &metrics->handshake_failed
      : verdict->verified ? &metrics->handshake_verified
                          : &metrics->handshake_unverified) += 1;
}

static void on_secured(struct channel *channel, const struct tls_verdict *verdict)
{
    struct delivery *delivery = LIST_OF(channel, struct delivery, channel);
    count_handshake(delivery, verdict);
    if (!verdict->secured || (demands_proof(delivery) && !verdict->verified)) {
        struct trouble_facts facts = {.trouble = TROUBLE_HANDSHAKE, .stage = SMTP_STAGE_SECURING};
        if (!arena_print(delivery->arena, &facts.detail, "%s%s%s", tls_failure_text(verdict->failure),
                         verdict->detail[0] == '\0' ? "" : " - ", verdict->detail))
            facts.detail = SLICE_EMPTY;
        host_failed(delivery, &facts);
        return;
    }
    why_add(&delivery->why, "tls", delivery_host(delivery), "%s, certificate %s", verdict->version,
            verdict->verified ? "verified" : tls_failure_text(verdict->failure));
    if (!smtp_client_is_secured(delivery->client))
        smtp_client_secured(delivery->client);
    drive(delivery);
}

/* ---- talking ---- */

static void on_readable(struct channel *channel)
{
    struct delivery *delivery = LIST_OF(channel, struct delivery, channel);
    if (delivery->client != NULL)
        drive(delivery);
}

static void on_writable(struct channel *channel)
{
    struct delivery *delivery = LIST_OF(channel, struct delivery, channel);
    if (delivery->is_sending_content && send_content(delivery))
        drive(delivery);
}

static void on_ended(struct channel *channel, enum err err)
{
    struct delivery *delivery = LIST_OF(channel, struct delivery, channel);
    (void)err; /* however it ended, it is lost: whether the peer may have the message is what counts */
    if (delivery->state == DELIVERY_IDLE || delivery->client == NULL) {
        delivery_finish(delivery);
        return;
    }
    smtp_client_lost(delivery->client);
    drive(delivery);
}

static void on_timeout(struct timer *timer)
{
    struct delivery *delivery = LIST_OF(timer, struct delivery, timer);
    struct trouble_facts facts = {.trouble = TROUBLE_TIMEOUT, .stage = SMTP_STAGE_GREETING};
    if (delivery->state == DELIVERY_CONNECTING)
        facts = (struct trouble_facts){.trouble = TROUBLE_CONNECT, .detail = SLICE("timed out")};
    else if (delivery->client != NULL)
        facts.stage = smtp_client_stage(delivery->client);
    host_failed(delivery, &facts);
}

static void drive(struct delivery *delivery)
{
    for (;;) {
        if (delivery->state == DELIVERY_IDLE) {
            /* Words out of turn, such as a 421 before the peer closes: this connection is of no more use. */
            if (channel_input(&delivery->channel).length > 0)
                delivery_finish(delivery);
            return;
        }
        size_t taken = smtp_client_feed(delivery->client, channel_input(&delivery->channel));
        channel_consume(&delivery->channel, taken);
        struct smtp_client_event event = smtp_client_next(delivery->client);
        flush(delivery);
        if (event.kind == SMTP_CLIENT_WAIT) {
            if (taken > 0)
                continue;
            set_deadline(delivery);
            return;
        }
        if (!handle(delivery, &event))
            return;
    }
}

static void flush(struct delivery *delivery)
{
    struct slice output = smtp_client_output(delivery->client);
    if (output.length == 0)
        return;
    channel_write(&delivery->channel, output);
    smtp_client_sent(delivery->client, output.length);
}

/* RFC 5321 4.5.3.2. A stage has its time once: replies that dribble in do not prolong it. */
static int64_t stage_timeout_ms(enum smtp_client_stage stage)
{
    switch (stage) {
    case SMTP_STAGE_DATA:
        return 2 * MINUTE_MS;
    case SMTP_STAGE_CONTENT:
        return 3 * MINUTE_MS;
    case SMTP_STAGE_FINAL:
        return 10 * MINUTE_MS;
    case SMTP_STAGE_QUIT:
        return 2000;
    default:
        return 5 * MINUTE_MS;
    }
}

/* Three minutes for each block, and in all half an hour and a second for each 1000 bytes: a peer that takes a byte now and then
 * is given up. */
static int64_t content_timeout_ms(const struct delivery *delivery)
{
    int64_t end_ms = delivery->transaction_ms + 30 * MINUTE_MS + (int64_t)delivery->message.size;
    int64_t rest_ms = end_ms - clock_monotonic_ms();
    int64_t block_ms = stage_timeout_ms(SMTP_STAGE_CONTENT);
    return rest_ms < block_ms ? (rest_ms < 0 ? 0 : rest_ms) : block_ms;
}

static void set_deadline(struct delivery *delivery)
{
    enum smtp_client_stage stage = smtp_client_stage(delivery->client);
    if (stage == delivery->timed_stage || stage == SMTP_STAGE_SECURING)
        return;
    delivery->timed_stage = stage;
    timer_start(&delivery->timer, stage_timeout_ms(stage), on_timeout);
}

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
    log_text(&line, "domain", delivery->destination->name);
    log_text(&line, "host", delivery_host(delivery));
    log_text(&line, "policy_id", demand->policy_id);
    log_string(&line, "why", !admitted       ? "the policy does not list this host"
                             : tls == NULL   ? "the host offers no STARTTLS"
                                             : tls_failure_text(tls->failure));
    log_close(&line);
}

static bool is_ascii_envelope(const struct delivery *delivery)
{
    if (!text_is_ascii(delivery->message.sender) && delivery->message.sender.length > 0)
        return false;
    for (size_t i = 0; i < delivery->sent_count; i++) {
        if (!text_is_ascii(delivery->entry.recipients[delivery->sent[i]].address))
            return false;
    }
    return true;
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

/* At READY only. The replies come by on_readable(). */
bool delivery_send(struct delivery *delivery)
{
    const struct queue_message *message = &delivery->message;
    struct smtp_rcpt recipients[QUEUE_RECIPIENTS_MAX];
    collect_recipients(delivery, recipients);
    const struct smtp_extensions *extensions = smtp_client_extensions(delivery->client);
    if (message->utf8 && (extensions->set & SMTP_EXTENSION_SMTPUTF8) == 0 && !is_ascii_envelope(delivery)) {
        struct trouble_facts facts = {.trouble = TROUBLE_NO_UTF8};
        host_failed(delivery, &facts);
        return false;
    }
    note_testing(delivery);
    if (!smtp_client_is_secured(delivery->client))
        delivery->relay->metrics.plaintext++;
    struct smtp_transaction transaction = {
        .mail = {
            .reverse_path = message->sender,
            .size = message->size,
            .body = message->eight_bit ? SMTP_BODY_8BITMIME : SMTP_BODY_7BIT,
            .utf8 = message->utf8,
            .ret = (enum smtp_ret)message->ret,
            .envid = message->envid,
            .tls = demands_tls(delivery) ? SMTP_TLS_REQUIRED : SMTP_TLS_OPTIONAL,
        },
        .recipients = recipients,
        .recipient_count = delivery->sent_count,
    };
    delivery->chunk_next = 0;
    delivery->is_sending_content = false;
    delivery->transaction_ms = clock_monotonic_ms();
    smtp_client_mail(delivery->client, &transaction);
    flush(delivery);
    set_deadline(delivery);
    return true;
}

static struct trouble_facts reply_facts(const struct smtp_client_event *event)
{
    return (struct trouble_facts){.trouble = TROUBLE_REPLY, .stage = event->stage, .reply = event->reply};
}

static void complete_facts(struct delivery *delivery, struct trouble_facts *facts, char address[48])
{
    facts->host = delivery_host(delivery);
    facts->address = delivery_address(delivery, address);
    facts->required_tls = demands_tls(delivery);
    facts->by_policy = delivery->demand.by_policy;
}

static void decide_sent(struct delivery *delivery, size_t sent, const struct smtp_client_event *event)
{
    char address[48];
    struct trouble_facts facts = reply_facts(event);
    complete_facts(delivery, &facts, address);
    if (event->accepted)
        facts.trouble = TROUBLE_NONE;
    delivery_decide(delivery, delivery->sent[sent], &facts);
}

static void decide_rest(struct delivery *delivery, const struct smtp_client_event *event)
{
    for (size_t i = 0; i < delivery->sent_count; i++) {
        if (!delivery->decided[delivery->sent[i]])
            decide_sent(delivery, i, event);
    }
}

static bool at_ready(struct delivery *delivery)
{
    const struct demand *demand = &delivery->demand;
    const struct tls_verdict *tls = channel_verdict(&delivery->channel);
    /* The last gate: whatever the machines before it believed. */
    assert(!demands_tls(delivery) || (tls != NULL && tls->secured));
    assert(!demands_proof(delivery) || tls->verified);
    if (demand->username.length > 0 && !delivery->is_authenticated) {
        delivery->is_authenticated = true;
        smtp_client_auth(delivery->client, demand->username, demand->password);
        return true;
    }
    if (!delivery->has_work)
        return true; /* between two transactions */
    destination_proven(delivery->destination);
    return delivery_send(delivery);
}

static enum trouble trouble_of_fault(enum smtp_client_fault fault)
{
    switch (fault) {
    case SMTP_CLIENT_FAULT_REFUSED:
    case SMTP_CLIENT_FAULT_SHUTDOWN:
        return TROUBLE_GREETING;
    case SMTP_CLIENT_FAULT_NO_STARTTLS:
    case SMTP_CLIENT_FAULT_STARTTLS_REFUSED:
    case SMTP_CLIENT_FAULT_INJECTION:
        return TROUBLE_NO_STARTTLS;
    case SMTP_CLIENT_FAULT_MALFORMED:
        return TROUBLE_MALFORMED;
    case SMTP_CLIENT_FAULT_AUTH_REFUSED:
    case SMTP_CLIENT_FAULT_NO_AUTH:
        return TROUBLE_CREDENTIALS;
    case SMTP_CLIENT_FAULT_MEMORY:
        return TROUBLE_INTERNAL;
    default:
        return TROUBLE_LOST;
    }
}

/* A connection that has carried transactions and then goes away before this one was answered was only stale: once more over a
 * new one, which is no failure of the host. Safe because nothing of the content was complete. */
static bool is_stale(const struct delivery *delivery, const struct smtp_client_event *event)
{
    return delivery->transaction_count > 0 && !delivery->has_retried_fresh && !event->maybe &&
           (event->fault == SMTP_CLIENT_FAULT_LOST || event->fault == SMTP_CLIENT_FAULT_SHUTDOWN);
}

static void session_failed(struct delivery *delivery, const struct smtp_client_event *event)
{
    if (!delivery->has_work) {
        delivery_finish(delivery);
        return;
    }
    if (is_stale(delivery, event)) {
        delivery->has_retried_fresh = true;
        delivery_hang_up(delivery);
        delivery_connect(delivery);
        return;
    }
    char address[48];
    struct trouble_facts facts = {
        .trouble = trouble_of_fault(event->fault),
        .stage = event->stage,
        .reply = event->reply,
        .detail = event->fault == SMTP_CLIENT_FAULT_INJECTION ? slice_of(smtp_client_fault_text(event->fault)) : SLICE_EMPTY,
    };
    if (!event->maybe) {
        host_failed(delivery, &facts);
        return;
    }
    /* The host may have the message: to give it to another one now would double it. */
    complete_facts(delivery, &facts, address);
    delivery_trouble(delivery, &facts);
    for (size_t i = 0; i < delivery->sent_count; i++) {
        if (!delivery->decided[delivery->sent[i]])
            delivery_decide(delivery, delivery->sent[i], &facts);
    }
    delivery_hang_up(delivery);
    delivery_conclude_transaction(delivery);
}

/* False: the connection or the delivery itself is gone, or somebody else drives on. */
static bool handle(struct delivery *delivery, const struct smtp_client_event *event)
{
    switch (event->kind) {
    case SMTP_CLIENT_STARTTLS:
        (void)start_tls(delivery); /* goes on in on_secured() */
        return false;
    case SMTP_CLIENT_READY:
        return at_ready(delivery);
    case SMTP_CLIENT_RECIPIENT:
        if (!event->accepted)
            decide_sent(delivery, event->recipient, event);
        return true;
    case SMTP_CLIENT_CONTENT:
        delivery->is_sending_content = true;
        return send_content(delivery);
    case SMTP_CLIENT_DONE:
        delivery->is_sending_content = false;
        decide_rest(delivery, event);
        delivery_conclude_transaction(delivery);
        return false;
    case SMTP_CLIENT_FAILED:
        session_failed(delivery, event);
        return false;
    case SMTP_CLIENT_WAIT:
        break;
    }
    return true;
}

/* Chunk by chunk, as the peer takes them. False: the delivery has moved on. */
static bool send_content(struct delivery *delivery)
{
    struct buffer chunk;
    buffer_init(&chunk, QUEUE_CHUNK_MAX + 1024);
    while (delivery->chunk_next < delivery->message.chunk_count && channel_pending(&delivery->channel) < PENDING_MAX) {
        buffer_clear(&chunk);
        enum err err =
            queue_chunk_get(delivery->relay->queue, delivery->message.id, delivery->chunk_next, &chunk);
        if (err != ERR_NONE) {
            buffer_free(&chunk);
            struct trouble_facts facts = {.trouble = TROUBLE_STORAGE, .detail = slice_of(err_text(err))};
            delivery_trouble(delivery, &facts);
            channel_abort(&delivery->channel);
            delivery_hang_up(delivery);
            delivery_conclude(delivery);
            return false;
        }
        smtp_client_content(delivery->client, buffer_slice(&chunk));
        delivery->chunk_next++;
        flush(delivery);
    }
    buffer_free(&chunk);
    timer_start(&delivery->timer, content_timeout_ms(delivery), on_timeout);
    if (delivery->chunk_next == delivery->message.chunk_count) {
        delivery->is_sending_content = false;
        smtp_client_content_end(delivery->client);
        flush(delivery);
    }
    return true;
}

/* ---- failures of a host ---- */

/* Old servers that cannot do our TLS still get mail for domains that demand nothing, in plaintext, as without TLS. */
static bool retry_without_tls(struct delivery *delivery, const struct trouble_facts *facts)
{
    bool tls_failed = facts->trouble == TROUBLE_HANDSHAKE ||
                      (facts->stage == SMTP_STAGE_SECURING && facts->trouble != TROUBLE_INTERNAL);
    if (!tls_failed || demands_tls(delivery) || delivery->without_tls)
        return false;
    delivery->without_tls = true;
    delivery_hang_up(delivery);
    delivery_connect(delivery);
    return true;
}

static void host_failed(struct delivery *delivery, struct trouble_facts *facts)
{
    char address[48];
    complete_facts(delivery, facts, address);
    delivery_trouble(delivery, facts);
    if (retry_without_tls(delivery, facts))
        return;
    if (verdict_of(facts).scope == VERDICT_DESTINATION || facts->trouble == TROUBLE_NO_UTF8)
        delivery_hang_up(delivery);
    else
        channel_abort(&delivery->channel);
    next_address(delivery);
}

static void next_address(struct delivery *delivery)
{
    delivery_hang_up(delivery);
    delivery->without_tls = false;
    if (delivery->is_stopping) {
        delivery_finish(delivery);
        return;
    }
    delivery->address_index++;
    if (delivery->address_index < delivery->addresses.count) {
        delivery_connect(delivery);
        return;
    }
    delivery->host_index++;
    delivery_choose_host(delivery);
}

void delivery_hang_up(struct delivery *delivery)
{
    timer_cancel(&delivery->timer);
    delivery->is_sending_content = false;
    if (delivery_is_connected(delivery) && smtp_client_stage(delivery->client) == SMTP_STAGE_READY) {
        smtp_client_quit(delivery->client);
        flush(delivery);
    }
    channel_close(&delivery->channel);
    smtp_client_free(&delivery->client);
}
