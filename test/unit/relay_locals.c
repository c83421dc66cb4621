/* Addresses of our own domains: through the aliases file, else to root; what the file may hold, and what of it is told.
 */
#include "test/unit/check.h"
#include "test/unit/folder.h"
#include "test/unit/turn.h"

#include "relay/locals.h"

#include <sys/stat.h>

static struct folder folder;
static struct arena *arena;
static struct buffer warnings;

static int set_up(void **state)
{
    (void)state;
    turn_start();
    folder_make(&folder);
    arena = arena_new(4u << 20);
    buffer_init(&warnings, 1u << 20);
    return arena == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(&arena);
    buffer_free(&warnings);
    folder_remove(&folder);
    return 0;
}

static void write_aliases(struct slice text)
{
    FILE *file = fopen(folder_path(&folder, "aliases"), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text.data, 1, text.length, file), text.length);
    assert_int_equal(fclose(file), 0);
}

static struct locals *load(const char *root)
{
    static const struct slice domains[] = {SLICE_INIT("relay.example"), SLICE_INIT("localhost"),
                                           SLICE_INIT("xn--grn-ioa.example")};
    struct config config = {.local_domains = {domains, COUNT_OF(domains)},
                            .local_root = slice_of(root),
                            .aliases_file = slice_of(folder_path(&folder, "aliases"))};
    struct locals *locals;
    buffer_clear(&warnings);
    assert_int_equal(locals_load(&config, &locals, &warnings), ERR_NONE);
    return locals;
}

/* The addresses joined by blanks. */
static struct slice join(const struct config_list *list, char *out, size_t size)
{
    size_t length = 0;
    for (size_t i = 0; i < list->count && length < size; i++)
        length +=
            (size_t)snprintf(out + length, size - length, "%s%.*s", i == 0 ? "" : " ", SLICE_ARGS(list->items[i]));
    return slice_make(out, length < size ? length : size - 1);
}

#define ROOT "admin@corp.example"
#define ALIASES                                                                                                        \
    "# who gets what\n"                                                                                                \
    "postmaster: root\n"                                                                                               \
    "Webmaster:\tAnna@Corp.example\n"                                                                                  \
    "team: anna@corp.example, ben@corp.example,anna@corp.example\n"                                                    \
    "all: team, carla@corp.example, postmaster\n"                                                                      \
    "ring1: ring2\nring2: ring3\nring3: ring1\n"                                                                       \
    "self: self\n"                                                                                                     \
    "back: \\root, \\nobody\n"                                                                                         \
    "home: webmaster@relay.example, webmaster@LOCALHOST\n"                                                             \
    "\"two words\": dora@corp.example\n"                                                                               \
    "quoted: \"a, b\"@corp.example, plain@corp.example\n"                                                              \
    "utf8: gr\xc3\xbcn@corp.example\n"                                                                                 \
    "literal: x@[192.0.2.1]\n"

static const struct {
    const char *name, *root, *address;
    enum locals_result result;
    const char *expanded;
} expansions[] = {
    {"another's domain", ROOT, "root@corp.example", LOCALS_REMOTE, ""},
    {"below our domain", ROOT, "root@sub.relay.example", LOCALS_REMOTE, ""},
    {"a literal", ROOT, "root@[127.0.0.1]", LOCALS_REMOTE, ""},
    {"no alias: root", ROOT, "joe@relay.example", LOCALS_EXPANDED, ROOT},
    {"no alias, a bare name", ROOT, "joe", LOCALS_EXPANDED, ROOT},
    {"no alias, no root", "", "joe@relay.example", LOCALS_UNKNOWN, ""},
    {"an alias to what is nothing", "", "postmaster", LOCALS_UNKNOWN, ""},
    {"through an alias to root", ROOT, "postmaster", LOCALS_EXPANDED, ROOT},
    {"the case of a name", ROOT, "WEBMASTER@localhost", LOCALS_EXPANDED, "Anna@Corp.example"},
    {"the case of a domain", ROOT, "webmaster@Relay.Example", LOCALS_EXPANDED, "Anna@Corp.example"},
    {"an internationalised domain", ROOT, "webmaster@gr\xc3\xbcn.example", LOCALS_EXPANDED, "Anna@Corp.example"},
    {"its A-label", ROOT, "webmaster@XN--GRN-IOA.example", LOCALS_EXPANDED, "Anna@Corp.example"},
    {"several, each once", ROOT, "team", LOCALS_EXPANDED, "anna@corp.example ben@corp.example"},
    {"through several", ROOT, "all@localhost", LOCALS_EXPANDED,
     "anna@corp.example ben@corp.example carla@corp.example " ROOT},
    {"what leads nowhere is left out", "", "all", LOCALS_EXPANDED,
     "anna@corp.example ben@corp.example carla@corp.example"},
    {"a ring", ROOT, "ring2", LOCALS_LOOP, ""},
    {"itself", ROOT, "self", LOCALS_LOOP, ""},
    {"no alias by a backslash", ROOT, "back", LOCALS_EXPANDED, ROOT},
    {"no alias by a backslash, no root", "", "back", LOCALS_UNKNOWN, ""},
    {"local addresses in an alias", ROOT, "home", LOCALS_EXPANDED, "Anna@Corp.example"},
    {"a name in quotes", ROOT, "\"two words\"@localhost", LOCALS_EXPANDED, "dora@corp.example"},
    {"quotes that are not needed", ROOT, "\"webmaster\"@localhost", LOCALS_EXPANDED, "Anna@Corp.example"},
    {"a comma in quotes", ROOT, "quoted", LOCALS_EXPANDED, "\"a, b\"@corp.example plain@corp.example"},
    {"a name that is not ASCII", ROOT, "utf8", LOCALS_EXPANDED, "gr\xc3\xbcn@corp.example"},
    {"to a literal", ROOT, "literal", LOCALS_EXPANDED, "x@[192.0.2.1]"},
    {"bounces of this machine", ROOT, "MAILER-DAEMON@relay.example", LOCALS_EXPANDED, ROOT},
    {"root has several", "a@corp.example, b@corp.example", "joe", LOCALS_EXPANDED, "a@corp.example b@corp.example"},
    {"root is an alias", "team", "joe", LOCALS_EXPANDED, "anna@corp.example ben@corp.example"},
    {"root leads to itself", "joe", "joe", LOCALS_LOOP, ""},
    {"root is in our own domain", "nobody@relay.example", "joe", LOCALS_LOOP, ""},
};

static void test_expansions(void **state)
{
    (void)state;
    write_aliases(SLICE(ALIASES));
    for (size_t i = 0; i < COUNT_OF(expansions); i++) {
        char text[1000];
        struct config_list expanded = {.count = 0};
        struct locals *locals = load(expansions[i].root);
        bool goes_round = expansions[i].result == LOCALS_LOOP && strcmp(expansions[i].root, ROOT) != 0;
        if (goes_round)
            check_true(expansions[i].name, slice_starts(buffer_slice(&warnings), SLICE("[local] root: ")));
        else if (expansions[i].root[0] != '\0')
            check_slice(expansions[i].name, buffer_slice(&warnings), SLICE_EMPTY);
        check_true(expansions[i].name, locals_knows_root(locals) || goes_round || expansions[i].root[0] == '\0');
        arena_reset(arena);
        enum locals_result result = locals_expand(locals, slice_of(expansions[i].address), arena, &expanded);
        check_number(expansions[i].name, result, expansions[i].result);
        if (result == LOCALS_EXPANDED)
            check_slice(expansions[i].name, join(&expanded, text, sizeof text), slice_of(expansions[i].expanded));
        check_number(expansions[i].name, locals_alias_count(locals), 14);
        locals_free(&locals);
    }
}

/* ---- the file ---- */

static const struct {
    const char *name, *text;
    const char *expanded; /* of "x"; empty: there is no such alias */
    const char *warning;  /* behind path: and its line number; empty: none at all */
} files[] = {
    {"one line", "x: a@b.example\n", "a@b.example", ""},
    {"no line end", "x: a@b.example", "a@b.example", ""},
    {"CRLF", "x: a@b.example\r\ny: c@d.example\r\n", "a@b.example", ""},
    {"blanks", "x\t :\t a@b.example ,\tc@d.example \t\n", "a@b.example c@d.example", ""},
    {"no blanks", "x:a@b.example,c@d.example\n", "a@b.example c@d.example", ""},
    {"continued", "x: a@b.example,\n  c@d.example,\n\te@f.example\ny: z@z.example\n",
     "a@b.example c@d.example e@f.example", ""},
    {"continued with CRLF", "x: a@b.example,\r\n  c@d.example\r\n", "a@b.example c@d.example", ""},
    {"continued from the first line on", "x:\n a@b.example\n", "a@b.example", ""},
    {"an empty line within", "x: a@b.example,\n\n   \n c@d.example\n", "a@b.example c@d.example", ""},
    {"a comment within", "x: a@b.example,\n# c@d.example,\n  # e@f.example,\n g@h.example\n", "a@b.example g@h.example",
     ""},
    {"a comment in front of a continuation", "# y:\nx: a@b.example\n", "a@b.example", ""},
    {"blanks in front of all", "  x: a@b.example\n", "a@b.example", ""},
    {"empty parts", "x: ,a@b.example,, ,\n", "a@b.example", ""},
    {"empty", "", "", ""},
    {"only comments", "# nothing\n\n#x: a@b.example\n", "", ""},
    {"no colon", "y: z@z.example\nx a@b.example\n", "", "2: not \"name: address\""},
    {"no address", "x:\n", "", "1: not \"name: address\""},
    {"no name", ": a@b.example\n", "", "1: not \"name: address\""},
    {"a name with a domain", "x@b.example: a@b.example\n", "", "1: an alias is a short name"},
    {"twice", "x: a@b.example\ny: z@z.example\nX: c@d.example\n", "a@b.example", "3: \"X\" is defined already"},
    {"a command", "x: |/usr/bin/procmail\n", "", "1: commands, files and includes are not supported"},
    {"a command in quotes", "x: \"|/usr/bin/vacation x\"\n", "", "1: commands, files and includes are not supported"},
    {"a command with a comma", "x: \"|/bin/a, b\", a@b.example\n", "a@b.example", "1: commands, files and includes"},
    {"a file", "x: /var/mail/x\n", "", "1: commands, files and includes are not supported"},
    {"a file behind an address", "x: a@b.example, /var/mail/x\n", "a@b.example", "1: commands, files and includes"},
    {"nobody's mail", "x: /dev/null\n", "", "1: commands, files and includes are not supported"},
    {"an include", "x: :include:/etc/list\n", "", "1: commands, files and includes are not supported"},
    {"no address at all", "x: not an address\n", "", "1: not an address: not an address"},
    {"two at signs", "x: a@b@, c@d.example\n", "c@d.example", "1: not an address: a@b@"},
    {"a control character", "x: a\x1b[31m@b.example\n", "", "1: not an address: a?[31m@b.example"},
    {"the line of a fault behind a continuation", "y: z@z.example,\n w@w.example\nx: |a\n", "", "3: commands"},
    {"a dead end", "x: a@b.example, nobody\n", "a@b.example", "1: nobody leads nowhere"},
    {"a dead end alone: mail for it is refused", "x: nobody\n", "", ""},
    {"an open quote", "x: \"a@b.example\n", "", "1: not an address"},
};

/* Without root, so that only the alias can give addresses. */
static void test_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        char text[1000], told[400];
        struct config_list expanded = {.count = 0};
        write_aliases(slice_of(files[i].text));
        struct locals *locals = load("");
        arena_reset(arena);
        enum locals_result result = locals_expand(locals, SLICE("x"), arena, &expanded);
        check_number(files[i].name, result, files[i].expanded[0] == '\0' ? LOCALS_UNKNOWN : LOCALS_EXPANDED);
        check_slice(files[i].name, join(&expanded, text, sizeof text), slice_of(files[i].expanded));
        struct slice said = buffer_slice(&warnings);
        snprintf(told, sizeof told, "%s:%s", folder_path(&folder, "aliases"), files[i].warning);
        if (files[i].warning[0] == '\0')
            check_slice(files[i].name, said, SLICE_EMPTY);
        else
            check_slice(files[i].name, slice_to(said, strlen(told)), slice_of(told));
        check_number(files[i].name, slice_find(said, '\n') + 1, said.length == 0 ? 1 : said.length); /* one warning */
        locals_free(&locals);
    }
}

static void test_catch_all(void **state)
{
    (void)state;
    static const struct {
        const char *text, *root, *expanded;
    } cases[] = {
        {"*: a@b.example\n", "", "a@b.example"},
        {"default: a@b.example\n", "", "a@b.example"},
        {"default: c@d.example\n*: a@b.example\n", "", "a@b.example"},
        {"*: a@b.example\n", ROOT, ROOT},
        {"*: x\nx: a@b.example\n", "", "a@b.example"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[200];
        struct config_list expanded = {.count = 0};
        write_aliases(slice_of(cases[i].text));
        struct locals *locals = load(cases[i].root);
        check_number(cases[i].text, locals_expand(locals, SLICE("joe"), arena, &expanded), LOCALS_EXPANDED);
        check_slice(cases[i].text, join(&expanded, text, sizeof text), slice_of(cases[i].expanded));
        locals_free(&locals);
    }
}

static void test_bounces_go_to_the_postmaster(void **state)
{
    (void)state;
    struct config_list expanded = {.count = 0};
    write_aliases(SLICE("postmaster: a@b.example\n"));
    struct locals *locals = load(ROOT);
    assert_int_equal(locals_expand(locals, SLICE("mailer-daemon@localhost"), arena, &expanded), LOCALS_EXPANDED);
    check_slice("postmaster", expanded.items[0], SLICE("a@b.example"));
    locals_free(&locals);
    write_aliases(SLICE("postmaster: a@b.example\nmailer-daemon: c@d.example\n"));
    locals = load(ROOT);
    assert_int_equal(locals_expand(locals, SLICE("MAILER-DAEMON"), arena, &expanded), LOCALS_EXPANDED);
    check_slice("its own alias", expanded.items[0], SLICE("c@d.example"));
    locals_free(&locals);
}

static void test_no_file(void **state)
{
    (void)state;
    struct config_list expanded = {.count = 0};
    struct locals *locals = load(ROOT);
    assert_int_equal(buffer_length(&warnings), 0);
    assert_int_equal(locals_expand(locals, SLICE("joe"), arena, &expanded), LOCALS_EXPANDED);
    check_slice("root", expanded.items[0], SLICE(ROOT));
    assert_true(locals_has_domain(locals, SLICE("RELAY.example")));
    assert_false(locals_has_domain(locals, SLICE("relay.example.net")));
    locals_free(&locals);
}

static void test_a_folder_for_a_file(void **state)
{
    (void)state;
    assert_int_equal(mkdir(folder_path(&folder, "aliases"), 0700), 0);
    struct locals *locals = load(ROOT);
    assert_true(slice_find_slice(buffer_slice(&warnings), SLICE("aliases are not used")) < buffer_length(&warnings));
    locals_free(&locals);
}

/* ---- bounds ---- */

static const struct {
    const char *name;
    size_t addresses, lines; /* of each list, and lists that one alias names */
    enum locals_result result;
} sizes[] = {
    {"as many as may be", 1000, 1, LOCALS_EXPANDED},
    {"as many as may be, in lists", 100, 10, LOCALS_EXPANDED},
    {"one list more", 100, 11, LOCALS_TOO_MANY},
};

static void test_large_lists(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct buffer text;
        struct config_list expanded = {.count = 0};
        buffer_init(&text, 4u << 20);
        buffer_print(&text, "x: ");
        for (size_t line = 0; line < sizes[i].lines; line++)
            buffer_print(&text, "list%zu,", line);
        for (size_t line = 0; line < sizes[i].lines; line++) {
            buffer_print(&text, "\nlist%zu:\n", line);
            for (size_t k = 0; k < sizes[i].addresses; k++)
                buffer_print(&text, "  user%zu.%zu@corp.example,\n", line, k);
        }
        write_aliases(buffer_slice(&text));
        struct locals *locals = load("");
        arena_reset(arena);
        check_slice(sizes[i].name, buffer_slice(&warnings), SLICE_EMPTY);
        check_number(sizes[i].name, locals_expand(locals, SLICE("x"), arena, &expanded), sizes[i].result);
        if (sizes[i].result == LOCALS_EXPANDED)
            check_number(sizes[i].name, expanded.count, 1000);
        locals_free(&locals);
        buffer_free(&text);
    }
}

/* Lists that name each other twice on each level: few lines, and no end in sight. */
static void test_a_small_file_costs_little(void **state)
{
    (void)state;
    struct buffer text;
    struct config_list expanded = {.count = 0};
    buffer_init(&text, 1u << 20);
    for (size_t i = 0; i < 30; i++)
        buffer_print(&text, "x%zu: x%zu, x%zu\n", i, i + 1, i + 1);
    buffer_print(&text, "x30: a@corp.example\n");
    write_aliases(buffer_slice(&text));
    struct locals *locals = load("");
    assert_int_equal(locals_expand(locals, SLICE("x0"), arena, &expanded), LOCALS_TOO_MANY);
    locals_free(&locals);
    buffer_free(&text);
}

/* Nothing is cut without a word. */
static void test_what_is_too_long_is_told(void **state)
{
    (void)state;
    static const char *const expected[] = {"longer than 1 MiB", "more than 1000 addresses", "a short name"};
    for (size_t i = 0; i < COUNT_OF(expected); i++) {
        struct buffer text;
        buffer_init(&text, 8u << 20);
        if (i == 2)
            buffer_print(&text, "%0400d", 0);
        buffer_print(&text, "x: ");
        for (size_t k = 0; k < (i == 0 ? 60000 : i == 1 ? 1001 : 1); k++)
            buffer_print(&text, "user%zu@corp.example,\n ", k);
        buffer_print(&text, "\ny: a@corp.example\n");
        write_aliases(buffer_slice(&text));
        struct locals *locals = load("");
        check_true(expected[i],
                   slice_find_slice(buffer_slice(&warnings), slice_of(expected[i])) < buffer_length(&warnings));
        struct config_list expanded = {.count = 0};
        arena_reset(arena);
        check_number(expected[i], locals_expand(locals, SLICE("y"), arena, &expanded), LOCALS_EXPANDED);
        if (i < 2) /* none of its addresses is left out: mail for it is refused */
            check_number(expected[i], locals_expand(locals, SLICE("x"), arena, &expanded), LOCALS_TOO_MANY);
        locals_free(&locals);
        buffer_free(&text);
    }
}

/* What newaliases says: each alias for which no mail can be taken, and no other. */
static void test_every_alias_is_checked(void **state)
{
    (void)state;
    struct buffer text, faults;
    buffer_init(&text, 1u << 20);
    buffer_init(&faults, 65536);
    buffer_print(&text, ALIASES "many:");
    for (size_t k = 0; k < 1001; k++)
        buffer_print(&text, " user%zu@corp.example,", k);
    buffer_print(&text, "\nabove: many, anna@corp.example\n");
    write_aliases(buffer_slice(&text));
    struct locals *locals = load("");
    check_number("faults", locals_check(locals, SLICE("file"), &faults), 6);
    static const char *const told[] = {":6: mail for ring1 is refused: it leads back",   ":7: mail for ring2 is refused: it leads back",
                                       ":8: mail for ring3 is refused: it leads back",   ":9: mail for self is refused: it leads back",
                                       ":16: mail for many is refused: it leads to more", ":17: mail for above is refused: it leads to more"};
    for (size_t i = 0; i < COUNT_OF(told); i++)
        check_true(told[i], slice_find_slice(buffer_slice(&faults), slice_of(told[i])) < buffer_length(&faults));
    locals_free(&locals);
    buffer_free(&text);
    buffer_free(&faults);
}

static void test_little_memory(void **state)
{
    (void)state;
    write_aliases(SLICE(ALIASES));
    struct locals *locals = load(ROOT);
    size_t refused = 0;
    for (size_t limit = 16; limit < 40000; limit += 16) {
        struct arena *small = arena_new(limit);
        struct config_list expanded = {.count = 0};
        enum locals_result result = locals_expand(locals, SLICE("all"), small, &expanded);
        assert_true(result == LOCALS_MEMORY || result == LOCALS_EXPANDED);
        assert_true(result == LOCALS_MEMORY || expanded.count == 4);
        refused += result == LOCALS_MEMORY;
        arena_free(&small);
    }
    assert_true(refused > 0 && refused < 2499);
    locals_free(&locals);
}

#define LOCALS_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOCALS_TEST(test_expansions),
        LOCALS_TEST(test_files),
        LOCALS_TEST(test_catch_all),
        LOCALS_TEST(test_bounces_go_to_the_postmaster),
        LOCALS_TEST(test_no_file),
        LOCALS_TEST(test_a_folder_for_a_file),
        LOCALS_TEST(test_large_lists),
        LOCALS_TEST(test_a_small_file_costs_little),
        LOCALS_TEST(test_what_is_too_long_is_told),
        LOCALS_TEST(test_every_alias_is_checked),
        LOCALS_TEST(test_little_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
