/* The policy cache as the administrator sees it: `policy list`, `show`, `refresh`. */
#include "relay/control_policy.h"

#define ENTRIES_PER_STEP 32
#define DOMAIN_MAX 1024

struct lister {
    struct buffer after;
};
struct refreshing {
    struct control_session *session;
    struct slice domain;
    struct finder_request request;
};

static void start_list(struct control_session *session);
static void step_list(struct control_session *session);
static void cancel_list(struct control_session *session);
static void start_show(struct control_session *session);
static void start_refresh(struct control_session *session);
static void cancel_refresh(struct control_session *session);
static void on_found(struct finder_request *request, const struct finding *finding);

const struct control_command control_policy_list = {
    .name = "policy list", .state_size = sizeof(struct lister), .start = start_list, .step = step_list, .cancel = cancel_list};
const struct control_command control_policy_show = {.name = "policy show", .start = start_show};
const struct control_command control_policy_refresh = {
    .name = "policy refresh", .state_size = sizeof(struct refreshing), .start = start_refresh, .cancel = cancel_refresh};

bool control_policy_domain(struct control_session *session, struct slice *domain)
{
    struct slice text = control_text(session, "domain");
    *domain = control_domain(session, text);
    if (domain->length > 0 && !slice_has(*domain, '['))
        return true;
    control_fail(session, CONTROL_USAGE, "\"%.*s\" is no domain", SLICE_ARGS(slice_to(text, 300)));
    return false;
}

enum err control_policy_get(struct control_session *session, struct slice domain, struct sts_entry *entry)
{
    struct slice bytes;
    enum err err = queue_policy_get(session->relay->queue, domain, session->scratch, &bytes);
    return err == ERR_NONE ? sts_entry_decode(bytes, session->scratch, entry) : err;
}

/* ---- what is said of an entry ---- */

static void add_failure(struct json *answer, const struct sts_entry *entry)
{
    if (entry->failure_count == 0)
        return;
    json_set_text(answer, "failure", entry->failure);
    json_set_number(answer, "failures", entry->failure_count);
    control_set_time(answer, "failed", entry->failed_ms);
    control_set_time(answer, "failing_since", entry->failing_since_ms);
}

static struct json *describe(const struct relay *relay, struct slice domain, const struct sts_entry *entry)
{
    struct json *answer = json_object_new();
    json_set_text(answer, "domain", domain);
    json_set_string(answer, "mode", entry->has_policy ? sts_mode_name(entry->policy.mode) : "none");
    json_set_flag(answer, "in_force", sts_entry_is_live(entry, steady_now_ms(&relay->steady)));
    if (sts_entry_is_overdue(entry, steady_now_ms(&relay->steady)))
        json_set_flag(answer, "overdue", true);
    if (sts_entry_has_lapsed(entry, steady_now_ms(&relay->steady)))
        json_set_flag(answer, "lapsed", true);
    if (entry->has_policy) {
        json_set_string(answer, "id", entry->id);
        json_set_number(answer, "max_age", entry->policy.max_age_s);
        control_set_time(answer, "fetched", entry->fetched_ms);
        control_set_time(answer, "expires", sts_entry_expires_ms(entry));
        control_set_time(answer, "refresh", entry->refresh_ms);
        struct json *patterns = json_array_new();
        for (size_t i = 0; i < entry->policy.mx_count; i++)
            json_append_text(patterns, entry->policy.mx[i]);
        json_set(answer, "mx", &patterns);
    }
    control_set_time(answer, "used", entry->used_ms);
    if (entry->record_gone)
        json_set_flag(answer, "record_gone", true);
    add_failure(answer, entry);
    if (sts_entry_is_exempt(entry, steady_latest_ms(&relay->steady))) {
        control_set_time(answer, "exempt_until", entry->exempt_until_ms);
        json_set_text(answer, "exempt_reason", entry->exempt_reason);
        json_set_string(answer, "exempt_level", sts_exempt_level_name(entry->exempt_level));
    }
    return answer;
}

/* ---- list ---- */

static void start_list(struct control_session *session)
{
    struct lister *lister = session->own;
    buffer_init(&lister->after, DOMAIN_MAX);
    control_go_on(session);
}

static void cancel_list(struct control_session *session)
{
    struct lister *lister = session->own;
    buffer_free(&lister->after);
}

static bool visit(void *owner, struct slice domain, struct slice bytes)
{
    struct control_session *session = owner;
    struct sts_entry entry;
    arena_reset(session->scratch);
    enum err err = sts_entry_decode(bytes, session->scratch, &entry);
    struct json *answer;
    if (err == ERR_NONE) {
        answer = describe(session->relay, domain, &entry);
    } else {
        answer = json_object_new();
        json_set_text(answer, "domain", domain);
        json_set_string(answer, "unreadable", err_text(err));
    }
    control_answer(session, &answer);
    return true;
}

static void step_list(struct control_session *session)
{
    struct lister *lister = session->own;
    enum err err = queue_list_policies(session->relay->queue, &lister->after, ENTRIES_PER_STEP, visit, session);
    if (err == ERR_NONE) {
        control_go_on(session);
        return;
    }
    cancel_list(session);
    if (err == ERR_END)
        control_done(session, CONTROL_DONE);
    else
        control_fail(session, CONTROL_IO, "the policies cannot be read: %s", err_text(err));
}

/* ---- show ---- */

static void start_show(struct control_session *session)
{
    struct sts_entry entry;
    struct slice domain;
    if (!control_policy_domain(session, &domain))
        return;
    enum err err = control_policy_get(session, domain, &entry);
    if (err == ERR_NOT_FOUND) {
        control_fail(session, CONTROL_NO, "nothing is known of a policy of %.*s", SLICE_ARGS(domain));
    } else if (err != ERR_NONE) {
        control_fail(session, CONTROL_IO, "what is known of %.*s cannot be read: %s", SLICE_ARGS(domain), err_text(err));
    } else {
        struct json *answer = describe(session->relay, domain, &entry);
        if (entry.has_policy) {
            json_set_text(answer, "body", entry.body);
            json_set_number(answer, "body_size", entry.body_size);
        }
        control_answer(session, &answer);
        control_done(session, CONTROL_DONE);
    }
}

/* ---- refresh ---- */

static void start_refresh(struct control_session *session)
{
    struct refreshing *refreshing = session->own;
    if (!control_policy_domain(session, &refreshing->domain))
        return;
    refreshing->session = session;
    refreshing->request.done = on_found;
    finder_start(session->relay->finder, &refreshing->request, refreshing->domain, STS_LOOKUP_REFRESH);
}

static void cancel_refresh(struct control_session *session)
{
    struct refreshing *refreshing = session->own;
    finder_cancel(session->relay->finder, &refreshing->request);
}

static void on_found(struct finder_request *request, const struct finding *finding)
{
    struct refreshing *refreshing = LIST_OF(request, struct refreshing, request);
    const struct sts_lookup_result *result = &finding->result;
    struct json *answer = describe(refreshing->session->relay, refreshing->domain, &result->entry);
    json_set_string(answer, "source", sts_source_name(result->source));
    json_set_flag(answer, "changed", result->changed);
    if (result->why.length > 0)
        json_set_text(answer, "why", result->why);
    control_answer(refreshing->session, &answer);
    if (result->changed)
        control_note(refreshing->session, "mail that waited for the policy of before is tried now");
    control_done(refreshing->session, result->has_policy && !result->fetch_failed ? CONTROL_DONE : CONTROL_NO);
}
