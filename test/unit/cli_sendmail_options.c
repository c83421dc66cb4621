#include "relay/cli_sendmail_options.h"

#include "test/unit/check.h"

#define WORDS_MAX 32

/* What was understood, as text: only what differs from nothing said. */
static void print(const struct sendmail_options *options, struct buffer *out)
{
    static const char *const modes[] = {"send", "smtp", "queue", "count", "verify", "aliases", "flush", "nothing", "daemon", "serve",
                                        "help", "version"};
    buffer_add(out, slice_of(modes[options->mode]));
    if (options->has_sender)
        buffer_print(out, " from=%.*s", SLICE_ARGS(options->sender));
    if (options->full_name.length > 0)
        buffer_print(out, " name=%.*s", SLICE_ARGS(options->full_name));
    buffer_print(out, "%s%s%s%s", options->dots_stay ? " i" : "", options->reads_recipients ? " t" : "",
                 options->is_verbose ? " v" : "", options->utf8 ? " utf8" : "");
    if (options->notify != 0)
        buffer_print(out, " notify=%u", options->notify);
    if (options->ret != 0)
        buffer_print(out, " ret=%u", options->ret);
    if (options->envid.length > 0)
        buffer_print(out, " envid=%.*s", SLICE_ARGS(options->envid));
    if (options->id.length + options->site.length + options->user.length > 0)
        buffer_print(out, " id=%.*s site=%.*s user=%.*s", SLICE_ARGS(options->id), SLICE_ARGS(options->site), SLICE_ARGS(options->user));
    for (size_t i = 0; i < options->recipient_count; i++)
        buffer_print(out, " [%s]", options->recipients[i]);
}

/* The words of a line: "~" stands for an empty one. The first is the program's name. */
static size_t split(char *line, const char **words)
{
    size_t count = 0;
    for (char *word = line; word != NULL && count < WORDS_MAX;) {
        char *blank = strchr(word, ' ');
        if (blank != NULL)
            *blank++ = '\0';
        words[count++] = strcmp(word, "~") == 0 ? "" : word;
        word = blank;
    }
    return count;
}

static void run(const char *line, const char *understood, const char *fault_says)
{
    char copy[512];
    const char *words[WORDS_MAX];
    const char *recipients[WORDS_MAX];
    struct sendmail_options options;
    struct buffer fault;
    struct buffer text;
    snprintf(copy, sizeof copy, "%s", line);
    size_t count = split(copy, words);
    buffer_init(&fault, 4096);
    buffer_init(&text, 4096);
    bool ok = sendmail_options_parse(&options, words[0], words + 1, count - 1, recipients, &fault);
    check_number(line, ok, understood != NULL);
    if (ok) {
        print(&options, &text);
        check_slice(line, buffer_slice(&text), slice_of(understood));
    } else {
        struct slice said = buffer_slice(&fault);
        if (slice_find_slice(said, slice_of(fault_says)) == said.length)
            fail_msg("%s: says \"%.*s\"", line, SLICE_ARGS(said));
    }
    buffer_free(&fault);
    buffer_free(&text);
}

/* As programs call it. */
static void test_callers(void **state)
{
    static const char *const cases[][2] = {
        {"sendmail -FCronDaemon -i -B8BITMIME -oem root", "send name=CronDaemon i [root]"},
        {"sendmail -i -FCronDaemon -B8BITMIME -oem simon", "send name=CronDaemon i [simon]"},
        {"/usr/sbin/sendmail -FCronDaemon -i -odi -oem -oi -t -f root", "send from=root name=CronDaemon i t"},
        {"sendmail -FCronDaemon -odi -oem -or0s root", "send name=CronDaemon [root]"},
        {"sendmail -FCronDaemon -odi -oem -- user", "send name=CronDaemon [user]"},
        {"sendmail -t -i", "send i t"},
        {"sendmail -t -i -fbounce@x.example", "send from=bounce@x.example i t"},
        {"sendmail -oi -fa@b -t", "send from=a@b i t"},
        {"sendmail -bs", "smtp"},
        {"sendmail -bs -i", "smtp i"},
        {"sendmail -bs -odb -oem", "smtp"},
        {"sendmail -i -f a@b -- c@d e@f", "send from=a@b i [c@d] [e@f]"},
        {"sendmail -f a@b -i c@d", "send from=a@b i [c@d]"},
        {"sendmail -oem -oi -B8BITMIME -f a@b -N failure,delay -R hdrs -- c@d", "send from=a@b i notify=12 ret=2 [c@d]"},
        {"sendmail -i -m -v -F Ann -r a@b -- c@d", "send from=a@b name=Ann i v [c@d]"},
        {"sendmail -t", "send t"},
        {"sendmail -f a@b c@d", "send from=a@b [c@d]"},
        {"/usr/lib/sendmail -t", "send t"},
        {"sendmail -oi -F Ann c@d", "send name=Ann i [c@d]"},
        {"sendmail -bd -OPrivacyOptions=noetrn -ODeliveryMode=queueonly -OQueueDirectory=/x", "daemon"},
        {"sendmail -q15m", "nothing"},
        {"sendmail -bd -q30m", "daemon"},
        {"sendmail -q30m -bd", "daemon"},
        {"sendmail -oi -t -ODeliveryMode=b -OErrorMode=m", "send i t"},
        {"mailq", "queue"},
        {"/usr/bin/mailq -v -Ac", "queue v"},
        {"newaliases", "aliases"},
        {"sendmail -bi", "aliases"},
        {"sendmail -I", "aliases"},
        {"sendmail -bp", "queue"},
        {"sendmail -bv a@b root", "verify [a@b] [root]"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        run(cases[i][0], cases[i][1], "");
}

static void test_flags(void **state)
{
    static const char *const cases[][2] = {
        {"sendmail", "send"},
        {"sendmail -ti a@b", "send i t [a@b]"},
        {"sendmail -tifa@b c@d", "send from=a@b i t [c@d]"},
        {"sendmail -f ~ a@b", "send from= [a@b]"},
        {"sendmail -f <> a@b", "send from=<> [a@b]"},
        {"sendmail -fa@b -rc@d e", "send from=c@d [e]"},
        {"sendmail a -i b -t", "send i t [a] [b]"},
        {"sendmail -- -f -i", "send [-f] [-i]"},
        {"sendmail -", "send [-]"},
        {"sendmail ~", "send []"},
        {"sendmail -q a@b", "flush [a@b]"},
        {"sendmail -qIABC", "flush id=ABC site= user="},
        {"sendmail -qRb.example", "flush id= site=b.example user="},
        {"sendmail -qSann", "flush id= site= user=ann"},
        {"sendmail -qf", "flush"},
        {"mailq -q", "queue"},
        {"sendmail -N never a", "send notify=1 [a]"},
        {"sendmail -NSUCCESS,failure a", "send notify=6 [a]"},
        {"sendmail -Rfull -Vabc a", "send ret=1 envid=abc [a]"},
        {"sendmail -O IgnoreDots -Osmtputf8=yes a", "send i utf8 [a]"},
        {"sendmail -O IgnoreDots=no -Osmtputf8=no -Orequiretls=no a", "send [a]"},
        {"sendmail -A c -B 7BIT -C x -c -D x -d -d0.1 -e m -G -h 3 -J a", "send [a]"},
        {"sendmail -L tag -M x -m -n -p x:y -Q -S -s -T -U -X log -x a", "send [a]"},
        {"sendmail -oA/etc/aliases -odb -oeq -om -oQ/x -o T3d a", "send [a]"},
        {"sendmail -oitrue a", "send i [a]"},
        {"sendmail -bP", "count"},
        {"sendmail -bD", "serve"},
        {"sendmail -bl", "daemon"},
        {"sendmail -bm a", "send [a]"},
        {"sendmail --help", "help"},
        {"mailq --version", "version"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        run(cases[i][0], cases[i][1], "");
}

static void test_faults(void **state)
{
    static const char *const cases[][2] = {
        {"sendmail -Z a", "-Z"},          {"sendmail -ty a", "-y"},        {"sendmail --what a", "--what"},
        {"sendmail -f", "-f needs"},      {"sendmail -tF", "-F needs"},    {"sendmail -bt", "-bt"},
        {"sendmail -b ~", "-b"},          {"sendmail -N some a", "-N"},    {"sendmail -N never,delay a", "-N"},
        {"sendmail -N ~ a", "-N"},        {"sendmail -R some a", "-R"},    {"sendmail -O requiretls=yes a", "requiretls"},
        {"sendmail -\001 a", "unknown option -?"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        run(cases[i][0], NULL, cases[i][1]);
}

/* Every flag that is taken is named in sendmail(8). */
static void test_manual(void **state)
{
    static char page[65536];
    (void)state;
    FILE *file = fopen(STERNPOST_SOURCE "/etc/man/sendmail.8", "r");
    assert_non_null(file);
    size_t length = fread(page, 1, sizeof page - 1, file);
    fclose(file);
    page[length] = '\0';
    for (char letter = 'A'; letter <= 'z'; letter++) {
        const char word[] = {'-', letter, '\0'}, named[] = {'\\', '-', letter, '\0'};
        const char *words[] = {word, letter == 'b' ? "m" : letter == 'N' ? "never" : letter == 'R' ? "full" : "x"};
        const char *recipients[2];
        struct sendmail_options options;
        struct buffer fault;
        buffer_init(&fault, 4096);
        bool is_taken = sendmail_options_parse(&options, "sendmail", words, 2, recipients, &fault);
        if (is_taken && strstr(page, named) == NULL)
            fail_msg("sendmail(8) does not name %s", word);
        buffer_free(&fault);
    }
}

static void test_names(void **state)
{
    (void)state;
    assert_true(sendmail_is_name("sendmail"));
    assert_true(sendmail_is_name("/usr/lib/sendmail"));
    assert_true(sendmail_is_name("./mailq"));
    assert_true(sendmail_is_name("newaliases"));
    assert_false(sendmail_is_name("sternpost"));
    assert_false(sendmail_is_name("sendmail/"));
    assert_false(sendmail_is_name("sendmail.old"));
    assert_false(sendmail_is_name(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_callers),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_manual),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
