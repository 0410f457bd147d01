/*
 * A form: the first line is the Content-Type, the rest the body.
 */
#include "server/multipart.h"
#include "tests/fuzz/fuzz.h"

static void touch_inside(struct r2_bytes body, struct r2_bytes view)
{
    FUZZ_MUST(view.size <= body.size);
    FUZZ_MUST(view.data >= body.data && view.data + view.size <= body.data + body.size);
    fuzz_touch(view.data, view.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
    size_t line = end ? (size_t)(end - data) : size, skip = end ? line + 1 : size;
    char *type = fuzz_copy(data, line, true);
    struct r2_bytes body = {data ? data + skip : NULL, size - skip};
    struct r2_error err = {0};
    struct r2_part parts[R2_PARTS_MAX];
    char boundary[R2_BOUNDARY_MAX + 1];
    size_t count = 0;
    enum r2_status status = r2_multipart_boundary(type, boundary, &err);
    if (status == R2_OK) {
        FUZZ_MUST(strlen(boundary) >= 1);
        status = r2_multipart_parse(body, boundary, parts, &count, &err);
    }
    FUZZ_MUST(status == R2_OK || (status == R2_BAD_REQUEST && err.message[0]));
    FUZZ_MUST(count <= R2_PARTS_MAX);
    for (size_t i = 0; i < count; i++) {
        touch_inside(body, parts[i].name);
        touch_inside(body, parts[i].encoding);
        touch_inside(body, parts[i].content);
    }
    free(type);
    return 0;
}
