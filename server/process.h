/*
 * The process_* metrics that every Prometheus exporter has, from /proc/self.
 */
#ifndef R2_SERVER_PROCESS_H
#define R2_SERVER_PROCESS_H

#include "base/text.h"

/* Adds what can be read; what cannot is left out. */
void r2_process_render(struct r2_text *text);

#endif
