#include "relay/config.h"

#include "base/idna.h"
#include "base/list.h"
#include "base/text.h"
#include "relay/config_internal.h"
#include "smtp/address.h"

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
static void check_routes(struct config_loader *loader);
static void check_sts(struct config_loader *loader);
static void check_tls(struct config_loader *loader);
static void check_doors(struct config_loader *loader);

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
    struct config_loader loader = {.faults = faults, .warnings = warnings, .lenient = source->lenient};
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
    loader->rates = arena_array(arena, CONFIG_ITEMS_MAX, sizeof *loader->rates);
    loader->dkims = arena_array(arena, CONFIG_ITEMS_MAX, sizeof *loader->dkims);
    loader->listen = arena_array(arena, CONFIG_ITEMS_MAX, sizeof *loader->listen);
    if (loader->config == NULL || loader->routes == NULL || loader->rates == NULL || loader->dkims == NULL ||
        loader->listen == NULL) {
        arena_free(&arena);
        return false;
    }
    loader->config->arena = arena;
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

/* The struct of a named section, made when it is met first. */
static void *named_place(struct config_loader *loader, const struct config_setting *setting)
{
    struct config *config = loader->config;
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
        if (config->rate_count == CONFIG_ITEMS_MAX)
            return NULL;
        loader->rates[config->rate_count].domain = setting->name;
        return &loader->rates[config->rate_count++];
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

/* "*.", "from:" and "*" stay; the domain in it becomes canonical. */
static bool canonical_name(struct config_loader *loader, struct config_setting *setting)
{
    struct slice prefix = SLICE_EMPTY;
    struct slice domain = setting->name;
    if (setting->name.length == 0 || slice_equal(setting->name, SLICE("*")))
        return true;
    if (slice_starts(domain, SLICE("from:")))
        prefix = SLICE("from:");
    else if (slice_starts(domain, SLICE("*.")))
        prefix = SLICE("*.");
    domain = slice_from(domain, prefix.length);
    struct slice canonical;
    return idna_canonical(domain, loader->config->arena, &canonical) == ERR_NONE &&
           arena_print(loader->config->arena, &setting->name, "%.*s%.*s", SLICE_ARGS(prefix), SLICE_ARGS(canonical));
}

static void tell_unknown(struct config_loader *loader, const struct config_setting *setting)
{
    const char *names[128];
    size_t count = 0;
    for (size_t i = 0; i < config_key_count && count < 128; i++) {
        if (slice_equal(setting->section, slice_of(config_keys[i].section)))
            names[count++] = config_keys[i].key;
    }
    const char *nearest = text_nearest(setting->key, names, count);
    config_fault(loader, setting->origin, "unknown key \"%.*s\" in [%.*s]%s%s%s", SLICE_ARGS(setting->key),
                 SLICE_ARGS(setting->section), nearest == NULL ? "" : "; did you mean \"", nearest == NULL ? "" : nearest,
                 nearest == NULL ? "" : "\"?");
}

static void note_given(struct config *config, const struct config_key *key)
{
    if (strcmp(key->section, "access") == 0 && strcmp(key->key, "networks") == 0)
        config->access_networks_given = true;
    if (strcmp(key->section, "control") == 0)
        config->control_given = true;
    if (strcmp(key->section, "submit") == 0 && strcmp(key->key, "socket") == 0)
        config->submit_given = true;
    if (strcmp(key->section, "submit") == 0 && strcmp(key->key, "drop") == 0)
        config->drop_given = true;
}

void config_apply(struct config_loader *loader, const struct config_setting *given)
{
    struct config_setting setting = *given;
    const struct config_key *key = config_key_find(setting.section, setting.key);
    const char *expected = "";
    if (key == NULL) {
        tell_unknown(loader, &setting);
        return;
    }
    if (key->is_secret && setting.may_be_read_by_all && !loader->lenient) {
        config_fault(loader, setting.origin, "%s stands in a file that everybody can read; chmod 0640 it", key->key);
        return;
    }
    if (!canonical_name(loader, &setting)) {
        config_fault(loader, setting.origin, "\"%.*s\" is no domain", SLICE_ARGS(setting.name));
        return;
    }
    bool named = config_section_is_named(setting.section);
    if (named && setting.name.length == 0) {
        config_fault(loader, setting.origin, "[%.*s] needs a name", SLICE_ARGS(setting.section));
        return;
    }
    char *place = named ? named_place(loader, &setting) : (char *)loader->config;
    if (place == NULL)
        config_fault(loader, setting.origin, "too many sections of this kind");
    else if (!key->parse(loader, setting.value, place + key->offset, &expected))
        config_fault(loader, setting.origin, "%s = \"%.*s\" is not right: expected %s", key->key,
                     key->is_secret ? 3 : (int)slice_to(setting.value, 200).length, key->is_secret ? "..." : setting.value.data, expected);
    else
        note_given(loader->config, key);
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
    config->rates = loader->rates;
    config->dkims = loader->dkims;
    config->listen = loader->listen;
    config->listen_count = loader->listen_count;
    finish_hostname(loader);
    finish_locals(loader);
    check_routes(loader);
    check_sts(loader);
    check_tls(loader);
    check_doors(loader);
}

/* Where clients have to log in there must be TLS to do it over, and users. */
static void check_doors(struct config_loader *loader)
{
    const struct config *config = loader->config;
    bool has_tls = config->tls_certificate.length > 0, has_users = config->users_file.length > 0;
    if (has_users && !has_tls)
        config_fault(loader, SLICE("[access] users-file"), "users log in over TLS only: configure [tls] certificate and key");
    for (size_t i = 0; i < config->listen_count; i++) {
        const struct config_listen *listen = &config->listen[i];
        bool is_near = listen->fd_name.length == 0 && (listen->endpoint.path[0] != '\0' || ip_is_loopback(&listen->endpoint.ip));
        if (listen->door == CONFIG_SMTP || (listen->door == CONFIG_SUBMISSION && is_near))
            continue;
        struct slice where = listen->door == CONFIG_SUBMISSION ? SLICE("[listen] submission") : SLICE("[listen] submissions");
        if (!has_tls)
            config_fault(loader, where, "needs TLS: configure [tls] certificate and key");
        if (!has_users)
            config_fault(loader, where, "needs users who log in: name their file in [access] users-file");
    }
    for (size_t i = 0; i < config->proxy_networks.count; i++) {
        char text[56];
        if (config->proxy_networks.items[i].prefix_bits == 0)
            config_fault(loader, SLICE("[listen] proxy-networks"),
                         "%.*s would have anybody believed who says where he is; list the addresses of your proxies",
                         SLICE_ARGS(ip_network_print(&config->proxy_networks.items[i], text)));
    }
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

static bool is_address(struct slice host)
{
    struct ip ip;
    return ip_parse(host, &ip);
}

static void check_routes(struct config_loader *loader)
{
    for (size_t i = 0; i < loader->config->route_count; i++) {
        struct config_route *route = &loader->routes[i];
        char text[300];
        struct slice where = text_print(text, sizeof text, "[route \"%.*s\"]", SLICE_ARGS(route->pattern));
        bool proves = route->tls == CONFIG_TLS_VERIFY || route->tls == CONFIG_TLS_STS || route->tls == CONFIG_TLS_IMPLICIT;
        if (route->host.length == 0)
            config_fault(loader, where, "via is missing");
        if (route->port == 0)
            route->port = route->tls == CONFIG_TLS_IMPLICIT ? 465 : 587;
        if (route->password.length > 0 && route->username.length == 0)
            config_fault(loader, where, "a password needs a username");
        if (route->username.length > 0 && !proves)
            config_fault(loader, where, "credentials need verified TLS: tls = verify, sts or implicit");
        if (proves && is_address(route->host))
            config_warn(loader, where,
                        "%.*s is an address, which no certificate proves: mail would wait; name the host, or set tls = encrypt",
                        SLICE_ARGS(route->host));
    }
}

static void check_sts(struct config_loader *loader)
{
    if (!loader->config->sts_enabled)
        config_warn(loader, SLICE("[sts] enabled"),
                    "no policy is looked up or applied: whoever is on the way can read and change mail for every domain");
}

/* A private key that everybody can read is no secret. */
static void check_key(struct config_loader *loader, struct slice where, struct slice path)
{
    struct stat status;
    char name[4096];
    snprintf(name, sizeof name, "%.*s", SLICE_ARGS(path));
    if (!loader->lenient && path.length > 0 && stat(name, &status) == 0 && (status.st_mode & S_IROTH) != 0)
        config_fault(loader, where, "%s can be read by everybody; chmod 0640 it", name);
}

static void check_tls(struct config_loader *loader)
{
    const struct config *config = loader->config;
    if ((config->tls_certificate.length > 0) != (config->tls_key.length > 0))
        config_fault(loader, SLICE("[tls]"), "certificate and key belong together");
    check_key(loader, SLICE("[tls] key"), config->tls_key);
    for (size_t i = 0; i < config->dkim_count; i++) {
        const struct config_dkim *dkim = &config->dkims[i];
        if (dkim->selector.length == 0 || dkim->key_file.length == 0)
            config_fault(loader, SLICE("[dkim]"), "\"%.*s\" needs selector and key", SLICE_ARGS(dkim->domain));
        else if (!smtp_domain_is_valid(dkim->selector, false))
            config_fault(loader, SLICE("[dkim]"), "\"%.*s\" is no selector: letters, digits and hyphens, as in a name of DNS",
                         SLICE_ARGS(dkim->selector));
        check_key(loader, SLICE("[dkim] key"), dkim->key_file);
    }
}
