#include "heads/poses.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "image/draw.h"

static void poses_finish(void *data)
{
    struct r2_poses *poses = data;
    if (!poses) return;
    free(poses->items);
    free(poses->points);
    free(poses);
}

/* --- JSON --- */

/* Adding 0 makes 0 of -0. */
static double hundredths(float value)
{
    return round((double)value * 100) / 100 + 0.0;
}

static json_t *points_to_json(const struct r2_point *points, const struct r2_labels *names)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < names->count; i++) {
        json_t *point =
            json_pack("{s:s, s:f, s:f, s:f}", "name", names->names[i], "x", hundredths(points[i].x),
                      "y", hundredths(points[i].y), "score", (double)points[i].score);
        if (json_array_append_new(list, point) == 0) continue;
        json_decref(list);
        list = NULL;
    }
    return list;
}

static json_t *item_to_json(const struct r2_pose *item, const struct r2_labels *names)
{
    return json_pack("{s:f, s:[f, f, f, f], s:o}", "score", (double)item->score, "box",
                     hundredths(item->box.x1), hundredths(item->box.y1), hundredths(item->box.x2),
                     hundredths(item->box.y2), "keypoints", points_to_json(item->points, names));
}

static enum r2_status poses_to_json(const void *data, json_t *object, struct r2_error *err)
{
    const struct r2_poses *poses = data;
    json_t *list = json_array();
    bool failed = list == NULL;
    for (size_t i = 0; i < poses->count && !failed; i++)
        failed = json_array_append_new(
                     list, item_to_json(&poses->items[i], &poses->skeleton->names)) != 0;
    if (json_object_set_new(object, "instances", list) != 0 ||
        json_object_set_new(object, "skeleton", r2_skeleton_limbs(poses->skeleton)) != 0)
        failed = true;
    return failed ? r2_fail(err, R2_NO_MEMORY, "no memory for the poses' JSON") : R2_OK;
}

/* --- on the picture --- */

static void box_draw(const struct r2_pose *item, uint32_t index, struct r2_draw *draw)
{
    R2_CLEANUP(r2_text_finish) struct r2_text label = {0};
    r2_text_add(&label, "%.2f", (double)item->score);
    r2_draw_box(draw, (double)item->box.x1, (double)item->box.y1, (double)item->box.x2,
                (double)item->box.y2, r2_colour_class(index), r2_text_view(&label));
}

/* Points above limbs, so that both can be told apart where limbs cross. */
static void item_draw(const struct r2_poses *poses, const struct r2_point *points,
                      struct r2_draw *draw)
{
    const struct r2_skeleton *skeleton = poses->skeleton;
    for (uint32_t i = 0; i < skeleton->limb_count; i++) {
        const struct r2_point a = points[skeleton->limbs[i][0]], b = points[skeleton->limbs[i][1]];
        if (a.score > poses->shown && b.score > poses->shown)
            r2_draw_line(draw, (double)a.x, (double)a.y, (double)b.x, (double)b.y,
                         r2_colour_class(i));
    }
    for (uint32_t i = 0; i < skeleton->names.count; i++)
        if (points[i].score > poses->shown)
            r2_draw_point(draw, (double)points[i].x, (double)points[i].y, r2_colour_class(i));
}

static enum r2_status poses_draw(const void *data, struct r2_draw *draw, struct r2_error *err)
{
    const struct r2_poses *poses = data;
    (void)err;
    for (uint32_t i = 0; i < poses->count; i++) box_draw(&poses->items[i], i, draw);
    for (size_t i = poses->count; i-- > 0;) item_draw(poses, poses->items[i].points, draw);
    return R2_OK;
}

const struct r2_result_kind r2_poses_kind = {
    .name = "instances", .to_json = poses_to_json, .draw = poses_draw, .finish = poses_finish};

/* --- making --- */

static bool is_finite(const struct r2_pose *item, size_t joints)
{
    for (size_t i = 0; i < joints; i++)
        if (!isfinite(item->points[i].x) || !isfinite(item->points[i].y) ||
            !isfinite(item->points[i].score))
            return false;
    return isfinite(item->score) && r2_box_is_finite(item->box);
}

enum r2_status r2_poses_create(const struct r2_pose *items, size_t count,
                               const struct r2_skeleton *skeleton, float shown,
                               struct r2_result *ret, struct r2_error *err)
{
    const size_t joints = skeleton->names.count;
    R2_AUTOFREE struct r2_pose *copy = NULL;
    R2_AUTOFREE struct r2_point *points = NULL;
    struct r2_poses *poses = NULL;
    size_t most = 0;
    for (size_t i = 0; i < count; i++)
        if (!is_finite(&items[i], joints))
            return r2_fail(err, R2_INTERNAL,
                           "pose %zu: its score, its box or a point is not finite", i);
    if (!r2_size_mul(count, joints, &most))
        return r2_fail(err, R2_NO_MEMORY, "no memory for %zu poses", count);
    R2_TRY(r2_alloc(count, sizeof *copy, "poses", &copy, err));
    R2_TRY(r2_alloc(most, sizeof *points, "points of poses", &points, err));
    R2_TRY(r2_alloc(1, sizeof *poses, "poses", &poses, err));
    for (size_t i = 0; i < count; i++) {
        memcpy(points + i * joints, items[i].points, joints * sizeof *points);
        copy[i] = (struct r2_pose){items[i].score, items[i].box, points + i * joints};
    }
    *poses = (struct r2_poses){skeleton, shown, count, R2_TAKE(copy), R2_TAKE(points)};
    *ret = (struct r2_result){&r2_poses_kind, poses};
    return R2_OK;
}
