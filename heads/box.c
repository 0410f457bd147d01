#include "heads/box.h"

#include <math.h>

bool r2_box_is_finite(struct r2_box box)
{
    return isfinite(box.x1) && isfinite(box.y1) && isfinite(box.x2) && isfinite(box.y2);
}

double r2_box_area(struct r2_box box)
{
    if (!(box.x1 < box.x2 && box.y1 < box.y2)) return 0;
    return ((double)box.x2 - (double)box.x1) * ((double)box.y2 - (double)box.y1);
}

float r2_box_iou(struct r2_box a, struct r2_box b)
{
    const struct r2_box both = {
        .x1 = a.x1 > b.x1 ? a.x1 : b.x1,
        .y1 = a.y1 > b.y1 ? a.y1 : b.y1,
        .x2 = a.x2 < b.x2 ? a.x2 : b.x2,
        .y2 = a.y2 < b.y2 ? a.y2 : b.y2,
    };
    const double shared = r2_box_area(both), area_a = r2_box_area(a), area_b = r2_box_area(b);
    if (!(shared > 0 && area_a > 0 && area_b > 0)) return 0;
    return (float)(shared / (area_a + area_b - shared));
}

/* NaN stays NaN. */
static float clamp(float value, float least, float most)
{
    return value < least ? least : value > most ? most : value;
}

struct r2_box r2_box_clip(struct r2_box box, float width, float height)
{
    return (struct r2_box){clamp(box.x1, 0, width), clamp(box.y1, 0, height),
                           clamp(box.x2, 0, width), clamp(box.y2, 0, height)};
}

struct r2_box r2_box_to_network(const struct r2_geometry *geometry, struct r2_box box)
{
    double x1, y1, x2, y2;
    r2_geometry_to_network(geometry, (double)box.x1, (double)box.y1, &x1, &y1);
    r2_geometry_to_network(geometry, (double)box.x2, (double)box.y2, &x2, &y2);
    return (struct r2_box){(float)x1, (float)y1, (float)x2, (float)y2};
}

struct r2_box r2_box_to_picture(const struct r2_geometry *geometry, struct r2_box box)
{
    double x1, y1, x2, y2;
    r2_geometry_to_picture(geometry, (double)box.x1, (double)box.y1, &x1, &y1);
    r2_geometry_to_picture(geometry, (double)box.x2, (double)box.y2, &x2, &y2);
    return (struct r2_box){(float)x1, (float)y1, (float)x2, (float)y2};
}

struct r2_box r2_box_decode(const struct r2_box_coder *coder, struct r2_box from,
                            const float *deltas)
{
    const float limit = 4.1351666f; /* ln(1000 / 16) */
    float d[4];
    for (int i = 0; i < 4; i++) d[i] = deltas[i] * coder->stds[i] + coder->means[i];
    const float width = from.x2 - from.x1, height = from.y2 - from.y1;
    const float x = (from.x1 + from.x2) * 0.5f + width * d[0];
    const float y = (from.y1 + from.y2) * 0.5f + height * d[1];
    const float half_width = width * expf(clamp(d[2], -limit, limit)) * 0.5f;
    const float half_height = height * expf(clamp(d[3], -limit, limit)) * 0.5f;
    return (struct r2_box){x - half_width, y - half_height, x + half_width, y + half_height};
}
