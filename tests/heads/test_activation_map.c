/* Activation maps by hand, and as heat on a picture. */
#include "heads/activation_map.h"

#include <math.h>
#include <stdlib.h>

#include "tests/base/expect.h"

/* Two channels on 2 x 3 cells, with a pitch of 4: cell i has (i, 1). */
static const float features[6 * 4] = {0, 1, 9, 9, 1, 1, 9, 9, 2, 1, 9, 9,
                                      3, 1, 9, 9, 4, 1, 9, 9, 5, 1, 9, 9};
static const struct r2_output_view view = {features, 1, 2, 3, 2, 4};

static struct r2_activation_map make(const float *weights, struct r2_geometry geometry)
{
    struct r2_error err = {0};
    struct r2_activation_map map = {0};
    ASSERT_OK(r2_activation_map_make(&view, weights, 7, &geometry, &map, &err), err);
    return map;
}

/* A picture of that size in a network's input of 60 x 40. */
static struct r2_geometry geometry_of(double scale, uint32_t width, uint32_t height)
{
    return (struct r2_geometry){.scale_x = scale,
                                .scale_y = scale,
                                .picture_width = width,
                                .picture_height = height,
                                .network_width = 60,
                                .network_height = 40};
}

Test(activation_map, what_speaks_against_the_class_counts_as_nothing)
{
    static const float weights[] = {2, -5};
    struct r2_activation_map map = make(weights, geometry_of(1, 60, 40));
    cr_expect_eq(map.index, 7);
    cr_assert(map.height == 2 && map.width == 3);
    for (size_t i = 0; i < 6; i++) {
        const double said = 2 * (double)i - 5;
        cr_expect_float_eq(map.values[i], said > 0 ? said / 6 : 0, 1e-6, "cell %zu", i);
    }
    r2_activation_map_finish(&map);
}

Test(activation_map, heat_is_hottest_where_the_map_is)
{
    static const float weights[] = {1, 0};
    struct r2_activation_map map = make(weights, geometry_of(1, 60, 40));
    struct r2_error err;
    uint8_t *heat = NULL;
    ASSERT_OK(r2_activation_map_heat(&map, &heat, &err), err);
    cr_expect_eq(heat[0], 0);
    cr_expect_eq(heat[39 * 60 + 59], 255);
    /* halfway between the middles of cells (0, 1) and (0, 2), in their row */
    cr_expect_float_eq(heat[9 * 60 + 40], 255 * 1.525 / 5, 1);
    for (size_t x = 1; x < 60; x++) cr_expect_geq(heat[39 * 60 + x], heat[39 * 60 + x - 1]);
    free(heat);
    r2_activation_map_finish(&map);
}

Test(activation_map, no_heat_where_the_network_did_not_look)
{
    static const float weights[] = {0, 1};
    struct r2_geometry geometry = geometry_of(0.5, 200, 80);
    struct r2_error err;
    uint8_t *heat = NULL;
    geometry.offset_x = -20; /* a crop: 40 .. 160 of the picture */
    struct r2_activation_map map = make(weights, geometry);
    ASSERT_OK(r2_activation_map_heat(&map, &heat, &err), err);
    for (size_t x = 0; x < 200; x++)
        cr_expect_eq(heat[x], x < 40 || x >= 160 ? 0 : 255, "column %zu", x);
    free(heat);
    r2_activation_map_finish(&map);
}

Test(activation_map, a_flat_zero_map_has_no_heat)
{
    static const float weights[] = {0, -1};
    struct r2_activation_map map = make(weights, geometry_of(1, 60, 40));
    struct r2_error err;
    uint8_t *heat = NULL;
    ASSERT_OK(r2_activation_map_heat(&map, &heat, &err), err);
    for (size_t i = 0; i < 60 * 40; i++) cr_assert_eq(heat[i], 0);
    free(heat);
    r2_activation_map_finish(&map);
}

Test(activation_map, broken_arithmetic_is_an_error)
{
    static const float weights[] = {NAN, 1};
    const struct r2_geometry geometry = geometry_of(1, 60, 40);
    struct r2_error err;
    struct r2_activation_map map = {0};
    EXPECT_FAIL(r2_activation_map_make(&view, weights, 0, &geometry, &map, &err), err, R2_INTERNAL,
                "a feature of cell 0 is not a finite number");
    cr_expect_null(map.values);
}
