/* Skeletons from options, and poses as JSON and on a picture. */
#include "heads/poses.h"

#include <math.h>

#include "base/memory.h"
#include "image/draw.h"
#include "tests/base/expect.h"

static char head[] = "head", tail[] = "tail", fin[] = "fin", *fish_names[] = {head, tail, fin};
static const struct r2_skeleton fish = {
    .names = {3, fish_names}, .limb_count = 2, .limbs = {{0, 1}, {1, 2}}};

Test(skeleton, coco)
{
    struct r2_error err = {0};
    struct r2_skeleton coco = {0};
    ASSERT_OK(r2_skeleton_init(&coco, &(struct r2_skeleton_options){0}, NULL, 17, &err), err);
    cr_assert_eq(coco.names.count, 17);
    cr_expect_str_eq(coco.names.names[0], "nose");
    cr_expect_str_eq(coco.names.names[16], "right_ankle");
    cr_expect_eq(coco.partner[0], 0);
    for (uint32_t i = 1; i < 17; i++) {
        const char *name = coco.names.names[i], *other = coco.names.names[coco.partner[i]];
        cr_expect_eq(strncmp(name, "left_", 5) == 0, strncmp(other, "right_", 6) == 0);
        cr_expect_str_eq(strchr(name, '_'), strchr(other, '_'));
    }
    cr_expect_eq(coco.limb_count, 19);
    /* each limb has its mirror image among them */
    for (size_t i = 0; i < coco.limb_count; i++) {
        const uint32_t a = coco.partner[coco.limbs[i][0]], b = coco.partner[coco.limbs[i][1]];
        bool found = false;
        for (size_t k = 0; k < coco.limb_count; k++)
            found |= (coco.limbs[k][0] == a && coco.limbs[k][1] == b) ||
                     (coco.limbs[k][0] == b && coco.limbs[k][1] == a);
        cr_expect(found, "limb %zu", i);
    }
    r2_skeleton_finish(&coco);
    r2_skeleton_finish(NULL);
}

static void expect_refused(const struct r2_skeleton_options *options, uint32_t joints,
                           const char *message)
{
    struct r2_error err = {0};
    struct r2_skeleton skeleton = {0};
    EXPECT_FAIL(r2_skeleton_init(&skeleton, options, NULL, joints, &err), err, R2_INVALID, message);
    cr_expect_null(skeleton.names.names);
}

Test(skeleton, refused)
{
    char labels[] = "names.txt";
    expect_refused(&(struct r2_skeleton_options){0}, 5,
                   "the weights have 5 joints: without the key 'labels' they are COCO's 17");
    expect_refused(&(struct r2_skeleton_options){.labels = labels}, 65,
                   "the weights have 65 joints: at most 64 are served");
    expect_refused(&(struct r2_skeleton_options){.limbs = {3, {0, 1, 2}}}, 17,
                   "key 'skeleton' has 3 joints: they are pairs");
    expect_refused(&(struct r2_skeleton_options){.limbs = {2, {0, 17}}}, 17,
                   "key 'skeleton': joint 17 is not 0..16");
    expect_refused(&(struct r2_skeleton_options){.flip_pairs = {4, {1, 2, 2, 3}}}, 17,
                   "key 'flip_pairs': joint 2 is there twice");
    expect_refused(&(struct r2_skeleton_options){.flip_pairs = {2, {3, 3}}}, 17,
                   "key 'flip_pairs': joint 3 is there twice");
    expect_refused(&(struct r2_skeleton_options){.sigmas = {1, {0.5}}}, 17,
                   "key 'sigmas' has 1 numbers, the weights have 17 joints");
}

Test(poses, json)
{
    struct r2_error err = {0};
    struct r2_result result = {0};
    struct r2_point points[3] = {{1.236f, -0.001f, 0.5f}, {2, 3, -0.25f}, {4, 5, 2}};
    const struct r2_pose item = {0.75f, {0, 1, 20.004f, 30}, points};
    ASSERT_OK(r2_poses_create(&item, 1, &fish, 0.2f, &result, &err), err);
    points[2].x = 99; /* points are copied */
    cr_expect_eq(result.kind, &r2_poses_kind);
    json_t *object = json_pack("{s:i}", "kept", 1);
    ASSERT_OK(result.kind->to_json(result.data, object, &err), err);
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9));
    cr_expect_str_eq(text,
                     "{\"kept\":1,\"instances\":[{\"score\":0.75,\"box\":[0.0,1.0,20.0,30.0],"
                     "\"keypoints\":[{\"name\":\"head\",\"x\":1.24,\"y\":0.0,\"score\":0.5},"
                     "{\"name\":\"tail\",\"x\":2.0,\"y\":3.0,\"score\":-0.25},"
                     "{\"name\":\"fin\",\"x\":4.0,\"y\":5.0,\"score\":2.0}]}],"
                     "\"skeleton\":[[0,1],[1,2]]}",
                     "%s", text);
    free(text);
    json_decref(object);
    r2_result_finish(&result);
    r2_poses_kind.finish(NULL);
}

Test(poses, broken_numbers)
{
    struct r2_error err = {0};
    struct r2_result result = {0};
    for (int i = 0; i < 4; i++) {
        struct r2_point points[3] = {{0}};
        struct r2_pose item = {1, {0, 0, 1, 1}, points};
        *(i == 0   ? &points[2].score
          : i == 1 ? &points[1].y
          : i == 2 ? &item.score
                   : &item.box.x2) = i % 2 ? NAN : INFINITY;
        EXPECT_FAIL(r2_poses_create(&item, 1, &fish, 0, &result, &err), err, R2_INTERNAL,
                    "pose 0: its score, its box or a point is not finite");
        cr_expect_null(result.data);
    }
}

static bool is_colour(const struct r2_image *image, int x, int y, struct r2_colour colour)
{
    const uint8_t *pixel = image->pixels + ((size_t)y * image->width + (size_t)x) * 3;
    return abs(pixel[0] - colour.red) < 8 && abs(pixel[1] - colour.green) < 8 &&
           abs(pixel[2] - colour.blue) < 8;
}

/* Head and tail are seen and have a limb; the fin, and its limb, are not. */
Test(poses, drawn)
{
    struct r2_error err = {0};
    struct r2_image image;
    struct r2_draw *draw;
    struct r2_result result = {0};
    const struct r2_point points[3] = {{20.5f, 50.5f, 0.5f}, {80.5f, 50.5f, 0.3f}, {80, 90, 0.2f}};
    const struct r2_pose item = {0.75f, {5, 5, 95, 95}, points};
    const struct r2_colour black = {0};
    ASSERT_OK(r2_image_create(100, 100, &image, &err), err);
    memset(image.pixels, 0, 100 * r2_image_stride(&image));
    ASSERT_OK(r2_poses_create(&item, 1, &fish, 0.2f, &result, &err), err);
    ASSERT_OK(r2_draw_begin(&image, NULL, &draw, &err), err);
    ASSERT_OK(result.kind->draw(result.data, draw, &err), err);
    ASSERT_OK(r2_draw_end(draw, &err), err);
    r2_draw_destroy(draw);
    cr_expect(is_colour(&image, 20, 50, r2_colour_class(0)), "head");
    cr_expect(is_colour(&image, 80, 50, r2_colour_class(1)), "tail");
    cr_expect(is_colour(&image, 50, 50, r2_colour_class(0)), "limb");
    cr_expect(is_colour(&image, 80, 90, black), "no fin");
    cr_expect(is_colour(&image, 80, 70, black), "no limb to it");
    cr_expect(is_colour(&image, 5, 70, r2_colour_class(0)), "box");
    r2_result_finish(&result);
    r2_image_finish(&image);
}
