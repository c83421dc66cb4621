#include "relay/metrics.h"

#include <string.h>

/* A series with its bound as it is printed: the canonical form of OpenMetrics. */
struct bucket {
    uint64_t bound;
    const char *text;
};
struct histogram {
    const char *name, *help;
    size_t offset;
    uint64_t unit;
    struct bucket buckets[METRICS_BUCKETS_MAX]; /* ends with a bound of 0 */
};
struct counter {
    const char *name, *label, *help;
    size_t offset;
};

static const struct counter counters[] = {
#define X(name, series, label, help) {series, label, help, offsetof(struct metrics, name)},
    METRICS_LIST(X)
#undef X
};
static const struct counter reason_counters[] = {
#define X(name, series, help) {series, "reason", help, offsetof(struct metrics, name)},
    METRICS_BY_REASON_LIST(X)
#undef X
};
static const char *const reasons[] = {
#define X(name) #name,
    METRICS_REASON_LIST(X)
#undef X
};

static const char *const refusals[] = {
#define X(name) #name,
    METRICS_REFUSAL_LIST(X)
#undef X
};

#define BOUNDS_delay_ms                                                                                                \
    {                                                                                                                  \
        {1000, "1.0"}, {5000, "5.0"}, {15000, "15.0"}, {60000, "60.0"}, {300000, "300.0"}, {900000, "900.0"},          \
            {3600000, "3600.0"}, {14400000, "14400.0"}, {86400000, "86400.0"}, {259200000, "259200.0"}                 \
    }
#define BOUNDS_batch                                                                                                   \
    {                                                                                                                  \
        {1, "1.0"}, {2, "2.0"}, {5, "5.0"}, {10, "10.0"}, {20, "20.0"}, {50, "50.0"}, {100, "100.0"}, {200, "200.0"},  \
            {500, "500.0"}, {1000, "1000.0"}                                                                           \
    }
#define BOUNDS_commit_us                                                                                               \
    {                                                                                                                  \
        {500, "0.0005"}, {1000, "0.001"}, {2500, "0.0025"}, {5000, "0.005"}, {10000, "0.01"}, {25000, "0.025"},        \
            {50000, "0.05"}, {100000, "0.1"}, {250000, "0.25"}, {1000000, "1.0"}, {5000000, "5.0"}                     \
    }
static const struct histogram histograms[] = {
#define X(name, series, unit, help) {series, help, offsetof(struct metrics, name), unit, BOUNDS_##name},
    METRICS_HISTOGRAM_LIST(X)
#undef X
};

static void print_head(struct buffer *out, enum metrics_format format, const struct counter *counter);
static void print_histogram(struct buffer *out, const struct histogram *histogram, const struct metrics_histogram *values);
static void print_gauges(struct buffer *out, const struct metrics_gauges *gauges);

uint64_t *metrics_of_reason(uint64_t counters_of[METRICS_REASON_COUNT], struct slice reason)
{
    for (size_t i = 0; i < METRICS_REASON_COUNT; i++) {
        if (slice_equal(reason, slice_of(reasons[i])))
            return &counters_of[i];
    }
    return &counters_of[METRICS_REASON_internal];
}

const char *metrics_refusal_word(enum metrics_refusal refusal)
{
    return refusals[refusal];
}

uint64_t metrics_count(const struct metrics_histogram *histogram)
{
    uint64_t count = 0;
    for (size_t i = 0; i < METRICS_BUCKETS_MAX + 1; i++)
        count += histogram->counts[i];
    return count;
}

static size_t bucket_of(const struct histogram *histogram, uint64_t value)
{
    for (size_t i = 0; i < METRICS_BUCKETS_MAX && histogram->buckets[i].bound > 0; i++) {
        if (value <= histogram->buckets[i].bound)
            return i;
    }
    return METRICS_BUCKETS_MAX;
}

void metrics_observe(struct metrics *metrics, enum metrics_histogram_kind kind, int64_t value)
{
    const struct histogram *histogram = &histograms[kind];
    struct metrics_histogram *values = (void *)((char *)metrics + histogram->offset);
    uint64_t counted = value < 0 ? 0 : (uint64_t)value;
    values->counts[bucket_of(histogram, counted)]++;
    values->sum += counted;
}

/* ---- as text ---- */

static uint64_t value_at(const struct metrics *metrics, size_t offset)
{
    uint64_t value;
    memcpy(&value, (const char *)metrics + offset, sizeof value);
    return value;
}

static void print_refusals(struct buffer *out, enum metrics_format format, const struct metrics *metrics)
{
    static const struct counter counter = {"sternpost_refusals_total", "reason", "Refusals at the SMTP door by reason", 0};
    print_head(out, format, &counter);
    for (size_t i = 0; i < METRICS_REFUSAL_COUNT; i++)
        buffer_print(out, "%s{reason=\"%s\"} %llu\n", counter.name, refusals[i], (unsigned long long)metrics->refusals[i]);
}

void metrics_print(const struct metrics *metrics, const struct metrics_gauges *gauges, enum metrics_format format,
                   struct buffer *out)
{
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++) {
        const struct counter *counter = &counters[i];
        bool has_label = counter->label[0] != '\0';
        if (i == 0 || strcmp(counters[i - 1].name, counter->name) != 0)
            print_head(out, format, counter);
        buffer_print(out, "%s%s%s%s %llu\n", counter->name, has_label ? "{" : "", counter->label, has_label ? "}" : "",
                     (unsigned long long)value_at(metrics, counter->offset));
    }
    for (size_t i = 0; i < sizeof reason_counters / sizeof reason_counters[0]; i++) {
        const struct counter *counter = &reason_counters[i];
        print_head(out, format, counter);
        for (size_t j = 0; j < METRICS_REASON_COUNT; j++)
            buffer_print(out, "%s{reason=\"%s\"} %llu\n", counter->name, reasons[j],
                         (unsigned long long)value_at(metrics, counter->offset + j * sizeof(uint64_t)));
    }
    print_refusals(out, format, metrics);
    for (size_t i = 0; i < sizeof histograms / sizeof histograms[0]; i++)
        print_histogram(out, &histograms[i], (const void *)((const char *)metrics + histograms[i].offset));
    print_gauges(out, gauges);
    if (format == METRICS_OPENMETRICS)
        buffer_add(out, SLICE("# EOF\n"));
}

/* In OpenMetrics the family of a counter is named without the "_total" of its series. */
static void print_head(struct buffer *out, enum metrics_format format, const struct counter *counter)
{
    size_t length = strlen(counter->name) - (format == METRICS_OPENMETRICS ? strlen("_total") : 0);
    buffer_print(out, "# HELP %.*s %s.\n", (int)length, counter->name, counter->help);
    buffer_print(out, "# TYPE %.*s counter\n", (int)length, counter->name);
}

static void print_histogram(struct buffer *out, const struct histogram *histogram, const struct metrics_histogram *values)
{
    const char *name = histogram->name;
    unsigned long long count = 0, all = metrics_count(values);
    buffer_print(out, "# HELP %s %s.\n# TYPE %s histogram\n", name, histogram->help, name);
    for (size_t i = 0; i < METRICS_BUCKETS_MAX && histogram->buckets[i].bound > 0; i++) {
        count += values->counts[i];
        buffer_print(out, "%s_bucket{le=\"%s\"} %llu\n", name, histogram->buckets[i].text, count);
    }
    buffer_print(out, "%s_bucket{le=\"+Inf\"} %llu\n%s_count %llu\n", name, all, name, all);
    buffer_print(out, "%s_sum %llu.%06llu\n", name, (unsigned long long)(values->sum / histogram->unit),
                 (unsigned long long)(values->sum % histogram->unit * (1000000 / histogram->unit)));
}

static void print_gauge(struct buffer *out, const char *name, const char *help, uint64_t value)
{
    buffer_print(out, "# HELP %s %s.\n# TYPE %s gauge\n%s %llu\n", name, help, name, name, (unsigned long long)value);
}

static void print_leap(struct buffer *out, int64_t leap_ms)
{
    static const char name[] = "sternpost_clock_leap_seconds";
    buffer_print(out, "# HELP %s How far the wall clock has leapt ahead of the time that has passed, or back (negative).\n", name);
    buffer_print(out, "# TYPE %s gauge\n%s %lld\n", name, name, (long long)(leap_ms / 1000));
}

static void print_policies(struct buffer *out, const struct metrics_gauges *gauges)
{
    static const char *const modes[] = {"none", "testing", "enforce"};
    buffer_add(out, SLICE("# HELP sternpost_policies Live policies in the cache by mode.\n# TYPE sternpost_policies gauge\n"));
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
        buffer_print(out, "sternpost_policies{mode=\"%s\"} %llu\n", modes[i], (unsigned long long)gauges->policies[i]);
}

static void print_gauges(struct buffer *out, const struct metrics_gauges *gauges)
{
    print_gauge(out, "sternpost_queue_messages", "Messages in the queue", gauges->queue_messages);
    print_gauge(out, "sternpost_queue_bytes", "Bytes of content in the queue", gauges->queue_bytes);
    print_gauge(out, "sternpost_queue_entries", "Entries (message and destination) that wait", gauges->queue_entries);
    print_gauge(out, "sternpost_queue_oldest_age_seconds", "Age of the oldest message", (uint64_t)(gauges->oldest_age_ms / 1000));
    print_gauge(out, "sternpost_sessions_in", "Inbound sessions now", gauges->connections_in);
    print_gauge(out, "sternpost_deliveries", "Deliveries now", gauges->connections_out);
    print_gauge(out, "sternpost_ready", "1 when mail can be taken and delivered", gauges->ready ? 1 : 0);
    print_gauge(out, "sternpost_start_time_seconds", "When the relay started, since 1970", (uint64_t)(gauges->started_ms / 1000));
    print_leap(out, gauges->clock_leap_ms);
    print_policies(out, gauges);
    print_gauge(out, "sternpost_policies_failing", "Live policies (but mode none) whose last refresh failed", gauges->policies_failing);
    print_gauge(out, "sternpost_policies_overdue", "Live enforced policies in use that were not refreshed in time", gauges->policies_overdue);
    print_gauge(out, "sternpost_policy_cache_bytes", "Size of the policy cache", gauges->policy_cache_bytes);
    buffer_add(out, SLICE("# HELP sternpost_build_info Always 1; the version is its label.\n# TYPE sternpost_build_info gauge\n"
                          "sternpost_build_info{version=\"" STERNPOST_VERSION "\"} 1\n"));
}
