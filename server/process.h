/*
 * The process_* metrics that every Prometheus exporter has, from /proc/self.
 */
#ifndef R2_SERVER_PROCESS_H
#define R2_SERVER_PROCESS_H

#include "server/exposition.h"

/* Adds what can be read; what cannot is left out. */
void r2_process_render(const struct r2_exposition *out);

#endif
