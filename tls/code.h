/* What the library's numbers mean. For tls/ only. */
#ifndef TLS_CODE_H
#define TLS_CODE_H

#include <stdbool.h>
#include <stddef.h>

/* In words; NUL-terminated, cut at the capacity. */
void tls_code_reason(int code, char *out, size_t capacity);
/* Is it the code for a certificate that the library cannot read? */
bool tls_code_is_unreadable(int code);
bool tls_code_is_memory(int code);
/* Not an error: again when there are bytes, or room. */
bool tls_code_is_wait(int code);

#endif
