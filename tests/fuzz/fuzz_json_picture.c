/*
 * A picture in a JSON object.
 */
#include "server/json_picture.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct r2_error err = {0};
    struct r2_bytes picture = {0};
    json_t *rest = NULL;
    uint8_t *body = (uint8_t *)fuzz_copy(data, size, false);
    if (r2_json_picture_read(body, size, &picture, &rest, &err) == R2_OK) {
        FUZZ_MUST(picture.data >= body && picture.size <= size);
        FUZZ_MUST(picture.data + picture.size <= body + size);
        fuzz_touch(picture.data, picture.size);
        FUZZ_MUST(json_is_object(rest) && !json_object_get(rest, "image"));
        json_decref(rest);
    } else {
        FUZZ_MUST(err.status == R2_BAD_REQUEST || err.status == R2_INVALID ||
                  err.status == R2_TOO_LARGE);
        FUZZ_MUST(err.message[0] && !rest && !picture.data);
    }
    free(body);
    return 0;
}
