/* `explain`: with the running relay's cache, resolver and trust anchors. */
#include "relay/control_internal.h"
#include "relay/explain.h"

struct explaining {
    struct explain explain;
    struct control_session *session;
};

static void start(struct control_session *session);
static void cancel(struct control_session *session);
static void tell(struct explain *explain, struct json **step);
static void done(struct explain *explain, bool would_go);

const struct control_command control_explain = {
    .name = "explain", .state_size = sizeof(struct explaining), .start = start, .cancel = cancel, .is_public = true};

static void start(struct control_session *session)
{
    struct explaining *explaining = session->own;
    struct explain *explain = &explaining->explain;
    explaining->session = session;
    explain->tell = tell;
    explain->done = done;
    explain->relay = session->relay;
    explain->address = control_text(session, "address");
    explain->sender = control_text(session, "from");
    /* Not everybody may make the relay connect to whom he likes. */
    explain->connects = session->sees_all && json_flag(session->request, "connect", false);
    if (!explain_is_address(explain->address))
        control_fail(session, CONTROL_USAGE, "\"%.*s\" is no address", SLICE_ARGS(slice_to(explain->address, 320)));
    else if (!explain_start(explain))
        control_fail(session, CONTROL_SOFTWARE, "out of memory");
}

static void cancel(struct control_session *session)
{
    struct explaining *explaining = session->own;
    explain_cancel(&explaining->explain);
}

static void tell(struct explain *explain, struct json **step)
{
    struct explaining *explaining = LIST_OF(explain, struct explaining, explain);
    control_answer(explaining->session, step);
}

static void done(struct explain *explain, bool would_go)
{
    struct explaining *explaining = LIST_OF(explain, struct explaining, explain);
    explain_cancel(explain);
    control_done(explaining->session, would_go ? CONTROL_DONE : CONTROL_NO);
}
