/*
 * Runs a fuzz target over the files of folders: replays a corpus where there is no libFuzzer.
 *
 *   replay_NAME FOLDER...
 */
#include <dirent.h>

#include "tests/fuzz/fuzz.h"

enum { LARGEST_FILE = 1 << 20, PATH_SIZE = 4096 };

/* The bytes in a block of just their size, so that a sanitizer sees what reads past them. */
static bool run_file(const char *path)
{
    static uint8_t content[LARGEST_FILE];
    FILE *file = fopen(path, "rb");
    if (!file) return false;
    size_t size = fread(content, 1, sizeof content, file);
    bool good = !ferror(file) && size < sizeof content;
    fclose(file);
    if (!good) return false;
    char *copy = fuzz_copy(content, size, false);
    LLVMFuzzerTestOneInput((const uint8_t *)copy, size);
    free(copy);
    return true;
}

/* The number of files, -1 when one cannot be read. */
static int run_folder(const char *folder)
{
    int count = 0;
    DIR *dir = opendir(folder);
    if (!dir) {
        perror(folder);
        return -1;
    }
    for (const struct dirent *entry; count >= 0 && (entry = readdir(dir));) {
        char path[PATH_SIZE];
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (run_file(path)) {
            count++;
        } else {
            fprintf(stderr, "%s: not a file of less than %d bytes\n", path, LARGEST_FILE);
            count = -1;
        }
    }
    closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    int total = 0;
    for (int i = 1; i < argc; i++) {
        int count = run_folder(argv[i]);
        if (count < 0) return 1;
        total += count;
    }
    printf("%d files\n", total);
    return total ? 0 : 1;
}
