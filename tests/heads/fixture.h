/*
 * A model directory for one test: small trunk, classifier with 7 classes, labels.
 */
#ifndef R2_TESTS_HEADS_FIXTURE_H
#define R2_TESTS_HEADS_FIXTURE_H

#include "heads/model.h"
#include "tests/base/expect.h"
#include "tests/support/model_dir.h"

enum { CLASSES = 7 };

#define BACKBONE "\"backbone\": {" MODEL_DIR_ARCH ", \"weights\": \"trunk.safetensors\"}"
#define SMALL_INPUT "\"input\": {\"resize\": {\"mode\": \"shorter\", \"size\": 40}, \"crop\": 32}"
#define CLASSIFIER "\"type\": \"classifier\", \"labels\": \"labels.txt\", " SMALL_INPUT

struct fixture {
    char dir[R2_MODEL_DIR_SIZE];
    struct model_dir_weights weights;
};

static inline struct fixture fixture_open(void)
{
    struct r2_error err = {0};
    struct fixture fixture = {.weights = {.arch = &model_dir_arch, .classes = CLASSES, .scale = 4}};
    ASSERT_OK(model_dir_create(fixture.dir, &err), err);
    ASSERT_OK(model_dir_weights(fixture.dir, "trunk.safetensors", &fixture.weights, &err), err);
    ASSERT_OK(model_dir_labels(fixture.dir, "labels.txt", CLASSES, &err), err);
    return fixture;
}

static inline void fixture_close(struct fixture *fixture)
{
    model_dir_remove(fixture->dir);
}

/* Loads the directory with this model.json: {"name", "version", `backbone`, "heads": {`heads`}}. */
static inline enum r2_status fixture_load(const struct fixture *fixture, const char *backbone,
                                          const char *heads, struct r2_model **ret,
                                          struct r2_error *err)
{
    static const struct r2_model_options options = {.plan_cache = 64 << 20};
    char text[4096];
    snprintf(text, sizeof text, "{\"name\": \"tiny\", \"version\": \"7\", %s, \"heads\": {%s}}",
             backbone, heads);
    R2_TRY(model_dir_write(fixture->dir, "model.json", text, err));
    return r2_model_load(fixture->dir, &options, ret, err);
}

static inline struct r2_model *fixture_good(const struct fixture *fixture, const char *heads)
{
    struct r2_error err = {0};
    struct r2_model *model = NULL;
    ASSERT_OK(fixture_load(fixture, BACKBONE, heads, &model, &err), err);
    return model;
}

/* The load must fail with "model 'DIR': " and this message, in which every @ stands for the
 * directory. */
static inline void fixture_refused(const struct fixture *fixture, const char *backbone,
                                   const char *heads, enum r2_status status, const char *message)
{
    struct r2_error err = {0};
    struct r2_model *model = NULL;
    struct r2_text wanted = {0};
    r2_text_add(&wanted, "model '%s': ", fixture->dir);
    for (const char *at = message; *at; at++)
        r2_text_add(&wanted, "%.*s", (int)(*at == '@' ? strlen(fixture->dir) : 1),
                    *at == '@' ? fixture->dir : at);
    EXPECT_FAIL(fixture_load(fixture, backbone, heads, &model, &err), err, status,
                r2_text_view(&wanted));
    cr_expect_null(model);
    r2_model_unref(model);
    r2_text_finish(&wanted);
}

/* A picture without regularity. */
static inline struct r2_image fixture_picture(uint32_t width, uint32_t height)
{
    struct r2_error err = {0};
    struct r2_image picture;
    uint32_t state = 12345;
    ASSERT_OK(r2_image_create(width, height, &picture, &err), err);
    for (size_t i = 0; i < (size_t)height * r2_image_stride(&picture); i++) {
        state = state * 1664525 + 1013904223;
        picture.pixels[i] = (uint8_t)(state >> 24);
    }
    return picture;
}

/* The answer of a head, of all for NULL, of none for ""; the caller finishes it. */
static inline struct r2_answer fixture_run(struct r2_model *model, const char *task, bool embed,
                                           const struct r2_image *picture)
{
    struct r2_error err = {0};
    struct r2_answer answer = {0};
    struct r2_work work;
    struct r2_runner *runner;
    ASSERT_OK(r2_work_init(&work, model, &err), err);
    ASSERT_OK(r2_runner_create(&runner, &err), err);
    work.embed = embed;
    if (!task) r2_work_select_all(&work);
    if (task && *task) ASSERT_OK(r2_work_select(&work, task, &err), err);
    ASSERT_OK(r2_model_run(&work, runner, picture, &answer, &err), err);
    r2_runner_destroy(runner);
    r2_work_finish(&work);
    return answer;
}

#endif
