#include "server/accept.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

/* Borrowed; at == NULL: there is none. */
struct span {
    const char *at;
    size_t size;
};

/* One piece of a header: "text/plain; version=0.0.4; q=0.5", "gzip". */
struct range {
    struct span name, params; /* params: also q, and what follows it */
    int quality;              /* in thousandths */
};

enum { ANY = 1, ANY_OF_TYPE = 2, EXACT = 4, PER_PARAMETER = 2 };

static struct span whole(const char *text)
{
    return (struct span){text, text ? strlen(text) : 0};
}

static struct span trim(struct span span)
{
    while (span.size && strchr(" \t", span.at[0])) span.at++, span.size--;
    while (span.size && strchr(" \t", span.at[span.size - 1])) span.size--;
    return span;
}

/* Cuts the part before the separator, or all, from the front; quoted separators do not count. */
static bool next(struct span *rest, char separator, struct span *part)
{
    bool quoted = false;
    size_t size = 0;
    if (!rest->at) return false;
    for (; size < rest->size && (quoted || rest->at[size] != separator); size++) {
        if (rest->at[size] == '"')
            quoted = !quoted;
        else if (quoted && rest->at[size] == '\\' && size + 1 < rest->size)
            size++;
    }
    *part = trim((struct span){rest->at, size});
    bool more = size < rest->size;
    *rest = more ? (struct span){rest->at + size + 1, rest->size - size - 1} : (struct span){0};
    return true;
}

static bool is_token(struct span span)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < span.size; i++)
        if (!memchr(allowed, span.at[i], sizeof allowed - 1)) return false;
    return span.size > 0;
}

static bool same(struct span a, struct span b)
{
    return a.size == b.size && strncasecmp(a.at, b.at, a.size) == 0;
}

static bool is(struct span span, const char *text)
{
    return same(span, whole(text));
}

/* "name=value", the value perhaps in quotes, which are taken off. */
static bool read_parameter(struct span part, struct span *name, struct span *value)
{
    if (!next(&part, '=', name) || !is_token(*name) || !part.at) return false;
    *value = trim(part);
    if (is_token(*value)) return true;
    if (value->size < 2 || value->at[0] != '"' || value->at[value->size - 1] != '"') return false;
    *value = (struct span){value->at + 1, value->size - 2};
    return true;
}

/* "0.5", "1.000"; also ".2", which Java's own client sent for twenty years. */
static bool read_quality(struct span text, int *ret)
{
    size_t at = 0;
    int value = 0, weight = 1000;
    if (at < text.size && (text.at[at] == '0' || text.at[at] == '1'))
        value = (text.at[at++] - '0') * 1000;
    if (at < text.size && text.at[at] == '.')
        for (at++; at < text.size && text.at[at] >= '0' && text.at[at] <= '9' && weight > 1; at++)
            value += (text.at[at] - '0') * (weight /= 10);
    if (!text.size || at < text.size || value > 1000) return false;
    *ret = value;
    return true;
}

static bool read_range(struct span piece, struct range *ret)
{
    struct span part, name, value;
    struct range range = {.quality = 1000};
    next(&piece, ';', &range.name);
    range.params = piece;
    while (next(&piece, ';', &part)) {
        if (!part.size) continue;
        if (!read_parameter(part, &name, &value)) return false;
        if (!is(name, "q")) continue;
        if (!read_quality(value, &range.quality)) return false;
        break;
    }
    *ret = range;
    return true;
}

/* "a/b", "a" "/" "*" or both stars. */
static bool is_media_range(struct span name)
{
    struct span type;
    if (!next(&name, '/', &type) || !is_token(type) || !name.at || !is_token(name)) return false;
    return !is(type, "*") || is(name, "*");
}

static bool find_parameter(struct span params, struct span wanted, struct span *ret)
{
    struct span part, name;
    while (next(&params, ';', &part))
        if (read_parameter(part, &name, ret) && same(name, wanted)) return true;
    return false;
}

/* Of a range whose type and subtype are the offer's; 0: a parameter says no. */
static int compare_parameters(struct span wanted, struct span offered)
{
    struct span part, name, value, is_offered;
    int equal = 0, unknown = 0;
    while (next(&wanted, ';', &part)) {
        if (!read_parameter(part, &name, &value)) continue; /* an empty one */
        if (is(name, "q")) break;
        if (!find_parameter(offered, name, &is_offered))
            unknown = 1;
        else if (same(value, is_offered))
            equal++;
        else
            return 0;
    }
    return EXACT + PER_PARAMETER * equal - unknown;
}

/* How specifically a range names a type; 0: it does not. */
static int specificity(const struct range *range, struct span offer)
{
    struct span name = {0};
    next(&offer, ';', &name);
    if (is(range->name, "*/*")) return ANY;
    if (same(range->name, name)) return compare_parameters(range->params, offer);
    size_t stem = range->name.size - 1;
    bool of_type = range->name.at[stem] == '*' && range->name.at[stem - 1] == '/' &&
                   stem <= name.size && strncasecmp(range->name.at, name.at, stem) == 0;
    return of_type ? ANY_OF_TYPE : 0;
}

struct weight {
    int quality, specificity;
};

/* What the header says of one type; false: it has no well-formed piece. */
static bool weigh(const char *header, const char *offer, struct weight *ret)
{
    struct span rest = whole(header), piece;
    struct range range;
    bool any = false;
    *ret = (struct weight){0};
    while (next(&rest, ',', &piece)) {
        if (!read_range(piece, &range) || !is_media_range(range.name)) continue;
        any = true;
        int found = specificity(&range, whole(offer));
        bool equal = found && found == ret->specificity;
        if (found > ret->specificity || (equal && range.quality > ret->quality))
            *ret = (struct weight){range.quality, found};
    }
    return any;
}

const char *r2_accept_type(const char *header, const char *const *offered)
{
    struct weight best = {0}, weight;
    const char *chosen = NULL;
    for (size_t i = 0; offered[i]; i++) {
        if (!weigh(header, offered[i], &weight)) return offered[0];
        bool better = weight.quality > best.quality ||
                      (weight.quality == best.quality && weight.specificity > best.specificity);
        if (!weight.quality || !better) continue;
        best = weight;
        chosen = offered[i];
    }
    return chosen;
}

enum r2_coding r2_accept_coding(const char *header)
{
    struct span rest = whole(header), piece;
    struct range range;
    int gzip = -1, identity = -1, any = -1; /* not named */
    while (next(&rest, ',', &piece)) {
        if (!read_range(piece, &range)) continue;
        if (is(range.name, "gzip") || is(range.name, "x-gzip")) gzip = range.quality;
        if (is(range.name, "identity")) identity = range.quality;
        if (is(range.name, "*")) any = range.quality;
    }
    if (gzip < 0) gzip = any;
    if (gzip <= 0) return R2_CODING_IDENTITY;
    if (identity == 0 || (identity < 0 && any == 0)) return R2_CODING_GZIP_ONLY;
    return identity > gzip ? R2_CODING_IDENTITY : R2_CODING_GZIP;
}
