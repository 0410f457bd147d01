/*
 * What the tests of image/ share: goldens (tests/golden/image, made by training/image_goldens.py)
 * and small helpers. Everything here fails the test when something is amiss.
 */
#ifndef R2_TESTS_IMAGE_GOLDEN_H
#define R2_TESTS_IMAGE_GOLDEN_H

#include "tests/base/expect.h"

#include "base/bytes.h"
#include "image/decode.h"
#include "image/image.h"

enum { GOLDEN_COLUMNS = 16 };

/* A file of tests/golden/image; the caller finishes the buffer. */
struct r2_buffer golden_read(const char *name);

/* Pixels of a PNG through libpng's simplified API, not through image/: [height, width, channels]
   with 3 or 4 channels; the caller frees them. */
uint8_t *golden_png(const char *name, unsigned channels, uint32_t *ret_width, uint32_t *ret_height);

/* The same as a picture; the caller finishes it. */
struct r2_image golden_image(const char *name);

/* Calls row for each line of a table with its tab-separated cells; gives the number of lines. */
size_t golden_table(const char *name, unsigned columns, void (*row)(char *const *cells));

/* Fails the test unless size and pixels agree: no sample off by more than `most`, and at most
   `per_mille` thousandths of the samples off at all. */
void golden_expect_equal(const struct r2_image *got, const struct r2_image *wanted, int most,
                         unsigned per_mille, const char *what);

/* Decodes without limits, upright. */
struct r2_image decode_good(struct r2_bytes file);

/* A copy that ends where the heap block ends, so that AddressSanitizer sees reads behind it. */
uint8_t *exact_copy(struct r2_bytes bytes, size_t size);

/* Repeatable random numbers (SplitMix64). */
uint64_t next_random(uint64_t *state);

#endif
