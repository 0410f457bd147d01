#include "image/normalise.h"

void r2_normaliser_init(struct r2_normaliser *normaliser, const float mean[3], const float std[3],
                        bool bgr)
{
    normaliser->bgr = bgr;
    for (int channel = 0; channel < 3; channel++)
        for (int sample = 0; sample < 256; sample++)
            normaliser->table[channel][sample] =
                ((float)sample / 255.0f - mean[channel]) / std[channel];
}

void r2_normalise_row(const struct r2_normaliser *normaliser, const uint8_t *rgb, size_t pixels,
                      float *dst)
{
    const size_t red = normaliser->bgr ? 2 : 0, blue = 2 - red;
    const float *of_red = normaliser->table[red], *of_green = normaliser->table[1],
                *of_blue = normaliser->table[blue];
    for (size_t i = 0; i < pixels; i++, rgb += 3, dst += 3) {
        dst[red] = of_red[rgb[0]];
        dst[1] = of_green[rgb[1]];
        dst[blue] = of_blue[rgb[2]];
    }
}
