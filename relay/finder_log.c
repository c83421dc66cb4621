#include "relay/finder_internal.h"

#include "base/text.h"
#include "relay/relay.h"

static void log_event(struct finder *finder, enum log_level level, const char *name, const struct finder_event *event);
static void tell_state(struct finder *finder, const struct finder_event *event);

/* RFC 8461 10.2: long before an enforced policy runs out. It is refreshed from half of its time on at the latest, so
 * that all of the other half is left. */
static bool is_running_out(const struct sts_lookup_result *result, int64_t now_ms)
{
    const struct sts_entry *entry = &result->entry;
    int64_t left_ms = sts_entry_expires_ms(entry) - now_ms;
    return result->has_policy && entry->policy.mode == STS_MODE_ENFORCE &&
           left_ms * 2 <= entry->policy.max_age_s * 1000ll;
}

static void log_refresh_failed(struct finder *finder, const struct finder_event *event)
{
    struct metrics *metrics = &finder->relay->metrics;
    metrics->policy_refresh_failed++;
    /* RFC 8461 10.2: no alarm for a policy that is being withdrawn. */
    if (event->result->entry.policy.mode == STS_MODE_NONE)
        return;
    log_event(finder, LOG_WARNING, "policy_refresh_failed", event);
    if (is_running_out(event->result, steady_now_ms(&finder->relay->steady))) {
        metrics->policy_expiring++;
        log_event(finder, LOG_WARNING, "policy_expiring", event);
    }
}

void finder_log_result(struct finder *finder, const struct finder_event *event)
{
    struct metrics *metrics = &finder->relay->metrics;
    const struct sts_lookup_result *result = event->result;
    if (result->source == STS_SOURCE_FRESH)
        log_event(finder, LOG_INFO, "policy_fetched", event);
    if (result->changed) {
        metrics->policy_changed++;
        log_event(finder, LOG_INFO, "policy_changed", event);
    }
    if (result->weakened) {
        metrics->policy_weakened++;
        log_event(finder, LOG_WARNING, "policy_weakened", event);
    }
    if (result->source == STS_SOURCE_KEPT) {
        metrics->policy_kept++;
        log_event(finder, LOG_WARNING, "policy_kept", event);
    }
    /* Told when it is first missed, and then with each refresh; each use of the policy tells that it is kept. */
    if (result->record_gone &&
        (event->before == NULL || !event->before->record_gone || event->purpose == STS_LOOKUP_REFRESH)) {
        metrics->policy_record_gone++;
        log_event(finder, LOG_WARNING, "policy_record_gone", event);
    }
    if (event->purpose == STS_LOOKUP_REFRESH && result->fetch_failed) {
        log_refresh_failed(finder, event);
    } else if (result->source == STS_SOURCE_UNAVAILABLE || result->source == STS_SOURCE_UNKNOWN ||
               result->source == STS_SOURCE_UNREADABLE) {
        metrics->policy_unavailable++;
        log_event(finder, LOG_WARNING, "policy_unavailable", event);
    }
    tell_state(finder, event);
}

/* ---- once a policy ---- */

static void log_state(struct finder *finder, const char *name, struct slice domain, const struct sts_entry *entry)
{
    struct log_line line;
    char time[32];
    bool is_over = sts_entry_has_lapsed(entry, steady_now_ms(&finder->relay->steady));
    if (!log_open(&line, finder->relay->log, LOG_WARNING, name))
        return;
    log_text(&line, "domain", domain);
    log_string(&line, "mode", sts_mode_name(entry->policy.mode));
    log_text(&line, "policy_id", slice_of(entry->id));
    log_number(&line, "max_age", entry->policy.max_age_s);
    log_text(&line, "fetched", text_date_iso(entry->fetched_ms, time));
    log_text(&line, is_over ? "expired" : "expires", text_date_iso(sts_entry_expires_ms(entry), time));
    log_number(&line, "failures", entry->failure_count);
    if (entry->failing_since_ms != 0)
        log_text(&line, "failing_since", text_date_iso(entry->failing_since_ms, time));
    log_text(&line, "why",
             entry->failure_count > 0 ? entry->failure
                                      : SLICE("none was tried since it was due: the relay did not run, or others went first"));
    log_string(&line, "advice",
               is_over ? "its mail goes as if there were no policy until one can be fetched again: find out why its policy "
                         "host cannot be reached from here, or ask its postmaster; policy refresh DOMAIN tries again"
                       : "find out why its policy host cannot be reached from here (a firewall, an attacker), or ask its "
                         "postmaster, before the policy expires; policy refresh DOMAIN tries again");
    log_close(&line);
}

void finder_tell_overdue(struct finder *finder, struct slice domain, struct sts_entry *entry)
{
    entry->is_overdue_told = true;
    finder->relay->metrics.policy_overdue++;
    log_state(finder, "policy_refresh_overdue", domain, entry);
}

void finder_tell_lapsed(struct finder *finder, struct slice domain, struct sts_entry *entry)
{
    entry->is_lapse_told = true;
    finder->relay->metrics.policy_lapsed++;
    log_state(finder, "policy_lapsed", domain, entry);
}

/* What the walk over the cache tells too, where a lookup comes first. Mail that waits does not go without its policy. */
static void tell_state(struct finder *finder, const struct finder_event *event)
{
    struct sts_lookup_result *result = event->result;
    struct sts_entry *entry = &result->entry;
    int64_t now_ms = steady_now_ms(&finder->relay->steady);
    if (result->source == STS_SOURCE_NONE || result->source == STS_SOURCE_UNAVAILABLE) {
        if (!entry->is_lapse_told && sts_entry_has_lapsed(entry, now_ms)) {
            finder_tell_lapsed(finder, event->domain, entry);
            result->store = true;
        }
    } else if (result->fetch_failed && !entry->is_overdue_told && sts_entry_is_overdue(entry, now_ms)) {
        finder_tell_overdue(finder, event->domain, entry);
        result->store = true;
    }
}

static const char *advice_of(const char *name, const struct sts_lookup_result *result)
{
    if (slice_equal(slice_of(name), SLICE("policy_expiring")))
        return "when it has expired mail for the domain goes unprotected: find out why its policy host cannot be "
               "reached from here "
               "(a firewall, an attacker), or ask its postmaster; policy refresh DOMAIN tries again";
    if (slice_equal(slice_of(name), SLICE("policy_weakened")))
        return "its domain no longer asks to hold mail that cannot be protected; if that is a surprise, ask its "
               "postmaster";
    if (slice_equal(slice_of(name), SLICE("policy_record_gone")))
        return "the policy binds until it expires all the same; a domain that gives up MTA-STS publishes mode none "
               "first";
    if (result->has_policy && result->fetch_failed)
        return "the policy stays in force until it expires; if this lasts, ask the domain's postmaster";
    return "";
}

static void log_event(struct finder *finder, enum log_level level, const char *name, const struct finder_event *event)
{
    const struct sts_lookup_result *result = event->result;
    const struct sts_entry *entry = &result->entry;
    struct log_line line;
    char time[32];
    if (!log_open(&line, finder->relay->log, level, name))
        return;
    log_text(&line, "domain", event->domain);
    log_string(&line, "source", sts_source_name(result->source));
    if (entry->has_policy) {
        log_string(&line, "mode", sts_mode_name(entry->policy.mode));
        log_text(&line, "policy_id", slice_of(entry->id));
        log_number(&line, "max_age", entry->policy.max_age_s);
        log_text(&line, "expires", text_date_iso(sts_entry_expires_ms(entry), time));
    }
    if (result->changed)
        log_string(&line, "mode_before", sts_mode_name(event->before->policy.mode));
    log_text(&line, "record_id", result->record_id);
    log_number(&line, "failures", entry->failure_count);
    if (entry->failing_since_ms != 0)
        log_text(&line, "failing_since", text_date_iso(entry->failing_since_ms, time));
    log_text(&line, "why", result->why);
    if (level == LOG_WARNING)
        log_string(&line, "advice", advice_of(name, result));
    log_close(&line);
}
