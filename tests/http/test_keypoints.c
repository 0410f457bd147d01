/* What clients get from /keypoints, with boxes and without, as JSON and as a picture. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/http/client.h"
#include "tests/http/daemon.h"

enum { WIDTH = 200, HEIGHT = 150, JOINTS = 17 };

static struct r2_daemon start(void)
{
    const char *model = getenv("R2_TEST_POSES");
    cr_assert_not_null(model);
    return r2_daemon_start((const char *[]){"--model", model, NULL});
}

static struct r2_response ask(const struct r2_daemon *daemon, const char *target,
                              const char *headers)
{
    struct r2_buffer file = r2_sample_jpeg(WIDTH, HEIGHT);
    struct r2_response response =
        r2_client_ask(daemon->port, "POST", target, headers, file.data, file.size);
    r2_buffer_finish(&file);
    return response;
}

/* The answer, which the caller decrefs. */
static json_t *answer_to(const struct r2_daemon *daemon, const char *target)
{
    struct r2_response response = ask(daemon, target, "");
    cr_assert_eq(response.status, 200, "%s", response.body);
    json_t *answer = r2_response_json(&response);
    r2_response_finish(&response);
    return answer;
}

static const json_t *instances_of(const json_t *answer)
{
    const json_t *instances = json_object_get(answer, "instances");
    cr_assert(json_is_array(instances));
    return instances;
}

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    cr_assert(json_is_number(value), "%s", key);
    return json_number_value(value);
}

/* Points lie in the box as it was grown; they have COCO's names. */
static void expect_instance(const json_t *instance)
{
    double box[4];
    size_t i;
    const json_t *points = json_object_get(instance, "keypoints"), *point;
    const json_t *list = json_object_get(instance, "box");
    cr_assert_eq(json_array_size(list), 4);
    for (i = 0; i < 4; i++) box[i] = json_number_value(json_array_get(list, i));
    const double grown = (box[2] - box[0]) / 8 + 0.01, tall = (box[3] - box[1]) / 8 + 0.01;
    number(instance, "score");
    cr_assert_eq(json_array_size(points), JOINTS);
    json_array_foreach(points, i, point)
    {
        const double x = number(point, "x"), y = number(point, "y");
        number(point, "score");
        cr_expect(x >= box[0] - grown && x <= box[2] + grown, "x %g", x);
        cr_expect(y >= box[1] - tall && y <= box[3] + tall, "y %g", y);
    }
    cr_expect_str_eq(json_string_value(json_object_get(json_array_get(points, 0), "name")), "nose");
}

Test(keypoints, of_what_the_detector_finds)
{
    struct r2_daemon daemon = start();
    json_t *answer = answer_to(&daemon, "/keypoints?min_score=0.05");
    const json_t *instances = instances_of(answer), *each;
    size_t i;
    double before = 1e9;
    cr_expect_gt(json_array_size(instances), 1);
    json_array_foreach(instances, i, each)
    {
        expect_instance(each);
        cr_expect_leq(number(each, "score"), before);
        before = number(each, "score");
    }
    cr_expect_eq(json_array_size(json_object_get(answer, "skeleton")), 19);
    cr_expect_null(json_object_get(answer, "detections"), "the detector was not asked");
    json_t *one = answer_to(&daemon, "/keypoints?min_score=0.05&max=1");
    cr_expect_eq(json_array_size(instances_of(one)), 1);
    json_t *both = answer_to(&daemon, "/analyze");
    const json_t *results = json_object_get(both, "results");
    cr_expect(json_object_get(json_object_get(results, "detect"), "detections"));
    cr_expect(json_object_get(json_object_get(results, "keypoints"), "instances"));
    json_decref(both);
    json_decref(one);
    json_decref(answer);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

Test(keypoints, of_the_boxes_that_are_asked_about)
{
    struct r2_daemon daemon = start();
    json_t *answer = answer_to(&daemon, "/keypoints?boxes=20,10,60.5,80;0,0,200,150");
    const json_t *instances = instances_of(answer);
    cr_assert_eq(json_array_size(instances), 2);
    for (size_t i = 0; i < 2; i++) expect_instance(json_array_get(instances, i));
    json_t *box = json_pack("[f, f, f, f]", 20.0, 10.0, 60.5, 80.0);
    cr_expect(json_equal(json_object_get(json_array_get(instances, 0), "box"), box));
    json_decref(box);
    json_decref(answer);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

Test(keypoints, parameters_are_checked)
{
    static const char *const targets[][2] = {
        {"/keypoints?boxes=1,2,3", "boxes: box 1 is not four numbers"},
        {"/keypoints?boxes=5,5,5,9", "box 1 is empty"},
        {"/keypoints?boxes=0,0,9,9;300,300,400,400", "box 2 lies outside the picture"},
        {"/keypoints?box=0,0,9,9", "known are: boxes, min_score, max"},
        {"/detect?boxes=0,0,9,9", "unknown"}};
    struct r2_daemon daemon = start();
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        struct r2_response response = ask(&daemon, targets[i][0], "");
        cr_expect_eq(response.status, 422, "%s", targets[i][0]);
        cr_expect(strstr(response.body, targets[i][1]), "%s", response.body);
        r2_response_finish(&response);
    }
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

/* The detector's boxes are not on the picture when only poses were asked. */
Test(keypoints, drawn)
{
    struct r2_daemon daemon = start();
    const char png[] = "Accept: image/png\r\n";
    struct r2_response poses = ask(&daemon, "/keypoints?min_score=0.05", png);
    struct r2_response both = ask(&daemon, "/analyze?min_score=0.05", png);
    struct r2_response none = ask(&daemon, "/keypoints?min_score=1", png);
    cr_assert(poses.status == 200 && both.status == 200 && none.status == 200);
    cr_expect_str_eq(r2_response_header(&poses, "Content-Type"), "image/png");
    cr_expect(poses.body_size != none.body_size && both.body_size != poses.body_size);
    r2_response_finish(&none);
    r2_response_finish(&both);
    r2_response_finish(&poses);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}
