/* A resolver that fails for a moment must not cost a whole destination its back-off: names are asked for once more within seconds,
 * before the attempt has an outcome. Only where the destination has not failed before, and while a place can be lent meanwhile: mail to
 * domains whose name servers are broken for good keeps no place from others. */
#include "relay/delivery_internal.h"
#include "relay/schedule.h"

#define ASKING_MAX_MS 20000 /* a resolver that was silent for so long has asked often enough */

static const int64_t pauses_ms[] = {1000, 2000, 4000}; /* resolvers remember a failure for five seconds themselves */

static void on_again(struct timer *timer)
{
    delivery_find_policy(LIST_OF(timer, struct delivery, timer));
}

/* The pause is short beside the back-off that it is to spare: else that does as well. */
static bool is_worth_it(const struct delivery *delivery)
{
    return delivery->asked_again < sizeof pauses_ms / sizeof pauses_ms[0] &&
           pauses_ms[delivery->asked_again] <= delivery->relay->config->retry.wait_ms[0] / 4;
}

static bool may_ask_again(const struct delivery *delivery)
{
    int64_t asking_ms = clock_monotonic_ms() - delivery->asking_ms;
    return is_worth_it(delivery) && asking_ms < ASKING_MAX_MS && !delivery->is_stopping && delivery->destination->failures == 0 &&
           !delivery_is_connected(delivery);
}

bool delivery_asks_again(struct delivery *delivery)
{
    if (!may_ask_again(delivery) || !place_lend(delivery->destination->schedule, &delivery->place))
        return false;
    int64_t pause_ms = pauses_ms[delivery->asked_again++];
    pause_ms += (int64_t)dice_below((uint64_t)pause_ms / 4 + 1);
    why_add(&delivery->why, "dns", delivery_domain(delivery), "asked again after a moment");
    delivery->worst = (struct trouble_facts){0};
    delivery->any_policy = false;
    delivery->state = DELIVERY_AWAITING_NAMES;
    timer_start(&delivery->timer, pause_ms, on_again);
    return true;
}

/* No host was spoken to, and for the want of names: nothing else would become of it by waiting. */
bool delivery_lacks_names(const struct delivery *delivery)
{
    enum trouble trouble = delivery->worst.trouble;
    return delivery->tried_count == 0 && (trouble == TROUBLE_MX_LOOKUP || trouble == TROUBLE_ADDRESS_LOOKUP);
}
