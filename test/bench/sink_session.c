/* One connection to the sink: SMTP without opinions. */
#include "sink.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

/* The number stands in the header, which is shorter than this with all that a relay adds. */
#define HEADER_MAX 16384

static void reply(struct session *session, const char *text)
{
    size_t length = strlen(text);
    if (length > sizeof session->out - session->out_used) {
        session->state = SESSION_CLOSING; /* a client that pipelines this much without reading is not one of ours */
        return;
    }
    memcpy(session->out + session->out_used, text, length);
    session->out_used += length;
}

struct session *session_open(int fd, SSL_CTX *context, struct ledger *ledger)
{
    struct session *session = malloc(sizeof *session);
    if (session == NULL) {
        return NULL;
    }
    *session = (struct session){.fd = fd, .context = context, .ledger = ledger, .state = SESSION_COMMAND};
    ledger->connections++;
    reply(session, "220 sink.example ESMTP\r\n");
    return session;
}

void session_close(struct session **session)
{
    if (*session != NULL) {
        SSL_free((*session)->ssl);
        close((*session)->fd);
        free(*session);
        *session = NULL;
    }
}

/* ---- commands */

static void greet(struct session *session)
{
    reply(session, "250-sink.example\r\n250-PIPELINING\r\n250-SIZE 104857600\r\n250-8BITMIME\r\n250-CHUNKING\r\n"
                   "250-ENHANCEDSTATUSCODES\r\n");
    if (session->context != NULL && session->ssl == NULL) {
        reply(session, "250-STARTTLS\r\n");
    }
    reply(session, "250 SMTPUTF8\r\n");
}

static void start_tls(struct session *session)
{
    if (session->context == NULL || session->ssl != NULL) {
        reply(session, "502 5.5.1 no\r\n");
        return;
    }
    reply(session, "220 2.0.0 go\r\n");
    session->state = SESSION_HANDSHAKE;
}

static void begin_message(struct session *session, enum session_state state)
{
    if (session->state == SESSION_COMMAND) {
        session->state = state;
    }
}

static void begin_chunk(struct session *session, const char *arguments)
{
    char *end;
    session->chunk_left = strtoull(arguments, &end, 10);
    session->is_last_chunk = strncasecmp(end, " LAST", 5) == 0;
    begin_message(session, SESSION_CHUNK);
}

static void command(struct session *session, const char *line)
{
    if (strncasecmp(line, "MAIL ", 5) == 0) {
        session->is_counted = false;
        reply(session, "250 2.1.0 ok\r\n");
    } else if (strncasecmp(line, "RCPT ", 5) == 0) {
        reply(session, "250 2.1.5 ok\r\n");
    } else if (strncasecmp(line, "DATA", 4) == 0) {
        reply(session, "354 go\r\n");
        begin_message(session, SESSION_DATA);
    } else if (strncasecmp(line, "BDAT ", 5) == 0) {
        begin_chunk(session, line + 5);
    } else if (strncasecmp(line, "EHLO", 4) == 0 || strncasecmp(line, "HELO", 4) == 0) {
        greet(session);
    } else if (strncasecmp(line, "STARTTLS", 8) == 0) {
        start_tls(session);
    } else if (strncasecmp(line, "QUIT", 4) == 0) {
        reply(session, "221 2.0.0 bye\r\n");
        session->state = SESSION_CLOSING;
    } else if (strncasecmp(line, "RSET", 4) == 0 || strncasecmp(line, "NOOP", 4) == 0) {
        reply(session, "250 2.0.0 ok\r\n");
    } else {
        reply(session, "500 5.5.2 what?\r\n");
    }
}

static bool take_command(struct session *session)
{
    char *line = session->in + session->in_start;
    char *end = memchr(line, '\n', session->in_end - session->in_start);
    if (end == NULL) {
        if (session->in_end - session->in_start > 4096) {
            session->state = SESSION_CLOSING;
        }
        return false;
    }
    *end = '\0';
    session->in_start = (size_t)(end + 1 - session->in);
    command(session, line);
    return true;
}

/* ---- content */

/* Counts the message once its number is there; false: more bytes may bring it. */
static bool count_message(struct session *session, size_t length, bool is_whole)
{
    static const char field[] = "\r\nX-Bench: ";
    const char *content = session->in + session->in_start;
    if (session->is_counted) {
        return true;
    }
    const char *found = memmem(content, length, field, sizeof field - 1);
    const char *end = found == NULL ? NULL : memchr(found + 2, '\r', length - (size_t)(found + 2 - content));
    if (end == NULL && !is_whole && length < HEADER_MAX) {
        return false;
    }
    ledger_add(session->ledger, end == NULL ? UINT64_MAX : strtoull(found + sizeof field - 1, NULL, 10),
               session->ssl == NULL);
    session->is_counted = true;
    return true;
}

static void end_message(struct session *session)
{
    reply(session, "250 2.0.0 taken\r\n");
    session->state = SESSION_COMMAND;
}

static bool take_data(struct session *session)
{
    static const char mark[] = "\r\n.\r\n";
    const char *content = session->in + session->in_start;
    size_t length = session->in_end - session->in_start;
    const char *end = memmem(content, length, mark, sizeof mark - 1);
    size_t whole = end == NULL ? length : (size_t)(end - content) + sizeof mark - 1;
    if (!count_message(session, whole, end != NULL)) {
        return false;
    }
    if (end != NULL) {
        session->in_start += whole;
        end_message(session);
        return true;
    }
    /* The mark may be cut. */
    session->in_start += length < sizeof mark ? 0 : length - (sizeof mark - 1);
    return false;
}

static bool take_chunk(struct session *session)
{
    size_t length = session->in_end - session->in_start;
    bool is_whole = length >= session->chunk_left;
    length = is_whole ? (size_t)session->chunk_left : length;
    if (!count_message(session, length, is_whole && session->is_last_chunk) && !is_whole) {
        return false;
    }
    session->in_start += length;
    session->chunk_left -= length;
    if (!is_whole) {
        return false;
    }
    if (session->is_last_chunk) {
        end_message(session);
    } else {
        reply(session, "250 2.0.0 more\r\n");
        session->state = SESSION_COMMAND;
    }
    return true;
}

static void work(struct session *session)
{
    bool goes_on = true;
    while (goes_on) {
        switch (session->state) {
            case SESSION_COMMAND:
                goes_on = take_command(session);
                break;
            case SESSION_DATA:
                goes_on = take_data(session);
                break;
            case SESSION_CHUNK:
                goes_on = take_chunk(session);
                break;
            default:
                goes_on = false;
                break;
        }
    }
    memmove(session->in, session->in + session->in_start, session->in_end - session->in_start);
    session->in_end -= session->in_start;
    session->in_start = 0;
}

/* ---- bytes */

/* As read(2) and write(2) of a socket: -1 with EAGAIN when it is to be tried later. */
static ssize_t translate(struct session *session, int result)
{
    if (result > 0) {
        return result;
    }
    int error = SSL_get_error(session->ssl, result);
    errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : EIO;
    return error == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

static ssize_t receive(struct session *session)
{
    char *to = session->in + session->in_end;
    size_t room = sizeof session->in - session->in_end;
    return session->ssl == NULL ? read(session->fd, to, room)
                                : translate(session, SSL_read(session->ssl, to, (int)room));
}

static bool flush(struct session *session)
{
    while (session->out_used > 0) {
        ssize_t sent = session->ssl == NULL
                           ? send(session->fd, session->out, session->out_used, MSG_NOSIGNAL)
                           : translate(session, SSL_write(session->ssl, session->out, (int)session->out_used));
        if (sent < 0) {
            return errno == EAGAIN;
        }
        session->out_used -= (size_t)sent;
        memmove(session->out, session->out + sent, session->out_used);
    }
    return session->state != SESSION_CLOSING;
}

/* After the 220 is on its way. Bytes that came before it in plaintext end the connection. */
static bool shake_hands(struct session *session)
{
    if (session->ssl == NULL) {
        session->ssl = SSL_new(session->context);
        if (session->ssl == NULL || session->in_end > 0 || SSL_set_fd(session->ssl, session->fd) != 1) {
            return false;
        }
    }
    int result = SSL_accept(session->ssl);
    if (result == 1) {
        session->ledger->handshakes++;
        session->state = SESSION_COMMAND;
        return true;
    }
    return translate(session, result) < 0 && errno == EAGAIN;
}

bool session_run(struct session *session)
{
    for (;;) {
        if (session->state == SESSION_HANDSHAKE && session->out_used == 0) {
            if (!shake_hands(session)) {
                return false;
            }
            if (session->state == SESSION_HANDSHAKE) {
                return true;
            }
        }
        ssize_t got = session->out_used > sizeof session->out / 2 ? -1 : receive(session);
        if (got == 0 || (got < 0 && errno != EAGAIN)) {
            return false;
        }
        session->in_end += got > 0 ? (size_t)got : 0;
        work(session);
        if (!flush(session)) {
            return false;
        }
        if (got < 0 && session->state != SESSION_HANDSHAKE) {
            return true;
        }
        if (session->state == SESSION_HANDSHAKE && session->out_used > 0) {
            return true;
        }
    }
}

bool session_wants_write(const struct session *session)
{
    return session->out_used > 0;
}
