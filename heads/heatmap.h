/*
 * Heat maps to points: one map a joint, hot where the joint is (Xiao et al., "Simple Baselines for
 * Human Pose Estimation and Tracking", 2018, and its published code).
 */
#ifndef R2_HEADS_HEATMAP_H
#define R2_HEADS_HEATMAP_H

#include <stddef.h>
#include <stdint.h>

#include "backbone/session.h"

struct r2_point {
    float x, y, score;
};

/* The hottest cell of each map of picture `item` of the batch: ret [maps->channels], in cells, a
   whole number being the middle of one; the score is the cell's value.

   Of equal cells it is the first in the order of rows; a NaN counts as hottest, so that the score
   shows it. A map without a value above 0 has no point: it is at (0, 0), with the score that it
   has. A point with 1 < x < width - 1 and 1 < y < height - 1 moves by a quarter of a cell towards
   the hotter neighbour along each axis. */
void r2_heatmap_points(const struct r2_output_view *maps, uint32_t item, struct r2_point *ret);

/* The same, where most heat is near: the values above 0 are spread by a Gaussian of sigma_x by sigma_y
   cells, both above 0, before the hottest cell is looked for. The score is still that of the hottest
   cell of the map itself. A joint that may be in several places so gets the one that the most of
   them are close to (Zhang et al., "Distribution-Aware Coordinate Representation", 2020, smooth maps
   before they are read, too). `work` has r2_heatmap_work(maps) floats. */
void r2_heatmap_near_points(const struct r2_output_view *maps, uint32_t item, float sigma_x,
                            float sigma_y, float *work, struct r2_point *ret);
size_t r2_heatmap_work(const struct r2_output_view *maps);

/* The maps of picture `item` as ret [height, width, channels], dense. */
void r2_heatmap_copy(const struct r2_output_view *maps, uint32_t item, float *ret);

/* Makes `merged` [height, width, channels], the maps of a picture, the mean of them and of those of
   its mirror image, picture `item` of the batch. The mirror's maps are mirrored back, map j becomes
   map partner[j] (left and right joints change places; a joint without a partner has itself), and
   they move right by one cell (the first column stays as well), since the mirror image of a map of
   stride 4 is a cell off. */
void r2_heatmap_merge(const struct r2_output_view *mirror, uint32_t item, const uint32_t *partner,
                      float *merged);

#endif
