#include "relay/config.h"

#include "base/idna.h"
#include "base/list.h"
#include "base/text.h"
#include "relay/config_internal.h"
#include "smtp/address.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ARENA_MAX (64u << 20)
#define MAIN_FILE "/etc/sternpost/sternpost.conf"

static bool prepare(struct config_loader *loader);
static void apply_defaults(struct config_loader *loader);
static void read_files(struct config_loader *loader, struct slice file);
static void finish(struct config_loader *loader);
static void finish_hostname(struct config_loader *loader);
static void finish_locals(struct config_loader *loader);

const char *config_tls_name(enum config_tls tls)
{
    static const char *const names[] = {
#define X(name, text) [CONFIG_TLS_##name] = text,
        CONFIG_TLS_LIST(X)
#undef X
    };
    return names[tls];
}

enum err config_load(const struct config_source *source, struct config **config, struct buffer *faults,
                     struct buffer *warnings)
{
    struct config_loader loader = {.faults = faults, .warnings = warnings, .lenient = source->lenient, .files = source->files};
    *config = NULL;
    if (!prepare(&loader))
        return ERR_MEMORY;
    apply_defaults(&loader);
    read_files(&loader, source->file);
    config_read_environment(&loader, source->environment);
    for (size_t i = 0; i < source->set_count; i++)
        config_read_set(&loader, source->sets[i]);
    finish(&loader);
    if (loader.no_memory || loader.fault_count > 0) {
        config_free(&loader.config);
        return loader.no_memory ? ERR_MEMORY : ERR_SYNTAX;
    }
    *config = loader.config;
    return ERR_NONE;
}

void config_free(struct config **config)
{
    if (*config == NULL)
        return;
    struct arena *arena = (*config)->arena;
    arena_free(&arena);
    *config = NULL;
}

static bool prepare(struct config_loader *loader)
{
    struct arena *arena = arena_new(ARENA_MAX);
    if (arena == NULL)
        return false;
    loader->config = arena_alloc(arena, sizeof *loader->config);
    loader->routes = arena_array(arena, CONFIG_ITEMS_MAX, sizeof *loader->routes);
    loader->destinations = arena_array(arena, CONFIG_ITEMS_MAX, sizeof *loader->destinations);
    loader->dkims = arena_array(arena, CONFIG_ITEMS_MAX, sizeof *loader->dkims);
    loader->clients = arena_array(arena, CONFIG_ITEMS_MAX, sizeof *loader->clients);
    loader->listen = arena_array(arena, CONFIG_ITEMS_MAX, sizeof *loader->listen);
    if (loader->config == NULL || loader->routes == NULL || loader->destinations == NULL || loader->dkims == NULL ||
        loader->clients == NULL || loader->listen == NULL) {
        arena_free(&arena);
        return false;
    }
    loader->config->arena = arena;
    list_init(&loader->config->settings);
    return true;
}

/* ---- messages ---- */

static void add_message(struct buffer *out, struct slice origin, const char *format, va_list arguments)
{
    char text[1024];
    vsnprintf(text, sizeof text, format, arguments);
    buffer_print(out, "%.*s: ", SLICE_ARGS(origin));
    text_clean(out, slice_of(text), sizeof text);
    buffer_add_byte(out, '\n');
}

void config_fault(struct config_loader *loader, struct slice origin, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add_message(loader->faults, origin, format, arguments);
    va_end(arguments);
    loader->fault_count++;
}

void config_warn(struct config_loader *loader, struct slice origin, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add_message(loader->warnings, origin, format, arguments);
    va_end(arguments);
}

/* ---- single settings ---- */

static void apply_defaults(struct config_loader *loader)
{
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        const char *expected = "";
        if (config_section_is_named(slice_of(key->section)))
            continue;
        if (!key->parse(loader, slice_of(key->normal), (char *)loader->config + key->offset, &expected))
            loader->no_memory = true; /* a default is valid: only memory can be the matter */
    }
    loader->config->log_format_given = false;
}

static struct config_client *client_place(struct config_loader *loader, struct slice name)
{
    struct config *config = loader->config;
    for (size_t i = 0; i < config->client_count; i++) {
        if (slice_equal(loader->clients[i].name, name))
            return &loader->clients[i];
    }
    if (config->client_count == CONFIG_ITEMS_MAX)
        return NULL;
    struct config_client *client = &loader->clients[config->client_count++];
    *client = (struct config_client){.name = name};
    enum err err = ip_network_parse(name, &client->network);
    assert(err == ERR_NONE); /* canonical_network() has printed it */
    return client;
}

/* The struct of a named section, made when it is met first. */
static void *named_place(struct config_loader *loader, const struct config_setting *setting)
{
    struct config *config = loader->config;
    if (slice_equal(setting->section, SLICE("client")))
        return client_place(loader, setting->name);
    if (slice_equal(setting->section, SLICE("route"))) {
        for (size_t i = 0; i < config->route_count; i++) {
            if (slice_equal(loader->routes[i].pattern, setting->name))
                return &loader->routes[i];
        }
        if (config->route_count == CONFIG_ITEMS_MAX)
            return NULL;
        loader->routes[config->route_count] = (struct config_route){
            .pattern = setting->name, .host = SLICE_EMPTY, .tls = CONFIG_TLS_VERIFY, .username = SLICE_EMPTY, .password = SLICE_EMPTY};
        return &loader->routes[config->route_count++];
    }
    if (slice_equal(setting->section, SLICE("destination"))) {
        for (size_t i = 0; i < config->destination_count; i++) {
            if (slice_equal(loader->destinations[i].domain, setting->name))
                return &loader->destinations[i];
        }
        if (config->destination_count == CONFIG_ITEMS_MAX)
            return NULL;
        loader->destinations[config->destination_count] = (struct config_destination){.domain = setting->name};
        return &loader->destinations[config->destination_count++];
    }
    for (size_t i = 0; i < config->dkim_count; i++) {
        if (slice_equal(loader->dkims[i].domain, setting->name))
            return &loader->dkims[i];
    }
    if (config->dkim_count == CONFIG_ITEMS_MAX)
        return NULL;
    loader->dkims[config->dkim_count] =
        (struct config_dkim){.domain = setting->name, .selector = SLICE_EMPTY, .key_file = SLICE_EMPTY};
    return &loader->dkims[config->dkim_count++];
}

/* What stands before the domain in the name of a section: "*.", "from:", or all of "*". */
static struct slice form_of(struct slice name, enum config_name *form)
{
    const struct {
        struct slice text;
        enum config_name form;
    } forms[] = {{SLICE("from:"), CONFIG_NAME_SENDER}, {SLICE("*."), CONFIG_NAME_BELOW}, {SLICE("*"), CONFIG_NAME_ALL}};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        *form = forms[i].form;
        if (forms[i].form == CONFIG_NAME_ALL ? slice_equal(name, forms[i].text) : slice_starts(name, forms[i].text))
            return forms[i].text;
    }
    *form = 0;
    return SLICE_EMPTY;
}

/* The same network written in two ways is one section. */
static bool canonical_network(struct config_loader *loader, struct config_setting *setting)
{
    struct ip_network network;
    char text[56];
    if (ip_network_parse(setting->name, &network) != ERR_NONE) {
        config_fault(loader, setting->origin, "\"%.*s\" is no network such as 192.0.2.0/24", SLICE_ARGS(setting->name));
        return false;
    }
    return arena_slice(loader->config->arena, ip_network_print(&network, text), &setting->name);
}

/* The domain in it becomes canonical; a pattern in a section that has none would apply to nothing, without a word. */
static bool canonical_name(struct config_loader *loader, struct config_setting *setting)
{
    const struct config_named *named = config_named_find(setting->section);
    enum config_name form;
    struct slice canonical = SLICE_EMPTY;
    if (named == NULL && setting->name.length > 0)
        config_fault(loader, setting->origin, "section [%.*s] takes no name", SLICE_ARGS(setting->section));
    else if (named != NULL && setting->name.length == 0)
        config_fault(loader, setting->origin, "[%.*s] needs a name", SLICE_ARGS(setting->section));
    if ((named == NULL) != (setting->name.length == 0))
        return false;
    if (named == NULL)
        return true;
    if ((named->forms & CONFIG_NAME_NETWORK) != 0)
        return canonical_network(loader, setting);
    struct slice prefix = form_of(setting->name, &form);
    struct slice domain = slice_from(setting->name, prefix.length);
    if ((form & ~named->forms) != 0) {
        config_fault(loader, setting->origin, "[%.*s \"%.*s\"] would apply to nothing: write a section for each domain",
                     SLICE_ARGS(setting->section), SLICE_ARGS(setting->name));
        return false;
    }
    if (form != CONFIG_NAME_ALL && idna_canonical(domain, loader->config->arena, &canonical) != ERR_NONE) {
        config_fault(loader, setting->origin, "\"%.*s\" is no domain", SLICE_ARGS(setting->name));
        return false;
    }
    return arena_print(loader->config->arena, &setting->name, "%.*s%.*s", SLICE_ARGS(prefix), SLICE_ARGS(canonical));
}

static void note_given(struct config *config, const struct config_key *key)
{
    if (key->section[0] == '\0' && strcmp(key->key, "user") == 0)
        config->user_given = true;
    if (strcmp(key->section, "access") == 0 && strcmp(key->key, "networks") == 0)
        config->access_networks_given = true;
    if (strcmp(key->section, "control") == 0)
        config->control_given = true;
    if (strcmp(key->section, "submit") == 0 && strcmp(key->key, "socket") == 0)
        config->submit_given = true;
    if (strcmp(key->section, "submit") == 0 && strcmp(key->key, "drop") == 0)
        config->drop_given = true;
}

struct slice config_first_line(struct slice value)
{
    size_t length = 0;
    while (length < value.length && (unsigned char)value.data[length] >= ' ' && value.data[length] != 0x7f)
        length++;
    return slice_to(value, length);
}

/* What stands in a file, such as a key in PEM, where its path should. */
static bool is_content(const struct config_key *key, struct slice value)
{
    bool is_one_text = key->parse == config_parse_text && !key->is_secret;
    return slice_starts(value, SLICE("-----BEGIN ")) || (is_one_text && config_first_line(value).length < value.length);
}

/* A value in quotes, as in a shell, or nothing where something secret belongs: each would go out as it stands. */
static bool is_plausible(struct config_loader *loader, const struct config_setting *setting, const struct config_key *key)
{
    struct slice value = setting->value;
    char quote = value.length > 1 ? value.data[0] : '\0';
    if (!setting->is_verbatim && (quote == '"' || quote == '\'') && value.data[value.length - 1] == quote) {
        config_fault(loader, setting->origin, "%s stands in quotes, which would be a part of it; leave them out%s", key->key,
                     key->is_secret ? ", or, where they belong to it, name a file with the value in the variable whose name ends in _FILE" : "");
        return false;
    }
    if (is_content(key, value)) {
        config_fault(loader, setting->origin, "%s is the path of a file, and this is what stands in one: give the path itself", key->key);
        return false;
    }
    if (key->is_secret && value.length == 0) {
        config_fault(loader, setting->origin, "%s is empty; leave the key out where there is none", key->key);
        return false;
    }
    return true;
}

static void keep_setting(struct config_loader *loader, const struct config_setting *setting)
{
    struct config *config = loader->config;
    struct config_setting *old = config_setting_find(config, setting->section, setting->name, setting->key);
    struct config_kept *kept = old != NULL ? LIST_OF(old, struct config_kept, setting) : arena_alloc(config->arena, sizeof *kept);
    if (kept == NULL) {
        loader->no_memory = true;
        return;
    }
    kept->setting = *setting;
    if (old == NULL)
        list_add_last(&config->settings, &kept->node);
}

void config_apply(struct config_loader *loader, const struct config_setting *given)
{
    struct config_setting setting = *given;
    const struct config_key *key = config_key_find(setting.section, setting.key);
    const char *expected = "";
    if (key == NULL) {
        config_tell_unknown(loader, &setting);
        return;
    }
    if (key->is_secret && setting.may_be_read_by_all && !loader->lenient) {
        config_fault(loader, setting.origin, "%s stands in a file that everybody can read; chmod 0640 it", key->key);
        return;
    }
    if (!canonical_name(loader, &setting))
        return;
    keep_setting(loader, &setting);
    if (!is_plausible(loader, &setting, key))
        return;
    char *place = setting.name.length > 0 ? named_place(loader, &setting) : (char *)loader->config;
    if (place == NULL)
        config_fault(loader, setting.origin, "too many sections of this kind");
    else if (!key->parse(loader, setting.value, place + key->offset, &expected))
        config_fault(loader, setting.origin, "%s = \"%.*s\" is not right: expected %s", key->key,
                     SLICE_ARGS(key->is_secret ? SLICE("...") : slice_to(config_first_line(setting.value), 200)), expected);
    else
        note_given(loader->config, key);
}

/* ---- what was set, and where ---- */

struct config_setting *config_setting_find(const struct config *config, struct slice section, struct slice name, struct slice key)
{
    for (struct list_node *node = list_first(&config->settings); node != NULL; node = list_next(&config->settings, node)) {
        struct config_kept *kept = LIST_OF(node, struct config_kept, node);
        if (slice_equal(kept->setting.section, section) && slice_equal(kept->setting.name, name) &&
            (key.length == 0 || slice_equal(kept->setting.key, key)))
            return &kept->setting;
    }
    return NULL;
}

struct slice config_place(struct config_loader *loader, struct slice section, struct slice name, struct slice key)
{
    struct slice place = SLICE_EMPTY;
    const struct config_setting *setting = config_setting_find(loader->config, section, name, key);
    const char *quote = name.length > 0 ? "\"" : "";
    bool kept = arena_print(loader->config->arena, &place, "%.*s%s%s%.*s%s%s%.*s%s%s%s%.*s",
                            SLICE_ARGS(setting == NULL ? SLICE_EMPTY : setting->origin), setting == NULL ? "" : ": ",
                            section.length > 0 ? "[" : "", SLICE_ARGS(section), name.length > 0 ? " " : "", quote, SLICE_ARGS(name), quote,
                            section.length > 0 ? "]" : "", section.length > 0 && key.length > 0 ? " " : "", SLICE_ARGS(key));
    loader->no_memory = loader->no_memory || !kept;
    return place;
}

void config_place_print(const struct config *config, struct slice section, struct slice key, struct buffer *out)
{
    const struct config_setting *setting = config_setting_find(config, section, SLICE_EMPTY, key);
    if (setting != NULL)
        buffer_print(out, "%.*s: ", SLICE_ARGS(setting->origin));
    if (section.length > 0)
        buffer_print(out, "[%.*s]%s", SLICE_ARGS(section), key.length > 0 ? " " : "");
    buffer_add(out, key);
}

/* ---- sources ---- */

static void read_files(struct config_loader *loader, struct slice file)
{
    char path[4096];
    char directory[4096];
    snprintf(path, sizeof path, "%.*s", SLICE_ARGS(file.length > 0 ? file : SLICE(MAIN_FILE)));
    config_read_file(loader, path, file.length > 0);
    char *slash = strrchr(path, '/');
    snprintf(directory, sizeof directory, "%.*s/conf.d", slash == NULL ? 1 : (int)(slash - path), slash == NULL ? "." : path);
    config_read_directory(loader, directory);
}

/* ---- what follows from the whole ---- */

static void finish(struct config_loader *loader)
{
    struct config *config = loader->config;
    config->routes = loader->routes;
    config->destinations = loader->destinations;
    config->dkims = loader->dkims;
    config->clients = loader->clients;
    config->listen = loader->listen;
    config->listen_count = loader->listen_count;
    finish_hostname(loader);
    finish_locals(loader);
    config_check(loader);
}

/* /etc/hosts: the first name behind an address that has our name is the canonical one. */
static bool canonical_in_hosts(struct config_loader *loader, struct slice name, struct slice *canonical)
{
    struct buffer text;
    struct slice line;
    struct slice word;
    bool readable;
    bool found = false;
    buffer_init(&text, 1u << 20);
    struct slice rest = config_slurp("/etc/hosts", &text, &readable) == ERR_NONE ? buffer_slice(&text) : SLICE_EMPTY;
    while (!found && slice_cut(&rest, '\n', &line)) {
        struct slice first = SLICE_EMPTY;
        line = slice_to(line, slice_find(line, '#'));
        slice_word(&line, &word);
        while (!found && slice_word(&line, &word)) {
            first = first.length == 0 ? word : first;
            found = slice_equal_nocase(word, name) && slice_has(first, '.');
        }
        if (found)
            found = arena_slice(loader->config->arena, first, canonical);
    }
    buffer_free(&text);
    return found;
}

static void finish_hostname(struct config_loader *loader)
{
    struct config *config = loader->config;
    char name[256] = "localhost";
    if (config->hostname.length == 0) {
        if (gethostname(name, sizeof name - 1) != 0 || name[0] == '\0')
            snprintf(name, sizeof name, "localhost");
        name[sizeof name - 1] = '\0';
        struct slice plain = slice_of(name);
        if ((slice_has(plain, '.') || !canonical_in_hosts(loader, plain, &config->hostname)) &&
            !arena_slice(config->arena, plain, &config->hostname))
            loader->no_memory = true;
    }
    if (idna_canonical(config->hostname, config->arena, &config->hostname) != ERR_NONE)
        config_fault(loader, SLICE("hostname"), "\"%.*s\" is no host name", SLICE_ARGS(config->hostname));
}

static void finish_locals(struct config_loader *loader)
{
    struct config *config = loader->config;
    if (config->local_domains.count > 0)
        return;
    struct slice *domains = arena_array(config->arena, 2, sizeof *domains);
    if (domains == NULL) {
        loader->no_memory = true;
        return;
    }
    domains[0] = config->hostname;
    domains[1] = SLICE("localhost");
    config->local_domains = (struct config_list){.items = domains, .count = 2};
}
