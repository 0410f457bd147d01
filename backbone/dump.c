#include "backbone/dump.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "config/json.h"

/* The format's header: a JSON object padded by spaces to whole 8 bytes. */
static enum r2_status make_header(const struct r2_session *session, struct r2_text *ret,
                                  struct r2_error *err)
{
    R2_CLEANUP(r2_text_finish) struct r2_text order = {0};
    struct r2_output_view view;
    const char *name;
    json_int_t begin = 0;
    json_t *header = json_object();
    for (size_t i = 0; (name = r2_session_output_at(session, i, &view)); i++) {
        const json_int_t size =
            (json_int_t)sizeof(float) * view.batch * view.channels * view.height * view.width;
        json_object_set_new(header, name,
                            json_pack("{s:s, s:[iiii], s:[II]}", "dtype", "F32", "shape",
                                      (int)view.batch, (int)view.channels, (int)view.height,
                                      (int)view.width, "data_offsets", begin, begin + size));
        r2_text_add(&order, "%s%s", i ? "\n" : "", name);
        begin += size;
    }
    json_object_set_new(header, "__metadata__", json_pack("{s:s}", "order", r2_text_view(&order)));
    char *text = json_dumps(header, JSON_COMPACT);
    json_decref(header);
    if (text) r2_text_add(ret, "%s", text);
    while (ret->size % 8) r2_text_add(ret, " ");
    free(text);
    return text && !order.failed && !ret->failed
               ? R2_OK
               : r2_fail(err, R2_NO_MEMORY, "no memory for a dump");
}

/* Plane by plane: the map is channels-last. */
static enum r2_status write_output(FILE *file, const struct r2_output_view *view,
                                   struct r2_error *err)
{
    const size_t pixels = (size_t)view->height * view->width;
    R2_AUTOFREE float *plane = NULL;
    R2_TRY(r2_alloc(pixels, sizeof *plane, "plane", &plane, err));
    for (size_t i = 0; i < (size_t)view->batch * view->channels; i++) {
        const float *from =
            view->data + i / view->channels * pixels * view->pitch + i % view->channels;
        for (size_t p = 0; p < pixels; p++) plane[p] = from[p * view->pitch];
        fwrite(plane, sizeof *plane, pixels, file);
    }
    return R2_OK;
}

static enum r2_status write_all(FILE *file, const struct r2_session *session,
                                const struct r2_text *header, struct r2_error *err)
{
    struct r2_output_view view;
    const uint64_t size = header->size;
    uint8_t bytes[8];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(size >> 8 * i);
    fwrite(bytes, 1, sizeof bytes, file);
    fwrite(header->data, 1, header->size, file);
    for (size_t i = 0; r2_session_output_at(session, i, &view); i++)
        R2_TRY(write_output(file, &view, err));
    return R2_OK;
}

enum r2_status r2_session_dump(const struct r2_session *session, const char *path,
                               struct r2_error *err)
{
    R2_CLEANUP(r2_text_finish) struct r2_text header = {0};
    struct r2_output_view view;
    if (!r2_session_output_at(session, 0, &view))
        return r2_fail(err, R2_NOT_FOUND, "%s: nothing was computed that could be dumped", path);
    R2_TRY(make_header(session, &header, err));
    FILE *file = fopen(path, "wb");
    if (!file) return r2_fail(err, R2_IO, "%s: %s", path, strerror(errno));
    const enum r2_status status = write_all(file, session, &header, err);
    const bool failed = ferror(file) != 0;
    if ((fclose(file) != 0 || failed) && status == R2_OK)
        return r2_fail(err, R2_IO, "%s: could not be written", path);
    return status;
}
