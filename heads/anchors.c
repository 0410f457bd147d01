#include "heads/anchors.h"

#include <math.h>

void r2_anchors_base(uint32_t stride, const float *ratios, size_t ratio_count, const float *scales,
                     size_t scale_count, struct r2_box *ret)
{
    for (size_t r = 0; r < ratio_count; r++) {
        const float root = sqrtf(ratios[r]);
        for (size_t s = 0; s < scale_count; s++) {
            const float x = 0.5f * ((float)stride * (1 / root) * scales[s]);
            const float y = 0.5f * ((float)stride * root * scales[s]);
            ret[r * scale_count + s] = (struct r2_box){-x, -y, x, y};
        }
    }
}

struct r2_box r2_anchor_at(const struct r2_anchor_level *level, size_t k)
{
    const struct r2_box base = level->base[k % level->base_count];
    const size_t cell = k / level->base_count;
    const float x = (float)(cell % level->width * level->stride);
    const float y = (float)(cell / level->width * level->stride);
    return (struct r2_box){x + base.x1, y + base.y1, x + base.x2, y + base.y2};
}
