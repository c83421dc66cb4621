/* Keys that there are not, and what was probably meant: a slip of the pen, the wrong section, or the name that another mail system has. */
#include "relay/config_internal.h"

#include "base/text.h"

#include <string.h>

static const char *foreign(struct slice key);
static const char *home_of(struct slice key, struct slice section);

void config_tell_unknown(struct config_loader *loader, const struct config_setting *setting)
{
    const char *names[128];
    size_t count = 0;
    for (size_t i = 0; i < config_key_count && count < 128; i++) {
        if (slice_equal(setting->section, slice_of(config_keys[i].section)))
            names[count++] = config_keys[i].key;
    }
    char text[300];
    bool at_top = setting->section.length == 0;
    struct slice where = at_top ? SLICE("before the first section")
                                : text_print(text, sizeof text, "in [%.*s]", SLICE_ARGS(setting->section));
    const char *hint = foreign(setting->key);
    const char *home = home_of(setting->key, setting->section);
    const char *nearest = text_nearest(setting->key, names, count);
    if (hint != NULL)
        config_fault(loader, setting->origin, "unknown key \"%.*s\" %.*s; it is of another mail system: here %s", SLICE_ARGS(setting->key),
                     SLICE_ARGS(where), hint);
    else if (home != NULL)
        config_fault(loader, setting->origin, "unknown key \"%.*s\" %.*s; it belongs %s%s%s", SLICE_ARGS(setting->key), SLICE_ARGS(where),
                     home[0] == '\0' ? "before the first section" : "to [", home, home[0] == '\0' ? "" : "]");
    else
        config_fault(loader, setting->origin, "unknown key \"%.*s\" %.*s%s%s%s", SLICE_ARGS(setting->key), SLICE_ARGS(where),
                     nearest == NULL ? "" : "; did you mean \"", nearest == NULL ? "" : nearest, nearest == NULL ? "" : "\"?");
}

/* The one section that has the key, where there is just one. */
static const char *home_of(struct slice key, struct slice section)
{
    const char *home = NULL;
    for (size_t i = 0; i < config_key_count; i++) {
        if (!slice_equal(key, slice_of(config_keys[i].key)) || slice_equal(section, slice_of(config_keys[i].section)))
            continue;
        if (home != NULL)
            return NULL;
        home = config_keys[i].section;
    }
    return home;
}

/* Names of Postfix, and of the small relays that only know a smart host. */
static const char *foreign(struct slice key)
{
    static const struct {
        const char *name, *here;
    } names[] = {
        {"relayhost", "[route \"*\"] has via = HOST:PORT"},
        {"mailhub", "[route \"*\"] has via = HOST:PORT"},
        {"smarthost", "[route \"*\"] has via = HOST:PORT"},
        {"dc_smarthost", "[route \"*\"] has via = HOST:PORT"},
        {"transport_maps", "each [route \"DOMAIN\"] has via = HOST:PORT"},
        {"sender_dependent_relayhost_maps", "[route \"from:DOMAIN\"] has via = HOST:PORT"},
        {"smtp_sasl_password_maps", "[route \"*\"] has username and password"},
        {"smtp_sasl_auth_enable", "[route \"*\"] has username and password"},
        {"AuthUser", "[route \"*\"] has username and password"},
        {"AuthPass", "[route \"*\"] has username and password"},
        {"smtp_tls_wrappermode", "[route \"*\"] has tls = implicit"},
        {"UseTLS", "[route \"*\"] has tls"},
        {"UseSTARTTLS", "[route \"*\"] has tls"},
        {"smtp_tls_security_level", "[tls-policy] has default, and a route has tls"},
        {"smtp_tls_policy_maps", "[tls-policy] has default, and a route has tls; MTA-STS policies are applied by themselves"},
        {"smtp_tls_CAfile", "[tls] has ca-file"},
        {"smtpd_tls_cert_file", "[tls] has certificate"},
        {"smtpd_tls_key_file", "[tls] has key"},
        {"smtpd_tls_chain_files", "[tls] has certificate and key"},
        {"mynetworks", "[access] has networks"},
        {"smtpd_relay_restrictions", "[access] has networks and users-file: nobody else may relay"},
        {"smtpd_recipient_restrictions", "[access] has networks and users-file: nobody else may relay"},
        {"smtpd_sasl_auth_enable", "[access] has users-file"},
        {"myhostname", "it is hostname, before the first section"},
        {"smtp_helo_name", "it is hostname, before the first section"},
        {"myorigin", "it is hostname, before the first section"},
        {"mydestination", "[local] has domains, whose mail goes through the aliases"},
        {"virtual_alias_maps", "[local] has aliases-file"},
        {"alias_maps", "[local] has aliases-file"},
        {"alias_database", "[local] has aliases-file; there is no database to make of it"},
        {"inet_interfaces", "[listen] has smtp = ADDRESS:PORT"},
        {"inet_protocols", "[delivery] has family, and [listen] names addresses"},
        {"smtp_bind_address", "[delivery] has source"},
        {"smtp_bind_address6", "[delivery] has source"},
        {"message_size_limit", "[queue] has message-size-max"},
        {"queue_directory", "[queue] has path"},
        {"maximal_queue_lifetime", "[retry] has expire"},
        {"bounce_queue_lifetime", "[retry] has expire"},
        {"delay_warning_time", "[retry] has warn"},
        {"minimal_backoff_time", "[retry] has schedule"},
        {"maximal_backoff_time", "[retry] has schedule"},
        {"smtpd_client_connection_count_limit", "[listen] has connections-per-client"},
        {"default_destination_concurrency_limit", "[delivery] has per-destination"},
        {"smtp_destination_concurrency_limit", "[delivery] has per-destination"},
        {"smtp_destination_rate_delay", "[destination \"DOMAIN\"] has rate"},
        {"smtpd_recipient_limit", "[listen] has recipients-max"},
        {"smtpd_upstream_proxy_protocol", "[listen] has proxy-networks"},
        {"mail_owner", "it is user, before the first section"},
        {"notify_classes", "[bounce] has postmaster"},
        {"bounce_notice_recipient", "[bounce] has postmaster"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (slice_equal_nocase(key, slice_of(names[i].name)))
            return names[i].here;
    }
    return NULL;
}
