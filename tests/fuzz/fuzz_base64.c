/*
 * Base64, decoded into a buffer of its room and in place: both must agree.
 */
#include "base/base64.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct r2_error err = {0}, err_in_place = {0};
    size_t decoded = 0, decoded_in_place = 0;
    uint8_t *room = malloc(r2_base64_room(size));
    uint8_t *text = (uint8_t *)fuzz_copy(data, size, false);
    FUZZ_MUST(room);
    enum r2_status status = r2_base64_decode(data, size, room, &decoded, &err);
    FUZZ_MUST(r2_base64_decode(text, size, text, &decoded_in_place, &err_in_place) == status);
    FUZZ_MUST(strcmp(err.message, err_in_place.message) == 0);
    FUZZ_MUST(decoded == decoded_in_place && decoded <= r2_base64_room(size));
    if (status == R2_OK && decoded) FUZZ_MUST(memcmp(room, text, decoded) == 0);
    free(text);
    free(room);
    return 0;
}
