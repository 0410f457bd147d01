#include "image/palette.h"

#include <math.h>

#include "tests/image/golden.h"

static int distance(struct r2_colour a, struct r2_colour b)
{
    return abs(a.red - b.red) + abs(a.green - b.green) + abs(a.blue - b.blue);
}

static double luminance(struct r2_colour colour)
{
    const uint8_t samples[3] = {colour.red, colour.green, colour.blue};
    static const double weights[3] = {0.2126, 0.7152, 0.0722};
    double sum = 0;
    for (int i = 0; i < 3; i++) {
        double value = samples[i] / 255.0;
        sum += weights[i] * (value <= 0.04045 ? value / 12.92 : pow((value + 0.055) / 1.055, 2.4));
    }
    return sum;
}

/* Users come to know the colour of a class: another rule is a change that they see. */
Test(palette, class_colours_stay)
{
    struct r2_colour first = r2_colour_class(0), other = r2_colour_class(17);
    cr_expect(distance(first, (struct r2_colour){62, 194, 74}) <= 6, "%d %d %d", first.red,
              first.green, first.blue);
    cr_expect(distance(other, r2_colour_class(17)) == 0);
}

Test(palette, class_colours_differ)
{
    for (uint32_t i = 0; i < 80; i++)
        for (uint32_t j = 0; j < i; j++) {
            int wanted = i - j < 10 ? 40 : 1;
            cr_expect(distance(r2_colour_class(i), r2_colour_class(j)) >= wanted, "%u and %u", i,
                      j);
        }
    r2_colour_class(UINT32_MAX);
}

Test(palette, text_has_contrast)
{
    for (uint32_t i = 0; i < 1000; i++) {
        struct r2_colour colour = r2_colour_class(i), text = r2_colour_text_on(colour);
        double a = luminance(colour) + 0.05, b = luminance(text) + 0.05;
        cr_expect(fmax(a, b) / fmin(a, b) >= 4.5, "class %u", i); /* WCAG 2, level AA */
    }
    cr_expect_eq(r2_colour_text_on((struct r2_colour){0, 0, 120}).red, 255);
    cr_expect_eq(r2_colour_text_on((struct r2_colour){250, 240, 90}).red, 0);
}

Test(palette, heat_grows_lighter)
{
    for (int i = 8; i < 256; i += 8)
        cr_expect_gt(luminance(r2_colour_heat((uint8_t)i)),
                     luminance(r2_colour_heat((uint8_t)(i - 8))), "heat %d", i);
}
