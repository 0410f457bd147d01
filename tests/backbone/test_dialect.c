/* Which graph tensors were trained in: by their names, by model.json, and what cannot be. */
#include "backbone/dialect.h"

#include "base/memory.h"
#include "config/options.h"
#include "tests/base/expect.h"

/* What each family is read as without a word in model.json, and the only dialects that it can be. */
static const struct {
    enum r2_family family;
    enum r2_dialect usual;
    unsigned possible;
} cases[] = {
#define CAN(dialect) (1u << R2_DIALECT_##dialect)
    {R2_FAMILY_OFFICIAL, R2_DIALECT_OFFICIAL,
     CAN(OFFICIAL) | CAN(MMDET) | CAN(PADDLE) | CAN(MASKRCNN) | CAN(DETECTRON2)},
    {R2_FAMILY_MMDET, R2_DIALECT_MMDET, CAN(OFFICIAL) | CAN(MMDET)},
    {R2_FAMILY_MASKRCNN, R2_DIALECT_MASKRCNN, CAN(OFFICIAL) | CAN(MASKRCNN)},
    {R2_FAMILY_DETECTRON2, R2_DIALECT_DETECTRON2, CAN(MMDET) | CAN(DETECTRON2)},
    {R2_FAMILY_PADDLE, R2_DIALECT_PADDLE, CAN(PADDLE)},
    {R2_FAMILY_PADDLE_DEEP, R2_DIALECT_PADDLE, CAN(PADDLE)},
    {R2_FAMILY_DLA, R2_DIALECT_DLA, CAN(DLA)},
};

Test(dialect, by_names)
{
    cr_expect_eq(R2_COUNT(cases), R2_FAMILIES);
    for (size_t i = 0; i < R2_COUNT(cases); i++) {
        const struct r2_naming naming = {.family = cases[i].family, .anchor = "a.b.weight"};
        struct r2_error err = {0};
        char evidence[R2_EVIDENCE_SIZE];
        enum r2_dialect dialect = R2_DIALECT_AUTO;
        ASSERT_OK(r2_dialect_choose(R2_DIALECT_AUTO, &naming, &dialect, evidence, &err), err);
        cr_expect_eq(dialect, cases[i].usual, "family %zu", i);
        cr_expect_not_null(strstr(evidence, "('a.b.weight')"), "%s", evidence);
    }
}

Test(dialect, by_model_json)
{
    for (size_t i = 0; i < R2_COUNT(cases); i++) {
        const struct r2_naming naming = {.family = cases[i].family};
        for (unsigned asked = 0; asked < R2_DIALECT_AUTO; asked++) {
            struct r2_error err = {0};
            char evidence[R2_EVIDENCE_SIZE] = "kept";
            enum r2_dialect dialect = R2_DIALECT_AUTO;
            const bool good = cases[i].possible >> asked & 1;
            cr_expect_eq(
                r2_dialect_choose((enum r2_dialect)asked, &naming, &dialect, evidence, &err),
                good ? R2_OK : R2_INVALID, "family %zu, dialect %u", i, asked);
            cr_expect_eq(dialect, good ? asked : R2_DIALECT_AUTO);
            cr_expect_eq(strcmp(evidence, "kept") != 0, good);
        }
    }
}

Test(dialect, texts)
{
    const struct r2_naming mmdet = {.family = R2_FAMILY_MMDET, .anchor = "backbone.stem.0.weight"};
    struct r2_error err = {0};
    char evidence[R2_EVIDENCE_SIZE];
    enum r2_dialect dialect = R2_DIALECT_AUTO;
    ASSERT_OK(r2_dialect_choose(R2_DIALECT_AUTO, &mmdet, &dialect, evidence, &err), err);
    cr_expect_str_eq(evidence, "tensor names are mmdetection's ('backbone.stem.0.weight')");
    ASSERT_OK(r2_dialect_choose(R2_DIALECT_OFFICIAL, &mmdet, &dialect, evidence, &err), err);
    cr_expect_str_eq(
        evidence, "model.json says so; tensor names are mmdetection's ('backbone.stem.0.weight')");
    EXPECT_FAIL(r2_dialect_choose(R2_DIALECT_PADDLE, &mmdet, &dialect, evidence, &err), err,
                R2_INVALID,
                "dialect 'paddle' cannot be: the tensor names are mmdetection's "
                "('backbone.stem.0.weight'), which computes 'mmdet'");
}

Test(dialect, norm_eps)
{
    static const struct {
        enum r2_dialect dialect;
        enum r2_family family;
        double asked, expected;
    } norms[] = {
        {R2_DIALECT_OFFICIAL, R2_FAMILY_OFFICIAL, R2_AUTO, 1e-5},
        {R2_DIALECT_DETECTRON2, R2_FAMILY_DETECTRON2, R2_AUTO, 1e-5},
        {R2_DIALECT_MASKRCNN, R2_FAMILY_OFFICIAL, R2_AUTO, 0},
        {R2_DIALECT_OFFICIAL, R2_FAMILY_MASKRCNN, R2_AUTO, 0},
        {R2_DIALECT_MASKRCNN, R2_FAMILY_MASKRCNN, 1e-3, 1e-3},
        {R2_DIALECT_DETECTRON2, R2_FAMILY_DETECTRON2, 0, 0},
    };
    for (size_t i = 0; i < R2_COUNT(norms); i++)
        cr_expect_eq(r2_dialect_norm_eps(norms[i].dialect, norms[i].family, norms[i].asked),
                     norms[i].expected, "case %zu", i);
}
