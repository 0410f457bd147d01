#include "heads/taps.h"

#include <string.h>

enum r2_status r2_taps_find(const struct r2_arch *arch, const struct r2_texts *names,
                            uint32_t *ret_first, uint32_t *ret_count, struct r2_error *err)
{
    uint32_t first = 0;
    if (!r2_arch_is_pyramid(arch))
        return r2_fail(err, R2_INVALID,
                       "the head needs a trunk whose stages have strides 4, 8, 16 and 32");
    while (first < R2_STAGES && strcmp(r2_tap_names[first], names->items[0]) != 0) first++;
    for (uint32_t i = 0; i < names->count; i++)
        if (first + i >= R2_STAGES || strcmp(r2_tap_names[first + i], names->items[i]) != 0)
            return r2_fail(err, R2_INVALID,
                           "key 'taps': '%.32s' is not in its place; taps are consecutive ones of "
                           "c2, c3, c4, c5",
                           names->items[i]);
    *ret_first = first;
    *ret_count = (uint32_t)names->count;
    return R2_OK;
}
