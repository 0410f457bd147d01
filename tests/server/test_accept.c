#include "server/accept.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static const char json[] = "application/json";
static const char png[] = "image/png";
static const char jpeg[] = "image/jpeg";
static const char text[] = "text/plain; version=0.0.4; charset=utf-8";
static const char open_metrics[] = "application/openmetrics-text; version=1.0.0; charset=utf-8";

static const char *const only_json[] = {json, NULL};
static const char *const pictures[] = {json, png, jpeg, NULL};
static const char *const metrics[] = {text, open_metrics, NULL};

struct expected {
    const char *header, *type;
};

static void expect_types(const char *const *offered, const struct expected *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *type = r2_accept_type(cases[i].header, offered);
        cr_expect(type == cases[i].type, "%s: %s, not %s",
                  cases[i].header ? cases[i].header : "(none)", type ? type : "(none)",
                  cases[i].type ? cases[i].type : "(none)");
    }
}

Test(accept, one_type)
{
    static const struct expected cases[] = {
        {NULL, json},
        {"", json},
        {" , ,, ", json},
        {"*/*", json},
        {"application/*", json},
        {"APPLICATION/Json", json},
        {"application/json;charset=utf-8", json},
        {"application/json;q=0.001", json},
        {"text/html, application/xhtml+xml, */*;q=0.8", json},
        {"text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", json}, /* Java */
        {"image/png", NULL},
        {"image/*, text/*", NULL},
        {"application/jso", NULL},
        {"application/json2", NULL},
        {"applicatio/*", NULL},
        {"application/problem+json", NULL},
        {"application/json;q=0", NULL},
        {"application/json;q=0.000, image/png", NULL},
        {"*/*;q=0", NULL},
        {"*/*, application/json;q=0", NULL},
        {"application/*;q=0, */*", NULL},
        {"application/*;q=0, application/json;q=0.1", json},
    };
    expect_types(only_json, cases, R2_COUNT(cases));
}

Test(accept, quality_then_specificity_then_order)
{
    static const struct expected cases[] = {
        {"*/*", json},
        {"image/*", png},
        {"image/jpeg, image/png", png},
        {"image/jpeg, image/png;q=0.9", jpeg},
        {"image/jpeg;q=0.5, image/png;q=0.51", png},
        {"image/jpeg;q=0.5, image/png;q=0.499", jpeg},
        {"image/png, */*", png},
        {"image/*, */*", png},
        {"image/*;q=0.9, */*", json},
        {"image/png;q=0, image/*", jpeg},
        {"image/png;q=0.2, image/*;q=0.1, application/json;q=0.15", png},
        {"image/png;q=0.2, image/png;q=0.7, application/json;q=0.5", png},
        {"image/webp, image/avif", NULL},
    };
    expect_types(pictures, cases, R2_COUNT(cases));
}

Test(accept, parameters)
{
    static const struct expected cases[] = {
        {NULL, text},
        {"*/*", text},
        {"text/plain", text},
        {"application/openmetrics-text", open_metrics},
        {"application/openmetrics-text; version=1.0.0, */*", open_metrics},
        {"application/openmetrics-text ;\tVERSION=\"1.0.0\" ; q=0.3 , text/plain;q=0.2",
         open_metrics},
        {"application/openmetrics-text;version=0.0.1", NULL},
        {"application/openmetrics-text;version=0.0.1,*/*;q=0.1", text},
        /* What Prometheus 2 and 3 send. */
        {"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;"
         "q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
         open_metrics},
        {"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
         "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;"
         "escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,/;q=0.1",
         open_metrics},
        {"text/plain;version=1.0.0;q=0.9, text/plain;version=0.0.4;q=0.1, "
         "application/openmetrics-text;q=0.5",
         open_metrics},
        {"text/plain;format=flowed;q=0.1, text/plain;q=0.7, application/openmetrics-text;q=0.5",
         text},
        {"text/plain;q=0.1, text/plain;version=0.0.4;x=y;q=0.7, application/openmetrics-text;q=.5",
         text},
        /* A comma, a semicolon and a quote in a quoted value; what follows q is not the type's. */
        {"text/plain;x=\"a,b;q=0\\\"c\";q=0.2, application/openmetrics-text;q=0.1", text},
        {"text/plain;q=0.5;version=7, application/openmetrics-text;q=0.1", text},
        {"text/plain;;q=0.5;, application/openmetrics-text;q=0.1", text},
    };
    expect_types(metrics, cases, R2_COUNT(cases));
}

Test(accept, malformed_pieces_are_passed_over)
{
    static const char *const bad[] = {
        "image",
        "/",
        "image/",
        "/png",
        "*/png",
        "image/png/x",
        "im age/png",
        "image/png;q",
        "image/png;q=",
        "image/png;q=2",
        "image/png;q=1.001",
        "image/png;q=0.1234",
        "image/png;q=-1",
        "image/png;q=x",
        "image/png;q=1e0",
        "image/png;=x",
        "image/png;a=",
        "image/png;a b=c",
        "\"image/png\"",
        "image/png;a=\"b",
        "image/\xFFpng",
        "image/png;q=\"",
        "*",
    };
    char header[128];
    for (size_t i = 0; i < R2_COUNT(bad); i++) {
        cr_expect(r2_accept_type(bad[i], pictures) == json, "%s", bad[i]);
        snprintf(header, sizeof header, "image/jpeg;q=0.5, %s", bad[i]);
        cr_expect(r2_accept_type(header, pictures) == jpeg, "%s", header);
    }
}

/* As long as libmicrohttpd lets any header be, and longer. */
Test(accept, long_headers)
{
    enum { PIECES = 20000 };
    static const char piece[] = "image/gif;q=0.1,";
    char *header = malloc(PIECES * (sizeof piece - 1) + sizeof png);
    cr_assert(header);
    for (size_t i = 0; i < PIECES; i++)
        memcpy(header + i * (sizeof piece - 1), piece, sizeof piece - 1);
    memcpy(header + PIECES * (sizeof piece - 1), png, sizeof png);
    cr_expect(r2_accept_type(header, pictures) == png);
    memset(header, ';', PIECES);
    cr_expect(r2_accept_type(header, pictures) == png);
    memset(header, '"', PIECES);
    cr_expect(r2_accept_type(header, pictures) == png);
    free(header);
}

Test(accept, codings)
{
    static const struct {
        const char *header;
        enum r2_coding coding;
    } cases[] = {
        {NULL, R2_CODING_IDENTITY},
        {"", R2_CODING_IDENTITY},
        {"identity", R2_CODING_IDENTITY},
        {"br, zstd", R2_CODING_IDENTITY},
        {"gzip", R2_CODING_GZIP},
        {"GZip", R2_CODING_GZIP},
        {"x-gzip", R2_CODING_GZIP},
        {"gzip, deflate, br, zstd", R2_CODING_GZIP},
        {"gzip;q=0.001", R2_CODING_GZIP},
        {"br;q=1.0, gzip;q=0.8, *;q=0.1", R2_CODING_GZIP},
        {"gzip;q=0", R2_CODING_IDENTITY},
        {"gzip;q=0, *", R2_CODING_IDENTITY},
        {"*", R2_CODING_GZIP},
        {"*;q=0", R2_CODING_IDENTITY},
        {"gzip;q=0.5, identity", R2_CODING_IDENTITY},
        {"gzip, identity;q=0.5", R2_CODING_GZIP},
        {"gzip, identity;q=0", R2_CODING_GZIP_ONLY},
        {"gzip;q=0.2, *;q=0", R2_CODING_GZIP_ONLY},
        {"gzip, identity, *;q=0", R2_CODING_GZIP},
        {"identity;q=0", R2_CODING_IDENTITY},
        {"*, identity;q=0", R2_CODING_GZIP_ONLY},
        {"gzip;q=7", R2_CODING_IDENTITY},
        {"gzip;q=0.5;q=0", R2_CODING_GZIP},
        {"gzipp, tgzip", R2_CODING_IDENTITY},
    };
    for (size_t i = 0; i < R2_COUNT(cases); i++)
        cr_expect_eq(r2_accept_coding(cases[i].header), cases[i].coding, "%s",
                     cases[i].header ? cases[i].header : "(none)");
}
