#include "config/address.h"

#include "base/memory.h"
#include "tests/base/expect.h"

Test(address, accepted)
{
    static const struct {
        const char *text;
        struct r2_address address;
    } cases[] = {
        {"127.0.0.1:8080", {R2_ADDRESS_TCP, false, "127.0.0.1", 8080, ""}},
        {"0.0.0.0:0", {R2_ADDRESS_TCP, false, "0.0.0.0", 0, ""}},
        {"localhost:65535", {R2_ADDRESS_TCP, false, "127.0.0.1", 65535, ""}},
        {"[::1]:80", {R2_ADDRESS_TCP, true, "::1", 80, ""}},
        {"[::]:8080", {R2_ADDRESS_TCP, true, "::", 8080, ""}},
        {"[::ffff:192.0.2.1]:1", {R2_ADDRESS_TCP, true, "::ffff:192.0.2.1", 1, ""}},
        {"unix:/run/r2.sock", {R2_ADDRESS_UNIX, false, "", 0, "/run/r2.sock"}},
        {"unix:a:b", {R2_ADDRESS_UNIX, false, "", 0, "a:b"}},
    };
    for (size_t i = 0; i < R2_COUNT(cases); i++) {
        struct r2_error err = {0};
        struct r2_address got;
        ASSERT_OK(r2_address_parse(cases[i].text, &got, &err), err);
        cr_expect_eq(got.kind, cases[i].address.kind, "%s", cases[i].text);
        cr_expect_eq(got.v6, cases[i].address.v6, "%s", cases[i].text);
        cr_expect_eq(got.port, cases[i].address.port, "%s", cases[i].text);
        cr_expect_str_eq(got.host, cases[i].address.host);
        cr_expect_str_eq(got.path, cases[i].address.path);
    }
}

Test(address, refused)
{
    static const struct {
        const char *text, *rule;
    } cases[] = {
        {"", "needs ADDR:PORT, [v6]:PORT or unix:PATH"},
        {"8080", "needs ADDR:PORT, [v6]:PORT or unix:PATH"},
        {"127.0.0.1", "needs ADDR:PORT, [v6]:PORT or unix:PATH"},
        {":8080", "the host before the port is missing (every one is 0.0.0.0 or [::])"},
        {"[]:8080", "the host before the port is missing (every one is 0.0.0.0 or [::])"},
        {"127.0.0.1:", "the port is not in 0..65535"},
        {"127.0.0.1:65536", "the port is not in 0..65535"},
        {"127.0.0.1:000080", "the port is not in 0..65535"},
        {"127.0.0.1:-1", "the port is not in 0..65535"},
        {"127.0.0.1:80x", "the port is not in 0..65535"},
        {"127.0.0.1: 80", "the port is not in 0..65535"},
        {"::1:8080", "an IPv6 address stands in brackets, [v6]:PORT"},
        {"http://127.0.0.1:80", "an IPv6 address stands in brackets, [v6]:PORT"},
        {"[::1]", "needs [v6]:PORT"},
        {"[:80", "needs [v6]:PORT"},
        {"[::1]8080", "needs [v6]:PORT"},
        {"[127.0.0.1]:80", "the host in brackets is not an IPv6 address"},
        {"[::1%eth0]:80", "the host in brackets is not an IPv6 address"},
        {"1.2.3:80", "the host is neither an IPv4 address nor localhost (names are not looked up)"},
        {"example.org:80",
         "the host is neither an IPv4 address nor localhost (names are not looked up)"},
        {"*:80", "the host is neither an IPv4 address nor localhost (names are not looked up)"},
        {"a-name-that-is-longer-than-any-numeric-address.org:80", "the host is too long"},
        {"unix:", "the path after unix: is missing"},
    };
    struct r2_error err = {0};
    struct r2_address address = {.port = 77};
    for (size_t i = 0; i < R2_COUNT(cases); i++) {
        char wanted[200];
        snprintf(wanted, sizeof wanted, "\"%s\" is not an address: %s", cases[i].text,
                 cases[i].rule);
        EXPECT_FAIL(r2_address_parse(cases[i].text, &address, &err), err, R2_INVALID, wanted);
    }
    char path[5 + 109] = "unix:";
    memset(path + 5, 'p', 107);
    ASSERT_OK(r2_address_parse(path, &address, &err), err);
    cr_expect_eq(strlen(address.path), 107);
    path[5 + 107] = 'p';
    cr_expect_eq(r2_address_parse(path, &address, &err), R2_INVALID);
    cr_expect_not_null(strstr(err.message, "a socket's path has at most 107 bytes"));
}
