#include "heads/oks.h"

#include <math.h>
#include <stdbool.h>

#include "base/memory.h"
#include "heads/top_k.h"

float r2_oks_score(float box_score, const struct r2_point *points, size_t joints, float threshold)
{
    double sum = 0;
    size_t seen = 0;
    for (size_t i = 0; i < joints; i++) {
        if (!(points[i].score > threshold)) continue;
        sum += (double)points[i].score;
        seen++;
    }
    return seen ? (float)(box_score * sum / (double)seen) : 0;
}

double r2_oks_similarity(const struct r2_point *a, double area_a, const struct r2_point *b,
                         double area_b, const double *sigmas, size_t joints)
{
    const double area = (area_a + area_b) / 2 + 2.220446049250313e-16; /* two points are alike */
    double sum = 0;
    for (size_t i = 0; i < joints; i++) {
        const double dx = (double)a[i].x - (double)b[i].x, dy = (double)a[i].y - (double)b[i].y;
        sum += exp(-(dx * dx + dy * dy) / (8 * sigmas[i] * sigmas[i] * area));
    }
    return joints ? sum / (double)joints : 0;
}

static bool is_like_kept(const struct r2_oks_input *input, double threshold, uint32_t each,
                         const uint32_t *kept, size_t count)
{
    const struct r2_point *points = input->points + each * input->joints;
    for (size_t i = 0; i < count; i++)
        if (r2_oks_similarity(input->points + kept[i] * input->joints, input->areas[kept[i]],
                              points, input->areas[each], input->sigmas, input->joints) > threshold)
            return true;
    return false;
}

enum r2_status r2_oks_keep(const struct r2_oks_input *input, double threshold, uint32_t *ret,
                           size_t *ret_count, struct r2_error *err)
{
    R2_AUTOFREE uint32_t *work = NULL, *order = NULL;
    size_t kept = 0;
    R2_TRY(r2_alloc(input->count, sizeof *work, "an order of poses", &work, err));
    R2_TRY(r2_alloc(input->count, sizeof *order, "an order of poses", &order, err));
    r2_top_k(input->scores, input->count, input->count, work, order);
    for (size_t i = 0; i < input->count; i++)
        if (!is_like_kept(input, threshold, order[i], ret, kept)) ret[kept++] = order[i];
    *ret_count = kept;
    return R2_OK;
}
