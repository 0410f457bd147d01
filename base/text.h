/*
 * Text: a growing string, and "did you mean" by edit distance.
 */
#ifndef R2_BASE_TEXT_H
#define R2_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* A growing string; zero-initialised is "". A failed allocation is remembered in `failed` and later
   appends do nothing, so that a text is built without a check a line and checked once at the end.
 */
struct r2_text {
    char *data; /* NUL-terminated, or NULL while nothing was added */
    size_t size;
    size_t capacity;
    bool failed;
};

void r2_text_finish(struct r2_text *text);
void r2_text_add(struct r2_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void r2_text_add_bytes(struct r2_text *text, const char *data, size_t size);

/* The text, "" when empty; borrowed until the next add. */
const char *r2_text_view(const struct r2_text *text);

/* Levenshtein distance in bytes; SIZE_MAX when either is longer than 255 bytes. */
size_t r2_text_distance(const char *a, const char *b);

/* The candidate nearest to `word`, or NULL when none is near enough to be a slip of the pen
   (distance at most a third of the word's length, at least 1). `name` gives candidate i or NULL
   past the end. */
const char *r2_text_nearest(const char *word, const char *(*name)(const void *from, size_t i),
                            const void *from);

/* Copies text (of size bytes) with control characters, and bytes that are not UTF-8, replaced by
   '?', truncated to fit at a character's border; for logs and error messages. */
void r2_text_printable(const char *text, size_t size, char *ret, size_t ret_size);

#endif
