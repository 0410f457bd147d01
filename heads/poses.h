/*
 * The result of a head that finds poses: instances, each with a point for every joint.
 */
#ifndef R2_HEADS_POSES_H
#define R2_HEADS_POSES_H

#include "heads/box.h"
#include "heads/heatmap.h"
#include "heads/result.h"
#include "heads/skeleton.h"

/* One instance; pixels of the original, oriented picture. */
struct r2_pose {
    float score;
    struct r2_box box;
    const struct r2_point *points; /* [joints] */
};

struct r2_poses {
    const struct r2_skeleton *skeleton; /* borrowed from the head, which outlives results */
    float shown;                        /* points that score more are drawn */
    size_t count;
    struct r2_pose *items;   /* [count], owned; descending scores */
    struct r2_point *points; /* [count, joints], owned: those of the items */
};

/* JSON: scores as they are, coordinates rounded to hundredths of a pixel; `skeleton` are pairs of
   indices, from 0, into the keypoints of an instance, which are always all there. Drawn: box, limbs
   in the colours of their places in the skeleton, points in those of their joints. */
extern const struct r2_result_kind r2_poses_kind;

/* Copies items [count] and their points, in descending order already. A number that is not finite
   fails with R2_INTERNAL: the network's arithmetic broke. */
enum r2_status r2_poses_create(const struct r2_pose *items, size_t count,
                               const struct r2_skeleton *skeleton, float shown,
                               struct r2_result *ret, struct r2_error *err);

#endif
