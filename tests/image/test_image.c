#include "image/image.h"

#include "tests/image/golden.h"

Test(image, is_made_and_freed)
{
    struct r2_error err = {0};
    struct r2_image image;
    ASSERT_OK(r2_image_create(7, 3, &image, &err), err);
    cr_expect(image.width == 7 && image.height == 3 && r2_image_stride(&image) == 21);
    cr_expect((uintptr_t)image.pixels % 64 == 0, "the pixels begin a cache line");
    memset(image.pixels, 1, 63);
    r2_image_finish(&image);
    cr_expect(!image.pixels && !image.width && !image.height);
    r2_image_finish(&image);
    r2_image_finish(NULL);
}

Test(image, sizes_are_checked_before_memory)
{
    struct r2_error err = {0};
    struct r2_image image = {5, 5, NULL};
    EXPECT_FAIL(r2_image_create(0, 3, &image, &err), err, R2_INVALID,
                "a picture of 0 x 3 pixels: no side may be 0");
    EXPECT_FAIL(r2_image_create(3, 0, &image, &err), err, R2_INVALID,
                "a picture of 3 x 0 pixels: no side may be 0");
    EXPECT_FAIL(r2_image_create(UINT32_MAX, UINT32_MAX, &image, &err), err, R2_NO_MEMORY,
                "a picture of 4294967295 x 4294967295 pixels: too large to address");
    cr_expect(image.width == 5 && !image.pixels, "untouched on failure");
}
