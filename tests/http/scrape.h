/*
 * Reading /metrics, in either form.
 */
#ifndef R2_TESTS_HTTP_SCRAPE_H
#define R2_TESTS_HTTP_SCRAPE_H

#include <stdint.h>

/* The page as text, to be freed; `accept` is a header's value, NULL = none. */
char *r2_scrape(uint16_t port, const char *accept);

/* Sum of the samples of that name whose line holds `part` ("" = all). */
double r2_scrape_sum(const char *metrics, const char *name, const char *part);

#endif
