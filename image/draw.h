/*
 * Drawing answers on a picture: boxes with labels, points, limbs, masks, heat.
 *
 *   begin, any number of shapes, end, destroy
 *
 * Line widths and letters grow with the picture, so that it reads the same when it is shown at the
 * same size. Coordinates are pixels of the picture, continuous: pixel (0, 0) covers [0, 1) x [0, 1).
 * What lies outside the picture is left out. Shapes with a coordinate that is not finite, or beyond
 * R2_DRAW_FAR, draw nothing. Later shapes cover earlier ones; labels stand above all.
 *
 * A drawing belongs to one thread; several may go on at once with one font.
 */
#ifndef R2_IMAGE_DRAW_H
#define R2_IMAGE_DRAW_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "image/font.h"
#include "image/image.h"
#include "image/palette.h"

enum {
    R2_DRAW_MAX_SIDE = 32767, /* pixels; cairo's limit */
    R2_DRAW_FAR = 1000000     /* pixels */
};

struct r2_draw;

/* A drawing on `image`, which is borrowed until destroy and changed by end only. Without a font
   (NULL, or zeroed), and on pictures less than 21 pixels high, labels are left out. Takes 4 bytes a
   pixel.
   R2_INVALID for a side over R2_DRAW_MAX_SIDE. */
enum r2_status r2_draw_begin(struct r2_image *image, const struct r2_font *font,
                             struct r2_draw **ret, struct r2_error *err);

/* The outline of a box with these corners, in any order; the part inside the picture is outlined.
   The label, UTF-8, stands on a tag of the same colour at the box; NULL and "" have none. It is cut
   with an ellipsis when the picture is narrower, and moves to a free place beside the box when the
   best one is taken: so draw the most important boxes first. */
void r2_draw_box(struct r2_draw *draw, double x0, double y0, double x1, double y1,
                 struct r2_colour colour, const char *label);

/* A dot with a thin rim. */
void r2_draw_point(struct r2_draw *draw, double x, double y, struct r2_colour colour);

/* A limb: a line with round ends. */
void r2_draw_line(struct r2_draw *draw, double x0, double y0, double x1, double y1,
                  struct r2_colour colour);

/* Label i of labels [height, width] shows as a veil of colours[i] with an outline. 0 is background
   and draws nothing, as labels from count on. A mask of one object has labels 0 and 1, count 2. */
void r2_draw_mask(struct r2_draw *draw, const uint8_t *labels, const struct r2_colour *colours,
                  size_t count);

/* Heat [height, width], 0..255, as a veil of r2_colour_heat that is denser where it is hotter. */
void r2_draw_heat(struct r2_draw *draw, const uint8_t *heat);

/* Puts labels on top and everything into the image. Called once, before destroy. R2_NO_MEMORY, from
   here or from a shape before; the image is unchanged then. */
enum r2_status r2_draw_end(struct r2_draw *draw, struct r2_error *err);

/* Frees the drawing; without an end before, the image is as it was. */
void r2_draw_destroy(struct r2_draw *draw);

/* The same for a pointer to it, for R2_CLEANUP. */
void r2_draw_drop(struct r2_draw **draw);

#endif
