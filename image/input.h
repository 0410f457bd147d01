/*
 * From a decoded picture to the network's input: resize, crop, pad, normalise.
 *
 * The steps, in this order; each may be absent:
 *   resize       by mode, to the resized size
 *   letterbox    padded at the right and bottom to a square of the longer side
 *   crop         a centre crop of crop[0] x crop[1]; a side longer than the picture pads both ends
 *   pad_multiple padded at the right and bottom until each side is a multiple
 *   normalise    (v / 255 - mean) / std in float; padding is 0 behind this step
 *
 * Only what the result shows is resized.
 */
#ifndef R2_IMAGE_INPUT_H
#define R2_IMAGE_INPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "image/image.h"
#include "image/resample.h"

enum r2_resize_mode {
    R2_RESIZE_NONE,    /* as it is; size is not looked at */
    R2_RESIZE_EXACT,   /* to size[0] (height) x size[1] (width) */
    R2_RESIZE_SHORTER, /* the shorter side becomes size[0], the other N * long / short, cut */
    R2_RESIZE_LONGER,  /* the longer side becomes size[0], the other N * short / long, rounded */
    R2_RESIZE_FIT,     /* as large as size[0] for the short side and size[1] for the long one allow,
                          ratio kept, rounded */
    R2_RESIZE_WITHIN, /* as it is where the short side is size[0] or more and the long one size[1] or
                          less; else as near to that as possible, ratio kept, rounded; of the two the
                          long side decides */
    R2_RESIZE_MODE_COUNT
};

struct r2_input_spec {
    enum r2_resize_mode mode;
    uint32_t size[2]; /* pixels; meaning by mode */
    enum r2_filter filter;
    enum r2_resize_like like; /* whose resize the network was trained with */
    uint32_t crop[2];         /* height, width; both 0 = no crop */
    bool letterbox;           /* not together with crop */
    uint32_t pad_multiple;    /* 0 and 1 = none */
    bool bgr;                 /* channel 0 of the input is blue */
    float mean[3], std[3];    /* of the input's channels in their order, for pixels in 0..1 */
};

/* Limits of spec and result. */
enum {
    R2_INPUT_MAX_SIZE = 8192,      /* of every size in a spec */
    R2_INPUT_MAX_MULTIPLE = 1024,  /* of pad_multiple */
    R2_INPUT_MAX_SIDE = 16384,     /* of the network's input */
    R2_INPUT_MAX_PIXELS = 64 << 20 /* of the network's input */
};

/* What a classifier takes when its model does not say: shorter side 256 bilinear like Pillow,
   centre crop 224 x 224, RGB, ImageNet mean and deviation. */
struct r2_input_spec r2_input_spec_default(void);

/* True when both make the same input of every picture: fields that a spec does not use (the size of
   mode none, for one) do not count. */
bool r2_input_spec_equal(const struct r2_input_spec *a, const struct r2_input_spec *b);

/* R2_INVALID naming the field and its rule; R2_UNSUPPORTED for bicubic like OpenCV. */
enum r2_status r2_input_spec_check(const struct r2_input_spec *spec, struct r2_error *err);

struct r2_input_shape {
    uint32_t height, width; /* pixels */
};

/* The input's shape for a picture (upright) of this size, from numbers alone. Fails as
   r2_input_spec_check does, and with R2_INVALID for an empty picture or a result over limits. */
enum r2_status r2_input_shape(const struct r2_input_spec *spec, uint32_t picture_width,
                              uint32_t picture_height, struct r2_input_shape *ret,
                              struct r2_error *err);

/*
 * Where points of the picture lie in the network's input. Coordinates are continuous: pixel (0, 0)
 * covers [0, 1) x [0, 1), its centre is (0.5, 0.5).
 *
 *   network = picture * scale + offset
 */
struct r2_geometry {
    double scale_x, scale_y;                /* resized pixels a picture pixel */
    double offset_x, offset_y;              /* network pixels; negative when a crop cuts */
    uint32_t picture_width, picture_height; /* upright */
    uint32_t network_width, network_height;
};

void r2_geometry_to_network(const struct r2_geometry *geometry, double x, double y, double *ret_x,
                            double *ret_y);

/* The inverse. The result may lie outside the picture, for points in the padding. */
void r2_geometry_to_picture(const struct r2_geometry *geometry, double x, double y, double *ret_x,
                            double *ret_y);

/* Writes the input of r2_input_shape's size: dst [height, width, 3] floats, channels last. Takes
   memory for a few rows only. Errors are r2_input_shape's and R2_NO_MEMORY; dst is written only
   when none occurs. */
enum r2_status r2_input_prepare(const struct r2_input_spec *spec, const struct r2_image *picture,
                                float *dst, struct r2_geometry *ret, struct r2_error *err);

#endif
