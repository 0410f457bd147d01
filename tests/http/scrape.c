#include "tests/http/scrape.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/http/client.h"

char *r2_scrape(uint16_t port, const char *accept)
{
    char header[128] = "";
    if (accept) snprintf(header, sizeof header, "Accept: %s\r\n", accept);
    struct r2_response response = r2_client_ask(port, "GET", "/metrics", header, NULL, 0);
    cr_assert_eq(response.status, 200);
    char *text = response.body;
    response.body = NULL;
    r2_response_finish(&response);
    return text;
}

double r2_scrape_sum(const char *metrics, const char *name, const char *part)
{
    double total = 0;
    size_t size = strlen(name);
    for (const char *line = metrics, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        cr_assert(end, "the last line has no end");
        const char *space = memrchr(line, ' ', (size_t)(end - line));
        bool holds = !*part || memmem(line, (size_t)(end - line), part, strlen(part));
        if (strncmp(line, name, size) == 0 && (line[size] == '{' || line[size] == ' ') && holds)
            total += strtod(space, NULL);
    }
    return total;
}
