/* Run lengths against pycocotools 2.0, and decoded again. */
#include "heads/rle.h"

#include "base/memory.h"
#include "tests/base/expect.h"

enum { LABELS = 6 };

static struct r2_text texts[LABELS];

static uint8_t stripes(int x, int y)
{
    return (uint8_t)((x / 3 + y / 5) % 3);
}

static uint8_t noise(int x, int y)
{
    return (uint8_t)((x * x * 7 + y * y * 3 + x * y) % 5);
}

static uint8_t rings(int x, int y)
{
    return (uint8_t)(((x - 40) * (x - 40) + (y - 25) * (y - 25) * 2) / 700 % 4);
}

static uint8_t corner(int x, int y)
{
    return x == 0 && y == 0 ? 5 : 0;
}

static uint8_t alone(int x, int y)
{
    (void)x;
    (void)y;
    return 2;
}

struct picture {
    uint8_t (*label)(int x, int y);
    int width, height;
};

static uint8_t *encode(struct picture picture)
{
    struct r2_error err = {0};
    uint8_t *labels = malloc((size_t)picture.width * (size_t)picture.height), *at = labels;
    cr_assert(labels);
    for (int y = 0; y < picture.height; y++)
        for (int x = 0; x < picture.width; x++) *at++ = picture.label(x, y);
    ASSERT_OK(r2_rle_encode(labels, (uint32_t)picture.width, (uint32_t)picture.height, LABELS,
                            texts, &err),
              err);
    return labels;
}

static void finish(uint8_t *labels)
{
    free(labels);
    for (size_t i = 0; i < LABELS; i++) r2_text_finish(&texts[i]);
}

static void expect_texts(struct picture picture, const char *const expected[LABELS])
{
    uint8_t *labels = encode(picture);
    for (size_t i = 0; i < LABELS; i++)
        cr_expect_str_eq(r2_text_view(&texts[i]), expected[i] ? expected[i] : "", "label %zu", i);
    finish(labels);
}

Test(rle, reads_as_pycocotools_writes_it)
{
    expect_texts(
        (struct picture){stripes, 40, 17},
        (const char *const[LABELS]){
            "05:2000K032000K05000K032000K032000K05000K032000K032000K05000K032000K032000K05000K03200"
            "0K03H",
            "55<000K032000K032000K05000K032000K032000K05000K032000K032000K05000K032000K032000K05000"
            "K03M",
            ":5<000K05000K032000K032000K05000K032000K032000K05000K032000K032000K05000K032000K032000"
            "K00"});
    expect_texts((struct picture){noise, 9, 6},
                 (const char *const[LABELS]){"0140d00\\O0>", "726ON02120NON0O",
                                             "222O00O0;0E010010O00O0;", "112051L0004OK051L000",
                                             ":130N010O020;0E0N010O01"});
}

/* As COCO's rleFrString and rleDecode do. */
static void expect_mask(const char *text, const uint8_t *labels, struct picture picture,
                        uint8_t label)
{
    int64_t counts[2] = {0};
    size_t n = 0, pixel = 0;
    while (*text) {
        int64_t count = 0;
        int shift = 0, digit;
        do {
            digit = *text++ - '0';
            count |= (int64_t)(digit & 31) << shift;
            shift += 5;
        } while (digit & 32);
        if (digit & 16) count |= (int64_t)-1 * ((int64_t)1 << shift);
        if (n > 2) count += counts[n % 2];
        counts[n % 2] = count;
        for (int64_t i = 0; i < count; i++, pixel++) {
            const size_t x = pixel / (size_t)picture.height, y = pixel % (size_t)picture.height;
            cr_assert_eq(labels[y * (size_t)picture.width + x] == label, n % 2,
                         "label %u at %zu, %zu", label, x, y);
        }
        n++;
    }
    cr_expect_eq(pixel, (size_t)picture.width * (size_t)picture.height);
}

Test(rle, decodes_to_the_map)
{
    static const struct picture pictures[] = {
        {rings, 83, 60}, {rings, 200, 331}, {noise, 129, 64}, {stripes, 64, 3}, {alone, 130, 70},
        {noise, 300, 1}, {noise, 1, 300},   {corner, 70, 9},  {alone, 1, 1},
    };
    for (size_t i = 0; i < R2_COUNT(pictures); i++) {
        uint8_t *labels = encode(pictures[i]);
        const size_t pixels = (size_t)pictures[i].width * (size_t)pictures[i].height;
        for (uint8_t label = 0; label < LABELS; label++) {
            const bool occurs = memchr(labels, label, pixels) != NULL;
            cr_expect_eq(texts[label].size > 0, occurs, "picture %zu, label %u", i, label);
            if (occurs) expect_mask(r2_text_view(&texts[label]), labels, pictures[i], label);
        }
        finish(labels);
    }
}
