/*
 * Colours for drawing: one for each class, a ramp for heat, and black or white for text on them.
 *
 * Both are computed in OKLCh, the polar form of Oklab (Bjorn Ottosson, "A perceptual color space
 * for image processing", 2020), where equal steps look equal. A colour that a screen cannot show
 * keeps its lightness and hue and loses chroma.
 */
#ifndef R2_IMAGE_PALETTE_H
#define R2_IMAGE_PALETTE_H

#include <stdint.h>

struct r2_colour {
    uint8_t red, green, blue; /* sRGB */
};

/*
 * The colour of class `index`, the same in every picture and version: hues go on by the golden angle
 * (137.5 degrees), so that any run of neighbouring indices is spread over the whole circle, and
 * lightness takes turns between three steps, so that indices with near hues differ in it.
 */
struct r2_colour r2_colour_class(uint32_t index);

/* Heat 0 (dark violet) .. 255 (light yellow); lightness rises evenly, so that it reads in grey
   too. */
struct r2_colour r2_colour_heat(uint8_t heat);

/* Black or white, whichever has more contrast with the colour by the WCAG 2 ratio. */
struct r2_colour r2_colour_text_on(struct r2_colour colour);

#endif
