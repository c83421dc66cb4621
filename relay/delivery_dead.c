/* A delivery and the hosts that are known to be dead: which address is tried next, and what others learn of it. */
#include "relay/delivery_internal.h"

#include "base/text.h"

#define TRYING_MS (15 * 60 * 1000) /* of one attempt, as ROUTE_TRIED_MAX */

static struct endpoint peer_of(const struct delivery *delivery)
{
    return (struct endpoint){.ip = delivery->addresses.items[delivery->address_index], .port = delivery->demand.port};
}

/* How it failed when somebody last tried, as if it had just done so: the destination's own wait follows from it. */
static bool pass_over(struct delivery *delivery)
{
    struct endpoint peer = peer_of(delivery);
    struct dead_host found;
    if (!dead_hosts_ask(&delivery->relay->dead_hosts, &peer, clock_monotonic_ms(), &found))
        return false;
    struct trouble_facts facts = {.trouble = found.trouble, .stage = found.stage};
    char address[48];
    delivery_complete_facts(delivery, &facts, address);
    if (!arena_print(delivery->arena, &facts.detail,
                     "%.*s%sknown since %lld s ago, so it was passed over",
                     SLICE_ARGS(found.detail), found.detail.length > 0 ? ", " : "", (long long)(found.age_ms / 1000)))
        facts.detail = SLICE("passed over");
    delivery->relay->metrics.passed_over++;
    delivery_trouble(delivery, &facts);
    why_add(&delivery->why, "connect", facts.host, "somebody tries it again in %lld s", (long long)((found.rest_ms + 999) / 1000));
    return true;
}

static bool has_tried_enough(struct delivery *delivery)
{
    if (delivery->tried_count == 0) {
        delivery->trying_ms = clock_monotonic_ms();
        return false;
    }
    if (delivery->tried_count < ROUTE_TRIED_MAX && clock_monotonic_ms() - delivery->trying_ms < TRYING_MS)
        return false;
    why_add(&delivery->why, "connect", delivery_host(delivery),
            "not tried this time: %u addresses before it have failed", delivery->tried_count);
    return true;
}

void delivery_try_address(struct delivery *delivery)
{
    for (; delivery->address_index < delivery->addresses.count; delivery->address_index++) {
        if (pass_over(delivery))
            continue;
        if (has_tried_enough(delivery)) {
            delivery->host_index = delivery->route.host_count;
            delivery_conclude(delivery);
            return;
        }
        delivery->tried_count++;
        delivery_connect(delivery);
        return;
    }
    delivery->host_index++;
    delivery_choose_host(delivery);
}

static void log_dead(const struct delivery *delivery, const struct trouble_facts *facts)
{
    struct log_line line;
    char address[48];
    if (!log_open(&line, delivery->relay->log, LOG_INFO, "host_dead"))
        return;
    log_text(&line, "host", delivery_host(delivery));
    log_text(&line, "ip", delivery_address(delivery, address));
    log_number(&line, "port", delivery->demand.port);
    if (facts->detail.length > 0)
        log_text(&line, "problem", facts->detail);
    else
        log_string(&line, "problem",
                   facts->trouble == TROUBLE_LOST ? "it closed the connection without a word" : "it said nothing");
    log_close(&line);
}

/* Dead is what cannot be connected to, or says no word. A 421 or a certificate that proves nothing is an answer. */
void delivery_host_is_dead(struct delivery *delivery, const struct trouble_facts *facts)
{
    struct relay *relay = delivery->relay;
    struct endpoint peer = peer_of(delivery);
    if (dead_hosts_failed(&relay->dead_hosts, &peer, facts, &relay->config->retry, clock_monotonic_ms()))
        log_dead(delivery, facts);
}

void delivery_host_answers(struct delivery *delivery)
{
    struct endpoint peer = peer_of(delivery);
    dead_hosts_answered(&delivery->relay->dead_hosts, &peer);
}
