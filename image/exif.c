#include "image/exif.h"

#include <stdbool.h>
#include <string.h>

enum {
    TAG_ORIENTATION = 0x0112,
    TYPE_BYTE = 1,
    TYPE_SHORT = 3,
    TYPE_LONG = 4,
    HEADER_SIZE = 8, /* byte order, 42, offset of IFD0 */
    COUNT_SIZE = 2,
    ENTRY_SIZE = 12, /* tag 2, type 2, count 4, value or offset 4 */
};

struct tiff {
    struct r2_bytes bytes;
    bool big_endian;
};

/* The callers have checked that the bytes are there. */
static uint32_t read_u16(const struct tiff *tiff, size_t at)
{
    const uint8_t *p = tiff->bytes.data + at;
    return tiff->big_endian ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];
}

static uint32_t read_u32(const struct tiff *tiff, size_t at)
{
    uint32_t first = read_u16(tiff, at), second = read_u16(tiff, at + 2);
    return tiff->big_endian ? first << 16 | second : second << 16 | first;
}

static uint32_t read_value(const struct tiff *tiff, size_t at, uint32_t type)
{
    switch (type) {
    case TYPE_BYTE: return tiff->bytes.data[at];
    case TYPE_SHORT: return read_u16(tiff, at);
    case TYPE_LONG: return read_u32(tiff, at);
    default: return 0;
    }
}

unsigned r2_exif_orientation(struct r2_bytes exif)
{
    static const char prefix[6] = "Exif\0"; /* two NULs */
    if (exif.size >= sizeof prefix && memcmp(exif.data, prefix, sizeof prefix) == 0) {
        exif.data += sizeof prefix;
        exif.size -= sizeof prefix;
    }
    if (exif.size < HEADER_SIZE) return 1;
    struct tiff tiff = {exif, exif.data[0] == 'M'};
    if (memcmp(exif.data, tiff.big_endian ? "MM" : "II", 2) != 0) return 1;
    if (read_u16(&tiff, 2) != 42) return 1;

    size_t at = read_u32(&tiff, 4);
    if (at > exif.size || exif.size - at < COUNT_SIZE) return 1;
    size_t entries = read_u16(&tiff, at);
    at += COUNT_SIZE;
    size_t present = (exif.size - at) / ENTRY_SIZE; /* a cut-off directory: use what is there */
    if (entries > present) entries = present;
    for (size_t i = 0; i < entries; i++, at += ENTRY_SIZE) {
        if (read_u16(&tiff, at) != TAG_ORIENTATION) continue;
        uint32_t value = read_value(&tiff, at + 8, read_u16(&tiff, at + 2));
        bool good = read_u32(&tiff, at + 4) == 1 && value >= 1 && value <= 8;
        return good ? value : 1;
    }
    return 1;
}
