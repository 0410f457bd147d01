/* The door for clients of DeepStack: Frigate's logic, and forms of its kind by hand. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "tests/http/frigate.h"
#include "tests/http/visit.h"

enum { SIDE = 320, PATIENCE_MS = 20000 };

static void start(const char *model_variable)
{
    r2_visit_start(getenv(model_variable), SIDE, SIDE);
}

/* A form with the frame and perhaps a field. */
static struct r2_response post(const char *target, const char *name, const char *value)
{
    struct r2_text body = {0};
    if (name)
        r2_text_add(&body, "--b\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n", name,
                    value);
    r2_text_add(&body, "--b\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\n");
    r2_text_add_bytes(&body, (const char *)r2_visit.photo.data, r2_visit.photo.size);
    r2_text_add(&body, "\r\n--b--\r\n");
    cr_assert(!body.failed);
    struct r2_response response =
        r2_client_ask(r2_visit.daemon.port, "POST", target,
                      "Content-Type: multipart/form-data; boundary=b\r\n", body.data, body.size);
    r2_text_finish(&body);
    return response;
}

/* The predictions of an answer, which the caller decrefs. */
static json_t *predictions(const char *target, const char *name, const char *value)
{
    struct r2_response response = post(target, name, value);
    cr_assert_eq(response.status, 200, "%s", response.body);
    json_t *answer = r2_response_json(&response);
    cr_expect(json_is_true(json_object_get(answer, "success")));
    json_t *list = json_incref(json_object_get(answer, "predictions"));
    cr_assert(json_is_array(list), "%s", response.body);
    json_decref(answer);
    r2_response_finish(&response);
    return list;
}

static void expect_refusal(struct r2_response response, int status, const char *says)
{
    cr_expect_eq(response.status, status, "%s", response.body);
    json_t *answer = r2_response_json(&response);
    const char *error = json_string_value(json_object_get(answer, "error"));
    cr_expect(json_is_false(json_object_get(answer, "success")));
    cr_expect(error && strstr(error, says), "%s", response.body);
    json_decref(answer);
    r2_response_finish(&response);
}

Test(deepstack, frigate_gets_the_boxes_of_detect)
{
    static const char *const labels[] = {"class0", "class1", "class2", "class3", "class4", "class5",
                                         "class6", "class7", "class8", "class9", NULL};
    struct frigate_box boxes[FRIGATE_BOXES];
    size_t count = 0, i;
    json_t *each;
    start("R2_TEST_DETECTOR");
    struct frigate frigate = {r2_visit.daemon.port, labels, PATIENCE_MS};
    cr_assert(frigate_detect(&frigate, r2_buffer_view(&r2_visit.photo), SIDE, SIDE, boxes, &count));
    json_t *answer = r2_visit_answer("/detect?min_score=0.4&max=20");
    json_t *detections = json_object_get(answer, "detections");
    cr_assert_gt(json_array_size(detections), 0);
    cr_assert_eq(count, json_array_size(detections));
    json_array_foreach(detections, i, each)
    {
        const json_t *box = json_object_get(each, "box");
        const double got[] = {boxes[i].x0, boxes[i].y0, boxes[i].x1, boxes[i].y1};
        cr_expect_eq(boxes[i].label, json_integer_value(json_object_get(each, "index")));
        for (size_t c = 0; c < 4; c++)
            cr_expect_float_eq(got[c] * SIDE, json_number_value(json_array_get(box, c)), 0.51);
    }
    json_decref(answer);
    r2_visit_stop();
}

Test(deepstack, min_confidence_says_how_sure)
{
    start("R2_TEST_DETECTOR");
    json_t *usual = predictions("/v1/vision/detection", NULL, NULL);
    json_t *sure = predictions("/v1/vision/detection", "min_confidence", "0.999");
    json_t *any = predictions("/v1/vision/detection", "min_confidence", "0.05");
    cr_expect_lt(json_array_size(sure), json_array_size(usual));
    cr_expect_eq(json_array_size(any), 20);
    json_decref(any);
    json_decref(sure);
    json_decref(usual);
    expect_refusal(post("/v1/vision/detection", "min_confidence", "2"), 422, "2");
    r2_visit_stop();
}

Test(deepstack, models_are_listed_and_asked_by_name)
{
    start("R2_TEST_DETECTOR");
    struct r2_response response =
        r2_client_ask(r2_visit.daemon.port, "POST", "/v1/vision/custom/list", "", NULL, 0);
    cr_assert_eq(response.status, 200, "%s", response.body);
    json_t *answer = r2_response_json(&response);
    cr_expect(json_is_true(json_object_get(answer, "success")));
    const json_t *names = json_object_get(answer, "models");
    cr_assert_eq(json_array_size(names), 1);
    struct r2_text target = {0};
    r2_text_add(&target, "/v1/vision/custom/%s", json_string_value(json_array_get(names, 0)));
    json_t *custom = predictions(target.data, NULL, NULL);
    json_t *usual = predictions("/v1/vision/detection", NULL, NULL);
    cr_expect(json_equal(custom, usual));
    json_decref(usual);
    json_decref(custom);
    r2_text_finish(&target);
    json_decref(answer);
    r2_response_finish(&response);
    expect_refusal(post("/v1/vision/custom/packages", NULL, NULL), 404, "packages");
    r2_visit_stop();
}

Test(deepstack, refusals_have_its_form)
{
    start("R2_TEST_MODEL");
    expect_refusal(post("/v1/vision/detection", NULL, NULL), 404, "detect");
    r2_visit_stop();
    start("R2_TEST_DETECTOR");
    expect_refusal(
        r2_client_ask(r2_visit.daemon.port, "POST", "/v1/vision/detection", "", "no picture", 10),
        415, "not a picture");
    expect_refusal(r2_client_ask(r2_visit.daemon.port, "GET", "/v1/vision/detection", "", NULL, 0),
                   405, "POST");
    r2_visit_stop();
}
