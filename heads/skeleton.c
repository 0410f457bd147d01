#include "heads/skeleton.h"

#include <string.h>

#include "base/memory.h"
#include "heads/labels.h"

enum { COCO_JOINTS = 17, COCO_LIMBS = 19 };

static const char *const coco_names[COCO_JOINTS] = {
    "nose",           "left_eye",   "right_eye",   "left_ear",   "right_ear",   "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip",
    "right_hip",      "left_knee",  "right_knee",  "left_ankle", "right_ankle"};

static const double coco_sigmas[COCO_JOINTS] = {.026, .025, .025, .035, .035, .079,
                                                .079, .072, .072, .062, .062, .107,
                                                .107, .087, .087, .089, .089};

static const uint32_t coco_limbs[COCO_LIMBS][2] = {
    {15, 13}, {13, 11}, {16, 14}, {14, 12}, {11, 12}, {5, 11}, {6, 12}, {5, 6}, {5, 7}, {6, 8},
    {7, 9},   {8, 10},  {1, 2},   {0, 1},   {0, 2},   {1, 3},  {2, 4},  {3, 5}, {4, 6}};

static const double other_sigma = 0.05;

static enum r2_status take_coco(struct r2_skeleton *skeleton, uint32_t joints, struct r2_error *err)
{
    struct r2_labels *names = &skeleton->names;
    if (joints != COCO_JOINTS)
        return r2_fail(err, R2_INVALID,
                       "the weights have %u joints: without the key 'labels' they are COCO's %d",
                       joints, COCO_JOINTS);
    R2_TRY(r2_alloc(COCO_JOINTS, sizeof *names->names, "names of joints", &names->names, err));
    for (; names->count < COCO_JOINTS; names->count++) {
        names->names[names->count] = strdup(coco_names[names->count]);
        if (!names->names[names->count])
            return r2_fail(err, R2_NO_MEMORY, "no memory for names of joints");
    }
    memcpy(skeleton->sigmas, coco_sigmas, sizeof coco_sigmas);
    memcpy(skeleton->limbs, coco_limbs, sizeof coco_limbs);
    skeleton->limb_count = COCO_LIMBS;
    for (uint32_t i = 1; i < COCO_JOINTS; i++) skeleton->partner[i] = ((i - 1) ^ 1) + 1;
    return R2_OK;
}

static enum r2_status take_labels(struct r2_skeleton *skeleton, const struct r2_head_setup *setup,
                                  const char *path, uint32_t joints, struct r2_error *err)
{
    if (joints > R2_JOINTS_MAX)
        return r2_fail(err, R2_INVALID, "the weights have %u joints: at most %d are served", joints,
                       R2_JOINTS_MAX);
    for (uint32_t i = 0; i < joints; i++) skeleton->sigmas[i] = other_sigma;
    return r2_head_read_labels(setup, path, joints, &skeleton->names, err);
}

static enum r2_status check_pairs(const struct r2_ints *pairs, const char *key, uint32_t joints,
                                  struct r2_error *err)
{
    if (pairs->count % 2)
        return r2_fail(err, R2_INVALID, "key '%s' has %zu joints: they are pairs", key,
                       pairs->count);
    for (size_t i = 0; i < pairs->count; i++)
        if (pairs->items[i] >= joints)
            return r2_fail(err, R2_INVALID, "key '%s': joint %lld is not 0..%u", key,
                           (long long)pairs->items[i], joints - 1);
    return R2_OK;
}

static enum r2_status take_flips(struct r2_skeleton *skeleton, const struct r2_ints *pairs,
                                 struct r2_error *err)
{
    for (size_t i = 0; i < pairs->count; i++) {
        const uint32_t each = (uint32_t)pairs->items[i], other = (uint32_t)pairs->items[i ^ 1];
        if (skeleton->partner[each] != each || each == other)
            return r2_fail(err, R2_INVALID, "key 'flip_pairs': joint %u is there twice", each);
        skeleton->partner[each] = other;
    }
    return R2_OK;
}

static enum r2_status take_options(struct r2_skeleton *skeleton,
                                   const struct r2_skeleton_options *options, uint32_t joints,
                                   struct r2_error *err)
{
    const struct r2_floats *sigmas = &options->sigmas;
    R2_TRY(check_pairs(&options->limbs, "skeleton", joints, err));
    R2_TRY(check_pairs(&options->flip_pairs, "flip_pairs", joints, err));
    if (sigmas->count && sigmas->count != joints)
        return r2_fail(err, R2_INVALID, "key 'sigmas' has %zu numbers, the weights have %u joints",
                       sigmas->count, joints);
    for (size_t i = 0; i < sigmas->count; i++) skeleton->sigmas[i] = sigmas->items[i];
    if (options->limbs.count) skeleton->limb_count = options->limbs.count / 2;
    for (size_t i = 0; i < options->limbs.count; i++)
        skeleton->limbs[i / 2][i % 2] = (uint32_t)options->limbs.items[i];
    if (options->labels || options->flip_pairs.count)
        for (uint32_t i = 0; i < joints; i++) skeleton->partner[i] = i;
    return take_flips(skeleton, &options->flip_pairs, err);
}

enum r2_status r2_skeleton_init(struct r2_skeleton *ret, const struct r2_skeleton_options *options,
                                const struct r2_head_setup *setup, uint32_t joints,
                                struct r2_error *err)
{
    struct r2_skeleton made = {0};
    enum r2_status status = options->labels
                                ? take_labels(&made, setup, options->labels, joints, err)
                                : take_coco(&made, joints, err);
    if (status == R2_OK) status = take_options(&made, options, joints, err);
    if (status == R2_OK)
        *ret = made;
    else
        r2_skeleton_finish(&made);
    return status;
}

void r2_skeleton_finish(struct r2_skeleton *skeleton)
{
    if (skeleton) r2_labels_finish(&skeleton->names);
}

json_t *r2_skeleton_limbs(const struct r2_skeleton *skeleton)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < skeleton->limb_count; i++) {
        const uint32_t *limb = skeleton->limbs[i];
        if (json_array_append_new(list, json_pack("[i, i]", (int)limb[0], (int)limb[1])) == 0)
            continue;
        json_decref(list);
        list = NULL;
    }
    return list;
}

enum r2_status r2_skeleton_describe(const struct r2_skeleton *skeleton, json_t *object,
                                    struct r2_error *err)
{
    json_t *list = json_array();
    bool failed = !list;
    for (size_t i = 0; i < skeleton->names.count && !failed; i++)
        failed = json_array_append_new(list, json_string(skeleton->names.names[i])) != 0;
    if (json_object_set_new(object, "labels", list) != 0 ||
        json_object_set_new(object, "skeleton", r2_skeleton_limbs(skeleton)) != 0)
        failed = true;
    return failed ? r2_fail(err, R2_NO_MEMORY, "no memory for the joints' JSON") : R2_OK;
}
