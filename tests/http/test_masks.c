/* What clients get from a detector with masks. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/http/visit.h"

enum { WIDTH = 320, HEIGHT = 240 };

/* The detections of an answer, which the caller decrefs. */
static json_t *detect(const char *target)
{
    struct r2_response response = r2_visit_ask(target, "");
    cr_assert_eq(response.status, 200, "%s", response.body);
    json_t *answer = r2_response_json(&response);
    json_t *list = json_incref(json_object_get(answer, "detections"));
    cr_assert_gt(json_array_size(list), 0, "%s", response.body);
    json_decref(answer);
    r2_response_finish(&response);
    return list;
}

/* Pixels of COCO's run lengths, and all pixels. */
static void count_runs(const char *text, int64_t *ret_mask, int64_t *ret_all)
{
    int64_t counts[2] = {0}, sums[2] = {0};
    for (size_t i = 0; *text; i++) {
        uint64_t bits = 0;
        unsigned shift = 0, digit;
        do {
            digit = (unsigned)*text++ - '0';
            bits |= (uint64_t)(digit & 31) << shift;
            shift += 5;
        } while (digit & 32);
        if (digit & 16) bits |= UINT64_MAX << shift;
        const int64_t count = (int64_t)bits + (i > 2 ? counts[i % 2] : 0);
        counts[i % 2] = count;
        sums[i % 2] += count;
    }
    *ret_mask = sums[1];
    *ret_all = sums[0] + sums[1];
}

static double box_area(const json_t *detection)
{
    double x1, y1, x2, y2;
    cr_assert_eq(json_unpack(json_object_get(detection, "box"), "[F, F, F, F]", &x1, &y1, &x2, &y2),
                 0);
    return (x2 - x1) * (y2 - y1);
}

/* Masks lie in their boxes, some of them in a part. */
Test(masks, are_run_lengths_of_the_photo)
{
    r2_visit_start(getenv("R2_TEST_MASKS"), WIDTH, HEIGHT);
    json_t *list = detect("/detect"), *each;
    size_t i, parts = 0;
    json_array_foreach(list, i, each)
    {
        int height, width;
        int64_t pixels, all;
        const char *counts;
        cr_assert_eq(json_unpack(each, "{s:{s:[i, i], s:s}}", "rle", "size", &height, &width,
                                 "counts", &counts),
                     0);
        cr_expect(height == HEIGHT && width == WIDTH);
        count_runs(counts, &pixels, &all);
        cr_expect_eq(all, WIDTH * HEIGHT);
        cr_expect_leq((double)pixels, box_area(each) + 2 * (WIDTH + HEIGHT));
        parts += pixels > 0 && (double)pixels < 0.9 * box_area(each);
    }
    cr_expect_gt(parts, 0);
    json_decref(list);
    r2_visit_stop();
}

Test(masks, have_three_forms)
{
    static const char *const keys[] = {"rle", "polygons"};
    static const char *const targets[] = {"/detect?masks=rle", "/detect?masks=polygons",
                                          "/detect?masks=none"};
    r2_visit_start(getenv("R2_TEST_MASKS"), WIDTH, HEIGHT);
    json_t *all = detect("/detect");
    for (size_t t = 0; t < 3; t++) {
        json_t *list = detect(targets[t]), *each;
        size_t i;
        cr_expect_eq(json_array_size(list), json_array_size(all));
        json_array_foreach(list, i, each)
        {
            for (size_t k = 0; k < 2; k++)
                cr_expect_eq(json_object_get(each, keys[k]) != NULL, k == t, "%s", targets[t]);
            cr_expect(json_equal(json_object_get(each, "box"),
                                 json_object_get(json_array_get(all, i), "box")));
        }
        json_decref(list);
    }
    json_decref(all);
    r2_visit_stop();
}

Test(masks, are_drawn_unless_they_are_not_wanted)
{
    r2_visit_start(getenv("R2_TEST_MASKS"), WIDTH, HEIGHT);
    const char *const accept = "Accept: image/png\r\n";
    struct r2_response with = r2_visit_ask("/detect?max=3", accept),
                       without = r2_visit_ask("/detect?max=3&masks=none", accept);
    cr_assert(with.status == 200 && without.status == 200);
    cr_expect(with.body_size != without.body_size ||
              memcmp(with.body, without.body, with.body_size) != 0);
    r2_response_finish(&with);
    r2_response_finish(&without);
    r2_visit_stop();
}

Test(masks, are_refused_where_the_model_has_none)
{
    r2_visit_start(getenv("R2_TEST_DETECTOR"), WIDTH, HEIGHT);
    struct r2_response response = r2_visit_ask("/detect?masks=rle", "");
    cr_expect_eq(response.status, 422);
    cr_expect(strstr(response.body, "masks"), "%s", response.body);
    r2_response_finish(&response);
    json_t *list = detect("/detect?masks=none");
    json_decref(list);
    r2_visit_stop();
}

/* GET /models says which it is. */
Test(masks, are_described)
{
    static const char *const variables[] = {"R2_TEST_DETECTOR", "R2_TEST_MASKS"};
    for (int has = 0; has < 2; has++) {
        r2_visit_start(getenv(variables[has]), WIDTH, HEIGHT);
        struct r2_response response = r2_client_get(r2_visit.daemon.port, "/models");
        cr_expect(strstr(response.body, has ? "\"masks\":true" : "\"masks\":false"), "%s",
                  response.body);
        r2_response_finish(&response);
        r2_visit_stop();
    }
}
