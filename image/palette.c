#include "image/palette.h"

#include <math.h>
#include <stdbool.h>

static const double turn = 6.283185307179586;

/* Linear light, 0..1 when a screen can show it. */
static void oklch_to_linear(double lightness, double chroma, double hue, double rgb[3])
{
    double a = chroma * cos(hue), b = chroma * sin(hue);
    double l = lightness + 0.3963377774 * a + 0.2158037573 * b;
    double m = lightness - 0.1055613458 * a - 0.0638541728 * b;
    double s = lightness - 0.0894841775 * a - 1.2914855480 * b;
    l = l * l * l, m = m * m * m, s = s * s * s;
    rgb[0] = 4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s;
    rgb[1] = -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s;
    rgb[2] = -0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s;
}

static bool is_shown(const double rgb[3])
{
    for (int i = 0; i < 3; i++)
        if (rgb[i] < 0 || rgb[i] > 1) return false;
    return true;
}

static uint8_t to_srgb(double linear)
{
    double value = linear <= 0.0031308 ? 12.92 * linear : 1.055 * pow(linear, 1 / 2.4) - 0.055;
    return (uint8_t)lround(255 * value);
}

static double to_linear(uint8_t srgb)
{
    double value = srgb / 255.0;
    return value <= 0.04045 ? value / 12.92 : pow((value + 0.055) / 1.055, 2.4);
}

/* Lightness in 0..1, chroma about 0..0.3, hue in turns. Grey of any lightness can be shown, so the
   search for less chroma ends. */
static struct r2_colour from_oklch(double lightness, double chroma, double hue)
{
    double rgb[3];
    oklch_to_linear(lightness, chroma, hue * turn, rgb);
    while (!is_shown(rgb) && chroma > 0) {
        chroma = chroma > 0.002 ? chroma - 0.002 : 0;
        oklch_to_linear(lightness, chroma, hue * turn, rgb);
    }
    return (struct r2_colour){to_srgb(rgb[0]), to_srgb(rgb[1]), to_srgb(rgb[2])};
}

struct r2_colour r2_colour_class(uint32_t index)
{
    static const double lightness[3] = {0.72, 0.62, 0.82};
    static const double golden = 0.38196601125010515, first = 0.40;
    double hue = fmod(first + golden * index, 1);
    return from_oklch(lightness[index % 3], 0.2, hue);
}

struct r2_colour r2_colour_heat(uint8_t heat)
{
    double t = heat / 255.0;
    return from_oklch(0.25 + 0.70 * t, 0.14 + 0.04 * t, 0.83 - 0.53 * t);
}

struct r2_colour r2_colour_text_on(struct r2_colour colour)
{
    double luminance = 0.2126 * to_linear(colour.red) + 0.7152 * to_linear(colour.green) +
                       0.0722 * to_linear(colour.blue);
    /* (luminance + 0.05) / 0.05 against 1.05 / (luminance + 0.05) */
    bool black = (luminance + 0.05) * (luminance + 0.05) > 0.05 * 1.05;
    return black ? (struct r2_colour){0, 0, 0} : (struct r2_colour){255, 255, 255};
}
