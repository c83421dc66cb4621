/* Counters and distributions, and the two texts they become. That another implementation can read those is shown by the
 * live tests. */
#include "relay/metrics.h"
#include "test/unit/check.h"

#include <string.h>

static struct buffer printed;

static struct slice print(const struct metrics *metrics, enum metrics_format format)
{
    struct metrics_gauges gauges = {
        .queue_messages = 3, .oldest_age_ms = 61999, .clock_leap_ms = -90000, .policies = {1, 2, 4}, .started_ms = 1700000000999, .ready = true};
    buffer_clear(&printed);
    metrics_print(metrics, &gauges, format, &printed);
    assert_false(buffer_failed(&printed));
    return buffer_slice(&printed);
}

static void expect_line(const char *name, struct slice text, const char *expected)
{
    struct slice line;
    while (slice_cut(&text, '\n', &line)) {
        if (slice_equal(line, slice_of(expected)))
            return;
    }
    fail_msg("%s: there is no line %s", name, expected);
}

static void test_counters(void **state)
{
    (void)state;
    struct metrics metrics = {.accepted = 7, .policy_failed = UINT64_MAX};
    (*metrics_of_reason(metrics.bounced, SLICE("reply")))++;
    (*metrics_of_reason(metrics.bounced, SLICE("policy")))++;
    (*metrics_of_reason(metrics.bounced, SLICE("something else")))++;
    (*metrics_of_reason(metrics.bounced, SLICE_EMPTY))++;
    struct slice text = print(&metrics, METRICS_PROMETHEUS);
    expect_line("plain", text, "sternpost_messages_accepted_total 7");
    expect_line("labels", text, "sternpost_policy_fetches_total{result=\"failed\"} 18446744073709551615");
    expect_line("reason", text, "sternpost_recipients_bounced_total{reason=\"reply\"} 1");
    expect_line("unknown reasons", text, "sternpost_recipients_bounced_total{reason=\"internal\"} 2");
    expect_line("none", text, "sternpost_recipients_deferred_total{reason=\"dns\"} 0");
    expect_line("age", text, "sternpost_queue_oldest_age_seconds 61");
    expect_line("leap", text, "sternpost_clock_leap_seconds -90");
    expect_line("mode", text, "sternpost_policies{mode=\"enforce\"} 4");
    expect_line("start", text, "sternpost_start_time_seconds 1700000000");
}

static void test_distributions(void **state)
{
    (void)state;
    static const int64_t values[] = {-5, 0, 1000, 1001, 5000, 259200000, 259200001};
    struct metrics metrics = {0};
    for (size_t i = 0; i < COUNT_OF(values); i++)
        metrics_observe(&metrics, METRICS_HISTOGRAM_delay_ms, values[i]);
    metrics_observe(&metrics, METRICS_HISTOGRAM_commit_us, 1500042);
    assert_int_equal(metrics_count(&metrics.delay_ms), COUNT_OF(values));
    struct slice text = print(&metrics, METRICS_OPENMETRICS);
    expect_line("bounds are inside", text, "sternpost_delivery_delay_seconds_bucket{le=\"1.0\"} 3");
    expect_line("buckets hold those below", text, "sternpost_delivery_delay_seconds_bucket{le=\"5.0\"} 5");
    expect_line("the last bound", text, "sternpost_delivery_delay_seconds_bucket{le=\"259200.0\"} 6");
    expect_line("above all", text, "sternpost_delivery_delay_seconds_bucket{le=\"+Inf\"} 7");
    expect_line("count", text, "sternpost_delivery_delay_seconds_count 7");
    expect_line("sum", text, "sternpost_delivery_delay_seconds_sum 518407.002000");
    expect_line("microseconds", text, "sternpost_journal_commit_seconds_sum 1.500042");
    expect_line("no value", text, "sternpost_journal_batch_size_sum 0.000000");
}

static void test_formats(void **state)
{
    (void)state;
    struct metrics metrics = {0};
    struct slice text = print(&metrics, METRICS_PROMETHEUS);
    expect_line("family of a counter", text, "# TYPE sternpost_messages_accepted_total counter");
    assert_false(slice_ends(text, SLICE("# EOF\n")));
    text = print(&metrics, METRICS_OPENMETRICS);
    expect_line("family of a counter", text, "# TYPE sternpost_messages_accepted counter");
    expect_line("series of a counter", text, "sternpost_messages_accepted_total 0");
    assert_true(slice_ends(text, SLICE("\n# EOF\n")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counters),
        cmocka_unit_test(test_distributions),
        cmocka_unit_test(test_formats),
    };
    buffer_init(&printed, 1u << 20);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buffer_free(&printed);
    return failed;
}
