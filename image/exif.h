/*
 * The orientation tag of EXIF data.
 */
#ifndef R2_IMAGE_EXIF_H
#define R2_IMAGE_EXIF_H

#include "base/bytes.h"

/* Orientation 1..8 from a TIFF structure, with or without "Exif\0\0" in front; 1 when it is absent
   or the data is broken. Reads the tag in the first directory (IFD0), in either byte order. */
unsigned r2_exif_orientation(struct r2_bytes exif);

#endif
