/* How long a delivery's connection is good for: what this relay allows itself, and what the host has been found to allow. */
#include "relay/delivery_internal.h"

#define SESSION_MS (120 * 1000) /* after which the TXT record is asked for again */
#define SESSION_TRANSACTIONS 1000

static struct endpoint peer_of(const struct delivery *delivery)
{
    return (struct endpoint){.ip = delivery->addresses.items[delivery->address_index], .port = delivery->demand.port};
}

/* A time limit rather than a count alone: otherwise the slowest host attracts all connections. Bytes that arrived out of turn
 * would be taken for replies to what was not sent yet. */
bool delivery_may_reuse(const struct delivery *delivery)
{
    struct endpoint peer = peer_of(delivery);
    int64_t now_ms = clock_monotonic_ms();
    return smtp_client_stage(delivery->client) == SMTP_STAGE_READY && channel_input(&delivery->channel).length == 0 &&
           delivery->transaction_count < SESSION_TRANSACTIONS && now_ms - delivery->connected_ms < SESSION_MS &&
           delivery->carried_count < reuse_limits_ask(&delivery->relay->reuse_limits, &peer, now_ms);
}

/* Some hosts answer 4xx to MAIL when a connection has carried as many messages as they allow, and leave it open: whatever follows on
 * it would only be put off. A fresh connection tells whether it was that. */
bool delivery_is_spent(const struct delivery *delivery, const struct smtp_client_event *event)
{
    bool refused = !event->accepted && event->stage == SMTP_STAGE_MAIL && event->reply.code >= 400 && event->reply.code < 500;
    return refused && delivery->carried_count > 0 && !delivery->has_retried_fresh && !delivery->is_stopping;
}

void delivery_begin_fresh(struct delivery *delivery, bool is_spent)
{
    delivery->has_retried_fresh = true;
    delivery->spent_count = is_spent ? delivery->carried_count : 0;
    why_add(&delivery->why, "connect", delivery_host(delivery), "%s, so once more over a new one",
            is_spent ? "it takes no more over the open connection" : "the open connection was gone");
    delivery_hang_up(delivery);
    delivery_connect(delivery);
}

static void learn_limit(struct delivery *delivery)
{
    struct relay *relay = delivery->relay;
    struct endpoint peer = peer_of(delivery);
    struct log_line line;
    char address[48];
    uint32_t messages = delivery->spent_count;
    if (messages == 0)
        return;
    delivery->spent_count = 0;
    if (!reuse_limits_learn(&relay->reuse_limits, &peer, messages, clock_monotonic_ms()) ||
        !log_open(&line, relay->log, LOG_INFO, "reuse_limited"))
        return;
    log_text(&line, "host", delivery_host(delivery));
    log_text(&line, "ip", delivery_address(delivery, address));
    log_number(&line, "messages", messages);
    log_string(&line, "problem", "it takes no more messages over one connection, so each connection carries that many");
    log_close(&line);
}

void delivery_carried(struct delivery *delivery, const struct smtp_client_event *event)
{
    if (!event->accepted && event->stage == SMTP_STAGE_MAIL)
        return;
    learn_limit(delivery);
    delivery->carried_count++;
}
