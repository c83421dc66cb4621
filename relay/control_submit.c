/* `submit`: a message from sendmail. The request is the submission; when all recipients are taken, {"ready":true} asks for the text of
 * the message; and {"id":...} or an error comes when the disk has it. `aliases`: newaliases asks for the file to be read anew. */
#include "relay/control_internal.h"

#include "relay/drop.h"
#include "relay/locals.h"
#include "relay/posting.h"

#define WARNINGS_MAX 65536

struct submitting {
    struct posting posting;
    struct receipt receipt;
    bool has_receipt;
    struct control_session *session;
};

static void start_submit(struct control_session *session);
static void more_text(struct control_session *session, struct slice bytes);
static void cancel_submit(struct control_session *session);
static void on_ready(struct posting *posting);
static void on_finished(struct posting *posting);
static void add_receipt(struct submitting *submitting, struct slice name);
static void ask_for_text(struct submitting *submitting);
static void go_on(struct submitting *submitting);
static void start_aliases(struct control_session *session);

const struct control_command control_submit_message = {.name = SUBMISSION_COMMAND,
                                                       .state_size = sizeof(struct submitting),
                                                       .start = start_submit,
                                                       .more = more_text,
                                                       .cancel = cancel_submit,
                                                       .is_public = true};
const struct control_command control_aliases = {.name = "aliases", .start = start_aliases, .is_public = true};

/* ---- submit ---- */

static void start_submit(struct control_session *session)
{
    struct submitting *submitting = session->own;
    struct submission submission;
    char fault[SUBMISSION_FAULT_MAX];
    submitting->session = session;
    submitting->posting = (struct posting){
        .relay = session->relay, .uid = session->uid, .way = "submit", .ready = on_ready, .finished = on_finished};
    enum err err = submission_parse(session->request, session->arena, &submission, fault);
    add_receipt(submitting, submission.name);
    if (err == ERR_MEMORY)
        control_fail(session, CONTROL_TEMPORARY, "out of memory");
    else if (err != ERR_NONE)
        control_fail(session, CONTROL_DATA, "%s", fault);
    else if (!posting_start(&submitting->posting, &submission))
        control_fail(session, (enum control_exit)submitting->posting.exit, "%s", submitting->posting.text);
    else
        ask_for_text(submitting);
    control_forget_request(session); /* the posting has its own copy */
}

static void add_receipt(struct submitting *submitting, struct slice name)
{
    const struct control_session *session = submitting->session;
    struct receipts *receipts = drop_receipts(session->relay->drop);
    submitting->has_receipt = receipts != NULL && receipts_make(receipts, name, session->uid, &submitting->receipt);
    if (!submitting->has_receipt)
        return;
    submitting->posting.mark_key = slice_of(submitting->receipt.key);
    submitting->posting.mark = slice_of(submitting->receipt.value);
}

static void ask_for_text(struct submitting *submitting)
{
    struct json *answer = json_object_new();
    json_set_flag(answer, "ready", true);
    control_answer(submitting->session, &answer);
    go_on(submitting);
}

/* Whether the last byte was taken, or more is to be read, or nothing for now. */
static void go_on(struct submitting *submitting)
{
    struct control_session *session = submitting->session;
    struct posting *posting = &submitting->posting;
    bool is_complete = posting_is_complete(posting);
    session->wants_more = !is_complete && !posting_is_busy(posting);
    stream_read(&session->stream, session->wants_more || is_complete);
    if (!is_complete || session->is_promising)
        return;
    session->is_promising = true;
    control_begin_write(session);
    posting_finish(posting);
}

/* While the disk is behind nothing is read, so that of what comes no more than was on its way has to be kept. */
static void more_text(struct control_session *session, struct slice bytes)
{
    struct submitting *submitting = session->own;
    if (posting_is_complete(&submitting->posting))
        return;
    (void)posting_add(&submitting->posting, bytes);
    go_on(submitting);
}

static void on_ready(struct posting *posting)
{
    go_on(LIST_OF(posting, struct submitting, posting));
}

static void on_finished(struct posting *posting)
{
    struct submitting *submitting = LIST_OF(posting, struct submitting, posting);
    struct control_session *session = submitting->session;
    session->is_promising = false;
    if (posting->exit == POSTING_STORED && submitting->has_receipt)
        receipts_note(drop_receipts(session->relay->drop), &submitting->receipt);
    if (posting->exit == POSTING_STORED) {
        struct json *answer = json_object_new();
        control_set_id(answer, "id", posting->id);
        control_answer(session, &answer);
        control_done(session, CONTROL_DONE);
    } else {
        control_fail(session, (enum control_exit)posting->exit, "%s", posting->text);
    }
    posting_cancel(posting);
    control_end_write(session);
}

static void cancel_submit(struct control_session *session)
{
    struct submitting *submitting = session->own;
    session->wants_more = false;
    if (!session->is_promising) /* else it goes its way: the answer finds nobody */
        posting_cancel(&submitting->posting);
}

/* ---- aliases ---- */

static void start_aliases(struct control_session *session)
{
    struct locals *locals = NULL;
    struct buffer warnings;
    struct log_line line;
    if (!session->sees_all) {
        control_fail(session, CONTROL_NOT_PERMITTED, "only root and the relay's group may reload the aliases");
        return;
    }
    buffer_init(&warnings, WARNINGS_MAX);
    enum err err = locals_load(session->relay->config, &locals, &warnings);
    buffer_free(&warnings); /* whoever asked has read the file too */
    if (err != ERR_NONE) {
        control_fail(session, CONTROL_SOFTWARE, "the aliases could not be read: %s", err_text(err));
        return;
    }
    locals_free(&session->relay->locals);
    session->relay->locals = locals;
    if (control_log(session, &line, "aliases_reloaded"))
        log_close(&line);
    control_done(session, CONTROL_DONE);
}
