#include "server/exposition.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"

/* Length of the name without the ending; 0 when it does not end so. */
static size_t stem(const char *name, size_t size, const char *ending)
{
    size_t length = strlen(ending);
    bool ends = size > length && strncmp(name + size - length, ending, length) == 0;
    return ends ? size - length : 0;
}

static void open_head(struct r2_text *text, const char *name, const char *type, const char *help)
{
    static const char *const endings[] = {"_total", "_info"}, *const units[] = {"_seconds",
                                                                                "_bytes", "_cores"};
    size_t size = strlen(name);
    for (size_t i = 0; i < R2_COUNT(endings); i++)
        if (stem(name, size, endings[i])) size = stem(name, size, endings[i]);
    r2_text_add(text, "# TYPE %.*s %s\n", (int)size, name, type);
    for (size_t i = 0; i < R2_COUNT(units); i++)
        if (stem(name, size, units[i]))
            r2_text_add(text, "# UNIT %.*s %s\n", (int)size, name, units[i] + 1);
    r2_text_add(text, "# HELP %.*s %s\n", (int)size, name, help);
}

void r2_exposition_head(const struct r2_exposition *out, const char *name, const char *type,
                        const char *help)
{
    if (out->open)
        open_head(out->text, name, type, help);
    else
        r2_text_add(out->text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
                    strcmp(type, "info") == 0 ? "gauge" : type);
}

void r2_exposition_number(const struct r2_exposition *out, const char *name, const char *type,
                          const char *help, double value)
{
    r2_exposition_head(out, name, type, help);
    r2_text_add(out->text, "%s %.15g\n", name, value);
}

void r2_exposition_label(const struct r2_exposition *out, const char *before, const char *name,
                         const char *value)
{
    r2_text_add(out->text, "%s%s=\"", before, name);
    for (; value && *value; value++) {
        if (*value == '\n')
            r2_text_add(out->text, "\\n");
        else
            r2_text_add(out->text, *value == '"' || *value == '\\' ? "\\%c" : "%c", *value);
    }
    r2_text_add(out->text, "\"");
}

void r2_exposition_bound(const struct r2_exposition *out, double bound)
{
    char shown[32] = "+Inf";
    if (isfinite(bound)) snprintf(shown, sizeof shown, "%g", bound);
    /* OpenMetrics compares bounds as text, and wants them to look like floats. */
    bool whole = out->open && isfinite(bound) && !strpbrk(shown, ".e");
    r2_text_add(out->text, ",le=\"%s%s\"", shown, whole ? ".0" : "");
}

void r2_exposition_end(const struct r2_exposition *out)
{
    if (out->open) r2_text_add(out->text, "# EOF\n");
}
