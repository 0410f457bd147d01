/* Heads that bring trunks of their own. */
#include <math.h>

#include "heads/classes.h"
#include "tests/heads/fixture.h"

#define BACKBONE_OF(dialect)                                                                       \
    "\"backbone\": {" MODEL_DIR_ARCH                                                               \
    ", \"weights\": \"trunk.safetensors\", \"dialect\": \"" dialect "\"}"

static void expect_same_scores(const struct r2_answer *a, size_t head_a, const struct r2_answer *b,
                               bool same)
{
    const struct r2_classes *x = a->results[head_a].data, *y = b->results[0].data;
    bool equal = true;
    for (size_t i = 0; i < x->count; i++)
        equal = equal && x->items[i].index == y->items[i].index &&
                fabsf(x->items[i].score - y->items[i].score) < 1e-5f;
    cr_expect_eq(equal, same);
}

/* The same tensors in another dialect are another network. */
Test(trunks, head_with_a_trunk_of_its_own)
{
    struct r2_error err = {0};
    struct fixture fixture = fixture_open();
    struct r2_model *both = NULL, *other = NULL;
    struct r2_image picture = fixture_picture(33, 32);
    ASSERT_OK(fixture_load(&fixture, BACKBONE_OF("official"),
                           "\"classify\": {" CLASSIFIER "}"
                           ", \"tags\": {" CLASSIFIER ", " BACKBONE_OF("mmdet") "}",
                           &both, &err),
              err);
    ASSERT_OK(fixture_load(&fixture, BACKBONE_OF("mmdet"), "\"classify\": {" CLASSIFIER "}", &other,
                           &err),
              err);
    struct r2_answer answer = fixture_run(both, NULL, false, &picture);
    struct r2_answer expected = fixture_run(other, "classify", false, &picture);
    cr_expect_eq(answer.trunk_passes, 2);
    expect_same_scores(&answer, 1, &expected, true);
    expect_same_scores(&answer, 0, &expected, false);
    r2_answer_finish(&expected);
    r2_answer_finish(&answer);
    r2_image_finish(&picture);
    r2_model_unref(other);
    r2_model_unref(both);
    fixture_close(&fixture);
}

Test(trunks, equal_trunks_are_one)
{
    struct r2_error err = {0};
    struct fixture fixture = fixture_open();
    struct r2_model *model = NULL;
    json_t *report;
    ASSERT_OK(fixture_load(&fixture, BACKBONE_OF("official"),
                           "\"classify\": {" CLASSIFIER "}"
                           ", \"tags\": {" CLASSIFIER ", " BACKBONE_OF("official") "}",
                           &model, &err),
              err);
    ASSERT_OK(r2_model_report(model, 1, &report, &err), err);
    cr_expect_eq(json_integer_value(json_object_get(report, "trunks")), 1);
    cr_expect_eq(json_array_size(json_object_get(report, "passes")), 1);
    json_decref(report);
    r2_model_unref(model);
    fixture_close(&fixture);
}
