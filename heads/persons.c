#include "heads/persons.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "heads/detections.h"
#include "heads/oks.h"

/* clang-format off */
const struct r2_option r2_person_params[R2_PERSON_PARAM_COUNT] = {
    {.name = "boxes", R2_FIELD(TEXT, struct r2_person_params, boxes), .flags = R2_OPTION_OPTIONAL,
     .check = r2_box_list_check, .metavar = "x1,y1,x2,y2;...",
     .help = "where to look, in pixels; default: where the model finds someone"},
    {.name = "min_score", R2_FIELD(FLOAT, struct r2_person_params, min_score), .min = 0, .max = 1,
     .fallback = "0.3", .help = "detections that are looked at score more than this"},
    {.name = "max", R2_FIELD(INT, struct r2_person_params, max), .min = 1, .max = 1000,
     .fallback = "20", .help = "detections that are looked at, the best first"},
};
/* clang-format on */

void r2_person_default_params(const struct r2_person_options *options,
                              struct r2_person_params *request)
{
    request->min_score = options->score_threshold;
    request->max = options->max;
}

const char *r2_person_needs(const struct r2_person_options *options,
                            const struct r2_person_params *request)
{
    return options->whole_image || (request && request->boxes) ? NULL : options->needs;
}

void r2_persons_finish(struct r2_persons *persons)
{
    free(persons->boxes);
    free(persons->scores);
    free(persons->areas);
    free(persons->points);
    *persons = (struct r2_persons){0};
}

static enum r2_status make_room(struct r2_persons *persons, size_t most, struct r2_error *err)
{
    size_t points;
    if (!r2_size_mul(most, persons->joints, &points))
        return r2_fail(err, R2_NO_MEMORY, "no memory for %zu persons", most);
    R2_TRY(r2_alloc(most, sizeof *persons->boxes, "boxes of persons", &persons->boxes, err));
    R2_TRY(r2_alloc(most, sizeof *persons->scores, "scores of persons", &persons->scores, err));
    R2_TRY(r2_alloc(most, sizeof *persons->areas, "areas of persons", &persons->areas, err));
    return r2_alloc(points, sizeof *persons->points, "points of persons", &persons->points, err);
}

static void add_box(struct r2_persons *persons, struct r2_box box, float score)
{
    persons->boxes[persons->count] = box;
    persons->scores[persons->count++] = score;
}

static enum r2_status take_given(const char *text, const struct r2_geometry *geometry,
                                 struct r2_persons *persons, struct r2_error *err)
{
    const float width = (float)geometry->picture_width, height = (float)geometry->picture_height;
    struct r2_box boxes[R2_BOX_LIST_MAX];
    size_t count = 0;
    R2_TRY(r2_box_list_read(text, boxes, &count, err));
    R2_TRY(make_room(persons, count, err));
    persons->given = true;
    for (size_t i = 0; i < count; i++) {
        if (!(r2_box_area(r2_box_clip(boxes[i], width, height)) > 0))
            return r2_fail(err, R2_INVALID,
                           "boxes: box %zu lies outside the picture of %u x %u pixels", i + 1,
                           geometry->picture_width, geometry->picture_height);
        add_box(persons, boxes[i], 1);
    }
    return R2_OK;
}

static enum r2_status take_picture(const struct r2_geometry *geometry, struct r2_persons *persons,
                                   struct r2_error *err)
{
    R2_TRY(make_room(persons, 1, err));
    add_box(persons,
            (struct r2_box){0, 0, (float)geometry->picture_width, (float)geometry->picture_height},
            1);
    return R2_OK;
}

static enum r2_status find_label(const struct r2_labels *labels, const char *label, size_t *ret,
                                 struct r2_error *err)
{
    for (size_t i = 0; labels && i < labels->count; i++) {
        if (strcmp(labels->names[i], label) != 0) continue;
        *ret = i;
        return R2_OK;
    }
    return r2_fail(err, R2_INVALID, "key 'label': the needed head has no class '%.64s'", label);
}

static enum r2_status take_detections(const struct r2_person_options *options,
                                      const struct r2_person_params *request,
                                      const struct r2_detections *detections,
                                      struct r2_persons *persons, struct r2_error *err)
{
    size_t label = 0;
    R2_TRY(find_label(detections->labels, options->label, &label, err));
    R2_TRY(make_room(persons, detections->count, err));
    for (size_t i = 0; i < detections->count && persons->count < (size_t)request->max; i++) {
        const struct r2_detection *item = &detections->items[i];
        if (item->index == label && item->score > (float)request->min_score)
            add_box(persons, item->box, item->score);
    }
    return R2_OK;
}

enum r2_status r2_persons_find(const struct r2_person_options *options,
                               const struct r2_head_run *run, size_t joints, struct r2_persons *ret,
                               struct r2_error *err)
{
    const struct r2_person_params *request = run->params;
    struct r2_persons persons = {.joints = joints};
    enum r2_status status =
        request->boxes ? take_given(request->boxes, run->geometry, &persons, err)
        : run->needed  ? take_detections(options, request, run->needed->data, &persons, err)
                       : take_picture(run->geometry, &persons, err);
    if (status == R2_OK)
        *ret = persons;
    else
        r2_persons_finish(&persons);
    return status;
}

/* Makes `order` the persons that are answered. */
static enum r2_status choose(const struct r2_person_options *options,
                             const struct r2_skeleton *skeleton, const struct r2_persons *persons,
                             const float *scores, uint32_t *order, size_t *ret_count,
                             struct r2_error *err)
{
    const struct r2_oks_input input = {persons->points, scores,          persons->areas,
                                       persons->count,  persons->joints, skeleton->sigmas};
    if (!persons->given) return r2_oks_keep(&input, options->oks, order, ret_count, err);
    for (uint32_t i = 0; i < persons->count; i++) order[i] = i;
    *ret_count = persons->count;
    return R2_OK;
}

enum r2_status r2_persons_decide(const struct r2_person_options *options,
                                 const struct r2_skeleton *skeleton,
                                 const struct r2_persons *persons, struct r2_result *ret,
                                 struct r2_error *err)
{
    const float shown = (float)options->point_score;
    R2_AUTOFREE float *scores = NULL;
    R2_AUTOFREE uint32_t *order = NULL;
    R2_AUTOFREE struct r2_pose *poses = NULL;
    size_t count = 0;
    R2_TRY(r2_alloc(persons->count, sizeof *scores, "scores of poses", &scores, err));
    R2_TRY(r2_alloc(persons->count, sizeof *order, "an order of poses", &order, err));
    R2_TRY(r2_alloc(persons->count, sizeof *poses, "poses", &poses, err));
    for (size_t i = 0; i < persons->count; i++)
        scores[i] = r2_oks_score(persons->scores[i], persons->points + i * persons->joints,
                                 persons->joints, shown);
    R2_TRY(choose(options, skeleton, persons, scores, order, &count, err));
    for (size_t i = 0; i < count; i++)
        poses[i] = (struct r2_pose){scores[order[i]], persons->boxes[order[i]],
                                    persons->points + order[i] * persons->joints};
    return r2_poses_create(poses, count, skeleton, shown, ret, err);
}
