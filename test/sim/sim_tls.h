/* TLS without arithmetic: what tls/session.h and tls/context.h promise, with a handshake in which the server states facts
 * about its certificate. Whoever has no right to a fact must not state it: that is the world's business.
 *
 * On the wire a record is its type (0x15 alert, 0x16 handshake, 0x17 data, as in real TLS), two bytes of length, the
 * payload with every byte turned by a mask that leaves no text readable, and one byte of check over the plaintext. */
#ifndef TEST_SIM_SIM_TLS_H
#define TEST_SIM_SIM_TLS_H

#include "tls/session.h"

#define SIM_TLS_NAMES_MAX 4
#define SIM_TLS_NAME_MAX 80

struct sim_certificate {
    char names[SIM_TLS_NAMES_MAX][SIM_TLS_NAME_MAX]; /* dNSName SANs */
    size_t name_count;
    bool is_expired, is_untrusted, is_self_signed;
    bool is_foreign; /* issued by an authority that is not for TLS servers, below a trusted root */
    bool is_old; /* the server speaks no version that is allowed */
};

/* A server session that shows this certificate. */
struct tls_session *sim_tls_server(const struct sim_certificate *certificate);
/* Would this certificate prove the name? Reckoned without the code of tls/. */
bool sim_certificate_proves(const struct sim_certificate *certificate, struct slice name);

/* To see that it is found out: from now on the relay's sessions take every certificate for a proof. */
void sim_tls_believe(bool believes);

#define SIM_TLS_CLOSE_SIZE 9 /* bytes on the wire of close_notify */
#define SIM_TLS_ALERT 0x15
#define SIM_TLS_HANDSHAKE 0x16
#define SIM_TLS_DATA 0x17
/* Takes the first record off *bytes, payload in the clear, into out. False: not whole yet. */
bool sim_tls_open_record(struct slice *bytes, unsigned char *type, struct buffer *out);
/* A client's hello is "C" and the name it wants proved; it ends its part of the handshake with "F". */
#define SIM_TLS_HELLO 'C'
#define SIM_TLS_FINISHED 'F'

#endif
