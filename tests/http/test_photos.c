/* The demo model on photos of people that it never learnt from. What is expected is loose enough for
   a model that was schooled again; one that sees nobody, or everybody everywhere, fails. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "tests/http/client.h"
#include "tests/http/daemon.h"

enum { JOINTS = 17 };

static const double overlap = 0.4; /* IoU of the best box */
static const double near = 0.2;    /* distance of a right joint, in longer sides of the true box */
static const double least = 0.25; /* share of the true box that a person fills; at most all of it */
static const int right_of_ten = 4; /* joints, of ten that are labelled */

static json_t *read_list(void)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/photos/photos.json", getenv("R2_TEST_DATA"));
    json_t *list = json_load_file(path, 0, NULL);
    cr_assert(json_is_array(list), "%s", path);
    return list;
}

static json_t *ask(const struct r2_daemon *daemon, const char *target, const json_t *photo)
{
    char path[4096];
    struct r2_buffer file = {0};
    struct r2_error err = {0};
    snprintf(path, sizeof path, "%s/photos/%s", getenv("R2_TEST_DATA"),
             json_string_value(json_object_get(photo, "file")));
    cr_assert_eq(r2_file_read(path, 1 << 20, &file, &err), R2_OK, "%s", err.message);
    struct r2_response response =
        r2_client_ask(daemon->port, "POST", target, "", file.data, file.size);
    cr_assert_eq(response.status, 200, "%s: %s", target, response.body);
    json_t *answer = r2_response_json(&response);
    r2_response_finish(&response);
    r2_buffer_finish(&file);
    return answer;
}

static double at(const json_t *list, size_t i)
{
    return json_number_value(json_array_get(list, i));
}

static double area(const double box[4])
{
    return fmax(0, box[2] - box[0]) * fmax(0, box[3] - box[1]);
}

static double iou(const json_t *a, const json_t *b)
{
    double one[4], other[4], both[4];
    for (size_t i = 0; i < 4; i++) {
        one[i] = at(a, i), other[i] = at(b, i);
        both[i] = i < 2 ? fmax(one[i], other[i]) : fmin(one[i], other[i]);
    }
    return area(both) / (area(one) + area(other) - area(both));
}

static void expect_box(const json_t *answer, const json_t *photo, const char *name)
{
    const json_t *best = json_array_get(json_object_get(answer, "detections"), 0);
    cr_assert_not_null(best, "%s: nobody", name);
    const double found = iou(json_object_get(best, "box"), json_object_get(photo, "box"));
    cr_expect_geq(found, overlap, "%s: IoU %g", name, found);
}

/* Who asks for surer ones gets the same boxes. */
static void expect_same_box(const struct r2_daemon *daemon, const json_t *answer,
                            const json_t *photo, const char *name)
{
    const json_t *best = json_array_get(json_object_get(answer, "detections"), 0);
    char target[64];
    snprintf(target, sizeof target, "/detect?min_score=%g",
             0.9 * json_number_value(json_object_get(best, "score")));
    json_t *surer = ask(daemon, target, photo);
    const json_t *same = json_array_get(json_object_get(surer, "detections"), 0);
    cr_expect(json_equal(best, same), "%s: another box", name);
    json_decref(surer);
}

static void expect_mask(const json_t *answer, const json_t *photo, const char *name)
{
    double box[4];
    const json_t *each;
    double pixels = 0;
    size_t i;
    for (i = 0; i < 4; i++) box[i] = at(json_object_get(photo, "box"), i);
    json_array_foreach(json_object_get(answer, "classes"), i,
                       each) if (json_integer_value(json_object_get(each, "index")) == 1) pixels =
        json_number_value(json_object_get(each, "pixels"));
    const double share = pixels / area(box);
    cr_expect(share >= least && share <= 1, "%s: %g of the box", name, share);
}

static void expect_joints(const json_t *answer, const json_t *photo, const char *name)
{
    const json_t *box = json_object_get(photo, "box"), *truth = json_object_get(photo, "joints");
    const json_t *pose = json_array_get(json_object_get(answer, "instances"), 0);
    const json_t *joints = json_object_get(pose, "keypoints");
    const double limit = near * fmax(at(box, 2) - at(box, 0), at(box, 3) - at(box, 1));
    int labelled = 0, right = 0;
    cr_assert_eq(json_array_size(joints), JOINTS);
    for (size_t k = 0; k < JOINTS; k++) {
        const json_t *joint = json_array_get(joints, k);
        if (at(truth, 3 * k + 2) == 0) continue;
        labelled++;
        right +=
            hypot(json_number_value(json_object_get(joint, "x")) - at(truth, 3 * k),
                  json_number_value(json_object_get(joint, "y")) - at(truth, 3 * k + 1)) <= limit;
    }
    cr_expect_geq(10 * right, right_of_ten * labelled, "%s: %d of %d joints", name, right,
                  labelled);
}

Test(photos, the_demo_sees_people)
{
    char demo[4096];
    snprintf(demo, sizeof demo, "%s/models/demo", getenv("R2_SOURCE_ROOT"));
    struct r2_daemon daemon = r2_daemon_start((const char *[]){"--model", demo, NULL});
    json_t *photos = read_list(), *photo;
    size_t i;
    json_array_foreach(photos, i, photo)
    {
        const char *name = json_string_value(json_object_get(photo, "file"));
        const json_t *box = json_object_get(photo, "box");
        char target[128];
        json_t *answer = ask(&daemon, "/detect", photo);
        expect_box(answer, photo, name);
        expect_same_box(&daemon, answer, photo, name);
        json_decref(answer);
        answer = ask(&daemon, "/segment", photo);
        expect_mask(answer, photo, name);
        json_decref(answer);
        snprintf(target, sizeof target, "/keypoints?boxes=%g,%g,%g,%g", at(box, 0), at(box, 1),
                 at(box, 2), at(box, 3));
        answer = ask(&daemon, target, photo);
        expect_joints(answer, photo, name);
        json_decref(answer);
    }
    json_decref(photos);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}
