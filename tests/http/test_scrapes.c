/* OpenMetrics line by line, and scrapes from several sides while requests run. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tests/http/client.h"
#include "tests/http/daemon.h"
#include "tests/http/scrape.h"

#define OPENMETRICS "application/openmetrics-text;version=1.0.0"

/* --- one page of OpenMetrics 1.0 --- */

struct family {
    char name[128], type[256];
    int order; /* of its last descriptor: 1 TYPE, 2 UNIT, 3 HELP, 4 samples */
};

static void check_descriptor(const char *line, struct family *family)
{
    static const char *const words[] = {"TYPE", "UNIT", "HELP"};
    char word[8], name[128], rest[256];
    cr_assert_eq(sscanf(line, "# %7s %127s %255[^\n]", word, name, rest), 3, "%s", line);
    int order = 0;
    while (order < 3 && strcmp(words[order], word) != 0) order++;
    cr_assert_lt(order, 3, "%s", line);
    if (order == 0) {
        cr_expect(family->order == 0 || family->order == 4, "%s follows one without samples", line);
        strcpy(family->name, name);
        strcpy(family->type, rest);
        family->order = 0;
        size_t size = strlen(name);
        cr_expect(size < 6 || strcmp(name + size - 6, "_total") != 0, "%s", line);
    }
    cr_expect_str_eq(family->name, name, "%s is of another family", line);
    cr_expect(order + 1 > family->order, "%s: order", line);
    family->order = order + 1;
    if (order == 1) {
        size_t size = strlen(name), unit = strlen(rest);
        cr_expect(size > unit && strcmp(name + size - unit, rest) == 0, "%s: no suffix", line);
    }
}

static bool is_suffix_of(const char *type, const char *suffix)
{
    static const struct {
        const char *type, *suffixes[4];
    } known[] = {{"counter", {"_total"}},
                 {"gauge", {""}},
                 {"info", {"_info"}},
                 {"histogram", {"_bucket", "_count", "_sum"}}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        for (size_t j = 0; strcmp(known[i].type, type) == 0 && j < 4 && known[i].suffixes[j]; j++)
            if (strcmp(known[i].suffixes[j], suffix) == 0) return true;
    return false;
}

static void check_sample(const char *line, struct family *family)
{
    char name[128], *end;
    cr_assert_eq(sscanf(line, "%127[^{ \n]", name), 1, "%s", line);
    size_t size = strlen(family->name);
    cr_assert(strncmp(name, family->name, size) == 0, "%s is of another family", line);
    cr_expect(is_suffix_of(family->type, name + size), "%s of a %s", line, family->type);
    family->order = 4;
    const char *le = strstr(line, "le=\""), *space = strrchr(line, ' ');
    if (le)
        cr_expect(strncmp(le + 4, "+Inf", 4) == 0 || strpbrk(le + 4, ".\"")[0] == '.', "%s", le);
    cr_assert(space);
    strtod(space + 1, &end);
    cr_expect(end > space + 1 && *end == 0, "%s: its value", line);
}

Test(scrapes, openmetrics_line_by_line)
{
    struct r2_daemon daemon = r2_daemon_start(NULL);
    struct family family = {.name = ""};
    char *page = r2_scrape(daemon.port, OPENMETRICS), *rest = page, *line;
    size_t size = strlen(page), samples = 0;
    cr_assert(size > 6 && strcmp(page + size - 6, "# EOF\n") == 0);
    page[size - 6] = 0;
    while ((line = strsep(&rest, "\n")) && *line) {
        if (*line == '#')
            check_descriptor(line, &family);
        else
            check_sample(line, &family);
        samples += *line != '#';
    }
    cr_expect(line && !rest, "an empty line before the end");
    cr_expect_gt(samples, 100);
    free(page);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}

/* --- several scrapers --- */

enum { SCRAPERS = 4, MS = 1500 };

static struct {
    uint16_t port;
    uint64_t end_ns;
    atomic_uint pages, falls;
} load;

static void *scraper(void *argument)
{
    static const char *const counters[] = {
        "res2netd_requests_total", "res2netd_request_duration_seconds_bucket",
        "res2netd_request_duration_seconds_count", "res2netd_stage_duration_seconds_sum",
        "res2netd_trunk_passes_total"};
    double before[sizeof counters / sizeof *counters] = {0};
    while (r2_clock_ns() < load.end_ns) {
        char *page = r2_scrape(load.port, argument);
        for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) {
            double now = r2_scrape_sum(page, counters[i], "");
            if (now < before[i]) load.falls++;
            before[i] = now;
        }
        free(page);
        load.pages++;
    }
    return NULL;
}

Test(scrapes, counters_never_fall_while_many_scrape)
{
    static char openmetrics[] = OPENMETRICS;
    struct r2_daemon daemon = r2_daemon_start(NULL);
    struct r2_buffer file = r2_sample_file("jpeg_420.jpg");
    pthread_t threads[SCRAPERS];
    double good = 0;
    load.port = daemon.port;
    load.end_ns = r2_clock_ns() + MS * UINT64_C(1000000);
    for (int i = 0; i < SCRAPERS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, scraper, i % 2 ? openmetrics : NULL), 0);
    while (r2_clock_ns() < load.end_ns) {
        for (int bad = 0; bad < 2; bad++) {
            struct r2_response response = r2_client_ask(daemon.port, "POST", "/classify", "",
                                                        file.data, bad ? 20 : file.size);
            good += response.status == 200;
            r2_response_finish(&response);
        }
    }
    for (int i = 0; i < SCRAPERS; i++) pthread_join(threads[i], NULL);
    cr_expect_eq(load.falls, 0);
    cr_expect_gt(load.pages, SCRAPERS);
    char *page = r2_scrape(daemon.port, NULL);
    cr_expect_eq(r2_scrape_sum(page, "res2netd_requests_total", "\"classify\",code=\"200\""), good);
    cr_expect_eq(r2_scrape_sum(page, "res2netd_trunk_passes_total", ""), good);
    free(page);
    r2_buffer_finish(&file);
    cr_expect_eq(r2_daemon_stop(&daemon), 0);
}
