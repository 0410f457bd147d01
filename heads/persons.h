/*
 * The persons of a head that finds poses: where they are, and which of their poses are answered.
 *
 * A box comes from the request, or is the whole picture where the model says so, or else is one of
 * the detections of another head.
 */
#ifndef R2_HEADS_PERSONS_H
#define R2_HEADS_PERSONS_H

#include "heads/box_list.h"
#include "heads/poses.h"

/* What model.json says of them. */
struct r2_person_options {
    char *needs, *label;
    bool whole_image;
    int64_t max;
    double score_threshold, padding, point_score, oks;
    struct r2_skeleton_options skeleton;
};

/* clang-format off */
#define R2_PERSON_OPTIONS(struct_, member)                                                         \
    {.name = "needs", R2_FIELD(TEXT, struct_, member.needs), .fallback = "detect",                 \
     .help = "head whose detections have the boxes"},                                              \
    {.name = "label", R2_FIELD(TEXT, struct_, member.label), .fallback = "person",                 \
     .help = "which of its classes they are"},                                                     \
    {.name = "whole_image", R2_FIELD(BOOL, struct_, member.whole_image), .fallback = "0",          \
     .help = "the picture shows one, and no head is needed"},                                      \
    {.name = "max", R2_FIELD(INT, struct_, member.max), .min = 1, .max = 1000, .fallback = "20",   \
     .help = "detections that are looked at, the best first"},                                     \
    {.name = "score_threshold", R2_FIELD(FLOAT, struct_, member.score_threshold), .min = 0,        \
     .max = 1, .fallback = "0.3", .help = "they score more than this"},                            \
    {.name = "padding", R2_FIELD(FLOAT, struct_, member.padding), .min = 1, .max = 4,              \
     .fallback = "1.25", .help = "what is looked at, in sides of the box"},                        \
    {.name = "point_score", R2_FIELD(FLOAT, struct_, member.point_score), .min = 0, .max = 1,      \
     .fallback = "0.2", .help = "points that score more count for the score and are drawn"},       \
    {.name = "oks", R2_FIELD(FLOAT, struct_, member.oks), .min = 0, .max = 1, .fallback = "0.9",   \
     .help = "likeness of poses (OKS) above which one of two goes"},                               \
    R2_SKELETON_OPTIONS(struct_, member.skeleton)
/* clang-format on */

/* The parameters of a request. */
struct r2_person_params {
    char *boxes; /* NULL: none */
    double min_score;
    int64_t max;
};

enum { R2_PERSON_PARAM_COUNT = 3 };
extern const struct r2_option r2_person_params[R2_PERSON_PARAM_COUNT];

/* Their table in a head type. */
#define R2_PERSON_PARAMS                                                                           \
    {                                                                                              \
        r2_person_params, R2_PERSON_PARAM_COUNT, "parameter"                                       \
    }

void r2_person_default_params(const struct r2_person_options *options,
                              struct r2_person_params *params);

/* The head that has the boxes, or NULL; as `needs` of a head type. params may be NULL. */
const char *r2_person_needs(const struct r2_person_options *options,
                            const struct r2_person_params *params);

/* Zeroed is none. */
struct r2_persons {
    size_t count, joints;
    bool given;           /* boxes of the request, which asks about each of them */
    struct r2_box *boxes; /* [count], owned like the rest; pixels of the original */
    float *scores;        /* [count] of the boxes; 1 where nobody gave one */
    double *areas;        /* [count] square pixels, for the likeness of poses; the head's to set */
    struct r2_point *points; /* [count, joints]; the head's to set */
};

/* Finds the boxes for a run of a head with r2_person_params. R2_INVALID for a box of the request that
   is outside the picture, and for a `label` that the needed head does not know. */
enum r2_status r2_persons_find(const struct r2_person_options *options,
                               const struct r2_head_run *run, size_t joints, struct r2_persons *ret,
                               struct r2_error *err);

/* Scores, the best first, one for each person (r2_oks_keep). Of a request's boxes each has its pose,
   in their order. */
enum r2_status r2_persons_decide(const struct r2_person_options *options,
                                 const struct r2_skeleton *skeleton,
                                 const struct r2_persons *persons, struct r2_result *ret,
                                 struct r2_error *err);

void r2_persons_finish(struct r2_persons *persons);

#endif
