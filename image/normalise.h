/*
 * From 8-bit RGB to the numbers that a network takes: (v / 255 - mean) / std, by table.
 */
#ifndef R2_IMAGE_NORMALISE_H
#define R2_IMAGE_NORMALISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct r2_normaliser {
    float table[3][256]; /* of the network's channels in their order, by sample */
    bool bgr;            /* channel 0 of the network is blue */
};

/* mean and std are those of the network's channels in their order, for pixels in 0..1; std is not 0.
   The float operations are those of torchvision's ToTensor and Normalize in their order, so that
   results are equal and not only near. */
void r2_normaliser_init(struct r2_normaliser *normaliser, const float mean[3], const float std[3],
                        bool bgr);

/* rgb [pixels, 3] to dst [pixels, 3]. */
void r2_normalise_row(const struct r2_normaliser *normaliser, const uint8_t *rgb, size_t pixels,
                      float *dst);

#endif
