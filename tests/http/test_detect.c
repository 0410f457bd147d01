/* What clients get from a detector, whatever the shape of their pictures. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/http/client.h"
#include "tests/http/daemon.h"

static struct r2_daemon start(void)
{
    const char *model = getenv("R2_TEST_DETECTOR");
    cr_assert_not_null(model);
    return r2_daemon_start((const char *[]){"--model", model, NULL});
}

static struct r2_response ask(const struct r2_daemon *daemon, const char *target, unsigned width,
                              unsigned height)
{
    struct r2_buffer file = r2_sample_jpeg(width, height);
    struct r2_response response =
        r2_client_ask(daemon->port, "POST", target, "", file.data, file.size);
    r2_buffer_finish(&file);
    return response;
}

/* The detections of an answer, which the caller decrefs. */
static json_t *detect(const struct r2_daemon *daemon, const char *target, unsigned width,
                      unsigned height)
{
    struct r2_response response = ask(daemon, target, width, height);
    cr_assert_eq(response.status, 200, "%s", response.body);
    json_t *answer = r2_response_json(&response);
    json_t *detections = json_incref(json_object_get(answer, "detections"));
    cr_assert(json_is_array(detections), "%s", response.body);
    json_decref(answer);
    r2_response_finish(&response);
    return detections;
}

static double score_of(const json_t *detection)
{
    return json_number_value(json_object_get(detection, "score"));
}

static void expect_detection(const json_t *detection, double width, double height)
{
    char label[32];
    double box[4];
    const json_t *list = json_object_get(detection, "box");
    cr_assert_eq(json_array_size(list), 4);
    for (size_t i = 0; i < 4; i++) box[i] = json_number_value(json_array_get(list, i));
    cr_expect(0 <= box[0] && box[0] <= box[2] && box[2] <= width, "x %g to %g of %g", box[0],
              box[2], width);
    cr_expect(0 <= box[1] && box[1] <= box[3] && box[3] <= height, "y %g to %g of %g", box[1],
              box[3], height);
    snprintf(label, sizeof label, "class%d",
             (int)json_integer_value(json_object_get(detection, "index")));
    cr_expect_str_eq(json_string_value(json_object_get(detection, "label")), label);
}

Test(detect, boxes_lie_in_pictures_of_every_shape)
{
    static const unsigned sizes[][2] = {{640, 480}, {900, 30}, {30, 900}, {1, 1}, {2, 500}};
    struct r2_daemon daemon = start();
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        json_t *detections = detect(&daemon, "/detect", sizes[s][0], sizes[s][1]), *each;
        double before = 1;
        size_t i;
        cr_expect_gt(json_array_size(detections), 0, "%u x %u", sizes[s][0], sizes[s][1]);
        json_array_foreach(detections, i, each)
        {
            expect_detection(each, sizes[s][0], sizes[s][1]);
            cr_expect(score_of(each) <= before && score_of(each) > 0.05);
            before = score_of(each);
        }
        json_decref(detections);
    }
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

/* Both only cut the list; the best stay. */
Test(detect, parameters_shorten_the_answer)
{
    struct r2_daemon daemon = start();
    char target[64];
    json_t *all = detect(&daemon, "/detect", 640, 480);
    cr_assert_geq(json_array_size(all), 4);
    json_t *three = detect(&daemon, "/detect?max=3", 640, 480);
    cr_expect_eq(json_array_size(three), 3);
    for (size_t i = 0; i < 3; i++)
        cr_expect(json_equal(json_array_get(three, i), json_array_get(all, i)));
    snprintf(target, sizeof target, "/detect?min_score=%.6f",
             score_of(json_array_get(all, 0)) + 1e-5);
    json_t *none = detect(&daemon, target, 640, 480);
    cr_expect_eq(json_array_size(none), 0);
    json_decref(none);
    json_decref(three);
    json_decref(all);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

Test(detect, parameters_are_checked)
{
    static const char *const targets[][2] = {{"/detect?min_score=2", "min_score"},
                                             {"/detect?max=0", "max"},
                                             {"/detect?min_scores=0.5", "min_score"}};
    struct r2_daemon daemon = start();
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        struct r2_response response = ask(&daemon, targets[i][0], 8, 8);
        cr_expect_eq(response.status, 422, "%s", targets[i][0]);
        cr_expect(strstr(response.body, targets[i][1]), "%s", response.body);
        r2_response_finish(&response);
    }
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}
