/*
 * Run lengths of masks, as COCO writes them: down the columns, the first run counts what is not in
 * the mask, and the counts are packed into text by the rule of pycocotools' rleToString: from the
 * fourth on each is the difference to the last but one, in 5 bits a character, lowest first, from
 * '0' on; the sixth bit says that more follow, the fifth of the last one is the sign.
 */
#ifndef R2_HEADS_RLE_H
#define R2_HEADS_RLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

/* One mask that is being written; zero-initialised but for its text. */
struct r2_rle {
    struct r2_text *text; /* borrowed; what is appended to */
    size_t start, end;    /* the run that is open; equal: none */
    size_t counted;       /* pixels that are written so far */
    int64_t last[2];      /* counts: the last, the one before it */
    unsigned written;     /* counts; 3 stands for all above */
};

/* Pixels [start, end) of the mask, column * height + row; not empty, and behind those before. One
   that begins where the last one ended makes it longer. */
void r2_rle_add(struct r2_rle *rle, size_t start, size_t end);

/* The mask has no more runs, its picture `total` pixels. Whether there was memory for all of it says
   the text. */
void r2_rle_end(struct r2_rle *rle, size_t total);

/* Appends the mask of each label that occurs in labels [height, width] to ret[label]; ret has `count` texts, and labels are below count. All of them in one pass over the
   map. A text is at most 12 bytes a run of equal labels. R2_NO_MEMORY; R2_INVALID for a map of 2^32 pixels and more. Texts may hold a
   part of a mask then. */
enum r2_status r2_rle_encode(const uint8_t *labels, uint32_t width, uint32_t height, size_t count,
                             struct r2_text *ret, struct r2_error *err);

#endif
