#include "tests/http/visit.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

struct r2_visit r2_visit;

void r2_visit_start(const char *model, unsigned width, unsigned height)
{
    cr_assert_not_null(model);
    r2_visit.daemon = r2_daemon_start((const char *[]){"--model", model, NULL});
    r2_visit.photo = r2_sample_jpeg(width, height);
    r2_visit.width = width;
    r2_visit.height = height;
}

void r2_visit_stop(void)
{
    r2_buffer_finish(&r2_visit.photo);
    cr_expect_eq(r2_daemon_stop(&r2_visit.daemon), 0);
}

struct r2_response r2_visit_ask(const char *target, const char *headers)
{
    return r2_client_ask(r2_visit.daemon.port, "POST", target, headers, r2_visit.photo.data,
                         r2_visit.photo.size);
}

json_t *r2_visit_answer(const char *target)
{
    struct r2_response response = r2_visit_ask(target, "");
    cr_assert_eq(response.status, 200, "%s", response.body);
    json_t *object = r2_response_json(&response);
    r2_response_finish(&response);
    return object;
}

struct r2_image r2_visit_decode(struct r2_bytes file, enum r2_format format, unsigned width,
                                unsigned height)
{
    const struct r2_decode_options options = {.limits = {1 << 20, 1 << 24}};
    struct r2_image image = {0};
    struct r2_error err;
    cr_assert_eq(r2_format_detect(file), format);
    cr_assert_eq(r2_picture_decode(file, &options, &image, NULL, &err), R2_OK, "%s", err.message);
    cr_assert(image.width == width && image.height == height);
    return image;
}

struct r2_image r2_visit_picture(const char *target, const char *accept, enum r2_format format)
{
    char headers[128];
    snprintf(headers, sizeof headers, "Accept: %s\r\n", accept);
    struct r2_response response = r2_visit_ask(target, headers);
    cr_assert_eq(response.status, 200, "%s", response.body);
    cr_expect_str_eq(r2_response_header(&response, "Content-Type"),
                     format == R2_FORMAT_PNG ? "image/png" : "image/jpeg");
    cr_expect(strstr(r2_response_header(&response, "Vary"), "Accept"));
    struct r2_image image =
        r2_visit_decode((struct r2_bytes){(const uint8_t *)response.body, response.body_size},
                        format, r2_visit.width, r2_visit.height);
    r2_response_finish(&response);
    return image;
}
