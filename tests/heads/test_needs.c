/* Heads that need other heads: their order, what a request adds, what is refused. */
#include "base/memory.h"
#include "heads/model_inside.h"
#include "tests/base/expect.h"

static const struct r2_result_kind things = {.name = "things"}, others = {.name = "others"};

/* A head's private struct here is the task that it needs; a request with parameters needs none. */
static const char *needs(const void *self, const void *params)
{
    return params ? NULL : self;
}

static const struct r2_head_type needing = {
    .name = "needing", .needs = needs, .takes = &things, .gives = &things};
static const struct r2_head_type other = {.name = "other", .gives = &others};

/* Heads a, b, c, ...; a NULL of `needed` is an `other`, "" one that needs nothing. */
static struct r2_model make_model(const char *const *needed, size_t count)
{
    static const char *const tasks[] = {"a", "b", "c", "d"};
    struct r2_model model = {.head_count = count};
    for (size_t i = 0; i < count; i++) {
        const char *task = needed[i] && *needed[i] ? needed[i] : NULL;
        model.heads[i].task = tasks[i];
        model.heads[i].type = needed[i] ? &needing : &other;
        model.heads[i].self = (void *)(uintptr_t)task;
    }
    return model;
}

Test(needs, needed_heads_come_first)
{
    struct r2_error err = {0};
    struct r2_model model = make_model((const char *const[]){"c", NULL, "d", ""}, 4);
    static const uint32_t wanted[] = {1, 3, 2, 0};
    ASSERT_OK(r2_needs_resolve(&model, &err), err);
    for (size_t i = 0; i < 4; i++) cr_expect_eq(model.order[i], wanted[i], "place %zu", i);
    cr_expect_eq(model.heads[0].needs, 2);
    cr_expect_eq(model.heads[1].needs, -1);
}

Test(needs, work_takes_all_that_it_needs)
{
    struct r2_error err = {0};
    int params = 0;
    struct r2_model model = make_model((const char *const[]){"c", NULL, "d", ""}, 4);
    ASSERT_OK(r2_needs_resolve(&model, &err), err);
    struct r2_work work = {.model = &model, .heads = 1};
    cr_expect_eq(r2_needs_close(&work), 1 | 4 | 8);
    work.heads = 2;
    cr_expect_eq(r2_needs_close(&work), 2);
    work.heads = 1 | 2;
    work.params[2] = &params;
    cr_expect_eq(r2_needs_close(&work), 1 | 2 | 4);
    cr_expect_eq(r2_needs_of(&work, 2), -1);
    cr_expect_eq(r2_needs_of(&work, 0), 2);
}

static void expect_refused(const char *const *needed, size_t count, enum r2_status status,
                           const char *message)
{
    struct r2_error err = {0};
    struct r2_model model = make_model(needed, count);
    EXPECT_FAIL(r2_needs_resolve(&model, &err), err, status, message);
}

Test(needs, refused)
{
    expect_refused((const char *const[]){"", "x"}, 2, R2_NOT_FOUND,
                   "heads.b: it needs the head 'x', which the model has not");
    expect_refused((const char *const[]){"b", NULL}, 2, R2_INVALID,
                   "heads.a: it needs things; the head 'b' (other) gives none");
    expect_refused((const char *const[]){"", "c", "d", "b"}, 4, R2_INVALID,
                   "heads.b: the heads that it needs need each other");
    expect_refused((const char *const[]){"a"}, 1, R2_INVALID,
                   "heads.a: the heads that it needs need each other");
    expect_refused((const char *const[]){"b", "c", "b"}, 3, R2_INVALID,
                   "heads.a: the heads that it needs need each other");
}
