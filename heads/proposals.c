#include "heads/proposals.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "heads/nms.h"
#include "heads/top_k.h"

/* The best anchors of all levels so far. */
struct found {
    size_t count;
    struct r2_box *boxes;
    float *scores;
    uint32_t *levels;
};

static size_t anchor_count(const struct r2_proposal_level *level)
{
    return (size_t)level->logits.height * level->logits.width * level->anchors.base_count;
}

static size_t looked_at(const struct r2_proposal_rule *rule, const struct r2_proposal_level *level)
{
    const size_t all = anchor_count(level);
    return all < rule->per_level ? all : rule->per_level;
}

/* Sigmoids in the order of anchors. Ranks are those of rounded scores, as in mmdetection. */
static enum r2_status read_scores(const struct r2_proposal_level *level, float *ret,
                                  struct r2_error *err)
{
    const size_t cells = (size_t)level->logits.height * level->logits.width;
    const size_t bases = level->anchors.base_count;
    for (size_t cell = 0; cell < cells; cell++) {
        const float *logits = level->logits.data + cell * level->logits.pitch;
        for (size_t a = 0; a < bases; a++) {
            if (!isfinite(logits[a]))
                return r2_fail(err, R2_INTERNAL, "the logit of an anchor is not a finite number");
            ret[cell * bases + a] = 1 / (1 + expf(-logits[a]));
        }
    }
    return R2_OK;
}

static enum r2_status read_box(const struct r2_proposal_level *level, size_t k, struct r2_box *ret,
                               struct r2_error *err)
{
    static const struct r2_box_coder coder = {.stds = {1, 1, 1, 1}};
    const size_t bases = level->anchors.base_count;
    const float *deltas = level->deltas.data + k / bases * level->deltas.pitch + 4 * (k % bases);
    for (size_t i = 0; i < 4; i++)
        if (!isfinite(deltas[i]))
            return r2_fail(err, R2_INTERNAL, "the box of an anchor is not finite");
    *ret = r2_box_decode(&coder, r2_anchor_at(&level->anchors, k), deltas);
    return R2_OK;
}

static enum r2_status find_on_level(const struct r2_proposal_rule *rule,
                                    const struct r2_proposal_level *level, uint32_t index,
                                    struct found *found, struct r2_error *err)
{
    const size_t all = anchor_count(level), some = looked_at(rule, level);
    R2_AUTOFREE float *scores = NULL;
    R2_AUTOFREE uint32_t *order = NULL, *work = NULL;
    R2_TRY(r2_alloc(all, sizeof *scores, "scores of anchors", &scores, err));
    R2_TRY(r2_alloc(some, sizeof *order, "anchors", &order, err));
    R2_TRY(r2_alloc(some, sizeof *work, "anchors", &work, err));
    R2_TRY(read_scores(level, scores, err));
    r2_top_k(scores, all, some, work, order);
    for (size_t i = 0; i < some; i++) {
        struct r2_box box = {0};
        R2_TRY(read_box(level, order[i], &box, err));
        box = r2_box_clip(box, rule->width, rule->height);
        if (!(box.x1 < box.x2 && box.y1 < box.y2)) continue;
        found->boxes[found->count] = box;
        found->scores[found->count] = scores[order[i]];
        found->levels[found->count++] = index;
    }
    return R2_OK;
}

static enum r2_status keep(const struct r2_proposal_rule *rule, const struct found *found,
                           struct r2_proposals *ret, struct r2_error *err)
{
    const struct r2_nms_input input = {found->boxes, found->scores, found->levels, found->count};
    const size_t most = found->count < rule->most ? found->count : rule->most;
    R2_AUTOFREE uint32_t *kept = NULL;
    R2_AUTOFREE struct r2_box *boxes = NULL;
    R2_AUTOFREE float *scores = NULL;
    size_t count = 0;
    R2_TRY(r2_alloc(most, sizeof *kept, "proposals", &kept, err));
    R2_TRY(r2_alloc(most, sizeof *boxes, "proposals", &boxes, err));
    R2_TRY(r2_alloc(most, sizeof *scores, "proposals", &scores, err));
    R2_TRY(r2_nms_keep(&input, rule->nms, most, kept, &count, err));
    for (size_t i = 0; i < count; i++) {
        boxes[i] = found->boxes[kept[i]];
        scores[i] = found->scores[kept[i]];
    }
    *ret = (struct r2_proposals){count, R2_TAKE(boxes), R2_TAKE(scores)};
    return R2_OK;
}

enum r2_status r2_proposals_find(const struct r2_proposal_rule *rule,
                                 const struct r2_proposal_level *levels, size_t count,
                                 struct r2_proposals *ret, struct r2_error *err)
{
    R2_AUTOFREE struct r2_box *boxes = NULL;
    R2_AUTOFREE float *scores = NULL;
    R2_AUTOFREE uint32_t *groups = NULL;
    size_t most = 0;
    for (size_t i = 0; i < count; i++) most += looked_at(rule, &levels[i]);
    R2_TRY(r2_alloc(most, sizeof *boxes, "boxes of anchors", &boxes, err));
    R2_TRY(r2_alloc(most, sizeof *scores, "scores of anchors", &scores, err));
    R2_TRY(r2_alloc(most, sizeof *groups, "levels of anchors", &groups, err));
    struct found found = {.boxes = boxes, .scores = scores, .levels = groups};
    for (size_t i = 0; i < count; i++)
        R2_TRY(find_on_level(rule, &levels[i], (uint32_t)i, &found, err));
    return keep(rule, &found, ret, err);
}

void r2_proposals_finish(struct r2_proposals *proposals)
{
    free(proposals->boxes);
    free(proposals->scores);
    *proposals = (struct r2_proposals){0};
}
