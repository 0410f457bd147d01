/* From boxes to the result and its JSON. */
#include "heads/detections.h"

#include <math.h>

#include "base/memory.h"
#include "tests/base/expect.h"

static void expect_json(const struct r2_detection *items, size_t count,
                        const struct r2_labels *labels, const char *wanted)
{
    struct r2_error err = {0};
    struct r2_result result = {0};
    ASSERT_OK(r2_detections_create(items, count, labels, &result, &err), err);
    cr_expect_eq(result.kind, &r2_detections_kind);
    json_t *object = json_pack("{s:i}", "kept", 1);
    ASSERT_OK(result.kind->to_json(result.data, object, &err), err);
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9));
    cr_expect_str_eq(text, wanted, "%s", text);
    free(text);
    json_decref(object);
    r2_result_finish(&result);
    cr_expect(!result.kind && !result.data);
}

Test(detections, json)
{
    static const struct r2_detection items[] = {
        {1, 0.75f, {-0.001f, 10.123456f, 1332.996f, 99999.75f}},
        {7, 0.0625f, {0.005f, 2, 3.1f, 4096.7f}},
    };
    char cat[] = "cat", dog[] = "Hund \xC3\xA4", *names[] = {cat, dog};
    const struct r2_labels labels = {2, names};
    expect_json(items, 2, &labels,
                "{\"kept\":1,\"detections\":["
                "{\"label\":\"Hund \xC3\xA4\",\"index\":1,\"score\":0.75,"
                "\"box\":[0.0,10.12,1333.0,99999.75]},"
                "{\"label\":\"7\",\"index\":7,\"score\":0.0625,\"box\":[0.0,2.0,3.1,4096.7]}]}");
    expect_json(items, 1, NULL,
                "{\"kept\":1,\"detections\":[{\"label\":\"1\",\"index\":1,\"score\":0.75,"
                "\"box\":[0.0,10.12,1333.0,99999.75]}]}");
    expect_json(NULL, 0, &labels, "{\"kept\":1,\"detections\":[]}");
}

Test(detections, items_are_copied)
{
    struct r2_error err = {0};
    struct r2_result result = {0};
    struct r2_detection item = {3, 0.5f, {1, 2, 3, 4}};
    ASSERT_OK(r2_detections_create(&item, 1, NULL, &result, &err), err);
    item = (struct r2_detection){0};
    const struct r2_detections *detections = result.data;
    cr_expect(detections->count == 1 && detections->items[0].index == 3);
    cr_expect(detections->items[0].box.y2 == 4);
    r2_result_finish(&result);
    r2_detections_kind.finish(NULL);
}

Test(detections, broken_numbers)
{
    static const struct r2_detection broken[] = {
        {0, NAN, {0, 0, 1, 1}},       {0, INFINITY, {0, 0, 1, 1}}, {0, 1, {NAN, 0, 1, 1}},
        {0, 1, {0, -INFINITY, 1, 1}}, {0, 1, {0, 0, INFINITY, 1}}, {0, 1, {0, 0, 1, NAN}},
    };
    for (size_t i = 0; i < R2_COUNT(broken); i++) {
        struct r2_error err = {0};
        struct r2_result result = {0};
        const struct r2_detection items[] = {{0, 1, {0, 0, 1, 1}}, broken[i]};
        EXPECT_FAIL(r2_detections_create(items, 2, NULL, &result, &err), err, R2_INTERNAL,
                    "detection 1: its score or box is not finite");
        cr_expect(!result.kind && !result.data, "untouched on failure");
    }
}
