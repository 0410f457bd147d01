/*
 * Labels: on the picture, legible, whatever bytes they are made of.
 */
#include "base/memory.h"
#include "image/draw.h"
#include "image/tags.h"
#include "tests/image/golden.h"

enum { GREY = 100 };
static const struct r2_colour red = {255, 0, 0};
static struct r2_font font;

static void open_font(void)
{
    struct r2_error err = {0};
    ASSERT_OK(r2_font_open(NULL, &font, &err), err);
}

static void close_font(void)
{
    r2_font_finish(&font);
}

TestSuite(draw_text, .init = open_font, .fini = close_font);

/* A grey picture with one box and its label. */
static struct r2_image labelled(uint32_t width, uint32_t height, const char *label)
{
    struct r2_error err = {0};
    struct r2_image image;
    struct r2_draw *draw;
    ASSERT_OK(r2_image_create(width, height, &image, &err), err);
    memset(image.pixels, GREY, r2_image_stride(&image) * height);
    ASSERT_OK(r2_draw_begin(&image, &font, &draw, &err), err);
    r2_draw_box(draw, width * 0.25, height * 0.5, width * 0.75, height * 0.75, red, label);
    ASSERT_OK(r2_draw_end(draw, &err), err);
    r2_draw_destroy(draw);
    return image;
}

static bool equal(const struct r2_image *a, const struct r2_image *b)
{
    return memcmp(a->pixels, b->pixels, r2_image_stride(a) * a->height) == 0;
}

/* Pixels of letters: those on their way from the tag's red to black. */
static size_t count_ink(const struct r2_image *image)
{
    size_t count = 0;
    for (size_t i = 0; i < (size_t)image->width * image->height; i++)
        count += image->pixels[3 * i] < 200 && image->pixels[3 * i + 1] < 50;
    return count;
}

Test(draw_text, a_label_is_written)
{
    struct r2_image none = labelled(300, 200, NULL), empty = labelled(300, 200, "");
    struct r2_image one = labelled(300, 200, "i"), many = labelled(300, 200, "person 0.97");
    cr_expect(equal(&none, &empty) && count_ink(&none) == 0);
    cr_expect(count_ink(&one) > 3 && count_ink(&many) > 5 * count_ink(&one), "%zu, %zu",
              count_ink(&one), count_ink(&many));
    for (size_t i = 0; i < 300 * 80; i++)
        cr_assert_eq(many.pixels[3 * i], GREY, "far above the tag nothing changes");
    r2_image_finish(&none);
    r2_image_finish(&empty);
    r2_image_finish(&one);
    r2_image_finish(&many);
}

Test(draw_text, alphabets_and_missing_glyphs)
{
    static const char *const labels[] = {"Grüße", "άνθρωπος", "человек", "人", "\xF0\x9F\x90\x95"};
    for (size_t i = 0; i < R2_COUNT(labels); i++) {
        struct r2_image image = labelled(300, 200, labels[i]);
        cr_expect_gt(count_ink(&image), 8, "%s", labels[i]);
        r2_image_finish(&image);
    }
}

Test(draw_text, bytes_that_are_not_utf8_show_as_one_sign_each)
{
    static const char *const labels[] = {"\xFF", "\xC3", "\x80", "\xC1", "\xF5"};
    struct r2_image wanted = labelled(300, 200, "\xEF\xBF\xBD");
    struct r2_image three = labelled(300, 200, "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
    for (size_t i = 0; i < R2_COUNT(labels); i++) {
        struct r2_image image = labelled(300, 200, labels[i]);
        cr_expect(equal(&image, &wanted), "label %zu", i);
        r2_image_finish(&image);
    }
    static const char *const long_ones[] = {"\xED\xA0\x80", "\xE0\x80\x80", "\xE0\x9F\xBF"};
    for (size_t i = 0; i < R2_COUNT(long_ones); i++) {
        struct r2_image image = labelled(300, 200, long_ones[i]);
        cr_expect(equal(&image, &three), "long label %zu", i);
        r2_image_finish(&image);
    }
    r2_image_finish(&wanted);
    r2_image_finish(&three);
}

/* Random bytes of any length on every size of picture: ASan and UBSan look on. */
Test(draw_text, any_bytes_on_any_picture)
{
    static const uint32_t sizes[][2] = {{1, 1}, {32, 32}, {8, 300}, {8000, 200}};
    uint64_t random = 1;
    for (size_t i = 0; i < 200; i++) {
        size_t length = next_random(&random) % 300;
        char *label = calloc(1, length + 1);
        for (size_t c = 0; c < length; c++) label[c] = (char)(next_random(&random) % 255 + 1);
        const uint32_t *size = sizes[i % 32 == 3 ? 3 : i % 3];
        struct r2_image image = labelled(size[0], size[1], label);
        r2_image_finish(&image);
        free(label);
    }
}

Test(draw_text, long_labels_end_in_an_ellipsis)
{
    char label[500];
    memset(label, 'x', sizeof label - 1);
    label[sizeof label - 1] = 0;
    struct r2_error err = {0};
    struct r2_glyphs glyphs;
    ASSERT_OK(r2_glyphs_init(&font, 16, &glyphs, &err), err);
    struct r2_run dots = r2_glyphs_lay_out(&glyphs, "…", 1000);
    for (int width = 0; width < 1200; width += 7) {
        struct r2_run run = r2_glyphs_lay_out(&glyphs, label, width);
        cr_expect(run.width <= width && run.count <= R2_RUN_MAX);
        if (run.count) cr_expect_eq(run.ids[run.count - 1], dots.ids[0]);
        cr_expect_eq(run.count > 0, width >= dots.width);
    }
    struct r2_run whole = r2_glyphs_lay_out(&glyphs, "whole", 1000);
    struct r2_run same = r2_glyphs_lay_out(&glyphs, "whole", whole.width);
    cr_expect(whole.count == 5 && same.count == 5, "what fits exactly is not cut");
    r2_glyphs_finish(&glyphs);
}

Test(draw_text, tags_stay_inside_and_apart)
{
    struct r2_error err = {0};
    struct r2_tags tags = {0};
    uint64_t random = 5;
    for (int i = 0; i < 40; i++) {
        int x = (int)(next_random(&random) % 900), y = (int)(next_random(&random) % 700);
        struct r2_rect box = {x, y, x + 100, y + 100};
        struct r2_tag tag = {.rect = r2_tags_place(&tags, box, 80, 16, 1000, 800)};
        struct r2_rect at = tag.rect;
        cr_assert(at.x0 >= 0 && at.y0 >= 0 && at.x1 <= 1000 && at.y1 <= 800);
        for (size_t j = 0; j < tags.count; j++) {
            struct r2_rect other = tags.items[j].rect;
            cr_expect(at.x1 <= other.x0 || other.x1 <= at.x0 || at.y1 <= other.y0 ||
                          other.y1 <= at.y0,
                      "tags %d and %zu", i, j);
        }
        ASSERT_OK(r2_tags_add(&tags, &tag, &err), err);
    }
    struct r2_tag more = tags.items[0];
    for (int i = 0; i < R2_TAGS_MAX + 5; i++) ASSERT_OK(r2_tags_add(&tags, &more, &err), err);
    cr_expect_eq(tags.count, R2_TAGS_MAX);
    r2_tags_finish(&tags);
    r2_tags_finish(NULL);
}

Test(draw_text, fonts_that_are_none)
{
    struct r2_error err = {0};
    struct r2_font none = {0};
    cr_expect_eq(r2_font_open("/nonexistent.ttf", &none, &err), R2_NOT_FOUND);
    char *path = make_file("no font", 7), message[200];
    snprintf(message, sizeof message, "%s: font: not one with outlines and Unicode characters",
             path);
    EXPECT_FAIL(r2_font_open(path, &none, &err), err, R2_INVALID, message);
    cr_expect_null(none.file.bytes.data);
    r2_font_finish(NULL);
    drop_file(path);
}
