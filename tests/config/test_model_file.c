#include "config/model_file.h"

#include "base/memory.h"
#include "base/text.h"
#include "tests/base/expect.h"

/* Makes a directory with a model.json of that text (none when NULL). */
static char *make_model(const char *text)
{
    char *dir = strdup("/tmp/r2-model-XXXXXX"), path[100];
    cr_assert_not_null(mkdtemp(dir));
    if (!text) return dir;
    snprintf(path, sizeof path, "%s/model.json", dir);
    FILE *file = fopen(path, "w");
    cr_assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
    return dir;
}

static void drop_model(char *dir)
{
    char path[100];
    snprintf(path, sizeof path, "%s/model.json", dir);
    unlink(path);
    rmdir(dir);
    free(dir);
}

Test(model_file, is_read)
{
    struct r2_error err = {0};
    struct r2_model_file file;
    char *dir = make_model("{\"name\": \"demo\", \"version\": \"1\","
                           " \"backbone\": {\"arch\": \"res2net50_26w_4s\"},"
                           " \"heads\": {\"segment\": {\"type\": \"deeplabv3plus\"},"
                           " \"classify\": {\"top_k\": 5, \"type\": \"classifier\"}}}");
    ASSERT_OK(r2_model_file_read(dir, &file, &err), err);
    cr_expect_str_eq(file.dir, dir);
    drop_model(dir);
    cr_expect_str_eq(file.name, "demo");
    cr_expect_str_eq(file.version, "1");
    cr_expect_str_eq(json_string_value(json_object_get(file.backbone, "arch")), "res2net50_26w_4s");
    cr_assert_eq(file.head_count, 2);
    cr_expect_str_eq(file.heads[0].task, "segment", "in the order of the file");
    cr_expect_str_eq(file.heads[0].type, "deeplabv3plus");
    cr_expect_eq(json_object_size(file.heads[0].object), 0);
    cr_expect_str_eq(file.heads[1].type, "classifier");
    cr_expect_eq(json_object_size(file.heads[1].object), 1, "without type");
    cr_expect_eq(json_integer_value(json_object_get(file.heads[1].object, "top_k")), 5);
    json_t *heads = json_object_get(file.root, "heads");
    cr_expect_not_null(json_object_get(json_object_get(heads, "classify"), "type"),
                       "root is left whole");
    r2_model_file_finish(&file);
    cr_expect(!file.root && !file.head_count);
    r2_model_file_finish(&file);
    r2_model_file_finish(NULL);
}

Test(model_file, may_have_no_heads)
{
    struct r2_error err = {0};
    struct r2_model_file file;
    char *dir = make_model("{\"name\":\"a\",\"version\":\"1\",\"backbone\":{},\"heads\":{}}");
    ASSERT_OK(r2_model_file_read(dir, &file, &err), err);
    cr_expect_eq(file.head_count, 0);
    r2_model_file_finish(&file);
    drop_model(dir);
}

static void expect_refused(const char *text, enum r2_status status, const char *message)
{
    struct r2_error err = {0};
    struct r2_model_file file = {.head_count = 7};
    char wanted[R2_ERROR_SIZE], *dir = make_model(text);
    snprintf(wanted, sizeof wanted, "%s/model.json: %s", dir, message);
    EXPECT_FAIL(r2_model_file_read(dir, &file, &err), err, status, wanted);
    cr_expect_eq(file.head_count, 7, "untouched");
    drop_model(dir);
}

#define FRAME "\"name\":\"a\",\"version\":\"1\",\"backbone\":{}"

Test(model_file, frame_is_checked)
{
    expect_refused(NULL, R2_NOT_FOUND, "No such file or directory");
    expect_refused("", R2_BAD_REQUEST, "line 1, column 0: unexpected token near end of file");
    expect_refused("[]", R2_BAD_REQUEST, "an array is not a JSON object");
    expect_refused("{\"name\": \"a\", \"name\": \"b\"}", R2_BAD_REQUEST,
                   "line 1, column 20: duplicate object key near '\"name\"'");
    expect_refused("{" FRAME "}", R2_INVALID, "key \"heads\" is missing");
    expect_refused("{\"version\":\"1\",\"backbone\":{},\"heads\":{}}", R2_INVALID,
                   "key \"name\" is missing");
    expect_refused("{" FRAME ",\"heads\":[]}", R2_INVALID, "heads: an array is not an object");
    expect_refused("{" FRAME ",\"head\":{}}", R2_INVALID,
                   "unknown key \"head\", did you mean \"heads\"?");
    expect_refused("{" FRAME ",\"labels\":{}}", R2_INVALID,
                   "unknown key \"labels\"; known: name, version, backbone, heads");
    expect_refused("{\"name\":\"a\",\"version\":1,\"backbone\":{},\"heads\":{}}", R2_INVALID,
                   "version: 1 (an integer) is not a string");
    expect_refused("{\"name\":\"\",\"version\":\"1\",\"backbone\":{},\"heads\":{}}", R2_INVALID,
                   "name: must not be empty");
}

Test(model_file, heads_are_checked)
{
    expect_refused("{" FRAME ",\"heads\":{\"classify\":{}}}", R2_INVALID,
                   "heads.classify: key \"type\" is missing");
    expect_refused("{" FRAME ",\"heads\":{\"classify\":{\"type\":1}}}", R2_INVALID,
                   "heads.classify: type: must be a string that is not empty");
    expect_refused("{" FRAME ",\"heads\":{\"classify\":\"classifier\"}}", R2_INVALID,
                   "heads.classify: a string is not an object");
    expect_refused("{" FRAME ",\"heads\":{\"../x\":{\"type\":\"t\"}}}", R2_INVALID,
                   "heads: \"../x\" is not a task's name of a to z and _");
    expect_refused("{" FRAME ",\"heads\":{\"\":{\"type\":\"t\"}}}", R2_INVALID,
                   "heads: \"\" is not a task's name of a to z and _");
    struct r2_text text = {0};
    r2_text_add(&text, "{" FRAME ",\"heads\":{");
    for (int i = 0; i < 17; i++)
        r2_text_add(&text, "%s\"head_%c\":{\"type\":\"t\"}", i ? "," : "", 'a' + i);
    r2_text_add(&text, "}}");
    expect_refused(text.data, R2_INVALID, "heads: more than 16");
    r2_text_finish(&text);
}

Test(model_file, has_a_limit)
{
    size_t size = (1 << 20) + 1;
    char *text = malloc(size + 1);
    memset(text, ' ', size);
    text[size] = 0;
    expect_refused(text, R2_TOO_LARGE, "1048577 bytes are over the limit of 1048576");
    free(text);
}

Test(model_file, directory_is_checked)
{
    struct r2_error err = {0};
    struct r2_model_file file;
    EXPECT_FAIL(r2_model_file_read("/nonexistent/model", &file, &err), err, R2_NOT_FOUND,
                "model directory \"/nonexistent/model\": No such file or directory");
    EXPECT_FAIL(r2_model_file_read("/dev/null", &file, &err), err, R2_INVALID,
                "model directory \"/dev/null\": is not a directory");
    EXPECT_FAIL(r2_model_file_read("", &file, &err), err, R2_NOT_FOUND,
                "model directory \"\": No such file or directory");
}

Test(model_path, stays_in_the_directory)
{
    static const char *const accepted[][3] = {
        {"models/demo", "trunk.safetensors", "models/demo/trunk.safetensors"},
        {"/m/", "a/b.txt", "/m/a/b.txt"},
        {".", "..a", "./..a"},
        {".", "a..", "./a.."},
        {".", "a/...", "./a/..."},
    };
    static const char *const refused[] = {"..", "../x", "a/..", "a/../b", "a//../b", "./.."};
    struct r2_error err = {0};
    for (size_t i = 0; i < R2_COUNT(accepted); i++) {
        char *path = NULL;
        ASSERT_OK(r2_model_path(accepted[i][0], accepted[i][1], &path, &err), err);
        cr_expect_str_eq(path, accepted[i][2]);
        free(path);
    }
    char *path = NULL;
    for (size_t i = 0; i < R2_COUNT(refused); i++) {
        char wanted[100];
        snprintf(wanted, sizeof wanted, "\"%s\": a path in a model must not contain \"..\"",
                 refused[i]);
        EXPECT_FAIL(r2_model_path("m", refused[i], &path, &err), err, R2_INVALID, wanted);
    }
    EXPECT_FAIL(r2_model_path("m", "/etc/passwd", &path, &err), err, R2_INVALID,
                "\"/etc/passwd\": a path in a model is relative to its directory");
    EXPECT_FAIL(r2_model_path("m", "", &path, &err), err, R2_INVALID,
                "the path of a file must not be empty");
    cr_expect_null(path);
}

static void expect_labels(const char *data, size_t size, const char *const *names)
{
    struct r2_error err = {0};
    struct r2_labels labels;
    char *path = make_file(data, size);
    ASSERT_OK(r2_labels_read(path, &labels, &err), err);
    drop_file(path);
    size_t i = 0;
    for (; names[i]; i++) {
        cr_assert_lt(i, labels.count);
        cr_expect_str_eq(labels.names[i], names[i]);
    }
    cr_expect_eq(labels.count, i);
    r2_labels_finish(&labels);
    cr_expect(!labels.names && !labels.count);
    r2_labels_finish(&labels);
    r2_labels_finish(NULL);
}

Test(labels, one_name_a_line)
{
    static const char *const names[] = {"cat", "gr\xC3\xBCner Hund", "a, b?", NULL};
    static const char *const one[] = {"x", NULL};
#define EXPECT_LABELS(text, wanted) expect_labels(text, sizeof text - 1, wanted)
    EXPECT_LABELS("cat\ngr\xC3\xBCner Hund\na, b?\n", names);
    EXPECT_LABELS("cat\ngr\xC3\xBCner Hund\na, b?", names);
    EXPECT_LABELS("cat\r\ngr\xC3\xBCner Hund\r\na, b?\r\n", names);
    EXPECT_LABELS("\xEF\xBB\xBF"
                  "cat\r\ngr\xC3\xBCner Hund\na, b?",
                  names);
    EXPECT_LABELS("x", one);
}

static void expect_labels_refused(const char *data, size_t size, enum r2_status status,
                                  const char *message)
{
    struct r2_error err = {0};
    struct r2_labels labels = {.count = 7};
    char wanted[200], *path = make_file(data, size);
    snprintf(wanted, sizeof wanted, "%s: %s", path, message);
    EXPECT_FAIL(r2_labels_read(path, &labels, &err), err, status, wanted);
    cr_expect_eq(labels.count, 7, "untouched");
    drop_file(path);
}

Test(labels, are_checked)
{
#define EXPECT_REFUSED(text, message)                                                              \
    expect_labels_refused(text, sizeof text - 1, R2_INVALID, message)
    static const char unclean[] = "line 2 is not UTF-8 without control characters";
    EXPECT_REFUSED("", "has no labels");
    EXPECT_REFUSED("\xEF\xBB\xBF", "has no labels");
    EXPECT_REFUSED("\n", "line 1 is empty");
    EXPECT_REFUSED("a\n\nb\n", "line 2 is empty");
    EXPECT_REFUSED("a\n\r\nb\n", "line 2 is empty");
    EXPECT_REFUSED("a\nb\n\n", "line 3 is empty");
    EXPECT_REFUSED("a\n  \n", "line 2 is empty");
    EXPECT_REFUSED("a\nb\xFF\n", unclean);
    EXPECT_REFUSED("a\nb\0c\n", unclean);
    EXPECT_REFUSED("a\n\0\n", unclean);
    EXPECT_REFUSED("a\nb\tc\n", unclean);
    EXPECT_REFUSED("a\nb\rc\n", unclean);
    EXPECT_REFUSED("a\nb\xC3\n", unclean);
    struct r2_error err = {0};
    struct r2_labels labels;
    EXPECT_FAIL(r2_labels_read("/nonexistent.txt", &labels, &err), err, R2_NOT_FOUND,
                "/nonexistent.txt: No such file or directory");
}

Test(labels, have_limits)
{
    size_t size = (1 << 20) + 1;
    char *data = malloc(size);
    memset(data, 'x', size);
    expect_labels_refused(data, size, R2_TOO_LARGE, "1048577 bytes are over the limit of 1048576");
    for (size_t i = 1; i < 2 * 65537; i += 2) data[i] = '\n';
    expect_labels_refused(data, 2 * 65537, R2_TOO_LARGE, "more than 65536 labels");
    struct r2_error err = {0};
    struct r2_labels labels;
    char *path = make_file(data, 2 * 65536);
    ASSERT_OK(r2_labels_read(path, &labels, &err), err);
    cr_expect_eq(labels.count, 65536);
    r2_labels_finish(&labels);
    drop_file(path);
    free(data);
}
