/* Messages as RFC 5322 text: a scan of the header section, and the trace header that we add. */
#ifndef SMTP_MESSAGE_H
#define SMTP_MESSAGE_H

#include "base/buffer.h"
#include "smtp/envelope.h"

/* Walks the header section of content that arrives in chunks, counts Received fields (loop detection, RFC 5321 6.3) and
 * notes which fields are there. Feed all content from the start; it stops looking after the empty line. */
struct smtp_header_scan {
    int state;
    char name[32];
    size_t name_length, line_length;
    uint64_t length; /* bytes of the header section so far, its empty line included */
    unsigned received_count;
    bool has_date, has_message_id, has_from, has_sender, has_dkim_signature, has_to, has_cc, has_bcc;
    bool done; /* the empty line was seen */
};
void smtp_header_scan_init(struct smtp_header_scan *scan);
void smtp_header_scan_feed(struct smtp_header_scan *scan, struct slice content);

/* One field of a header section held in memory: name, body with folding as it stands, and the whole with its CRLF. */
struct smtp_header_field {
    struct slice name, body, whole;
};
/* Takes the next field from *section; false at the empty line or the end. */
bool smtp_header_next(struct slice *section, struct smtp_header_field *field);
/* The length of the header section including the empty line; the length of all when there is no empty line. */
size_t smtp_header_section_length(struct slice message);

/* A Received field (RFC 5321 4.4), folded, with its CRLF. with: "ESMTP", "ESMTPS", "ESMTPSA", "SMTP", "local", ... (RFC 3848).
 * Texts are cleaned; nothing that a client said can add a line. */
struct smtp_trace {
    struct slice hello;     /* what the client called itself; empty for local submission */
    struct slice address;   /* "[192.0.2.1]" or "uid 1000" as a comment */
    struct slice hostname;  /* by */
    struct slice with;
    struct slice tls;       /* a comment such as "TLSv1.3 TLS_AES_128_GCM_SHA256"; may be empty */
    struct slice id;        /* queue id */
    struct slice recipient; /* "for <...>" only when there is exactly one; else empty */
    int64_t date_ms;
};
void smtp_message_received(struct buffer *out, const struct smtp_trace *trace);

#endif
