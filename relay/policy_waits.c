#include "relay/policy_waits.h"

#include "relay/config.h"
#include "relay/relay.h"
#include "relay/rewind.h"
#include "relay/schedule.h"

#include <string.h>

/* Between two looks at one domain's record for the sake of new mail. How often its policy host is asked has its own limit: once in five
 * minutes, where the record does not announce another policy (sts_entry_may_renew, sts_entry_may_fetch). */
#define LOOK_AGAIN_MS 5000

/* The words of a deferral (verdict.h) whose cause is an enforced policy; and the one where it is not known whether there is any. */
static const char *const caused[] = {"policy", "tls"};
static const char *const unknown[] = {"dns"};

static void end_waits(struct relay *relay, struct slice domain, const char *const *reasons, size_t count);
static void on_look(struct timer *timer);
static void on_looked(struct finder_request *request, const struct finding *finding);

void policy_waits_learned(struct relay *relay, struct slice domain, const struct sts_entry *before,
                          const struct sts_lookup_result *result)
{
    if (result->source != STS_SOURCE_FRESH)
        return;
    if (before == NULL) {
        end_waits(relay, domain, unknown, sizeof unknown / sizeof *unknown);
        return;
    }
    bool is_another = result->changed || strcmp(before->id, result->entry.id) != 0;
    if (before->has_policy && before->policy.mode == STS_MODE_ENFORCE && is_another)
        end_waits(relay, domain, caused, sizeof caused / sizeof *caused);
}

void policy_waits_end(struct relay *relay, struct slice domain)
{
    end_waits(relay, domain, caused, sizeof caused / sizeof *caused);
    end_waits(relay, domain, unknown, sizeof unknown / sizeof *unknown);
}

/* Without memory each waits until its time. That all are due at once does no harm: the scheduler begins with one connection. */
static void end_waits(struct relay *relay, struct slice domain, const char *const *reasons, size_t count)
{
    struct destination *destination = schedule_destination(relay->schedule, domain);
    if (destination == NULL)
        return;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(destination->reason, reasons[i]) == 0)
            destination_proven(destination); /* forgets the wait, also on the disk */
        rewind_release(relay->schedule, domain, slice_of(reasons[i]));
    }
    schedule_wake(relay->schedule, domain);
}

/* ---- new mail ---- */

static bool waits_for_policy(const struct destination *destination)
{
    for (size_t i = 0; i < sizeof caused / sizeof *caused; i++) {
        if (strcmp(destination->reason, caused[i]) == 0)
            return destination->not_before_ms > clock_wall_ms();
    }
    return false;
}

void policy_waits_arrived(struct destination *destination)
{
    struct policy_look *look = &destination->look;
    if (!waits_for_policy(destination) || look->state == POLICY_LOOK_ASKING)
        return;
    if (look->state == POLICY_LOOK_NONE)
        timer_start(&look->timer, 0, on_look);
    look->state = POLICY_LOOK_WANTED;
}

static void on_look(struct timer *timer)
{
    struct destination *destination = LIST_OF(timer, struct destination, look.timer);
    struct policy_look *look = &destination->look;
    struct relay *relay = destination->schedule->relay;
    struct slice domain = config_policy_domain(relay->config, destination->name, SLICE_EMPTY);
    bool looks = look->state == POLICY_LOOK_WANTED && waits_for_policy(destination) && domain.length > 0;
    if (!looks || destination->schedule->is_stopping) {
        look->state = POLICY_LOOK_NONE;
        schedule_wake(destination->schedule, destination->name);
        return;
    }
    look->state = POLICY_LOOK_ASKING;
    look->request = (struct finder_request){.done = on_looked};
    finder_start(relay->finder, &look->request, domain, STS_LOOKUP_RENEW);
}

/* If it has changed, the finder has stored that, and the wait is over already. */
static void on_looked(struct finder_request *request, const struct finding *finding)
{
    struct destination *destination = LIST_OF(request, struct destination, look.request);
    (void)finding;
    destination->look.state = POLICY_LOOK_RESTING;
    timer_start(&destination->look.timer, LOOK_AGAIN_MS, on_look);
}

void policy_waits_cancel(struct destination *destination)
{
    struct policy_look *look = &destination->look;
    if (look->state == POLICY_LOOK_ASKING)
        finder_cancel(destination->schedule->relay->finder, &look->request);
    timer_cancel(&look->timer);
}
