/* The names of TLS alerts, for the operator. Pure. */
#ifndef TLS_ALERT_H
#define TLS_ALERT_H

/* "handshake_failure"; "unknown" for a number that RFC 8446 6 does not have. Static text. */
const char *tls_alert_name(unsigned char number);

#endif
