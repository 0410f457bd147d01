/* Tensors of several files, and the names that published checkpoints give them. */
#include "backbone/weights.h"

#include "base/memory.h"
#include "tests/base/expect.h"
#include "tests/support/tensor_file.h"

enum { MOST_FILES = 4 };

/* Files in memory; `names` are F32 tensors of shape [2, 3]. Stays where it was opened. */
struct shelf {
    struct tensor_file made[MOST_FILES];
    struct r2_safetensors files[MOST_FILES];
    struct r2_weights weights;
};

static struct r2_safetensors *add_file(struct shelf *shelf, size_t i, const char *const *names)
{
    static const uint64_t dims[] = {2, 3};
    struct r2_error err = {0};
    char path[16];
    for (; *names; names++) tensor_file_add_f32(&shelf->made[i], *names, 2, dims);
    snprintf(path, sizeof path, "file%zu", i);
    ASSERT_OK(
        r2_safetensors_parse(tensor_file_bytes(&shelf->made[i]), path, &shelf->files[i], &err),
        err);
    return &shelf->files[i];
}

static void open_shelf(struct shelf *shelf, const char *const *names)
{
    struct r2_error err = {0};
    *shelf = (struct shelf){0};
    ASSERT_OK(r2_weights_add(&shelf->weights, add_file(shelf, 0, names), &err), err);
}

static void close_shelf(struct shelf *shelf)
{
    for (size_t i = 0; i < MOST_FILES; i++) {
        r2_safetensors_close(&shelf->files[i]);
        tensor_file_finish(&shelf->made[i]);
    }
}

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})

/* --- naming -------------------------------------------------------------------------------------
 */

static void expect_naming(const char *const *names, const char *prefix, const char *classifier,
                          enum r2_family family, const char *const *pairs)
{
    struct r2_error err = {0};
    struct r2_naming naming = {0};
    struct shelf shelf;
    char name[R2_NAME_SIZE];
    open_shelf(&shelf, names);
    ASSERT_OK(r2_naming_detect(&shelf.weights, &naming, &err), err);
    cr_expect_str_eq(naming.prefix, prefix);
    cr_expect_str_eq(naming.classifier, classifier);
    cr_expect_eq(naming.family, family);
    for (; *pairs; pairs += 2) {
        ASSERT_OK(r2_naming_apply(&naming, pairs[0], name, &err), err);
        cr_expect_str_eq(name, pairs[1], "%s is %s, not %s", pairs[0], name, pairs[1]);
    }
    close_shelf(&shelf);
}

Test(naming, official)
{
    expect_naming(NAMES("conv1.weight", "layer1.0.conv1.weight", "fc.weight", "fc.bias"), "", "fc",
                  R2_FAMILY_OFFICIAL,
                  NAMES("conv1.weight", "conv1.weight", "bn1.running_mean", "bn1.running_mean",
                        "fc.bias", "fc.bias", "layer4.2.bns.2.bias", "layer4.2.bns.2.bias"));
    expect_naming(NAMES("conv1.0.weight", "layer1.0.conv1.weight"), "", "fc", R2_FAMILY_OFFICIAL,
                  NAMES("conv1.0.weight", "conv1.0.weight", "fc.weight", "fc.weight"));
}

Test(naming, mmpretrain)
{
    expect_naming(NAMES("backbone.conv1.weight", "backbone.layer1.0.conv1.weight", "head.fc.weight",
                        "head.fc.bias"),
                  "backbone.", "head.fc", R2_FAMILY_OFFICIAL,
                  NAMES("conv1.weight", "backbone.conv1.weight", "bn1.bias", "backbone.bn1.bias",
                        "layer1.0.convs.0.weight", "backbone.layer1.0.convs.0.weight", "fc.weight",
                        "head.fc.weight"));
}

Test(naming, mmdetection)
{
    expect_naming(NAMES("backbone.stem.0.weight", "backbone.layer1.0.conv1.weight"), "backbone.",
                  "fc", R2_FAMILY_MMDET,
                  NAMES("conv1.0.weight", "backbone.stem.0.weight", "conv1.1.running_var",
                        "backbone.stem.1.running_var", "conv1.6.weight", "backbone.stem.6.weight",
                        "bn1.weight", "backbone.stem.7.weight", "layer1.0.conv1.weight",
                        "backbone.layer1.0.conv1.weight", "layer1.0.bn1.weight",
                        "backbone.layer1.0.bn1.weight"));
    expect_naming(NAMES("stem.0.weight", "layer1.0.conv1.weight"), "", "fc", R2_FAMILY_MMDET,
                  NAMES("conv1.0.weight", "stem.0.weight"));
}

Test(naming, prefixes)
{
    expect_naming(NAMES("encoder.model.conv1.weight", "encoder.model.layer1.0.conv1.weight"),
                  "encoder.model.", "fc", R2_FAMILY_OFFICIAL,
                  NAMES("bn1.weight", "encoder.model.bn1.weight", "fc.weight", "fc.weight",
                        "decoder.aspp.1.0.weight", "decoder.aspp.1.0.weight"));
    expect_naming(NAMES("module.base.resnet.layer1.0.conv1.weight", "module.base.ppms_pre.weight"),
                  "module.base.resnet.", "fc", R2_FAMILY_OFFICIAL,
                  NAMES("bn1.bias", "module.base.resnet.bn1.bias", "base.ppms_pre.weight",
                        "module.base.ppms_pre.weight"));
    expect_naming(NAMES("module.layer1.0.conv1.weight", "module.fc.weight"), "module.", "module.fc",
                  R2_FAMILY_OFFICIAL,
                  NAMES("fc.weight", "module.fc.weight", "conv1.weight", "module.conv1.weight"));
    expect_naming(NAMES("module.backbone.layer1.0.conv1.weight", "module.head.fc.weight"),
                  "module.backbone.", "module.head.fc", R2_FAMILY_OFFICIAL,
                  NAMES("fc.bias", "module.head.fc.bias"));
    /* another name that only ends alike is no trunk */
    expect_naming(NAMES("a.xlayer1.0.conv1.weight", "b.layer1.0.conv1.weight"), "b.", "fc",
                  R2_FAMILY_OFFICIAL, NAMES("conv1.weight", "b.conv1.weight"));
}

Test(naming, maskrcnn)
{
    expect_naming(NAMES("backbone.body.stem.conv1.weight", "backbone.body.stem.bn1.weight",
                        "backbone.body.layer1.0.conv1.weight"),
                  "backbone.body.", "fc", R2_FAMILY_MASKRCNN,
                  NAMES("conv1.weight", "backbone.body.stem.conv1.weight", "bn1.running_var",
                        "backbone.body.stem.bn1.running_var", "layer2.0.downsample.1.bias",
                        "backbone.body.layer2.0.downsample.1.bias", "layer1.0.bn1.bias",
                        "backbone.body.layer1.0.bn1.bias"));
}

Test(naming, detectron2)
{
    expect_naming(NAMES("backbone.bottom_up.res2.0.conv1.weight"), "backbone.bottom_up.", "fc",
                  R2_FAMILY_DETECTRON2,
                  NAMES("conv1.6.weight", "backbone.bottom_up.stem.conv1.6.weight", "bn1.weight",
                        "backbone.bottom_up.stem.bn1.weight", "layer1.0.bn1.bias",
                        "backbone.bottom_up.res2.0.conv1.norm.bias", "layer3.22.convs.1.weight",
                        "backbone.bottom_up.res4.22.convs.1.weight", "layer4.2.bns.0.running_mean",
                        "backbone.bottom_up.res5.2.bns.0.running_mean",
                        "layer2.0.downsample.1.weight",
                        "backbone.bottom_up.res3.0.shortcut.1.weight", "layer2.0.downsample.2.bias",
                        "backbone.bottom_up.res3.0.shortcut.1.norm.bias"));
}

Test(naming, paddle)
{
    expect_naming(
        NAMES("backbone.res1.conv1.conv.weight", "backbone.res2.blocks.0.branch2a.conv.weight"),
        "backbone.", "fc", R2_FAMILY_PADDLE,
        NAMES("conv1.weight", "backbone.res1.conv1.conv.weight", "bn1.running_mean",
              "backbone.res1.conv1.norm._mean", "layer1.0.convs.2.weight",
              "backbone.res2.blocks.0.branch2b.2.conv.weight", "layer4.1.bns.0.running_var",
              "backbone.res5.blocks.1.branch2b.0.norm._variance", "layer2.0.downsample.1.bias",
              "backbone.res3.blocks.0.branch1.norm.bias"));
    expect_naming(NAMES("res1.conv1_1.conv.weight", "res2.blocks.0.branch2a.conv.weight"), "", "fc",
                  R2_FAMILY_PADDLE_DEEP,
                  NAMES("conv1.0.weight", "res1.conv1_1.conv.weight", "conv1.4.bias",
                        "res1.conv1_2.norm.bias", "conv1.6.weight", "res1.conv1_3.conv.weight",
                        "bn1.bias", "res1.conv1_3.norm.bias", "layer3.5.bn3.weight",
                        "res4.blocks.5.branch2c.norm.weight"));
}

Test(naming, dla)
{
    expect_naming(NAMES("module.base_layer.0.weight", "module.fc.weight"), "module.", "module.fc",
                  R2_FAMILY_DLA,
                  NAMES("base_layer.1.bias", "module.base_layer.1.bias",
                        "level4.tree1.tree2.root.conv.weight",
                        "module.level4.tree1.tree2.root.conv.weight", "fc.bias", "module.fc.bias"));
}

Test(naming, refusals)
{
    struct r2_error err = {0};
    struct r2_naming naming = {.prefix = "kept"};
    struct shelf shelf;
    char name[R2_NAME_SIZE], far[R2_NAME_SIZE], wanted[R2_ERROR_SIZE];
    open_shelf(&shelf, NAMES("a.layer1.0.conv1.weight", "b.layer1.0.conv1.weight"));
    EXPECT_FAIL(r2_naming_detect(&shelf.weights, &naming, &err), err, R2_INVALID,
                "file0: has two trunks, 'a.layer1.0.conv1.weight' and 'b.layer1.0.conv1.weight'");
    close_shelf(&shelf);
    open_shelf(&shelf, NAMES("conv1.weight", "layer1.0.conv1.weight.x"));
    EXPECT_FAIL(r2_naming_detect(&shelf.weights, &naming, &err), err, R2_NOT_FOUND,
                "file0: no tensor's name ends in 'layer1.0.conv1.weight': not a Res2Net trunk");
    close_shelf(&shelf);
    EXPECT_FAIL(r2_naming_detect(&(struct r2_weights){0}, &naming, &err), err, R2_NOT_FOUND,
                "no file: no tensor's name ends in 'layer1.0.conv1.weight': not a Res2Net trunk");
    memset(far, 'p', 127);
    strcpy(far + 127, ".layer1.0.conv1.weight");
    open_shelf(&shelf, NAMES(far));
    snprintf(wanted, sizeof wanted, "file0: the prefix of '%.128s' is over 127 bytes", far);
    EXPECT_FAIL(r2_naming_detect(&shelf.weights, &naming, &err), err, R2_INVALID, wanted);
    close_shelf(&shelf);
    open_shelf(&shelf, NAMES("layer1.0.conv1.weight", "bn1.weight", "stem.0.weight"));
    EXPECT_FAIL(r2_naming_detect(&shelf.weights, &naming, &err), err, R2_INVALID,
                "file0: 'bn1.weight' and 'stem.0.weight' are names of two code bases: which trunk "
                "is meant is ambiguous");
    close_shelf(&shelf);
    open_shelf(&shelf, NAMES("a.layer1.0.conv1.weight", "res2.0.conv1.weight"));
    EXPECT_FAIL(r2_naming_detect(&shelf.weights, &naming, &err), err, R2_INVALID,
                "file0: has two trunks, 'a.layer1.0.conv1.weight' and 'res2.0.conv1.weight'");
    close_shelf(&shelf);
    cr_expect_str_eq(naming.prefix, "kept", "untouched on failure");
    memset(far, 'n', sizeof far);
    far[255] = 0;
    ASSERT_OK(r2_naming_apply(&(struct r2_naming){0}, far, name, &err), err);
    cr_expect_eq(r2_naming_apply(&(struct r2_naming){.prefix = "p"}, far, name, &err), R2_INVALID);
    cr_expect_not_null(strstr(err.message, "...' is over 255 bytes"), "%s", err.message);
}

Test(naming, is_classifier)
{
    static const char *const yes[] = {"fc.weight", "fc.bias", "head.fc.weight", "module.fc.bias"};
    static const char *const no[] = {"fcx.weight", "decode_head.fc.weight", "layer1.0.conv1.weight",
                                     "module.fc",  "module.fcx.weight",     ""};
    const struct r2_naming naming = {.prefix = "module.", .classifier = "module.fc"};
    for (size_t i = 0; i < R2_COUNT(yes); i++)
        cr_expect(r2_naming_is_classifier(&naming, yes[i]), "%s", yes[i]);
    for (size_t i = 0; i < R2_COUNT(no); i++)
        cr_expect_not(r2_naming_is_classifier(&naming, no[i]), "%s", no[i]);
}

/* --- lookups ------------------------------------------------------------------------------------
 */

Test(weights, shards)
{
    static const uint64_t dims[] = {2, 3};
    struct r2_error err = {0};
    struct shelf shelf;
    const struct r2_tensor_entry *entry = NULL;
    float values[6];
    open_shelf(&shelf, NAMES("a", "c"));
    ASSERT_OK(r2_weights_add(&shelf.weights, add_file(&shelf, 1, NAMES("b", "d")), &err), err);
    for (const char *const *name = NAMES("a", "b", "c", "d"); *name; name++) {
        ASSERT_OK(r2_weights_take(&shelf.weights, *name, 2, dims, &entry, &err), err);
        cr_expect_str_eq(entry->name, *name);
        cr_expect(entry->taken && r2_weights_find(&shelf.weights, *name) == entry);
        r2_tensor_read(entry, values);
        cr_expect(values[0] == 1 && values[3] == 0.25f);
    }
    cr_expect_null(r2_weights_find(&shelf.weights, "e"));
    EXPECT_FAIL(r2_weights_add(&shelf.weights, &shelf.files[1], &err), err, R2_INVALID,
                "file1: is named twice");
    EXPECT_FAIL(r2_weights_add(&shelf.weights, add_file(&shelf, 2, NAMES("e", "d")), &err), err,
                R2_INVALID, "file2: tensor 'd' stands in another file too");
    cr_expect_eq(shelf.weights.count, 2);
    close_shelf(&shelf);
}

Test(weights, too_many_files)
{
    struct r2_error err = {0};
    struct r2_weights weights = {0};
    struct r2_safetensors files[R2_WEIGHTS_MAX_FILES + 1];
    char path[] = "last";
    for (size_t i = 0; i <= R2_WEIGHTS_MAX_FILES; i++)
        files[i] = (struct r2_safetensors){.path = path};
    for (size_t i = 0; i < R2_WEIGHTS_MAX_FILES; i++)
        ASSERT_OK(r2_weights_add(&weights, &files[i], &err), err);
    EXPECT_FAIL(r2_weights_add(&weights, &files[R2_WEIGHTS_MAX_FILES], &err), err, R2_INVALID,
                "last: over 64 files");
}

Test(weights, missing_names_the_nearest)
{
    static const uint64_t dims[] = {2, 3};
    struct r2_error err = {0};
    struct shelf shelf;
    const struct r2_tensor_entry *entry = NULL;
    open_shelf(&shelf, NAMES("layer1.0.conv1.weight", "layer1.0.conv2.weight", "bn1.weight"));
    ASSERT_OK(r2_weights_add(&shelf.weights,
                             add_file(&shelf, 1, NAMES("layer1.1.conv3.weight", "fc.bias", "x")),
                             &err),
              err);
    EXPECT_FAIL(r2_weights_take(&shelf.weights, "layer1.0.conv3.weight", 2, dims, &entry, &err),
                err, R2_NOT_FOUND,
                "file0: tensor 'layer1.0.conv3.weight' is missing; the nearest names are: "
                "layer1.0.conv1.weight, layer1.0.conv2.weight, layer1.1.conv3.weight, bn1.weight");
    EXPECT_FAIL(r2_weights_missing(&(struct r2_weights){0}, "w", &err), err, R2_NOT_FOUND,
                "no file: tensor 'w' is missing; the nearest names are: ");
    cr_expect_null(entry);
    close_shelf(&shelf);
}

Test(weights, wrong_shape_and_type)
{
    static const struct {
        unsigned rank;
        uint64_t dims[4];
        const char *text;
    } wanted[] = {
        {2, {3, 2}, "3x2"}, {1, {6}, "6"}, {4, {2, 3, 1, 1}, "2x3x1x1"}, {0, {0}, "scalar"}};
    static const int64_t tracked = 5;
    struct r2_error err = {0};
    struct shelf shelf = {0};
    const struct r2_tensor_entry *entry = NULL;
    char text[128];
    tensor_file_add(&shelf.made[0], "t", "I64", "[1]", &tracked, 8);
    ASSERT_OK(r2_weights_add(&shelf.weights, add_file(&shelf, 0, NAMES("w")), &err), err);
    for (size_t i = 0; i < R2_COUNT(wanted); i++) {
        snprintf(text, sizeof text, "file0: tensor 'w' has shape 2x3, the network needs %s",
                 wanted[i].text);
        EXPECT_FAIL(
            r2_weights_take(&shelf.weights, "w", wanted[i].rank, wanted[i].dims, &entry, &err), err,
            R2_INVALID, text);
    }
    EXPECT_FAIL(r2_weights_take(&shelf.weights, "t", 1, (const uint64_t[]){1}, &entry, &err), err,
                R2_UNSUPPORTED, "file0: tensor 't' is not F32, F16 or BF16");
    cr_expect_null(entry);
    cr_expect_not(shelf.files[0].entries[0].taken || shelf.files[0].entries[1].taken);
    close_shelf(&shelf);
}

/* The message names the shard that holds the tensor. */
Test(weights, wrong_shape_names_its_file)
{
    struct r2_error err = {0};
    struct shelf shelf;
    const struct r2_tensor_entry *entry = NULL;
    open_shelf(&shelf, NAMES("a"));
    ASSERT_OK(r2_weights_add(&shelf.weights, add_file(&shelf, 1, NAMES("b")), &err), err);
    EXPECT_FAIL(r2_weights_take(&shelf.weights, "b", 1, (const uint64_t[]){1}, &entry, &err), err,
                R2_INVALID, "file1: tensor 'b' has shape 2x3, the network needs 1");
    close_shelf(&shelf);
}

/* --- files --------------------------------------------------------------------------------------
 */

static char *write_file(const char *const *names)
{
    static const uint64_t dims[] = {2, 3};
    struct r2_error err = {0};
    struct tensor_file made = {0};
    char *path = make_file("", 0);
    for (; *names; names++) tensor_file_add_f32(&made, *names, 2, dims);
    ASSERT_OK(tensor_file_write(&made, path, &err), err);
    tensor_file_finish(&made);
    return path;
}

Test(weights, files_are_opened_once)
{
    struct r2_error err = {0};
    struct r2_weight_files files = {0};
    struct r2_weights trunk = {0}, head = {0};
    char *first = write_file(NAMES("a")), *second = write_file(NAMES("b")), text[128];
    ASSERT_OK(r2_weight_files_open(&files, first, &trunk, &err), err);
    ASSERT_OK(r2_weight_files_open(&files, first, &head, &err), err);
    ASSERT_OK(r2_weight_files_open(&files, second, &head, &err), err);
    cr_expect(files.count == 2 && trunk.count == 1 && head.count == 2);
    cr_expect_eq(r2_weights_find(&trunk, "a"), r2_weights_find(&head, "a"));
    snprintf(text, sizeof text, "%s: is named twice", first);
    EXPECT_FAIL(r2_weight_files_open(&files, first, &trunk, &err), err, R2_INVALID, text);
    cr_expect_eq(r2_weight_files_open(&files, "/tmp/r2-no-such-file", &trunk, &err), R2_NOT_FOUND);
    cr_expect(files.count == 2 && trunk.count == 1);
    r2_weight_files_close(&files);
    cr_expect_eq(files.count, 0);
    drop_file(first);
    drop_file(second);
}

Test(weights, unexpected_tensors)
{
    static const uint64_t dims[] = {2, 3};
    const struct r2_naming naming = {.prefix = "backbone.", .classifier = "head.fc"};
    const struct r2_naming *const namings = &naming;
    struct r2_error err = {0};
    struct r2_weight_files files = {0};
    struct r2_weights weights = {0};
    const struct r2_tensor_entry *entry;
    char text[512];
    char *first = write_file(NAMES("w", "extra.1", "fc.weight", "head.fc.bias",
                                   "backbone.bn1.num_batches_tracked", "auxiliary_head.w"));
    char *second = write_file(NAMES("extra.2", "extra.3", "extra.4", "extra.5"));
    ASSERT_OK(r2_weight_files_open(&files, first, &weights, &err), err);
    ASSERT_OK(r2_weights_take(&weights, "w", 2, dims, &entry, &err), err);
    snprintf(text, sizeof text, "%s: 1 unexpected tensor that no part of the model uses: 'extra.1'",
             first);
    EXPECT_FAIL(r2_weight_files_check_taken(&files, &namings, 1, &err), err, R2_INVALID, text);
    ASSERT_OK(r2_weight_files_open(&files, second, &weights, &err), err);
    snprintf(text, sizeof text,
             "%s: 5 unexpected tensors that no part of the model uses: 'extra.1', 'extra.2', "
             "'extra.3', 'extra.4', ...",
             first);
    EXPECT_FAIL(r2_weight_files_check_taken(&files, &namings, 1, &err), err, R2_INVALID, text);
    for (const char *const *name = NAMES("extra.1", "extra.2", "extra.3", "extra.4", "extra.5");
         *name; name++)
        ASSERT_OK(r2_weights_take(&weights, *name, 2, dims, &entry, &err), err);
    ASSERT_OK(r2_weight_files_check_taken(&files, &namings, 1, &err), err);
    r2_weight_files_close(&files);
    drop_file(first);
    drop_file(second);
}

/* Projections of DLA that the official code makes and never uses; others must be used. */
Test(weights, dead_projections)
{
    const struct r2_naming dla = {.prefix = "m.", .classifier = "fc", .family = R2_FAMILY_DLA};
    const struct r2_naming official = {.prefix = "m.", .classifier = "fc"};
    const struct r2_naming *namings = &dla;
    struct r2_error err = {0};
    struct r2_weight_files files = {0};
    struct r2_weights weights = {0};
    char text[512];
    char *file = write_file(NAMES("m.level3.project.0.weight", "m.level4.project.1.bias",
                                  "m.level4.tree1.project.0.weight"));
    ASSERT_OK(r2_weight_files_open(&files, file, &weights, &err), err);
    ASSERT_OK(r2_weight_files_check_taken(&files, &namings, 1, &err), err);
    namings = &official;
    cr_expect_eq(r2_weight_files_check_taken(&files, &namings, 1, &err), R2_INVALID);
    namings = &dla;
    char *live = write_file(NAMES("m.level5.project.0.weight"));
    ASSERT_OK(r2_weight_files_open(&files, live, &weights, &err), err);
    snprintf(text, sizeof text,
             "%s: 1 unexpected tensor that no part of the model uses: 'm.level5.project.0.weight'",
             live);
    EXPECT_FAIL(r2_weight_files_check_taken(&files, &namings, 1, &err), err, R2_INVALID, text);
    r2_weight_files_close(&files);
    drop_file(file);
    drop_file(live);
}
