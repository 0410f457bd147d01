/* Answers that are pictures: what they show, and who gets them. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "image/palette.h"
#include "tests/http/visit.h"

enum { WIDTH = 200, HEIGHT = 150 };

static const uint8_t *pixel(const struct r2_image *image, long x, long y)
{
    return image->pixels + (size_t)y * r2_image_stride(image) + (size_t)x * 3;
}

Test(pictures, the_best_box_is_outlined_in_the_colour_of_its_class)
{
    r2_visit_start(getenv("R2_TEST_DETECTOR"), WIDTH, HEIGHT);
    struct r2_response response = r2_visit_ask("/detect?max=1", "");
    json_t *answer = r2_response_json(&response);
    const json_t *best = json_array_get(json_object_get(answer, "detections"), 0);
    const json_t *box = json_object_get(best, "box");
    cr_assert_eq(json_array_size(box), 4, "%s", response.body);
    const struct r2_colour colour =
        r2_colour_class((uint32_t)json_integer_value(json_object_get(best, "index")));
    struct r2_image drawn = r2_visit_picture("/detect?max=1", "image/png", R2_FORMAT_PNG);
    /* the lower right corner: the label is at the top */
    const long x = lround(json_number_value(json_array_get(box, 2))) - 1;
    const long y = lround(json_number_value(json_array_get(box, 3))) - 1;
    const uint8_t *corner = pixel(&drawn, x, y);
    cr_expect(corner[0] == colour.red && corner[1] == colour.green && corner[2] == colour.blue,
              "%d %d %d at %ld, %ld", corner[0], corner[1], corner[2], x, y);
    r2_image_finish(&drawn);
    json_decref(answer);
    r2_response_finish(&response);
    r2_visit_stop();
}

Test(pictures, without_a_detection_the_photo_comes_back_as_it_was)
{
    r2_visit_start(getenv("R2_TEST_DETECTOR"), WIDTH, HEIGHT);
    struct r2_image drawn = r2_visit_picture("/detect?min_score=1", "image/png", R2_FORMAT_PNG);
    struct r2_image original =
        r2_visit_decode(r2_buffer_view(&r2_visit.photo), R2_FORMAT_JPEG, WIDTH, HEIGHT);
    const size_t size = HEIGHT * r2_image_stride(&original);
    cr_expect_arr_eq(drawn.pixels, original.pixels, size);
    r2_image_finish(&drawn);
    drawn = r2_visit_picture("/analyze", "image/png", R2_FORMAT_PNG);
    cr_expect(memcmp(drawn.pixels, original.pixels, size) != 0, "there are boxes on it");
    r2_image_finish(&original);
    r2_image_finish(&drawn);
    r2_visit_stop();
}

Test(pictures, a_drawing_on_a_truncated_photo_says_so)
{
    r2_visit_start(getenv("R2_TEST_DETECTOR"), WIDTH, HEIGHT);
    struct r2_response response = r2_visit_ask("/detect", "Accept: image/png\r\n");
    cr_expect_null(r2_response_header(&response, "X-Warning"));
    r2_response_finish(&response);
    r2_visit.photo.size -= 20;
    response = r2_visit_ask("/detect", "Accept: image/png\r\n");
    cr_assert_eq(response.status, 200, "%s", response.body);
    cr_expect_str_eq(r2_response_header(&response, "X-Warning"), "truncated");
    r2_response_finish(&response);
    r2_visit_stop();
}

Test(pictures, the_client_chooses_the_type)
{
    r2_visit_start(getenv("R2_TEST_DETECTOR"), WIDTH, HEIGHT);
    static const struct {
        const char *accept, *type;
    } cases[] = {
        {"*/*", "application/json"},
        {"image/*", "image/jpeg"},
        {"image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", "image/png"},
        {"application/json, image/png;q=0.9", "application/json"},
        {"text/html,application/xhtml+xml,*/*;q=0.8", "application/json"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char headers[160];
        snprintf(headers, sizeof headers, "Accept: %s\r\n", cases[i].accept);
        struct r2_response response = r2_visit_ask("/detect", headers);
        cr_expect_eq(response.status, 200);
        cr_expect_str_eq(r2_response_header(&response, "Content-Type"), cases[i].type, "%s",
                         cases[i].accept);
        r2_response_finish(&response);
    }
    r2_visit_stop();
}

Test(pictures, what_cannot_be_drawn_is_refused)
{
    r2_visit_start(getenv("R2_TEST_MODEL"), WIDTH, HEIGHT);
    static const char *const targets[] = {"/classify", "/embed", "/analyze"};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        struct r2_response response = r2_visit_ask(targets[i], "Accept: image/png\r\n");
        cr_expect_eq(response.status, 406, "%s", targets[i]);
        cr_expect(strstr(response.body, "application/json"), "%s", response.body);
        r2_response_finish(&response);
    }
    r2_visit_stop();
}

/* A form may ask for what can be drawn: its type is chosen when it has been read. */
static struct r2_response ask_by_form(const char *accept)
{
    struct r2_text body = {0};
    char headers[160];
    r2_text_add(&body, "--b\r\nContent-Disposition: form-data; name=\"cam\"\r\n\r\n1\r\n"
                       "--b\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\n");
    r2_text_add_bytes(&body, (const char *)r2_visit.photo.data, r2_visit.photo.size);
    r2_text_add(&body, "\r\n--b--\r\n");
    snprintf(headers, sizeof headers,
             "Content-Type: multipart/form-data; boundary=b\r\nAccept: %s\r\n", accept);
    struct r2_response response =
        r2_client_ask(r2_visit.daemon.port, "POST", "/classify", headers, body.data, body.size);
    r2_text_finish(&body);
    return response;
}

Test(pictures, activation_maps_are_told_and_drawn)
{
    r2_visit_start(getenv("R2_TEST_MODEL"), WIDTH, HEIGHT);
    struct r2_response response = r2_visit_ask("/classify?cam=1", "");
    json_t *answer = r2_response_json(&response);
    const json_t *map = json_object_get(answer, "cam"), *size = json_object_get(map, "size");
    const json_t *best = json_array_get(json_object_get(answer, "classes"), 0);
    cr_expect(json_equal(json_object_get(map, "index"), json_object_get(best, "index")));
    cr_assert_eq(json_array_size(size), 2, "%s", response.body);
    cr_expect_eq(json_array_size(json_object_get(map, "values")),
                 (size_t)(json_integer_value(json_array_get(size, 0)) *
                          json_integer_value(json_array_get(size, 1))));
    json_decref(answer);
    r2_response_finish(&response);
    struct r2_image drawn = r2_visit_picture("/classify?cam=1", "image/png", R2_FORMAT_PNG);
    struct r2_image original =
        r2_visit_decode(r2_buffer_view(&r2_visit.photo), R2_FORMAT_JPEG, WIDTH, HEIGHT);
    cr_expect(memcmp(drawn.pixels, original.pixels, HEIGHT * r2_image_stride(&original)) != 0);
    r2_image_finish(&original);
    r2_image_finish(&drawn);
    response = ask_by_form("image/png");
    cr_expect_eq(response.status, 200, "%s", response.body);
    cr_expect_str_eq(r2_response_header(&response, "Content-Type"), "image/png");
    r2_response_finish(&response);
    response = ask_by_form("image/gif");
    cr_expect_eq(response.status, 406);
    r2_response_finish(&response);
    r2_visit_stop();
}

Test(pictures, run_draws_one)
{
    const char *model = getenv("R2_TEST_DETECTOR");
    char in[] = "/tmp/r2_picture_XXXXXX", out[64], *error = NULL;
    struct r2_error err;
    struct r2_buffer file = {0}, sample = r2_sample_jpeg(WIDTH, HEIGHT);
    int fd = mkstemp(in);
    cr_assert(fd >= 0 && write(fd, sample.data, sample.size) == (ssize_t)sample.size);
    close(fd);
    snprintf(out, sizeof out, "%s.png", in);
    cr_assert_eq(r2_program_call((const char *[]){"run", "--model", model, "--draw", out, in, NULL},
                                 NULL, NULL),
                 0);
    cr_assert_eq(r2_file_read(out, 1 << 20, &file, &err), R2_OK, "%s", err.message);
    struct r2_image drawn = r2_visit_decode(r2_buffer_view(&file), R2_FORMAT_PNG, WIDTH, HEIGHT);
    r2_image_finish(&drawn);
    unlink(out);
    cr_expect_neq(r2_program_call((const char *[]){"run", "--model", model, "--draw", in, in, NULL},
                                  NULL, &error),
                  0);
    cr_expect(strstr(error, ".png"), "%s", error);
    free(error);
    unlink(in);
    r2_buffer_finish(&file);
    r2_buffer_finish(&sample);
}
