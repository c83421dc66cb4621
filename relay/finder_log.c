#include "relay/finder_internal.h"

#include "base/text.h"
#include "relay/relay.h"

static void log_event(struct finder *finder, enum log_level level, const char *event, struct slice domain,
                      const struct sts_lookup_result *result);

void finder_log_result(struct finder *finder, struct slice domain, enum sts_lookup_purpose purpose,
                       const struct sts_lookup_result *result)
{
    struct metrics *metrics = &finder->relay->metrics;
    bool kept = result->source == STS_SOURCE_KEPT;
    if (result->source == STS_SOURCE_FRESH)
        log_event(finder, LOG_INFO, "policy_fetched", domain, result);
    if (result->changed) {
        metrics->policy_changed++;
        log_event(finder, LOG_INFO, "policy_changed", domain, result);
    }
    if (result->weakened) {
        metrics->policy_weakened++;
        log_event(finder, LOG_WARNING, "policy_weakened", domain, result);
    }
    if (kept) {
        metrics->policy_kept++;
        log_event(finder, LOG_WARNING, "policy_kept", domain, result);
    }
    if (result->record_gone) {
        metrics->policy_record_gone++;
        log_event(finder, LOG_WARNING, "policy_record_gone", domain, result);
    }
    if (purpose == STS_LOOKUP_REFRESH && result->fetch_failed) {
        metrics->policy_refresh_failed++;
        /* RFC 8461 10.2: no alarm for a policy that is being withdrawn. */
        if (result->entry.policy.mode != STS_MODE_NONE)
            log_event(finder, LOG_WARNING, "policy_refresh_failed", domain, result);
    } else if (result->source == STS_SOURCE_UNAVAILABLE || result->source == STS_SOURCE_UNKNOWN ||
               result->source == STS_SOURCE_UNREADABLE) {
        log_event(finder, LOG_WARNING, "policy_unavailable", domain, result);
    }
}

static void log_event(struct finder *finder, enum log_level level, const char *event, struct slice domain,
                      const struct sts_lookup_result *result)
{
    struct log_line line;
    char until[32];
    if (!log_open(&line, finder->relay->log, level, event))
        return;
    log_text(&line, "domain", domain);
    log_string(&line, "source", sts_source_name(result->source));
    if (result->entry.has_policy) {
        log_string(&line, "mode", sts_mode_name(result->entry.policy.mode));
        log_text(&line, "policy_id", slice_of(result->entry.id));
        log_number(&line, "max_age", result->entry.policy.max_age_s);
        log_text(&line, "expires", text_date_iso(sts_entry_expires_ms(&result->entry), until));
    }
    log_text(&line, "record_id", result->record_id);
    log_number(&line, "failures", result->entry.failure_count);
    log_text(&line, "why", result->why);
    if (level == LOG_WARNING && result->has_policy && result->fetch_failed)
        log_string(&line, "advice", "the policy stays in force until it expires; if this lasts, ask the domain's postmaster");
    log_close(&line);
}
