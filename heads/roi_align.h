/*
 * RoIAlign (He et al., Mask R-CNN, 2017) as torchvision and mmdetection run it: aligned, with as
 * many samples a bin as cells that it covers (sampling_ratio 0).
 */
#ifndef R2_HEADS_ROI_ALIGN_H
#define R2_HEADS_ROI_ALIGN_H

#include <stddef.h>
#include <stdint.h>

#include "backbone/session.h"
#include "heads/box.h"

enum { R2_ROI_BINS_MOST = 32 };

/* Floats of working memory that r2_roi_align needs for a map and bins x bins bins. */
size_t r2_roi_align_work(const struct r2_output_view *map, uint32_t bins);

/* Pools the part of `map` under `roi`, in pixels of the network's input, `scale` cells of the map to
   a pixel (1 / stride), to ret [bins, bins, map->channels], dense. The map has a cell at least,
   bins is 1 .. R2_ROI_BINS_MOST.

   The middle of a cell is at its index (hence "aligned": x * scale - 0.5). A bin is the mean of
   ceil(height) x ceil(width) bilinear samples, height and width of the bin in cells; samples above
   -1 and below the size of the map count as the border's, those beyond count as 0. A roi that is
   empty, or not finite, gives zeros.

   Samples of a bin are a product of an x and a y pattern. So the weight of each row and each column
   is summed up once, and a bin reads each cell under it once, however large it is. */
void r2_roi_align(const struct r2_output_view *map, float scale, struct r2_box roi, uint32_t bins,
                  float *work, float *ret);

/* The level of a feature pyramid, 0 (finest) .. count - 1, that a roi is pooled from (Lin et al.,
   FPN, 2017): one up for each doubling of the side; a square of `finest` (56) pixels and more to
   below twice that is in level 0. What is empty is in level 0. */
uint32_t r2_roi_level(struct r2_box roi, float finest, uint32_t count);

#endif
