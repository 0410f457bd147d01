#include "image/exif.h"

#include "base/memory.h"
#include "tests/image/golden.h"

/* Intel and Motorola order: Make (as text out of line) and then Orientation = 6. */
static const uint8_t little[] = {
    'I', 'I', 42, 0, 8,   0,   0,   0,                     /* IFD0 at 8 */
    2,   0,                                                /* two entries */
    15,  1,   2,  0, 9,   0,   0,   0,   38,  0,   0,   0, /* Make: 9 characters at 38 */
    18,  1,   3,  0, 1,   0,   0,   0,   6,   0,   0,   0, /* Orientation: one short, 6 */
    0,   0,   0,  0, 'r', 'e', 's', '2', 'n', 'e', 't', 'd', 0,
};
static const uint8_t big[] = {
    'M', 'M', 0, 42, 0, 0, 0, 8,             /* IFD0 at 8 */
    0,   1,                                  /* one entry */
    1,   18,  0, 3,  0, 0, 0, 1, 0, 8, 0, 0, /* Orientation: one short, 8 */
    0,   0,   0, 0,
};
enum { BIG_TYPE = 13, BIG_COUNT = 17, BIG_VALUE = 18 };

static unsigned orientation_of(const uint8_t *data, size_t size)
{
    return r2_exif_orientation((struct r2_bytes){data, size});
}

Test(exif, both_byte_orders)
{
    cr_expect_eq(orientation_of(little, sizeof little), 6);
    cr_expect_eq(orientation_of(big, sizeof big), 8);
}

Test(exif, with_the_prefix_of_app1)
{
    uint8_t data[6 + sizeof big] = "Exif\0";
    memcpy(data + 6, big, sizeof big);
    cr_expect_eq(orientation_of(data, sizeof data), 8);
}

Test(exif, absent_or_broken_is_1)
{
    uint8_t data[sizeof big];
    cr_expect_eq(orientation_of(NULL, 0), 1);
    cr_expect_eq(orientation_of((const uint8_t *)"Exif\0", 6), 1);
    memcpy(data, big, sizeof big);
    data[3] = 43;
    cr_expect_eq(orientation_of(data, sizeof data), 1, "BigTIFF or nonsense");
    data[3] = 42;
    data[1] = 'I';
    cr_expect_eq(orientation_of(data, sizeof data), 1, "byte order MI");
    data[1] = 'M';
    data[11] = 19;
    cr_expect_eq(orientation_of(data, sizeof data), 1, "no such tag");
}

Test(exif, values_and_types)
{
    uint8_t data[sizeof big];
    memcpy(data, big, sizeof big);
    for (unsigned value = 0; value < 256; value++) {
        data[BIG_VALUE + 1] = (uint8_t)value;
        cr_expect_eq(orientation_of(data, sizeof data), value >= 1 && value <= 8 ? value : 1);
    }
    data[BIG_VALUE + 1] = 7;
    data[BIG_COUNT] = 2;
    cr_expect_eq(orientation_of(data, sizeof data), 1, "two values");
    data[BIG_COUNT] = 1;
    data[BIG_TYPE] = 5;
    cr_expect_eq(orientation_of(data, sizeof data), 1, "a rational");
    data[BIG_TYPE] = 4;
    cr_expect_eq(orientation_of(data, sizeof data), 1, "a long of 0x70000");
    memcpy(data + BIG_VALUE, "\0\0\0\5", 4);
    cr_expect_eq(orientation_of(data, sizeof data), 5, "a long");
    memcpy(data + BIG_VALUE, "\4\0\0\0", 4);
    data[BIG_TYPE] = 1;
    cr_expect_eq(orientation_of(data, sizeof data), 4, "a byte");
}

Test(exif, hostile_offsets_and_counts)
{
    static const uint32_t offsets[] = {0,  4,    25,         26,         27,
                                       28, 1000, 0x7FFFFFFF, 0xFFFFFFF0, 0xFFFFFFFF};
    uint8_t *data = exact_copy((struct r2_bytes){big, sizeof big}, sizeof big);
    for (size_t i = 0; i < R2_COUNT(offsets); i++) {
        for (int byte = 0; byte < 4; byte++)
            data[4 + byte] = (uint8_t)(offsets[i] >> (24 - 8 * byte));
        cr_expect_eq(orientation_of(data, sizeof big), 1, "offset %u", offsets[i]);
    }
    memcpy(data, big, sizeof big);
    memset(data + 8, 0xFF, 2);
    cr_expect_eq(orientation_of(data, sizeof big), 8, "65535 entries, of which one is there");
    free(data);
}

Test(exif, truncated_at_every_length)
{
    for (size_t size = 0; size < sizeof little; size++) {
        uint8_t *data = exact_copy((struct r2_bytes){little, sizeof little}, size);
        cr_expect_eq(orientation_of(data, size), size >= 34 ? 6 : 1, "%zu bytes", size);
        free(data);
    }
}

Test(exif, random_damage)
{
    uint64_t random = 1;
    for (int round = 0; round < 200000; round++) {
        size_t size = next_random(&random) % (sizeof little + 1);
        uint8_t *data = exact_copy((struct r2_bytes){little, sizeof little}, size);
        for (int changes = 0; size && changes < 3; changes++)
            data[next_random(&random) % size] = (uint8_t)next_random(&random);
        unsigned orientation = orientation_of(data, size);
        cr_assert(orientation >= 1 && orientation <= 8);
        free(data);
    }
}
