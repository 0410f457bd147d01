/*
 * The joints of a head that finds poses: names, which belong together, how exactly they are placed.
 */
#ifndef R2_HEADS_SKELETON_H
#define R2_HEADS_SKELETON_H

#include "config/model_file.h"
#include "heads/head.h"

enum { R2_JOINTS_MAX = R2_LIST_MAX, R2_LIMBS_MAX = R2_LIST_MAX / 2 };

/* What model.json says of them; all unset is COCO's person. */
struct r2_skeleton_options {
    char *labels;
    struct r2_ints limbs, flip_pairs; /* two joints each, from 0 */
    struct r2_floats sigmas;
};

/* clang-format off */
#define R2_SKELETON_OPTIONS(struct_, member)                                                       \
    {.name = "labels", R2_FIELD(TEXT, struct_, member.labels), .flags = R2_OPTION_OPTIONAL,        \
     .help = "text file, one joint's name a line; default: COCO's 17 of a person"},                \
    {.name = "skeleton", R2_FIELD(INTS, struct_, member.limbs), .flags = R2_OPTION_OPTIONAL,       \
     .min = 0, .max = R2_JOINTS_MAX - 1,                                                           \
     .help = "limbs, as pairs of joints from 0 in one list; default: COCO's, none with labels"},   \
    {.name = "flip_pairs", R2_FIELD(INTS, struct_, member.flip_pairs),                             \
     .flags = R2_OPTION_OPTIONAL, .min = 0, .max = R2_JOINTS_MAX - 1,                              \
     .help = "left and right joints, likewise"},                                                   \
    {.name = "sigmas", R2_FIELD(FLOATS, struct_, member.sigmas), .flags = R2_OPTION_OPTIONAL,      \
     .min = 0.0001, .max = 10,                                                                     \
     .help = "of each joint, for likeness of poses; default: COCO's, 0.05 each with labels"}
/* clang-format on */

struct r2_skeleton {
    struct r2_labels names; /* owned; their number is that of the joints */
    double sigmas[R2_JOINTS_MAX];
    uint32_t partner[R2_JOINTS_MAX]; /* its joint on the other side, or itself */
    size_t limb_count;
    uint32_t limbs[R2_LIMBS_MAX][2];
};

/* For a head whose weights have `joints` maps. R2_INVALID when the options do not fit that number or
   each other. The caller finishes *ret. */
enum r2_status r2_skeleton_init(struct r2_skeleton *ret, const struct r2_skeleton_options *options,
                                const struct r2_head_setup *setup, uint32_t joints,
                                struct r2_error *err);

void r2_skeleton_finish(struct r2_skeleton *skeleton); /* takes NULL and zeroed ones */

/* The limbs as JSON: [[joint, joint], ...], indices from 0. NULL when memory runs out. */
json_t *r2_skeleton_limbs(const struct r2_skeleton *skeleton);

/* Adds "labels" and "skeleton" to what GET /models says. */
enum r2_status r2_skeleton_describe(const struct r2_skeleton *skeleton, json_t *object,
                                    struct r2_error *err);

#endif
