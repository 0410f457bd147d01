#include "heads/mask_json.h"

#include "base/memory.h"

json_t *r2_rle_json(uint32_t width, uint32_t height, const struct r2_text *counts)
{
    return json_pack("{s:[I, I], s:o}", "size", (json_int_t)height, (json_int_t)width, "counts",
                     json_stringn_nocheck(r2_text_view(counts), counts->size));
}

static json_t *ring_to_json(const struct r2_polygons *polygons, const struct r2_ring *ring,
                            struct r2_point shift)
{
    json_t *list = json_array();
    bool failed = !list;
    for (size_t i = ring->first; i < ring->first + ring->count && !failed; i++) {
        const struct r2_point *point = &polygons->points[i];
        failed = json_array_append_new(list, json_integer((json_int_t)point->x + shift.x)) != 0 ||
                 json_array_append_new(list, json_integer((json_int_t)point->y + shift.y)) != 0;
    }
    if (!failed) return list;
    json_decref(list);
    return NULL;
}

enum r2_status r2_polygons_json(const struct r2_polygons *polygons, struct r2_point shift,
                                json_t *const *lists, struct r2_error *err)
{
    R2_AUTOFREE json_t **holes = NULL; /* of the rings so far */
    R2_TRY(r2_alloc(polygons->ring_count, sizeof(json_t *), "outlines", &holes, err));
    for (size_t i = 0; i < polygons->ring_count; i++) {
        const struct r2_ring *ring = &polygons->rings[i];
        json_t *list = lists[ring->label], *item;
        if (!list) continue;
        item = ring_to_json(polygons, ring, shift);
        if (ring->outer == i) {
            holes[i] = json_array();
            item = json_pack("{s:o, s:o}", "outer", item, "holes", holes[i]);
        } else {
            list = holes[ring->outer];
        }
        if (json_array_append_new(list, item) != 0)
            return r2_fail(err, R2_NO_MEMORY, "no memory for the outlines' JSON");
    }
    return R2_OK;
}
