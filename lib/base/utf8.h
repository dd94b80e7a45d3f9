/**
 * utf8 - whether bytes are text: what is said in JSON must be UTF-8
 */
#pragma once
#include <stdbool.h>
#include "lib/base/buf.h"

/* True for well-formed UTF-8 (Unicode 15, table 3-7: nothing overlong, no surrogates, none above U+10FFFF); "" is. O(bytes). */
bool gr_utf8_is(struct gr_slice text);
/* Appends @text with each byte that is no part of well-formed UTF-8, and each control byte, as \xNN: a name that can be said.
 * At most @max bytes, and no half of a character; what was longer ends with "...". */
void gr_utf8_show(struct gr_buf *out, struct gr_slice text, size_t max);
