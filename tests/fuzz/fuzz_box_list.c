/*
 * Boxes as text: what is accepted is at least one box and at most the limit, each of finite numbers
 * within reach, none empty.
 */
#include "heads/box_list.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct r2_error err = {0};
    struct r2_box boxes[R2_BOX_LIST_MAX];
    size_t count = 0;
    char *text = fuzz_copy(data, size, true);
    const enum r2_status status = r2_box_list_read(text, boxes, &count, &err);
    FUZZ_MUST(r2_box_list_check(text, &err) == status);
    if (status == R2_OK) FUZZ_MUST(count >= 1 && count <= R2_BOX_LIST_MAX);
    for (size_t i = 0; i < count; i++) {
        FUZZ_MUST(r2_box_is_finite(boxes[i]) && r2_box_area(boxes[i]) > 0);
        FUZZ_MUST(boxes[i].x1 >= -R2_BOX_FAR && boxes[i].y2 <= R2_BOX_FAR);
    }
    free(text);
    return 0;
}
