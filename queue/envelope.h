/* What the queue keeps of a message, as values with a stored form: the message itself, and its entries. An entry is the
 * recipients of one message that go to one destination: the unit of scheduling, of one delivery, and of one outcome record.
 * Stored forms are versioned, big endian, and end in a CRC-32C. */
#ifndef QUEUE_ENVELOPE_H
#define QUEUE_ENVELOPE_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/err.h"

#define QUEUE_RECIPIENTS_MAX 100      /* of one entry: what one transaction carries; more make further entries */
#define QUEUE_CHUNK_MAX 65536         /* bytes of content in one chunk */
#define QUEUE_NAME_MAX 255            /* bytes of a destination, a policy's domain, a state's key: 1 to this, no NUL */

/* A queue id is a time-ordered number, written as 16 upper-case hexadecimal digits: 44 bits of milliseconds, 20 of
 * sequence. Never 0. */
#define QUEUE_ID_TEXT 17
uint64_t queue_id_make(int64_t wall_ms, uint32_t sequence);
int64_t queue_id_time_ms(uint64_t id);
struct slice queue_id_print(uint64_t id, char out[QUEUE_ID_TEXT]);
bool queue_id_parse(struct slice text, uint64_t *id);

struct queue_message {
    uint64_t id;
    int64_t arrival_ms;
    uint64_t size;         /* bytes of content, our Received included */
    uint32_t chunk_count;  /* numbered 0.. */
    uint32_t entry_count;  /* as accepted, numbered 0.. */
    struct slice sender;   /* reverse-path; empty: null */
    struct slice origin;   /* how it came: "smtp [192.0.2.1] app.example.com", "sendmail uid 1000", "report" */
    bool eight_bit, utf8, is_signed; /* content has bytes over 0x7f; SMTPUTF8 was asked for; has somebody's DKIM-Signature */
    bool has_long_lines;   /* of over 998 bytes */
    bool has_eight_bit_header; /* a header section, of whatever part, has bytes over 0x7f */
    bool is_sealed;        /* signed by us in its 7-bit form, in which alone it may leave */
    uint8_t ret;           /* enum smtp_ret */
    struct slice envid;
    uint32_t header_length; /* bytes of the header section with its empty line, for reports */
    struct slice form;     /* what smtp/survey.h noted of its parts; empty: nothing */
};

#define QUEUE_STATUS_LIST(X) X(PENDING, "pending") X(DELIVERED, "delivered") X(FAILED, "failed") X(EXPIRED, "expired") X(DELETED, "deleted")
enum queue_status {
#define X(name, text) QUEUE_##name,
    QUEUE_STATUS_LIST(X)
#undef X
};
const char *queue_status_name(enum queue_status status);

struct queue_recipient {
    struct slice address;
    struct slice orcpt;
    uint8_t notify;
    enum queue_status status;
    uint16_t code;             /* SMTP reply code of the last outcome; 0: none */
    uint8_t dsn[3];            /* enhanced status code of the last outcome */
    struct slice text;         /* the reply or reason, cleaned */
    struct slice host;         /* who said so: MX host name; empty: we did */
};
struct queue_entry {
    uint64_t id;
    uint16_t number;
    struct slice destination;  /* canonical recipient domain, or an address literal with its brackets */
    int64_t due_ms;            /* next attempt; meaningless while held */
    bool held, warned;         /* by the administrator; a delay notice was sent */
    uint32_t attempts;
    int64_t first_attempt_ms, last_attempt_ms; /* 0: none */
    struct slice reason;       /* machine word of the last deferral ("policy", "dns", "connect", ...); empty: none */
    struct slice why;          /* the why-record of the last attempt: JSON text; empty: none */
    struct queue_recipient *recipients;
    size_t recipient_count;
};
bool queue_entry_is_finished(const struct queue_entry *entry); /* no recipient is pending */

void queue_message_encode(const struct queue_message *message, struct buffer *out);
void queue_entry_encode(const struct queue_entry *entry, struct buffer *out);
/* Decoding gives views into bytes (and arrays in the arena): keep bytes as long as the value. ERR_CORRUPT, ERR_MEMORY. */
MUST_CHECK enum err queue_message_decode(struct slice bytes, struct queue_message *message);
MUST_CHECK enum err queue_entry_decode(struct slice bytes, struct arena *arena, struct queue_entry *entry);
/* As queue_entry_decode, but recipients are counted and left NULL: for those who ask when and where to, not for whom. */
MUST_CHECK enum err queue_entry_peek(struct slice bytes, struct queue_entry *entry);

/* By which entries of one sender are told from another's when senders take turns: of the reverse-path without regard to
 * case, never 0. Part of the stored keys. */
uint64_t queue_sender_hash(struct slice sender);

/* What is known of a destination as a whole: it is not tried before a time, and why. */
struct queue_destination {
    struct slice name;
    int64_t not_before_ms;   /* 0: at any time */
    uint32_t failures;       /* attempts in a row that failed for the destination as a whole */
    int64_t failing_since_ms;
    struct slice reason, why, text; /* as in an entry; text is a sentence */
};
void queue_destination_encode(const struct queue_destination *destination, struct buffer *out);
MUST_CHECK enum err queue_destination_decode(struct slice bytes, struct queue_destination *destination);

#endif
