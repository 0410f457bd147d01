/* What a job asks of a model: heads, parameters, and how wrong ones are refused. */
#include "base/memory.h"
#include "heads/classes.h"
#include "tests/heads/fixture.h"

#define HEADS                                                                                      \
    "\"classify\": {" CLASSIFIER                                                                   \
    ", \"top_k\": 3}, \"tags\": {\"type\": \"classifier\", \"top_k\": 0, " SMALL_INPUT "}"

static struct r2_work work_of(struct r2_model *model)
{
    struct r2_error err = {0};
    struct r2_work work;
    ASSERT_OK(r2_work_init(&work, model, &err), err);
    cr_expect(work.heads == 0 && !work.embed && work.threads == 1 && work.model == model);
    return work;
}

Test(work, selection)
{
    struct r2_error err = {0};
    struct fixture fixture = fixture_open();
    struct r2_model *model = fixture_good(&fixture, HEADS);
    struct r2_work work = work_of(model);
    ASSERT_OK(r2_work_select(&work, "tags", &err), err);
    cr_expect_eq(work.heads, 2);
    EXPECT_FAIL(r2_work_select(&work, "detect", &err), err, R2_NOT_FOUND,
                "the model 'tiny' has no head 'detect'; it has: classify, tags");
    EXPECT_FAIL(r2_work_select(&work, "a\nb", &err), err, R2_NOT_FOUND,
                "the model 'tiny' has no head 'a?b'; it has: classify, tags");
    cr_expect_eq(work.heads, 2);
    ASSERT_OK(r2_work_select(&work, "classify", &err), err);
    cr_expect_eq(work.heads, 3);
    r2_work_finish(&work);
    cr_expect(!work.model && !work.heads);
    r2_work_finish(&work);
    work = work_of(model);
    r2_work_select_all(&work);
    cr_expect_eq(work.heads, 3);
    r2_model_unref(model); /* the work holds its own reference */
    cr_expect_str_eq(r2_model_name(work.model), "tiny");
    r2_work_finish(&work);
    model = fixture_good(&fixture, "");
    work = work_of(model);
    r2_work_select_all(&work);
    cr_expect_eq(work.heads, 0);
    EXPECT_FAIL(r2_work_select(&work, "classify", &err), err, R2_NOT_FOUND,
                "the model 'tiny' has no head 'classify'; it has: none");
    r2_work_finish(&work);
    r2_model_unref(model);
    fixture_close(&fixture);
}

Test(work, refused_parameters)
{
    static const struct {
        const char *name, *value, *message;
    } cases[] = {
        {"top_n", "3", "parameter 'top_n' is unknown; did you mean 'top_k'?"},
        {"orients", "0", "parameter 'orients' is unknown; did you mean 'orient'?"},
        {"colour", "1", "parameter 'colour' is unknown; known are: top_k, cam, orient"},
        {"top_k", "-1", "top_k: -1 is not in 0..65536"},
        {"top_k", "65537", "top_k: 65537 is not in 0..65536"},
        {"top_k", "3x", "top_k: \"3x\" is not an integer"},
        {"top_k", "", "top_k: \"\" is not an integer"},
        {"top_k\n", "1", "parameter 'top_k?' is unknown; did you mean 'top_k'?"},
    };
    static const char *const extra[] = {"orient", NULL};
    struct r2_error err = {0};
    struct fixture fixture = fixture_open();
    struct r2_model *model = fixture_good(&fixture, HEADS);
    struct r2_work work = work_of(model);
    EXPECT_FAIL(r2_work_set(&work, "top_k", "3", NULL, &err), err, R2_INVALID,
                "parameter 'top_k' is unknown; known are: none");
    ASSERT_OK(r2_work_select(&work, "classify", &err), err);
    for (size_t i = 0; i < R2_COUNT(cases); i++)
        EXPECT_FAIL(r2_work_set(&work, cases[i].name, cases[i].value, extra, &err), err, R2_INVALID,
                    cases[i].message);
    ASSERT_OK(r2_work_set(&work, "top_k", "65536", extra, &err), err);
    r2_work_finish(&work);
    r2_model_unref(model);
    fixture_close(&fixture);
}

static void expect_counts(struct r2_model *model, const char *top_k, size_t first, size_t second)
{
    struct r2_error err = {0};
    struct r2_image picture;
    struct r2_answer answer = {0};
    struct r2_runner *runner;
    struct r2_work work = work_of(model);
    ASSERT_OK(r2_image_create(20, 20, &picture, &err), err);
    memset(picture.pixels, 90, (size_t)20 * r2_image_stride(&picture));
    ASSERT_OK(r2_runner_create(&runner, &err), err);
    r2_work_select_all(&work);
    if (top_k) ASSERT_OK(r2_work_set(&work, "top_k", top_k, NULL, &err), err);
    ASSERT_OK(r2_model_run(&work, runner, &picture, &answer, &err), err);
    const struct r2_classes *classify = answer.results[0].data, *tags = answer.results[1].data;
    cr_expect_eq(classify->count, first, "%s: %zu", top_k ? top_k : "default", classify->count);
    cr_expect_eq(tags->count, second, "%s: %zu", top_k ? top_k : "default", tags->count);
    cr_expect(classify->labels && !tags->labels);
    r2_answer_finish(&answer);
    r2_runner_destroy(runner);
    r2_work_finish(&work);
    r2_image_finish(&picture);
}

/* The model's defaults, and parameters that reach every selected head. */
Test(work, top_k)
{
    struct fixture fixture = fixture_open();
    struct r2_model *model = fixture_good(&fixture, HEADS);
    expect_counts(model, NULL, 3, CLASSES);
    expect_counts(model, "1", 1, 1);
    expect_counts(model, "0", CLASSES, CLASSES);
    expect_counts(model, "65536", CLASSES, CLASSES);
    r2_model_unref(model);
    fixture_close(&fixture);
}

/* One runner for all: plans of other heads and other sizes, each found again. */
Test(work, a_runner_changes_jobs)
{
    struct r2_error err = {0};
    struct fixture fixture = fixture_open();
    struct r2_model *model =
        fixture_good(&fixture, "\"classify\": {" CLASSIFIER
                               "}, \"tags\": {\"type\": \"classifier\", \"input\": {}}");
    struct r2_runner *runner;
    float scores[2][3] = {{0}};
    ASSERT_OK(r2_runner_create(&runner, &err), err);
    ASSERT_OK(r2_model_warm(model, runner, 1, NULL, &err), err);
    for (unsigned round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 3; i++) {
            struct r2_image picture;
            struct r2_answer answer = {0};
            struct r2_work work = work_of(model);
            ASSERT_OK(r2_image_create(30 + 10 * i, 40, &picture, &err), err);
            memset(picture.pixels, (int)(40 * i), (size_t)40 * r2_image_stride(&picture));
            ASSERT_OK(r2_work_select(&work, i == 1 ? "classify" : "tags", &err), err);
            ASSERT_OK(r2_model_run(&work, runner, &picture, &answer, &err), err);
            const struct r2_classes *classes = answer.results[i != 1].data;
            scores[round][i] = classes->items[0].score;
            cr_expect_eq(answer.plan_hits, round > 0 || i == 1, "round %u, job %u", round, i);
            r2_answer_finish(&answer);
            r2_work_finish(&work);
            r2_image_finish(&picture);
        }
    }
    cr_expect_eq(memcmp(scores[0], scores[1], sizeof scores[0]), 0, "the same answers again");
    r2_runner_destroy(runner);
    r2_model_unref(model);
    fixture_close(&fixture);
}

Test(work, an_empty_picture)
{
    struct r2_error err = {0};
    struct r2_image picture;
    struct r2_answer answer = {0};
    struct r2_runner *runner;
    struct fixture fixture = fixture_open();
    struct r2_model *model =
        fixture_good(&fixture, "\"classify\": {\"type\": \"classifier\", \"input\":"
                               " {}}");
    struct r2_work work = work_of(model);
    r2_work_select_all(&work);
    ASSERT_OK(r2_runner_create(&runner, &err), err);
    ASSERT_OK(r2_image_create(1, 1, &picture, &err), err);
    r2_image_finish(&picture);
    cr_expect_eq(r2_model_run(&work, runner, &picture, &answer, &err), R2_INVALID, "%s",
                 err.message);
    cr_expect_str_eq(err.message, "the picture has 0 x 0 pixels: no side may be 0");
    cr_expect(!answer.results[0].kind && !answer.trunk_passes, "untouched on failure");
    r2_runner_destroy(runner);
    r2_work_finish(&work);
    r2_model_unref(model);
    fixture_close(&fixture);
}
