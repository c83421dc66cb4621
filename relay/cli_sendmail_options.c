#include "relay/cli_sendmail_options.h"

#include "smtp/envelope.h"

#include <string.h>

/* Flags by what follows them: nothing; a value, in the same word or the next; a value in the same word or none (-q would swallow a
 * recipient otherwise). */
#define FLAGS_PLAIN "cGIimnSsTtUvx"
#define FLAGS_WITH_VALUE "ABbCDeFfhLMNOopRrVX"
#define FLAGS_WITH_REST "dEJQq"

struct parsing {
    struct sendmail_options *options;
    const char *const *words;
    size_t count, index;
    struct buffer *fault;
    bool has_mode, is_only_recipients;
};

static bool take_flags(struct parsing *parsing, const char *letters);
static bool take_word(struct parsing *parsing, struct slice word);
static bool take_plain(struct parsing *parsing, char letter);
static bool take_value(struct parsing *parsing, char letter, struct slice value);
static bool take_mode(struct parsing *parsing, struct slice value);
static bool take_notify(struct parsing *parsing, struct slice value);
static bool take_ret(struct parsing *parsing, struct slice value);
static bool take_long_option(struct parsing *parsing, struct slice value);
static void take_flush(struct sendmail_options *options, struct slice value);

static struct slice last_part(const char *name)
{
    struct slice path = slice_of(name);
    size_t slash = slice_find_last(path, '/');
    return slash < path.length ? slice_from(path, slash + 1) : path;
}

bool sendmail_is_name(const char *name)
{
    struct slice part = last_part(name);
    return slice_equal(part, SLICE("sendmail")) || slice_equal(part, SLICE("mailq")) || slice_equal(part, SLICE("newaliases"));
}

bool sendmail_options_parse(struct sendmail_options *options, const char *name, const char *const *words, size_t count,
                            const char **recipients, struct buffer *fault)
{
    struct parsing parsing = {.options = options, .words = words, .count = count, .fault = fault};
    *options = (struct sendmail_options){.sender = SLICE_EMPTY,
                                         .full_name = SLICE_EMPTY,
                                         .envid = SLICE_EMPTY,
                                         .id = SLICE_EMPTY,
                                         .site = SLICE_EMPTY,
                                         .user = SLICE_EMPTY,
                                         .recipients = recipients};
    options->mode = slice_equal(last_part(name), SLICE("mailq"))        ? SENDMAIL_QUEUE
                    : slice_equal(last_part(name), SLICE("newaliases")) ? SENDMAIL_ALIASES
                                                                        : SENDMAIL_SEND;
    while (parsing.index < count) {
        const char *word = words[parsing.index++];
        if (parsing.is_only_recipients || word[0] != '-' || word[1] == '\0')
            recipients[options->recipient_count++] = word;
        else if (!take_word(&parsing, slice_of(word)))
            return false;
    }
    return true;
}

static bool take_word(struct parsing *parsing, struct slice word)
{
    if (!slice_starts(word, SLICE("--")))
        return take_flags(parsing, word.data + 1);
    if (word.length == 2)
        parsing->is_only_recipients = true;
    else if (slice_equal(word, SLICE("--help")))
        parsing->options->mode = SENDMAIL_HELP;
    else if (slice_equal(word, SLICE("--version")))
        parsing->options->mode = SENDMAIL_VERSION;
    else
        buffer_print(parsing->fault, "unknown option %.*s", SLICE_ARGS(slice_to(word, 64)));
    return buffer_length(parsing->fault) == 0;
}

/* "-ti", "-oi", "-f a", "-fa": several without values may stand in one word. */
static bool take_flags(struct parsing *parsing, const char *letters)
{
    for (; *letters != '\0'; letters++) {
        struct slice rest = slice_of(letters + 1);
        bool wants_value = strchr(FLAGS_WITH_VALUE, *letters) != NULL;
        if (strchr(FLAGS_PLAIN, *letters) != NULL) {
            if (!take_plain(parsing, *letters))
                return false;
            continue;
        }
        if (!wants_value && strchr(FLAGS_WITH_REST, *letters) == NULL) {
            buffer_print(parsing->fault, "unknown option -%c", byte_is_print(*letters) ? *letters : '?');
            return false;
        }
        if (wants_value && rest.length == 0) {
            if (parsing->index == parsing->count) {
                buffer_print(parsing->fault, "-%c needs a value", *letters);
                return false;
            }
            rest = slice_of(parsing->words[parsing->index++]);
        }
        return take_value(parsing, *letters, rest);
    }
    return true;
}

static bool take_plain(struct parsing *parsing, char letter)
{
    struct sendmail_options *options = parsing->options;
    switch (letter) {
    case 'i':
        options->dots_stay = true;
        break;
    case 't':
        options->reads_recipients = true;
        break;
    case 'v':
        options->is_verbose = true;
        break;
    case 'I':
        return take_mode(parsing, SLICE("i"));
    default:
        break; /* of others, and nothing to us */
    }
    return true;
}

static bool take_value(struct parsing *parsing, char letter, struct slice value)
{
    struct sendmail_options *options = parsing->options;
    switch (letter) {
    case 'b':
        return take_mode(parsing, value);
    case 'f':
    case 'r':
        options->has_sender = true;
        options->sender = value;
        break;
    case 'F':
        options->full_name = value;
        break;
    case 'N':
        return take_notify(parsing, value);
    case 'R':
        return take_ret(parsing, value);
    case 'V':
        options->envid = value;
        break;
    case 'o':
        options->dots_stay = options->dots_stay || slice_starts(value, SLICE("i"));
        break;
    case 'O':
        return take_long_option(parsing, value);
    case 'q':
        take_flush(options, value);
        break;
    default:
        break; /* of others, and nothing to us: also -C and -X, so that no caller's caller can have a file read or written */
    }
    return true;
}

static bool take_mode(struct parsing *parsing, struct slice value)
{
    static const struct {
        char letter;
        enum sendmail_mode mode;
    } modes[] = {
        {'m', SENDMAIL_SEND},    {'s', SENDMAIL_SMTP},   {'p', SENDMAIL_QUEUE},  {'P', SENDMAIL_COUNT}, {'v', SENDMAIL_VERIFY},
        {'i', SENDMAIL_ALIASES}, {'d', SENDMAIL_DAEMON}, {'l', SENDMAIL_DAEMON}, {'D', SENDMAIL_SERVE},
    };
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (value.length > 0 && value.data[0] == modes[i].letter) {
            parsing->options->mode = modes[i].mode;
            return true;
        }
    }
    buffer_print(parsing->fault, "there is no -b%.*s here", SLICE_ARGS(slice_to(value, 64)));
    return false;
}

/* RFC 3461 4.1 */
static bool take_notify(struct parsing *parsing, struct slice value)
{
    static const struct {
        struct slice word;
        unsigned bit;
    } words[] = {
        {SLICE_INIT("never"), SMTP_NOTIFY_NEVER},
        {SLICE_INIT("success"), SMTP_NOTIFY_SUCCESS},
        {SLICE_INIT("failure"), SMTP_NOTIFY_FAILURE},
        {SLICE_INIT("delay"), SMTP_NOTIFY_DELAY},
    };
    struct slice rest = value;
    struct slice word;
    unsigned notify = 0;
    bool is_known = true;
    while (slice_cut(&rest, ',', &word)) {
        unsigned bit = 0;
        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
            bit |= slice_equal_nocase(slice_trim(word), words[i].word) ? words[i].bit : 0;
        is_known = is_known && bit != 0;
        notify |= bit;
    }
    parsing->options->notify = notify;
    if (is_known && (notify == SMTP_NOTIFY_NEVER || (notify & SMTP_NOTIFY_NEVER) == 0))
        return true;
    buffer_print(parsing->fault, "-N takes never, or some of success,failure,delay");
    return false;
}

static bool take_ret(struct parsing *parsing, struct slice value)
{
    parsing->options->ret = slice_equal_nocase(value, SLICE("full"))   ? SMTP_RET_FULL
                            : slice_equal_nocase(value, SLICE("hdrs")) ? SMTP_RET_HDRS
                                                                       : SMTP_RET_NONE;
    if (parsing->options->ret != SMTP_RET_NONE)
        return true;
    buffer_print(parsing->fault, "-R takes full or hdrs");
    return false;
}

static bool is_yes(struct slice value)
{
    return slice_starts_nocase(value, SLICE("y")) || slice_starts_nocase(value, SLICE("t")) || slice_equal(value, SLICE("1"));
}

/* Of sendmail: IgnoreDots; of Postfix: smtputf8, requiretls. Who asks for the last must not get less. */
static bool take_long_option(struct parsing *parsing, struct slice value)
{
    size_t equals = slice_find(value, '=');
    struct slice name = slice_trim(slice_to(value, equals));
    bool yes = equals == value.length || is_yes(slice_trim(slice_from(value, equals + 1)));
    if (slice_equal_nocase(name, SLICE("IgnoreDots")))
        parsing->options->dots_stay = yes;
    else if (slice_equal_nocase(name, SLICE("smtputf8")))
        parsing->options->utf8 = yes;
    else if (slice_equal_nocase(name, SLICE("requiretls")) && yes)
        buffer_print(parsing->fault, "-O requiretls is not available");
    return buffer_length(parsing->fault) == 0;
}

/* A daemon's -q30m is its interval, and so is one alone. */
static void take_flush(struct sendmail_options *options, struct slice value)
{
    char kind = value.length == 0 ? '\0' : value.data[0];
    struct slice what = slice_from(value, 1);
    if (kind == 'I')
        options->id = what;
    else if (kind == 'R')
        options->site = what;
    else if (kind == 'S')
        options->user = what;
    if (options->mode == SENDMAIL_SEND || options->mode == SENDMAIL_NOTHING)
        options->mode = byte_is_digit(kind) ? SENDMAIL_NOTHING : SENDMAIL_FLUSH;
}
