#include "base/memory.h"
#include "tests/base/expect.h"

Test(memory, sizes_are_checked)
{
    size_t size = 42;
    cr_expect(r2_size_mul(6, 7, &size) && size == 42);
    cr_expect(r2_size_mul(SIZE_MAX, 1, &size) && size == SIZE_MAX);
    cr_expect(r2_size_mul(SIZE_MAX, 0, &size) && size == 0);
    size = 42;
    cr_expect(!r2_size_mul(SIZE_MAX / 2 + 1, 2, &size));
    cr_expect(!r2_size_mul(SIZE_MAX, SIZE_MAX, &size));
    cr_expect(!r2_size_add(SIZE_MAX, 1, &size));
    cr_expect_eq(size, 42, "untouched on overflow");
    cr_expect(r2_size_add(SIZE_MAX - 1, 1, &size) && size == SIZE_MAX);
}

Test(memory, alloc_is_zeroed_and_checked)
{
    struct r2_error err = {0};
    int *ints = NULL;
    ASSERT_OK(r2_alloc(1000, sizeof *ints, "ints", &ints, &err), err);
    for (size_t i = 0; i < 1000; i++) cr_assert_eq(ints[i], 0);
    free(ints);

    ASSERT_OK(r2_alloc(0, sizeof *ints, "ints", &ints, &err), err);
    cr_expect_not_null(ints, "a count of 0 is a valid pointer");
    free(ints);

    ints = NULL;
    EXPECT_FAIL(r2_alloc(SIZE_MAX / 2, sizeof *ints, "weights", &ints, &err), err, R2_NO_MEMORY,
                "weights: no memory for 9223372036854775807 x 4 bytes");
    cr_expect_null(ints);
}

Test(memory, aligned_alloc_is_aligned_and_checked)
{
    struct r2_error err = {0};
    for (size_t size = 0; size < 200; size += 33) {
        void *memory = NULL;
        ASSERT_OK(r2_alloc_aligned(size, "arena", &memory, &err), err);
        cr_expect_eq((uintptr_t)memory % 64, 0);
        memset(memory, 0xAB, size); /* the sanitizer sees when it is short */
        free(memory);
    }
    void *memory = NULL;
    EXPECT_FAIL(r2_alloc_aligned(SIZE_MAX - 3, "arena", &memory, &err), err, R2_NO_MEMORY,
                "arena: no memory for 18446744073709551612 bytes");
    cr_expect_null(memory);
}

Test(memory, take_and_autofree)
{
    char *kept = NULL;
    {
        R2_AUTOFREE char *freed = strdup("freed");
        R2_AUTOFREE char *taken = strdup("taken");
        R2_AUTOFREE char *never = NULL;
        kept = R2_TAKE(taken);
        cr_expect_null(taken);
        cr_expect_str_eq(freed, "freed");
        cr_expect_null(never);
    }
    cr_expect_str_eq(kept, "taken");
    free(kept);
    int numbers[7];
    cr_expect_eq(R2_COUNT(numbers), 7);
}
