#include "heads/candidates.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "heads/nms.h"

static enum r2_status reserve(struct r2_candidates *candidates, struct r2_error *err)
{
    size_t bytes, capacity = candidates->capacity ? candidates->capacity : 64;
    if (candidates->count < candidates->capacity) return R2_OK;
    struct r2_detection *items = NULL;
    if (r2_size_mul(capacity, 2, &capacity) && r2_size_mul(capacity, sizeof *items, &bytes))
        items = realloc(candidates->items, bytes);
    if (!items) return r2_fail(err, R2_NO_MEMORY, "no memory for candidates");
    candidates->items = items;
    candidates->capacity = capacity;
    return R2_OK;
}

static enum r2_status check_finite(const float *values, size_t count, const char *what,
                                   struct r2_error *err)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return r2_fail(err, R2_INTERNAL, "a %s of a region is not a finite number", what);
    return R2_OK;
}

/* In the network's pixels, clipped. */
static struct r2_box decode(const struct r2_candidate_rule *rule, struct r2_box region,
                            const float *deltas)
{
    static const struct r2_box_coder coders[R2_CASCADE_STAGES] = {
        {.stds = {0.1f, 0.1f, 0.2f, 0.2f}},
        {.stds = {0.05f, 0.05f, 0.1f, 0.1f}},
        {.stds = {0.033f, 0.033f, 0.067f, 0.067f}},
    };
    return r2_box_clip(r2_box_decode(&coders[rule->stage], region, deltas), rule->width,
                       rule->height);
}

enum r2_status r2_candidates_refine(const struct r2_candidate_rule *rule, struct r2_box *region,
                                    const float *deltas, struct r2_error *err)
{
    R2_TRY(check_finite(deltas, 4, "delta", err));
    *region = decode(rule, *region, deltas);
    return R2_OK;
}

enum r2_status r2_candidates_add(const struct r2_candidate_rule *rule, struct r2_box region,
                                 float region_score, const float *logits, const float *deltas,
                                 struct r2_candidates *candidates, struct r2_error *err)
{
    const uint32_t all = rule->classes + 1, boxes = rule->agnostic ? 1 : rule->classes;
    double most = -INFINITY, sum = 0;
    R2_TRY(check_finite(logits, all, "logit", err));
    R2_TRY(check_finite(deltas, 4 * (size_t)boxes, "delta", err));
    for (uint32_t i = 0; i < all; i++) most = fmax(most, (double)logits[i]);
    for (uint32_t i = 0; i < all; i++) sum += exp((double)logits[i] - most);
    const double share = (double)rule->objectness, factor = pow((double)region_score, share);
    for (uint32_t i = 0; i < rule->classes; i++) {
        const double probability = exp((double)logits[i] - most) / sum;
        const float score = (float)(share > 0 ? pow(probability, 1 - share) * factor : probability);
        if (!(score > rule->min_score)) continue;
        R2_TRY(reserve(candidates, err));
        const struct r2_box box = decode(rule, region, deltas + 4 * (size_t)(i % boxes));
        candidates->items[candidates->count++] =
            (struct r2_detection){i, score, r2_box_to_picture(rule->geometry, box)};
    }
    return R2_OK;
}

/* The mean of the boxes that overlap box `self`, which is one of them unless it is empty. */
static struct r2_box vote(const struct r2_nms_input *input, uint32_t self, float least)
{
    const struct r2_box own = input->boxes[self];
    double weight = 0, x1 = 0, y1 = 0, x2 = 0, y2 = 0;
    for (size_t i = 0; i < input->count; i++) {
        const struct r2_box box = input->boxes[i];
        const double score = (double)input->scores[i];
        if (input->groups[i] != input->groups[self] || !(r2_box_iou(own, box) >= least)) continue;
        weight += score;
        x1 += score * (double)box.x1;
        y1 += score * (double)box.y1;
        x2 += score * (double)box.x2;
        y2 += score * (double)box.y2;
    }
    if (!(weight > 0)) return own;
    return (struct r2_box){(float)(x1 / weight), (float)(y1 / weight), (float)(x2 / weight),
                           (float)(y2 / weight)};
}

enum r2_status r2_candidates_decide(const struct r2_candidates *candidates,
                                    const struct r2_candidate_choice *choice,
                                    const struct r2_labels *labels, struct r2_result *ret,
                                    struct r2_error *err)
{
    const size_t count = candidates->count, limit = count < choice->most ? count : choice->most;
    R2_AUTOFREE struct r2_box *boxes = NULL;
    R2_AUTOFREE float *scores = NULL;
    R2_AUTOFREE uint32_t *classes = NULL, *kept = NULL;
    R2_AUTOFREE struct r2_detection *best = NULL;
    size_t kept_count = 0, found = 0;
    R2_TRY(r2_alloc(count, sizeof *boxes, "candidates", &boxes, err));
    R2_TRY(r2_alloc(count, sizeof *scores, "candidates", &scores, err));
    R2_TRY(r2_alloc(count, sizeof *classes, "candidates", &classes, err));
    R2_TRY(r2_alloc(limit, sizeof *kept, "detections", &kept, err));
    R2_TRY(r2_alloc(limit, sizeof *best, "detections", &best, err));
    for (size_t i = 0; i < count; i++) {
        boxes[i] = candidates->items[i].box;
        scores[i] = candidates->items[i].score;
        classes[i] = (uint32_t)candidates->items[i].index;
    }
    const struct r2_nms_input input = {boxes, scores, classes, count};
    R2_TRY(r2_nms_keep(&input, choice->nms, limit, kept, &kept_count, err));
    for (; found < kept_count && scores[kept[found]] > choice->min_score; found++) {
        best[found] = candidates->items[kept[found]];
        if (choice->voting < 1) best[found].box = vote(&input, kept[found], choice->voting);
    }
    return r2_detections_create(best, found, labels, ret, err);
}

void r2_candidates_finish(struct r2_candidates *candidates)
{
    free(candidates->items);
    *candidates = (struct r2_candidates){0};
}
