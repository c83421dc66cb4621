/* What the administrator does to the policy cache: `policy forget`, `policy exempt`. A lookup that is under way has read the cache
 * before and may write over the change; so the change waits for it, and is made again where one began before it was on disk. */
#include "relay/control_policy.h"

#include "base/text.h"
#include "relay/policy_waits.h"
#include "relay/relay.h"

#define ROUNDS_MAX 10

struct changing {
    struct control_session *session;
    struct slice domain;
    bool is_forget;
    struct finder_exemption exemption; /* to be */
    unsigned rounds;
    struct finder_request request; /* waits for the lookup that is under way */
    struct queue_change nothing;
};

static void start_forget(struct control_session *session);
static void start_exempt(struct control_session *session);
static void cancel(struct control_session *session);
static void go_on(struct changing *changing);
static void on_found(struct finder_request *request, const struct finding *finding);
static void on_stored(struct control_session *session, enum err err);
static void finish(struct changing *changing);

const struct control_command control_policy_forget = {
    .name = "policy forget", .state_size = sizeof(struct changing), .start = start_forget, .cancel = cancel};
const struct control_command control_policy_exempt = {
    .name = "policy exempt", .state_size = sizeof(struct changing), .start = start_exempt, .cancel = cancel};

static void start_forget(struct control_session *session)
{
    struct changing *changing = session->own;
    struct sts_entry entry;
    changing->session = session;
    changing->is_forget = true;
    if (!control_policy_domain(session, &changing->domain))
        return;
    if (control_policy_get(session, changing->domain, &entry) == ERR_NOT_FOUND)
        control_fail(session, CONTROL_NO, "nothing is known of a policy of %.*s", SLICE_ARGS(changing->domain));
    else
        go_on(changing);
}

/* until_ms 0. */
static void end_exemption(struct changing *changing)
{
    struct sts_entry entry;
    if (control_policy_get(changing->session, changing->domain, &entry) == ERR_NONE &&
        sts_entry_is_exempt(&entry, steady_latest_ms(&changing->session->relay->steady)))
        go_on(changing);
    else
        control_fail(changing->session, CONTROL_NO, "%.*s is not exempt from its policy", SLICE_ARGS(changing->domain));
}

static void start_exempt(struct control_session *session)
{
    struct changing *changing = session->own;
    struct slice until = control_text(session, "until");
    changing->session = session;
    struct slice level = control_text(session, "level");
    changing->exemption.reason = control_text(session, "reason");
    changing->exemption.level = STS_EXEMPT_PLAIN; /* what an exemption meant before it had levels */
    if (!control_policy_domain(session, &changing->domain))
        return;
    if (slice_equal(until, SLICE("now")))
        end_exemption(changing);
    else if (until.length == 0 || changing->exemption.reason.length == 0)
        control_fail(session, CONTROL_USAGE, "an exemption needs --until DATE and --reason TEXT");
    else if (text_date_parse(until, &changing->exemption.until_ms) != ERR_NONE)
        control_fail(session, CONTROL_USAGE, "\"%.*s\" is no date such as 2026-12-01", SLICE_ARGS(slice_to(until, 64)));
    else if (changing->exemption.until_ms <= clock_wall_ms())
        control_fail(session, CONTROL_USAGE, "%.*s is past", SLICE_ARGS(until));
    else if (level.length > 0 && !sts_exempt_level_parse(level, &changing->exemption.level))
        control_fail(session, CONTROL_USAGE, "\"%.*s\" is no level: any-host, encrypt or plain", SLICE_ARGS(slice_to(level, 64)));
    else
        go_on(changing);
}

static void cancel(struct control_session *session)
{
    struct changing *changing = session->own;
    if (changing->request.done != NULL)
        finder_cancel(session->relay->finder, &changing->request);
}

/* A lookup for a delivery joins whatever lookup is under way. */
static void go_on(struct changing *changing)
{
    struct finder *finder = changing->session->relay->finder;
    if (finder_is_busy(finder, changing->domain)) {
        changing->request = (struct finder_request){.done = on_found};
        finder_start(finder, &changing->request, changing->domain, STS_LOOKUP_DELIVERY);
        return;
    }
    enum err err = ERR_NONE;
    if (changing->is_forget)
        finder_forget(finder, changing->domain);
    else
        err = finder_exempt(finder, changing->domain, &changing->exemption);
    if (err != ERR_NONE) {
        control_fail(changing->session, CONTROL_IO,
                     err == ERR_CORRUPT ? "what is known of %.*s cannot be read (%s), and would be lost: sternpost policy refresh "
                                          "fetches it again, sternpost policy forget gives it up"
                                        : "the exemption of %.*s could not be stored: %s",
                     SLICE_ARGS(changing->domain), err_text(err));
        return;
    }
    /* Writes are committed in order: when this one is on disk, so is that before it. */
    changing->nothing = (struct queue_change){.kind = QUEUE_CHANGE_META, .key = SLICE("control"), .bytes = SLICE_EMPTY};
    control_submit(changing->session, &changing->nothing, 1, on_stored);
}

static void on_found(struct finder_request *request, const struct finding *finding)
{
    (void)finding;
    struct changing *changing = LIST_OF(request, struct changing, request);
    changing->request.done = NULL;
    go_on(changing);
}

static void on_stored(struct control_session *session, enum err err)
{
    struct changing *changing = session->own;
    if (err != ERR_NONE)
        control_fail(session, CONTROL_IO, "the change could not be stored: %s", err_text(err));
    else if (finder_is_busy(session->relay->finder, changing->domain) && ++changing->rounds < ROUNDS_MAX &&
             session->state == CONTROL_RUNNING)
        go_on(changing);
    else
        finish(changing);
}

static bool is_as_wanted(struct changing *changing)
{
    struct sts_entry entry;
    arena_reset(changing->session->scratch);
    enum err err = control_policy_get(changing->session, changing->domain, &entry);
    if (changing->is_forget)
        return err == ERR_NOT_FOUND;
    return err == ERR_NONE && entry.exempt_until_ms == changing->exemption.until_ms &&
           entry.exempt_level == changing->exemption.level;
}

static void log_change(struct changing *changing)
{
    struct log_line line;
    char until[32];
    bool is_end = !changing->is_forget && changing->exemption.until_ms == 0;
    if (!control_log(changing->session, &line,
                     changing->is_forget ? "policy_forgotten"
                     : is_end             ? "policy_exemption_ended"
                                          : "policy_exemption"))
        return;
    log_text(&line, "domain", changing->domain);
    if (is_end) {
        log_text(&line, "reason", changing->exemption.reason);
    } else if (!changing->is_forget) {
        log_text(&line, "until", text_date_iso(changing->exemption.until_ms, until));
        log_string(&line, "level", sts_exempt_level_name(changing->exemption.level));
        log_text(&line, "reason", changing->exemption.reason);
    }
    log_close(&line);
}

static void finish(struct changing *changing)
{
    struct control_session *session = changing->session;
    if (!is_as_wanted(changing)) {
        control_fail(session, CONTROL_SOFTWARE, "the change was not kept: %.*s is being looked up all the time; try again",
                     SLICE_ARGS(changing->domain));
        return;
    }
    log_change(changing);
    struct json *answer = json_object_new();
    json_set_text(answer, "domain", changing->domain);
    if (changing->is_forget) {
        json_set_flag(answer, "forgotten", true);
    } else {
        json_set_flag(answer, "exempt", changing->exemption.until_ms != 0);
        control_set_time(answer, "exempt_until", changing->exemption.until_ms);
        json_set_text(answer, "exempt_reason", changing->exemption.reason);
        if (changing->exemption.until_ms != 0)
            json_set_string(answer, "exempt_level", sts_exempt_level_name(changing->exemption.level));
    }
    control_answer(session, &answer);
    if (!changing->is_forget && changing->exemption.until_ms != 0)
        control_note(session, "mail that waited for its policy is tried now");
    if (changing->is_forget || changing->exemption.until_ms != 0)
        policy_waits_end(session->relay, changing->domain);
    control_done(session, CONTROL_DONE);
}
