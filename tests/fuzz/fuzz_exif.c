/*
 * EXIF data, from which the orientation is read.
 */
#include "image/exif.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned orientation = r2_exif_orientation((struct r2_bytes){data, size});
    FUZZ_MUST(orientation >= 1 && orientation <= 8);
    return 0;
}
