#include "base/text.h"

#include <stdint.h>

#include "base/memory.h"
#include "tests/base/expect.h"

Test(text, grows)
{
    struct r2_text text = {0};
    cr_expect_str_eq(r2_text_view(&text), "");
    for (int i = 0; i < 1000; i++) r2_text_add(&text, "%d,", i % 10);
    cr_expect(text.size == 2000 && strlen(r2_text_view(&text)) == 2000);
    cr_expect(strncmp(text.data, "0,1,2,", 6) == 0 && !text.failed);
    r2_text_add_bytes(&text, "a\0b", 3);
    cr_expect(text.size == 2003 && memcmp(text.data + 2000, "a\0b", 4) == 0);
    r2_text_finish(&text);
    cr_expect(!text.data && !text.size);
    r2_text_finish(&text);
    r2_text_finish(NULL);
}

Test(text, a_failed_one_stays_as_it_was)
{
    struct r2_text text = {0};
    r2_text_add(&text, "kept");
    text.failed = true; /* as after a failed allocation */
    r2_text_add(&text, "%0500d", 1);
    cr_expect_str_eq(r2_text_view(&text), "kept");
    r2_text_finish(&text);
}

Test(text, distance)
{
    static const struct {
        const char *a, *b;
        size_t distance;
    } cases[] = {
        {"", "", 0},
        {"a", "", 1},
        {"", "abc", 3},
        {"same", "same", 0},
        {"kitten", "sitting", 3},
        {"flaw", "lawn", 2},
        {"topk", "top_k", 1},
        {"abc", "cba", 2},
    };
    for (size_t i = 0; i < R2_COUNT(cases); i++) {
        cr_expect_eq(r2_text_distance(cases[i].a, cases[i].b), cases[i].distance, "%s, %s",
                     cases[i].a, cases[i].b);
        cr_expect_eq(r2_text_distance(cases[i].b, cases[i].a), cases[i].distance, "symmetric");
    }
    char longest[256], longer[257];
    memset(longest, 'x', sizeof longest);
    memset(longer, 'x', sizeof longer);
    longest[255] = longer[256] = 0;
    cr_expect_eq(r2_text_distance(longest, ""), 255);
    cr_expect_eq(r2_text_distance(longest, longest), 0);
    cr_expect_eq(r2_text_distance(longer, ""), SIZE_MAX);
    cr_expect_eq(r2_text_distance("", longer), SIZE_MAX);
}

static const char *list_name(const void *from, size_t i)
{
    return ((const char *const *)from)[i];
}

Test(text, nearest)
{
    static const char *const names[] = {"weights", "labels", "top_k", "input", NULL};
    static const char *const none[] = {NULL};
    cr_expect_str_eq(r2_text_nearest("topk", list_name, names), "top_k");
    cr_expect_str_eq(r2_text_nearest("label", list_name, names), "labels");
    cr_expect_str_eq(r2_text_nearest("wieghts", list_name, names), "weights");
    cr_expect_str_eq(r2_text_nearest("input", list_name, names), "input");
    cr_expect_null(r2_text_nearest("min_score", list_name, names));
    cr_expect_null(r2_text_nearest("x", list_name, names));
    cr_expect_null(r2_text_nearest("", list_name, names));
    cr_expect_null(r2_text_nearest("top_k", list_name, none));
    static const char *const close[] = {"ab", "abcdefgh", "abcdefgi", NULL};
    cr_expect_str_eq(r2_text_nearest("abcdefgi", list_name, close), "abcdefgi", "the nearest wins");
}

static void expect_printable(const char *text, size_t size, size_t room, const char *wanted)
{
    char shown[64];
    memset(shown, '#', sizeof shown);
    r2_text_printable(text, size, shown, room);
    cr_expect_str_eq(shown, wanted);
    for (size_t i = room; i < sizeof shown; i++) cr_assert_eq(shown[i], '#', "past its end");
}

Test(text, printable)
{
    expect_printable("plain", 5, 64, "plain");
    expect_printable("a\nb\tc\x1B[0m\x7F", 10, 64, "a?b?c?[0m?");
    expect_printable("nul\0in", 6, 64, "nul?in");
    expect_printable("gr\xC3\xBC\xC3\x9F", 6, 64, "gr\xC3\xBC\xC3\x9F");
    expect_printable("\xE2\x82\xAC\xF0\x9F\x98\x80", 7, 64, "\xE2\x82\xAC\xF0\x9F\x98\x80");
    expect_printable("", 0, 64, "");
}

Test(text, printable_replaces_broken_utf8)
{
    expect_printable("a\xFF z", 4, 64, "a? z");
    expect_printable("\xC3", 1, 64, "?");                /* cut short */
    expect_printable("\xC3(", 2, 64, "?(");              /* no second byte */
    expect_printable("\x80", 1, 64, "?");                /* second byte alone */
    expect_printable("\xC0\xAF", 2, 64, "??");           /* overlong / */
    expect_printable("\xE0\x80\xAF", 3, 64, "???");      /* overlong in three */
    expect_printable("\xED\xA0\x80", 3, 64, "???");      /* surrogate */
    expect_printable("\xF4\x90\x80\x80", 4, 64, "????"); /* over U+10FFFF */
    expect_printable("\xF0\x9F\x98", 3, 64, "???");      /* cut short */
}

Test(text, printable_is_cut_at_a_character)
{
    expect_printable("abcdef", 6, 4, "abc");
    expect_printable("ab\xE2\x82\xAC", 5, 5, "ab");
    expect_printable("ab\xE2\x82\xAC", 5, 6, "ab\xE2\x82\xAC");
    expect_printable("abc", 3, 1, "");
    char untouched = '#';
    r2_text_printable("abc", 3, &untouched, 0);
    cr_expect_eq(untouched, '#');
}
