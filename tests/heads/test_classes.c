/* From logits to the best classes and their JSON. */
#include "heads/classes.h"

#include <math.h>

#include "base/memory.h"
#include "tests/base/expect.h"

static struct r2_result decode(const float *logits, size_t count, size_t top,
                               const struct r2_labels *labels)
{
    struct r2_error err = {0};
    struct r2_result result = {0};
    ASSERT_OK(r2_classes_from_logits(logits, count, top, labels, &result, &err), err);
    cr_expect_eq(result.kind, &r2_classes_kind);
    return result;
}

static void expect_order(const float *logits, size_t count, size_t top, const size_t *wanted,
                         size_t wanted_count)
{
    struct r2_result result = decode(logits, count, top, NULL);
    const struct r2_classes *classes = result.data;
    cr_assert_eq(classes->count, wanted_count);
    for (size_t i = 0; i < wanted_count; i++)
        cr_expect_eq(classes->items[i].index, wanted[i], "place %zu: class %zu", i,
                     classes->items[i].index);
    r2_result_finish(&result);
    cr_expect(!result.kind && !result.data);
    r2_result_finish(&result);
}

Test(classes, softmax)
{
    static const float logits[] = {0, 1, -1, 2};
    const double sum = 1 + exp(1) + exp(-1) + exp(2);
    struct r2_result result = decode(logits, 4, 0, NULL);
    const struct r2_classes *classes = result.data;
    double total = 0;
    cr_expect_str_eq(result.kind->name, "classes");
    cr_expect_null(classes->labels);
    cr_assert_eq(classes->count, 4);
    for (size_t i = 0; i < 4; i++) {
        const struct r2_class_score *item = &classes->items[i];
        cr_expect(fabs((double)item->score - exp((double)logits[item->index]) / sum) < 1e-7);
        total += (double)item->score;
    }
    cr_expect(fabs(total - 1) < 1e-6);
    r2_result_finish(&result);
    static const size_t order[] = {3, 1, 0, 2};
    expect_order(logits, 4, 0, order, 4);
}

Test(classes, ties_go_by_index)
{
    static const float logits[] = {1, 2, 1, 2, 1, 2, 1};
    static const size_t order[] = {1, 3, 5, 0, 2, 4, 6};
    static const float flat[] = {-3, -3, -3};
    static const size_t up[] = {0, 1, 2};
    expect_order(logits, 7, 0, order, 7);
    expect_order(logits, 7, 4, order, 4);
    expect_order(flat, 3, 0, up, 3);
}

Test(classes, top)
{
    static const float logits[] = {3, 2, 1};
    static const size_t order[] = {0, 1, 2};
    expect_order(logits, 3, 1, order, 1);
    expect_order(logits, 3, 2, order, 2);
    expect_order(logits, 3, 3, order, 3);
    expect_order(logits, 3, 4, order, 3);
    expect_order(logits, 3, SIZE_MAX, order, 3);
    expect_order(logits, 3, 0, order, 3);
    expect_order(logits, 1, 5, order, 1);
}

/* The probabilities of the best do not depend on how many are asked for, nor on a common offset. */
Test(classes, extremes)
{
    static const float huge[] = {3e38f, 3e38f, -3e38f}, far[] = {1000, 999, -1000};
    struct r2_result result = decode(huge, 3, 0, NULL);
    const struct r2_classes *classes = result.data;
    cr_expect(classes->items[0].score == 0.5f && classes->items[1].score == 0.5f);
    cr_expect(classes->items[2].score == 0);
    r2_result_finish(&result);
    result = decode(far, 3, 1, NULL);
    classes = result.data;
    cr_expect(fabs((double)classes->items[0].score - 1 / (1 + exp(-1))) < 1e-7);
    r2_result_finish(&result);
}

Test(classes, broken_logits)
{
    static const float values[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < R2_COUNT(values); i++) {
        struct r2_error err = {0};
        struct r2_result result = {0};
        const float logits[] = {0, 1, values[i], 2};
        EXPECT_FAIL(r2_classes_from_logits(logits, 4, 1, NULL, &result, &err), err, R2_INTERNAL,
                    "logit 2 is not a finite number");
        cr_expect(!result.kind && !result.data, "untouched on failure");
    }
}

static void expect_json(const float *logits, size_t count, size_t top,
                        const struct r2_labels *labels, const char *wanted)
{
    struct r2_error err = {0};
    struct r2_result result = decode(logits, count, top, labels);
    json_t *object = json_pack("{s:i}", "kept", 1);
    ASSERT_OK(result.kind->to_json(result.data, object, &err), err);
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(4));
    cr_expect_str_eq(text, wanted, "%s", text);
    free(text);
    json_decref(object);
    r2_result_finish(&result);
}

Test(classes, json)
{
    static const float logits[] = {0, 0, 0.6931472f};
    char cat[] = "cat", dog[] = "Hund \xC3\xA4", *names[] = {cat, dog};
    const struct r2_labels labels = {2, names};
    expect_json(logits, 3, 2, NULL,
                "{\"kept\":1,\"classes\":[{\"label\":\"2\",\"index\":2,\"score\":0.5},"
                "{\"label\":\"0\",\"index\":0,\"score\":0.25}]}");
    expect_json(logits, 3, 0, &labels,
                "{\"kept\":1,\"classes\":[{\"label\":\"2\",\"index\":2,\"score\":0.5},"
                "{\"label\":\"cat\",\"index\":0,\"score\":0.25},"
                "{\"label\":\"Hund \xC3\xA4\",\"index\":1,\"score\":0.25}]}");
}
