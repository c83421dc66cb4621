/* The configuration: sources and their order, values, faults with their place and cure. */
#include "test/unit/configured.h"

static void test_nothing_is_needed(void **state)
{
    (void)state;
    struct loaded loaded;
    load_text(&loaded, "");
    assert_int_equal(loaded.err, ERR_NONE);
    const struct config *config = loaded.config;
    assert_int_equal(config->listen_count, 1);
    assert_int_equal(config->listen[0].endpoint.port, 25);
    assert_true(ip_is_loopback(&config->listen[0].endpoint.ip));
    assert_int_equal(config->retry.count, 6);
    assert_int_equal(config->message_size_max, 50u << 20);
    assert_int_equal(config->tls_default, CONFIG_TLS_OPPORTUNISTIC);
    assert_true(config->sts_enabled);
    assert_false(config->expired_floor);
    assert_false(config->access_networks_given);
    assert_int_equal(config->local_domains.count, 2);
    unload(&loaded);
}

static void test_order_of_sources(void **state)
{
    (void)state;
    struct loaded loaded;
    const char *environment[] = {"STERNPOST_QUEUE_PATH=/from/environment", "STERNPOST_DELIVERY_PORT=2", "OTHER=1", NULL};
    struct slice sets[] = {SLICE("delivery.port=3")};
    struct config_source source = {
        .file = write_file("main.conf", "hostname = file.example\n[queue]\npath = /from/file\n[delivery]\nport = 1\n", 0640),
        .environment = environment,
        .sets = sets,
        .set_count = 1,
    };
    load(&loaded, &source);
    assert_int_equal(loaded.err, ERR_NONE);
    check_slice("file", loaded.config->hostname, SLICE("file.example"));
    check_slice("environment over file", loaded.config->queue_path, SLICE("/from/environment"));
    check_number("--set over environment", loaded.config->delivery_port, 3);
    unload(&loaded);
}

static void test_directory_beside_the_file(void **state)
{
    (void)state;
    struct loaded loaded;
    char path[256];
    snprintf(path, sizeof path, "%s/conf.d", directory);
    assert_int_equal(mkdir(path, 0755), 0);
    write_file("conf.d/20.conf", "hostname = second.example\n", 0640);
    write_file("conf.d/10.conf", "hostname = first.example\n[queue]\npath = /ten\n", 0640);
    write_file("conf.d/ignored.txt", "nonsense", 0640);
    load_text(&loaded, "hostname = main.example\n");
    assert_int_equal(loaded.err, ERR_NONE);
    check_slice("the last file", loaded.config->hostname, SLICE("second.example"));
    check_slice("an earlier one", loaded.config->queue_path, SLICE("/ten"));
    unload(&loaded);
    const char *const names[] = {"conf.d/20.conf", "conf.d/10.conf", "conf.d/ignored.txt"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/conf.d", directory);
    assert_int_equal(rmdir(path), 0);
}

static const struct {
    const char *name, *text, *fault; /* what the message must contain */
} faults[] = {
    {"unknown key", "[queue]\npathh = /x\n", "main.conf:2: unknown key \"pathh\" in [queue]; did you mean \"path\"?"},
    {"unknown section", "[queu]\n", "main.conf:1: unknown section [queu]; did you mean [queue]?"},
    {"bad size", "\n[queue]\nsize-max = lots\n", "main.conf:3: size-max = \"lots\" is not right: expected a size such as 50M"},
    {"bad network", "[access]\nnetworks = 10.0.0.1/8\n", "main.conf:2: networks"},
    {"no key", "[queue]\nnonsense\n", "main.conf:2: not \"key = value\""},
    {"two faults are both told", "[queue]\nx = 1\ny = 2\n", "main.conf:3: unknown key \"y\""},
    {"route without name", "[route]\nvia = a.example\n", "main.conf:1: this section needs a name"},
    {"name where none belongs", "[queue \"x\"]\n", "main.conf:1: section [queue] takes no name"},
    {"route without via", "[route \"*\"]\ntls = verify\n", "via is missing"},
    {"password without proof", "[route \"*\"]\nvia = a.example:25\ntls = encrypt\nusername = u\npassword = p\n",
     "credentials need verified TLS"},
    {"continued value", "[access]\nnetworks = 10.0.0.0/8\n  bad\n", "main.conf:2: networks"},
    {"certificate without key", "[tls]\ncertificate = /x\n", "certificate and key belong together"},
    {"a port alone", "[http]\nlisten = 9025\n", "main.conf:2: listen"},
    {"users without TLS", "[access]\nusers-file = /x\n", "[access] users-file: users log in over TLS only"},
    {"submissions without TLS", "[listen]\nsubmissions = 127.0.0.1:465\n", "[listen] submissions: needs TLS"},
    {"submissions without users", "[listen]\nsubmissions = unix:/x\n", "[listen] submissions: needs users"},
    {"submission off loopback without TLS", "[listen]\nsubmission = 192.0.2.1\n", "[listen] submission: needs TLS"},
    {"submission off loopback without users", "[listen]\nsubmission = 127.0.0.1 [::]:587\n", "[listen] submission: needs users"},
    {"submission anywhere", "[listen]\nsubmission = fd:x\n", "[listen] submission: needs users"},
    {"a world of proxies", "[listen]\nproxy-networks = 10.0.0.0/8 ::/0\n", "[listen] proxy-networks: ::/0 would have"},
    {"retry of nothing", "[retry]\nschedule = 0s\n", "main.conf:2: schedule"},

    {"an indented key", "[route \"*\"]\nvia = a.example\nusername = app\n  password = x\n", "main.conf:4: a setting is indented"},
    {"an indented key without blanks", "[route \"*\"]\nvia = a.example\nusername = app\n\tpassword=x\n", "main.conf:4: a setting is indented"},
    {"an indented key behind a section", "[queue]\n  path = /x\n", "main.conf:2: a setting is indented"},
    {"an indented key behind a comment", "[queue]\n# here\n path = /x\n", "main.conf:3: a setting is indented"},
    {"an indented first line", "  hostname = a.example\n", "main.conf:1: a setting is indented"},
    {"an indented section", "hostname = a.example\n [queue]\n", "main.conf:2: a section is indented"},
    {"an indented section with a name", "hostname = a.example\n\t[route \"*\"]\n", "main.conf:2: a section is indented"},
    {"nothing to continue", "[access]\n  10.0.0.0/8\n", "main.conf:2: an indented line continues a setting, and there is none"},
    {"nothing to continue behind a blank line", "[access]\nnetworks = ::1/128\n\n  10.0.0.0/8\n", "main.conf:4: an indented line continues"},

    {"username without password", "hostname = a.b\n[route \"*\"]\nvia = a.example\nusername = u\n",
     "main.conf:3: [route \"*\"]: a username needs a password"},
    {"empty password", "[route \"*\"]\nvia = a.example\nusername = u\npassword =\n", "main.conf:4: password is empty"},
    {"quotes", "hostname = \"mail.example\"\n", "main.conf:1: hostname stands in quotes"},
    {"single quotes", "[queue]\npath = '/x'\n", "main.conf:2: path stands in quotes"},
    {"a secret in quotes", "[route \"*\"]\nvia = a.example\nusername = u\npassword = \"p\"\n", "ends in _FILE"},

    {"place of a missing via", "hostname = a.b\n\n[route \"x.example\"]\ntls = verify\n", "main.conf:4: [route \"x.example\"]: via is missing"},
    {"place of a certificate", "hostname = a.b\n[tls]\ncertificate = /x\n", "main.conf:3: [tls] certificate: certificate and key belong"},
    {"place of users", "hostname = a.b\n[access]\nusers-file = /x\n", "main.conf:3: [access] users-file: users log in"},
    {"place of a door", "hostname = a.b\n[listen]\nsubmissions = 127.0.0.1:465\n", "main.conf:3: [listen] submissions: needs TLS"},
    {"place of a proxy", "[listen]\nproxy-networks = ::/0\n", "main.conf:2: [listen] proxy-networks: ::/0"},
    {"proxies in parts", "[listen]\nproxy-networks = 0.0.0.0/1 128.0.0.0/1\n", "main.conf:2: [listen] proxy-networks: these would have anybody believed"},
    {"proxies in parts, IPv6", "[listen]\nproxy-networks = 10.0.0.1 2000::/4 3000::/4\n", "together they hold half of all IPv6 addresses"},
    {"place of a signature", "hostname = a.b\n[dkim \"a.example\"]\nselector = s\n", "main.conf:3: [dkim \"a.example\"]: a signature needs"},
    {"dkim for all", "[dkim \"*\"]\nselector = s\nkey = /k\n", "main.conf:2: [dkim \"*\"] would apply to nothing"},
    {"dkim for all below", "[dkim \"*.example\"]\nselector = s\n", "[dkim \"*.example\"] would apply to nothing"},
    {"a client by name", "[client \"a.example\"]\nlenient = yes\n", "main.conf:2: \"a.example\" is no network such as 192.0.2.0/24"},
    {"a client's value", "[client \"10.0.0.0/8\"]\nlenient = maybe\n", "main.conf:2: lenient = \"maybe\" is not right"},
    {"a root that is no address", "[local]\nroot = a..b c@d\n", "main.conf:2: root = \"a..b c@d\" is not right"},
    {"destination by sender", "[destination \"from:a.example\"]\nrate = 1/s\n", "[destination \"from:a.example\"] would apply to nothing"},
    {"a port twice", "[listen]\nsmtp = 127.0.0.1:25 127.0.0.1:25\n", "main.conf:2: [listen] smtp: 127.0.0.1:25 is named twice"},
    {"a port for two doors", "[listen]\nsmtp = 127.0.0.1:25\nsubmission = 127.0.0.1:25\n", "main.conf:3: [listen] submission: 127.0.0.1:25 is named twice"},
    {"a port for mail and health", "[http]\nlisten = 127.0.0.1:25\n", "[listen] smtp: 127.0.0.1:25 is named twice"},
    {"an address and all", "[access]\nnetworks = 10.0.0.0/8\n[listen]\nsmtp = 0.0.0.0:25 127.0.0.1:25\n", "main.conf:4: [listen] smtp: 127.0.0.1:25 and 0.0.0.0:25 cannot both be opened"},
    {"all and an address", "[access]\nnetworks = 10.0.0.0/8\n[listen]\nsmtp = [::1]:25 [::]:25\n", "main.conf:4: [listen] smtp: [::]:25 and [::1]:25 cannot both be opened"},
    {"health of all at a port of mail", "[http]\nlisten = 0.0.0.0:25\n", "[listen] smtp: 127.0.0.1:25 and 0.0.0.0:25 cannot both be opened"},
    {"health of one and of all", "[http]\nlisten = 127.0.0.1:9025 0.0.0.0:9025\n", "main.conf:2: [http] listen: 0.0.0.0:9025 and 127.0.0.1:9025 cannot"},
    {"mail at the socket of submit", "[submit]\nsocket = /s\n[listen]\nsmtp = unix:/s\n", "main.conf:4: [listen] smtp: /s is the [submit] socket"},
    {"health at the socket of control", "[control]\nsocket = /c\n[http]\nlisten = unix:/c\n", "main.conf:4: [http] listen: /c is the [control] socket"},
    {"a handed socket twice", "[listen]\nsmtp = fd:a fd:a\n", "main.conf:2: [listen] smtp: a is named twice"},
    {"a long socket",
     "[control]\nsocket = /run/0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012\n",
     "main.conf:2: [control] socket: a path of 108 bytes is too long for a socket: 107 at most"},
    {"one socket for two", "[submit]\nsocket = /run/sternpost/control.sock\n", "main.conf:2: [submit] socket: the socket of [control]"},

    {"unknown at the top", "pat = /x\n", "main.conf:1: unknown key \"pat\" before the first section"},
    {"in the wrong section", "[queue]\nexpire = 1d\n", "main.conf:2: unknown key \"expire\" in [queue]; it belongs to [retry]"},
    {"of a section, at the top", "aliases-file = /x\n", "unknown key \"aliases-file\" before the first section; it belongs to [local]"},
    {"of the top, in a section", "[queue]\nhostname = x\n", "unknown key \"hostname\" in [queue]; it belongs before the first section"},
    {"relayhost", "relayhost = [a.example]:587\n", "main.conf:1: unknown key \"relayhost\" before the first section; it is of another mail system: "
                                                  "here [route \"*\"] has via"},
    {"mynetworks", "[access]\nmynetworks = 10.0.0.0/8\n", "here [access] has networks"},
};

static const struct {
    const char *name, *text, *warning; /* NULL: none */
} warnings[] = {
    {"nothing", "hostname = a.example\n", NULL},
    {"465 and STARTTLS", "hostname = a.b\n[route \"*\"]\nvia = up.example:465\n", "main.conf:3: [route \"*\"]: behind port 465 TLS begins with the first byte"},
    {"465 and implicit", "hostname = a.b\n[route \"*\"]\nvia = up.example:465\ntls = implicit\n", NULL},
    {"587 and implicit", "hostname = a.b\n[route \"*\"]\nvia = up.example:587\ntls = implicit\n", "behind port 587 TLS begins with STARTTLS"},
    {"an address proves nothing", "hostname = a.b\n[route \"*\"]\nvia = 192.0.2.1:25\n", "main.conf:3: [route \"*\"]: 192.0.2.1 is an address"},
    {"a hostname without a dot", "hostname = mail\n", "main.conf:1: hostname: \"mail\" has no dot"},
    {"no policies", "hostname = a.b\n[sts]\nenabled = no\n", "main.conf:3: [sts] enabled: no policy"},
};

static void test_warnings(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(warnings); i++) {
        struct loaded loaded;
        load_text(&loaded, warnings[i].text);
        check_number(warnings[i].name, loaded.err, ERR_NONE);
        struct slice said = buffer_slice(&loaded.warnings);
        if (warnings[i].warning == NULL)
            check_slice(warnings[i].name, said, SLICE_EMPTY);
        else
            check_true(warnings[i].name, slice_find_slice(said, slice_of(warnings[i].warning)) < said.length);
        unload(&loaded);
    }
}

/* What is no setting may be indented, also when it has an equals sign or brackets in it. */
static void test_continued_values(void **state)
{
    (void)state;
    struct loaded loaded;
    load_text(&loaded, "hostname = a.b\n[listen]\nsmtp = 127.0.0.1:2525\n  # a comment\n\n[access]\nnetworks = 10.0.0.0/8\n"
                       "\n  # more\n[http]\nlisten = 127.0.0.1:1\n  [::1]:2\n\tunix:/run/a=b\n[route \"*\"]\nvia = a.example\nusername = u\npassword = c2Vj\n  cmV0==\n");
    check_slice("faults", buffer_slice(&loaded.faults), SLICE_EMPTY);
    assert_int_equal(loaded.err, ERR_NONE);
    check_number("endpoints", loaded.config->http_listen.count, 3);
    check_slice("password", loaded.config->routes[0].password, SLICE("c2Vj cmV0=="));
    unload(&loaded);
}

/* Whatever line of a file somebody indents: it is a fault that says so, never another meaning. */
static void test_no_line_can_be_indented(void **state)
{
    (void)state;
    static const char *const lines[] = {"hostname = a.example", "user = mail", "[listen]", "smtp = 127.0.0.1:25", "[queue]", "path = /q",
                                        "size-max=1G", "[local]", "root = a@b.example", "[route \"*\"]", "via = a.example:25", "tls = verify",
                                        "username = u", "password = p", "[destination \"a.example\"]", "rate = 1/s", "[log]", "level = info"};
    for (size_t wrong = 0; wrong <= COUNT_OF(lines); wrong++) {
        struct loaded loaded;
        struct buffer text;
        buffer_init(&text, 65536);
        for (size_t i = 0; i < COUNT_OF(lines); i++)
            buffer_print(&text, "%s%s\n", i == wrong ? (i % 2 == 0 ? "  " : "\t") : "", lines[i]);
        buffer_add_byte(&text, '\0');
        load_text(&loaded, buffer_slice(&text).data);
        struct slice said = buffer_slice(&loaded.faults);
        bool is_whole = wrong == COUNT_OF(lines);
        check_number(is_whole ? "none" : lines[wrong], loaded.err, is_whole ? ERR_NONE : ERR_SYNTAX);
        check_true(is_whole ? "none" : lines[wrong], is_whole || slice_find_slice(said, SLICE(" is indented")) < said.length);
        unload(&loaded);
        buffer_free(&text);
    }
}

/* The command line reads what it may, and must not call the rest a fault: the password may stand where it cannot look. */
static void test_lenient(void **state)
{
    (void)state;
    struct loaded loaded;
    struct config_source source = {.file = write_file("main.conf", "[route \"*\"]\nvia = a.example\nusername = u\n", 0644), .lenient = true};
    load(&loaded, &source);
    assert_int_equal(loaded.err, ERR_NONE);
    check_slice("no warning", buffer_slice(&loaded.warnings), SLICE_EMPTY);
    unload(&loaded);
    char long_path[300];
    snprintf(long_path, sizeof long_path, "submit.socket=/%0200d", 1);
    struct slice sets[] = {slice_of(long_path)};
    source.sets = sets;
    source.set_count = 1;
    load(&loaded, &source);
    assert_int_equal(loaded.err, ERR_NONE);
    unload(&loaded);
}

/* What is shown says the same when it is read, secrets apart, and shows the same then. */
/* Of several networks the smallest counts, whatever their order; one written in two ways is one section. */
static void test_clients(void **state)
{
    static const struct {
        const char *address;
        int lenient; /* -1: there is no section */
    } cases[] = {{"10.0.0.1", 1}, {"10.1.0.1", 0}, {"10.1.2.3", 1}, {"11.0.0.1", -1}, {"2001:db8::1", 1}, {"2001:db9::1", -1}};
    (void)state;
    struct loaded loaded;
    load_text(&loaded, "hostname = a.b\n[client \"10.1.2.3\"]\nlenient = yes\n[client \"10.0.0.0/8\"]\nlenient = yes\n"
                       "[client \"10.1.0.0/16\"]\nlenient = no\n[client \"2001:DB8:0::/32\"]\nlenient = no\n"
                       "[client \"2001:db8::/32\"]\nlenient = yes\n");
    check_slice("no faults", buffer_slice(&loaded.faults), SLICE_EMPTY);
    assert_int_equal(loaded.err, ERR_NONE);
    check_number("sections", loaded.config->client_count, 4);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct ip ip;
        assert_true(ip_parse(slice_of(cases[i].address), &ip));
        const struct config_client *client = config_client_find(loaded.config, &ip);
        check_number(cases[i].address, client == NULL ? 2 : client->lenient, cases[i].lenient < 0 ? 2 : cases[i].lenient);
    }
    unload(&loaded);
}

/* Addresses that others have: as the local part of an odd mailbox. */
static void test_odd_addresses(void **state)
{
    (void)state;
    struct loaded loaded;
    load_text(&loaded, "hostname = a.b\n[local]\nroot = x..y@phone.example.\n");
    assert_int_equal(loaded.err, ERR_NONE);
    check_slice("root", loaded.config->local_root, SLICE("\"x..y\"@phone.example"));
    unload(&loaded);
}

static void test_shown(void **state)
{
    (void)state;
    struct loaded loaded, again;
    struct buffer shown, twice;
    buffer_init(&shown, 1u << 20);
    buffer_init(&twice, 1u << 20);
    load_text(&loaded, "hostname = a.example\n[queue]\nsize-max = 1G\n[route \"B.example\"]\nvia = up.example\n[route \"*\"]\nvia = c.example:25\n"
                       "tls = implicit\n[dkim \"d.example\"]\nselector = s\nkey = /k\n[retry]\nschedule = 1m\n  2m\n");
    assert_int_equal(loaded.err, ERR_NONE);
    config_print_effective(loaded.config, &shown);
    struct slice text = buffer_slice(&shown);
    check_true("a value and its place", slice_find_slice(text, SLICE("main.conf:3\nsize-max = 1G\n")) < text.length);
    check_true("a default", slice_find_slice(text, SLICE("\nfree-min = 256M\n")) < text.length);
    check_true("a section with a name", slice_find_slice(text, SLICE("[route \"b.example\"]\n")) < text.length);
    check_true("its default", slice_find_slice(text, SLICE("\ntls = verify\n")) < text.length);
    buffer_add_byte(&shown, '\0');
    load_text(&again, buffer_slice(&shown).data);
    check_slice("no faults", buffer_slice(&again.faults), SLICE_EMPTY);
    assert_int_equal(again.err, ERR_NONE);
    check_number("routes", again.config->route_count, 2);
    check_number("waits", again.config->retry.count, 2);
    config_print_effective(again.config, &twice);
    check_true("all is there", buffer_slice(&twice).length >= text.length);
    unload(&again);
    unload(&loaded);
    buffer_free(&shown);
    buffer_free(&twice);
}

static void test_shown_without_secrets(void **state)
{
    (void)state;
    struct loaded loaded;
    struct buffer shown;
    buffer_init(&shown, 1u << 20);
    load_text(&loaded, "[route \"*\"]\nvia = up.example\nusername = u\npassword = hunter2\n");
    config_print_effective(loaded.config, &shown);
    struct slice text = buffer_slice(&shown);
    check_true("its place", slice_find_slice(text, SLICE("main.conf:4\n#password = (hidden)\n")) < text.length);
    check_true("not itself", slice_find_slice(text, SLICE("hunter2")) == text.length);
    unload(&loaded);
    buffer_free(&shown);
}

static void test_files_are_named(void **state)
{
    (void)state;
    struct loaded loaded;
    struct buffer files;
    char absent[300], wanted[700];
    buffer_init(&files, 4096);
    struct slice path = write_file("main.conf", "hostname = a.b\n", 0640);
    struct config_source source = {.file = path, .files = &files};
    load(&loaded, &source);
    snprintf(wanted, sizeof wanted, "%.*s\n", SLICE_ARGS(path));
    check_slice("read", buffer_slice(&files), slice_of(wanted));
    unload(&loaded);
    buffer_clear(&files);
    snprintf(absent, sizeof absent, "%s/absent.conf", directory);
    source.file = slice_of(absent);
    load(&loaded, &source);
    snprintf(wanted, sizeof wanted, "%s: not found\n", absent);
    check_slice("absent", buffer_slice(&files), slice_of(wanted));
    assert_int_equal(loaded.err, ERR_SYNTAX);
    unload(&loaded);
    buffer_free(&files);
}

static void test_faults_name_place_and_cure(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        struct loaded loaded;
        load_text(&loaded, faults[i].text);
        check_number(faults[i].name, loaded.err, ERR_SYNTAX);
        struct slice said = buffer_slice(&loaded.faults);
        struct slice wanted = slice_of(faults[i].fault);
        if (slice_find_slice(said, wanted) == said.length)
            print_error("%s: said %.*s", faults[i].name, SLICE_ARGS(said));
        check_true(faults[i].name, slice_find_slice(said, wanted) < said.length);
        unload(&loaded);
    }
}

static void test_doors(void **state)
{
    struct loaded loaded;
    (void)state;
    load_text(&loaded, "[listen]\nsubmission = 127.0.0.1:5587 [::1] unix:/run/x\nproxy-networks = 192.0.2.0/24 ::1\n");
    assert_int_equal(loaded.err, ERR_NONE);
    assert_int_equal(loaded.config->listen_count, 4);
    assert_int_equal(loaded.config->listen[2].endpoint.port, 587);
    unload(&loaded);
    load_text(&loaded, "[listen]\nsubmission = 192.0.2.1\nsubmissions = fd:tls\n[tls]\ncertificate = /x\nkey = /y\n"
                       "[access]\nusers-file = /z\n");
    assert_int_equal(loaded.err, ERR_NONE);
    unload(&loaded);
}

static void test_secrets(void **state)
{
    (void)state;
    static const char text[] = "[route \"*\"]\nvia = a.example:587\nusername = u\npassword = hunter2\n";
    struct loaded loaded;
    struct config_source source = {.file = write_file("secret.conf", text, 0644)};
    load(&loaded, &source);
    assert_int_equal(loaded.err, ERR_SYNTAX);
    struct slice said = buffer_slice(&loaded.faults);
    assert_true(slice_find_slice(said, SLICE("everybody can read")) < said.length);
    assert_int_equal(slice_find_slice(said, SLICE("hunter2")), said.length);
    unload(&loaded);
    source.file = write_file("secret.conf", text, 0640);
    load(&loaded, &source);
    assert_int_equal(loaded.err, ERR_NONE);
    check_slice("password", loaded.config->routes[0].password, SLICE("hunter2"));
    unload(&loaded);
}

static void test_who_needs_names(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool needs;
    } cases[] = {
        {"", true},
        {"[route \"*\"]\nvia = 192.0.2.1:25\n", false},
        {"[route \"*\"]\nvia = [2a00::1]:25\ntls = verify\n", false},
        {"[route \"*\"]\nvia = mail.example:25\n", true},
        {"[route \"*\"]\nvia = 192.0.2.1:25\ntls = sts\n", true},
        {"[route \"a.example\"]\nvia = 192.0.2.1:25\n", true},
        {"[route \"from:a.example\"]\nvia = 192.0.2.1:25\n", true},
        {"[route \"*.example\"]\nvia = 192.0.2.1:25\n", true},
        {"[route \"*\"]\nvia = 192.0.2.1:25\n[route \"a.example\"]\nvia = 192.0.2.2:25\n", false},
        {"[route \"*\"]\nvia = 192.0.2.1:25\n[route \"a.example\"]\nvia = mail.example:25\n", true},
        {"[route \"*\"]\nvia = 192.0.2.1:25\n[route \"a.example\"]\nvia = 192.0.2.2:25\ntls = sts\n", true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct loaded loaded;
        load_text(&loaded, cases[i].text);
        if (loaded.err != ERR_NONE)
            print_error("%s: %.*s\n", cases[i].text, SLICE_ARGS(buffer_slice(&loaded.faults)));
        assert_int_equal(loaded.err, ERR_NONE);
        check_number(cases[i].text, config_needs_names(loaded.config), cases[i].needs);
        unload(&loaded);
    }
}

static void test_routes(void **state)
{
    (void)state;
    struct loaded loaded;
    load_text(&loaded, "[route \"Example.COM\"]\nvia = exact.example\n[route \"*.example.com\"]\nvia = [2a00::1]:26\n"
                       "[route \"*.deep.example.com\"]\nvia = deep.example:25\n[route \"from:boss.example\"]\nvia = from.example:25\n"
                       "[route \"*\"]\nvia = all.example:25\ntls = sts\n");
    assert_int_equal(loaded.err, ERR_NONE);
    static const struct {
        const char *domain, *sender, *host;
    } wanted[] = {
        {"example.com", "x.example", "exact.example"},       {"a.example.com", "boss.example", "2a00::1"},
        {"b.deep.example.com", "x.example", "deep.example"}, {"else.example", "boss.example", "from.example"},
        {"else.example", "x.example", "all.example"},        {"deep.example.com", "x.example", "2a00::1"},
    };
    for (size_t i = 0; i < COUNT_OF(wanted); i++) {
        const struct config_route *route =
            config_route_find(loaded.config, slice_of(wanted[i].domain), slice_of(wanted[i].sender));
        check_true(wanted[i].domain, route != NULL);
        check_slice(wanted[i].domain, route->host, slice_of(wanted[i].host));
    }
    check_number("default port", config_route_find(loaded.config, SLICE("example.com"), SLICE_EMPTY)->port, 587);
    unload(&loaded);
}

static const struct {
    const char *host;
    uint16_t port;
    uint32_t connections, messages;
} hops[] = {
    {"shared.example", 587, 3, 10},    /* the strictest of its routes, each key for itself */
    {"shared.example", 25, 7, 50},     /* another port: what holds for the host */
    {"own.example", 587, 9, 50},       /* the route's connections, the rate of "*" */
    {"unknown.example", 587, 15, 50},
};

static void test_limits(void **state)
{
    (void)state;
    struct loaded loaded;
    load_text(&loaded, "[delivery]\nper-destination = 20\n[destination \"*\"]\nconnections = 15\nrate = 50/m\n"
                       "[destination \"Slow.Example\"]\nrate = 1/m\n[destination \"few.example\"]\nconnections = 2\n"
                       "[destination \"shared.example\"]\nconnections = 7\n"
                       "[route \"a.example\"]\nvia = shared.example\nconnections = 5\nrate = 10/m\n"
                       "[route \"b.example\"]\nvia = shared.example:587\nconnections = 3\nrate = 1/s\n"
                       "[route \"c.example\"]\nvia = shared.example:25\n[route \"d.example\"]\nvia = own.example\nconnections = 9\n");
    struct config_limits slow = config_limits_find(loaded.config, SLICE("slow.example"));
    struct config_limits few = config_limits_find(loaded.config, SLICE("few.example"));
    check_number("slow connections", slow.connections, 15);
    check_number("slow rate", slow.rate.messages, 1);
    check_number("few connections", few.connections, 2);
    check_number("few rate", few.rate.messages, 50);
    for (size_t i = 0; i < COUNT_OF(hops); i++) {
        struct config_limits limits = config_hop_limits(loaded.config, slice_of(hops[i].host), hops[i].port);
        check_number(hops[i].host, limits.connections, hops[i].connections);
        check_number(hops[i].host, limits.rate.messages, hops[i].messages);
    }
    unload(&loaded);
    load_text(&loaded, "hostname = a.b\n");
    check_number("default", config_limits_find(loaded.config, SLICE("any.example")).connections, 20);
    unload(&loaded);
}

static void test_sets(void **state)
{
    (void)state;
    struct loaded loaded;
    struct slice sets[] = {SLICE("route.\"example.com\".via=up.example:25"), SLICE("hostname=set.example"),
                           SLICE("retry.schedule=2s 4s"), SLICE("destination.\"slow.example\".rate=100/h")};
    struct config_source source = {.file = write_file("empty.conf", "", 0640), .sets = sets, .set_count = COUNT_OF(sets)};
    load(&loaded, &source);
    assert_int_equal(loaded.err, ERR_NONE);
    check_slice("route", loaded.config->routes[0].host, SLICE("up.example"));
    check_slice("top level", loaded.config->hostname, SLICE("set.example"));
    check_number("list", loaded.config->retry.count, 2);
    struct config_limits limits = config_limits_find(loaded.config, SLICE("slow.example"));
    check_number("messages", limits.rate.messages, 100);
    check_number("per", limits.rate.per_ms, 3600000);
    unload(&loaded);
}

/* The sample is made from the parser's own table, so it must load, and change nothing. */
static void test_sample_loads(void **state)
{
    (void)state;
    struct buffer sample;
    struct loaded loaded;
    buffer_init(&sample, 1u << 20);
    config_print_sample(&sample);
    buffer_add_byte(&sample, '\0');
    assert_false(buffer_failed(&sample));
    load_text(&loaded, buffer_slice(&sample).data);
    assert_int_equal(loaded.err, ERR_NONE);
    unload(&loaded);
    buffer_free(&sample);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_needed),  cmocka_unit_test(test_order_of_sources),
        cmocka_unit_test(test_directory_beside_the_file), cmocka_unit_test(test_faults_name_place_and_cure),
        cmocka_unit_test(test_warnings), cmocka_unit_test(test_continued_values), cmocka_unit_test(test_no_line_can_be_indented),
        cmocka_unit_test(test_clients), cmocka_unit_test(test_odd_addresses), cmocka_unit_test(test_shown), cmocka_unit_test(test_shown_without_secrets), cmocka_unit_test(test_lenient), cmocka_unit_test(test_files_are_named),
        cmocka_unit_test(test_doors), cmocka_unit_test(test_secrets),
        cmocka_unit_test(test_who_needs_names), cmocka_unit_test(test_routes),             cmocka_unit_test(test_limits),             cmocka_unit_test(test_sets),
        cmocka_unit_test(test_sample_loads),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
