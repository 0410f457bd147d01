/*
 * A value from outside as it may stand in a message: in quotes, printable, cut to a line's part.
 */
#ifndef R2_CONFIG_QUOTE_H
#define R2_CONFIG_QUOTE_H

#include <stdio.h>
#include <string.h>

#include "base/text.h"

struct r2_quoted {
    char text[128];
};

/* Use as r2_quote(name).text inside one expression. */
static inline struct r2_quoted r2_quote(const char *text)
{
    struct r2_quoted quoted;
    char shown[sizeof quoted.text - sizeof "\"...\""];
    size_t size = strlen(text);
    r2_text_printable(text, size, shown, sizeof shown);
    snprintf(quoted.text, sizeof quoted.text, "\"%s%s\"", shown,
             strlen(shown) < size && size >= sizeof shown ? "..." : "");
    return quoted;
}

#endif
