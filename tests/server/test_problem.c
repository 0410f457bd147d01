#include "server/problem.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

Test(problem, every_status_has_its_code)
{
    static const unsigned codes[R2_STATUS_COUNT] = {
        [R2_OK] = 200,          [R2_BAD_REQUEST] = 400, [R2_NOT_FOUND] = 404, [R2_TOO_LARGE] = 413,
        [R2_UNSUPPORTED] = 415, [R2_INVALID] = 422,     [R2_BUSY] = 503,      [R2_EXPIRED] = 504,
        [R2_CANCELLED] = 499,   [R2_NO_MEMORY] = 503,   [R2_IO] = 500,        [R2_INTERNAL] = 500,
    };
    for (int status = 0; status < R2_STATUS_COUNT; status++) {
        unsigned code = r2_problem_code((enum r2_status)status);
        cr_expect_eq(code, codes[status], "%s", r2_status_name((enum r2_status)status));
        if (status) cr_expect_str_neq(r2_problem_title(code), "Error");
        cr_expect_eq(r2_problem_is_temporary(code), code == 503);
    }
    cr_expect_eq(r2_problem_code(R2_STATUS_COUNT), 500);
    cr_expect_str_eq(r2_problem_title(299), "Error");
}

Test(problem, body)
{
    char *text = r2_problem_body(404, "no \"x\"\n\xFF", "id-1");
    cr_assert(text);
    json_t *json = json_loads(text, 0, NULL);
    cr_assert(json, "%s", text);
    cr_expect_eq(json_object_size(json), 6);
    cr_expect_str_eq(json_string_value(json_object_get(json, "type")),
                     "urn:res2netd:problem:not-found");
    cr_expect_str_eq(json_string_value(json_object_get(json, "title")), "Not Found");
    cr_expect_eq(json_integer_value(json_object_get(json, "status")), 404);
    cr_expect_str_eq(json_string_value(json_object_get(json, "detail")), "no \"x\"??");
    cr_expect_str_eq(json_string_value(json_object_get(json, "error")), "no \"x\"??");
    cr_expect_str_eq(json_string_value(json_object_get(json, "instance")), "id-1");
    json_decref(json);
    free(text);
}
