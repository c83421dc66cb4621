/* The configuration from the environment: each key has its variable, also those of sections with a name. */
#include "test/unit/configured.h"

static void test_environment(void **state)
{
    (void)state;
    struct loaded loaded;
    char secret[300];
    struct slice path = write_file("password", "s3cret\n", 0600);
    snprintf(secret, sizeof secret, "STERNPOST_ROUTE_PASSWORD_FILE=%.*s", SLICE_ARGS(path));
    const char *environment[] = {"STERNPOST_ROUTE_VIA=up.example:465", "STERNPOST_ROUTE_TLS=implicit", "STERNPOST_ROUTE_USERNAME=u",
                                 secret, "STERNPOST_TLS_POLICY_DEFAULT=encrypt", "STERNPOST_SERVICE_HOST=10.0.0.1",
                                 "STERNPOST_PORT=tcp://10.0.0.1:25", "STERNPOST_QUEUE_PATHH=/x", NULL};
    struct config_source source = {.file = write_file("empty.conf", "", 0640), .environment = environment};
    load(&loaded, &source);
    assert_int_equal(loaded.err, ERR_NONE);
    assert_int_equal(loaded.config->route_count, 1);
    check_slice("pattern", loaded.config->routes[0].pattern, SLICE("*"));
    check_slice("password", loaded.config->routes[0].password, SLICE("s3cret"));
    check_number("port", loaded.config->routes[0].port, 465);
    check_number("default", loaded.config->tls_default, CONFIG_TLS_ENCRYPT);
    struct slice warned = buffer_slice(&loaded.warnings);
    assert_true(slice_find_slice(warned, SLICE("did you mean STERNPOST_QUEUE_PATH?")) < warned.length);
    assert_int_equal(slice_find_slice(warned, SLICE("SERVICE")), warned.length);
    unload(&loaded);
}

static void test_environment_of_named_sections(void **state)
{
    (void)state;
    struct loaded loaded;
    char secret[300], name[300];
    snprintf(secret, sizeof secret, "STERNPOST_ROUTE_1_PASSWORD_FILE=%.*s", SLICE_ARGS(write_file("password", "s3cret\n", 0600)));
    snprintf(name, sizeof name, "STERNPOST_DKIM_3_NAME_FILE=%.*s", SLICE_ARGS(write_file("secret.conf", "Signed.example\n", 0600)));
    const char *environment[] = {"STERNPOST_ROUTE_1_VIA=up.example:587", "STERNPOST_ROUTE_1_NAME=example.com", "STERNPOST_ROUTE_1_USERNAME=u",
                                 secret, "STERNPOST_ROUTE_22_NAME=*.sub.example", "STERNPOST_ROUTE_22_VIA=low.example:25",
                                 "STERNPOST_ROUTE_VIA=all.example", "STERNPOST_DESTINATION_1_NAME=slow.example",
                                 "STERNPOST_DESTINATION_1_RATE=1/s", name, "STERNPOST_DKIM_3_SELECTOR=s", "STERNPOST_DKIM_3_KEY=/k", NULL};
    struct config_source source = {.file = write_file("empty.conf", "hostname = a.b\n", 0640), .environment = environment};
    load(&loaded, &source);
    check_slice("faults", buffer_slice(&loaded.faults), SLICE_EMPTY);
    check_slice("warnings", buffer_slice(&loaded.warnings), SLICE_EMPTY);
    assert_int_equal(loaded.err, ERR_NONE);
    const struct config_route *route = config_route_find(loaded.config, SLICE("example.com"), SLICE_EMPTY);
    check_slice("via", route->host, SLICE("up.example"));
    check_slice("password", route->password, SLICE("s3cret"));
    check_slice("below", config_route_find(loaded.config, SLICE("a.sub.example"), SLICE_EMPTY)->host, SLICE("low.example"));
    check_slice("all", config_route_find(loaded.config, SLICE("else.example"), SLICE_EMPTY)->host, SLICE("all.example"));
    check_number("rate", config_limits_find(loaded.config, SLICE("slow.example")).rate.messages, 1);
    check_slice("domain", loaded.config->dkims[0].domain, SLICE("signed.example"));
    check_slice("key", loaded.config->dkims[0].key_file, SLICE("/k"));
    unload(&loaded);
}

static const struct {
    const char *name;
    const char *variables[3];
    const char *said;
    enum err err;
} variables[] = {
    {"no name", {"STERNPOST_ROUTE_1_VIA=a.example"}, "environment STERNPOST_ROUTE_1_VIA: which one is it? Set STERNPOST_ROUTE_1_NAME too", ERR_SYNTAX},
    {"an empty name", {"STERNPOST_ROUTE_1_NAME=", "STERNPOST_ROUTE_1_VIA=a.example"}, "STERNPOST_ROUTE_1_NAME: the name is empty", ERR_SYNTAX},
    {"a name twice", {"STERNPOST_DKIM_1_NAME=a.example", "STERNPOST_DKIM_2_NAME=a.example"}, "is the name in STERNPOST_DKIM_2_NAME too", ERR_SYNTAX},
    {"a name alone", {"STERNPOST_DKIM_1_NAME=a.example"}, "STERNPOST_DKIM_1_NAME: nothing else is set with STERNPOST_DKIM_1_", ERR_NONE},
    {"no domain", {"STERNPOST_ROUTE_1_NAME=a..b", "STERNPOST_ROUTE_1_VIA=a.example"}, "STERNPOST_ROUTE_1_VIA: \"a..b\" is no domain", ERR_SYNTAX},
    {"no number", {"STERNPOST_DKIM_SELECTOR=s"}, "set STERNPOST_DKIM_1_SELECTOR, and the name in STERNPOST_DKIM_1_NAME", ERR_NONE},
    {"a slip behind the number", {"STERNPOST_ROUTE_7_PASWORD=s"}, "did you mean STERNPOST_ROUTE_7_PASSWORD?", ERR_NONE},
    {"a number where none belongs", {"STERNPOST_QUEUE_1_PATH=/x"}, "unknown variable", ERR_NONE},
    {"no key behind the number", {"STERNPOST_ROUTE_1=x"}, "unknown variable", ERR_NONE},
    {"content for a path", {"STERNPOST_TLS_KEY=-----BEGIN PRIVATE KEY-----"}, "key is the path of a file", ERR_SYNTAX},
    {"quotes", {"STERNPOST_HOSTNAME=\"a.example\""}, "environment STERNPOST_HOSTNAME: hostname stands in quotes", ERR_SYNTAX},
};

static void test_variables(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(variables); i++) {
        struct loaded loaded;
        const char *environment[] = {variables[i].variables[0], variables[i].variables[1], NULL};
        struct config_source source = {.file = write_file("empty.conf", "", 0640), .environment = environment};
        load(&loaded, &source);
        struct slice said = buffer_slice(variables[i].err == ERR_NONE ? &loaded.warnings : &loaded.faults);
        check_number(variables[i].name, loaded.err, variables[i].err);
        if (slice_find_slice(said, slice_of(variables[i].said)) == said.length)
            print_error("%s: said %.*s", variables[i].name, SLICE_ARGS(said));
        check_true(variables[i].name, slice_find_slice(said, slice_of(variables[i].said)) < said.length);
        unload(&loaded);
    }
}

/* Where each of two sections has its name from, and how it is written: one would overwrite the other whichever way. */
static const struct {
    const char *name;
    bool from_file[2];
    const char *names[2];
    bool is_fault;
} pairs[] = {
    {"both plain", {false, false}, {"a.example", "a.example"}, true},
    {"the first in a file", {true, false}, {"a.example", "a.example"}, true},
    {"the second in a file", {false, true}, {"a.example", "a.example"}, true},
    {"two files", {true, true}, {"a.example", "a.example"}, true},
    {"capitals", {false, false}, {"a.example", "A.Example"}, true},
    {"capitals in a file", {true, false}, {"A.example", "a.example"}, true},
    {"an end of line", {true, true}, {"a.example\n", "a.example"}, true},
    {"two names", {false, false}, {"a.example", "b.example"}, false},
    {"two names in files", {true, true}, {"a.example", "b.example"}, false},
};

static void test_no_name_is_given_twice(void **state)
{
    static const char *const files[] = {"secret.conf", "password"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        struct loaded loaded;
        char variable[2][400];
        for (size_t j = 0; j < 2; j++) {
            struct slice value = slice_of(pairs[i].names[j]);
            if (pairs[i].from_file[j])
                value = write_file(files[j], pairs[i].names[j], 0600);
            snprintf(variable[j], sizeof variable[j], "STERNPOST_DESTINATION_%zu_NAME%s=%.*s", j + 1, pairs[i].from_file[j] ? "_FILE" : "",
                     SLICE_ARGS(value));
        }
        const char *environment[] = {variable[0], "STERNPOST_DESTINATION_1_RATE=1/s", variable[1], "STERNPOST_DESTINATION_2_RATE=2/s", NULL};
        struct config_source source = {.file = write_file("empty.conf", "hostname = a.b\n", 0640), .environment = environment};
        load(&loaded, &source);
        struct slice faults = buffer_slice(&loaded.faults);
        check_number(pairs[i].name, loaded.err, pairs[i].is_fault ? ERR_SYNTAX : ERR_NONE);
        check_true(pairs[i].name, (slice_find_slice(faults, SLICE("is the name in STERNPOST_DESTINATION_")) < faults.length) == pairs[i].is_fault);
        unload(&loaded);
    }
}

static void to_capitals(char *name)
{
    for (char *c = name; *c != '\0'; c++)
        *c = *c == '-' ? '_' : *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
}

/* Every key of the table has a variable that is understood: also those that come later. */
static void test_every_key_has_a_variable(void **state)
{
    (void)state;
    for (size_t i = 0; i < config_key_count; i++) {
        struct loaded loaded;
        char name[128], variable[200];
        const struct config_key *key = &config_keys[i];
        bool is_named = config_section_is_named(slice_of(key->section));
        snprintf(name, sizeof name, "%s%s%s%s", key->section, key->section[0] == '\0' ? "" : "_", is_named ? "5_" : "", key->key);
        to_capitals(name);
        snprintf(variable, sizeof variable, "STERNPOST_%s=\"in quotes\"", name);
        char section[160];
        snprintf(name, sizeof name, "%s", key->section);
        to_capitals(name);
        const struct config_named *named = config_named_find(slice_of(key->section));
        snprintf(section, sizeof section, "STERNPOST_%s_5_NAME=%s", name, named == NULL ? "" : named->example);
        const char *environment[] = {variable, is_named ? section : NULL, NULL};
        struct config_source source = {.file = write_file("empty.conf", "", 0640), .environment = environment};
        load(&loaded, &source);
        struct slice said = buffer_slice(&loaded.faults);
        check_true(name, slice_find_slice(said, SLICE(" stands in quotes")) < said.length);
        unload(&loaded);
    }
}

/* Whoever names the file itself in a variable that is for a file with the path: what is in it, perhaps a key, is not shown. */
static void test_no_content_is_shown(void **state)
{
    static const char content[] = "Bag Attributes\n-----BEGIN PRIVATE KEY-----\nMIISECRET\n-----END PRIVATE KEY-----\n";
    (void)state;
    for (size_t i = 0; i <= config_key_count; i++) {
        struct loaded loaded;
        char name[128], variable[400], section[400];
        bool is_of_name = i == config_key_count;
        const struct config_key *key = &config_keys[is_of_name ? i - 1 : i];
        bool is_named = config_section_is_named(slice_of(key->section));
        struct slice path = write_file("secret.conf", content, 0600);
        snprintf(name, sizeof name, "%s%s%s%s", key->section, key->section[0] == '\0' ? "" : "_", is_named ? "5_" : "", key->key);
        to_capitals(name);
        snprintf(variable, sizeof variable, "STERNPOST_%s_FILE=%.*s", name, SLICE_ARGS(path));
        snprintf(name, sizeof name, "%s", key->section);
        to_capitals(name);
        snprintf(section, sizeof section, "STERNPOST_%s_5_NAME%s=%.*s", name, is_of_name ? "_FILE" : "",
                 SLICE_ARGS(is_of_name ? path : SLICE("a.example")));
        const char *environment[] = {variable, is_named ? section : NULL, NULL};
        struct config_source source = {.file = write_file("empty.conf", "hostname = a.b\n", 0640), .environment = environment};
        load(&loaded, &source);
        struct slice faults = buffer_slice(&loaded.faults), warnings = buffer_slice(&loaded.warnings);
        check_true(variable, loaded.err == ERR_SYNTAX && faults.length > 0);
        check_true(variable, slice_find_slice(faults, SLICE("SECRET")) == faults.length);
        check_true(variable, slice_find_slice(warnings, SLICE("SECRET")) == warnings.length);
        unload(&loaded);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_environment_of_named_sections),
        cmocka_unit_test(test_variables),
        cmocka_unit_test(test_no_name_is_given_twice),
        cmocka_unit_test(test_every_key_has_a_variable),
        cmocka_unit_test(test_no_content_is_shown),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
