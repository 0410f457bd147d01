/*
 * How oneDNN's generations differ: 2.x (Debian 12) and 3.x (Debian 13). For engine.c only.
 *
 * 2.x passes memory descriptors by value inside operation descriptors; 3.x has opaque descriptors
 * and creates primitive descriptors directly.
 */
#ifndef R2_BACKBONE_ONEDNN_H
#define R2_BACKBONE_ONEDNN_H

#include <oneapi/dnnl/dnnl.h>
#include <stdlib.h>
#include <string.h>

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t md_handle;
typedef const_dnnl_memory_desc_t md_view;

static dnnl_status_t md_create(md_handle *ret, int rank, const dnnl_dims_t dims,
                               dnnl_format_tag_t tag)
{
    return dnnl_memory_desc_create_with_tag(ret, rank, dims, dnnl_f32, tag);
}

static dnnl_status_t md_clone(md_handle *ret, md_view from)
{
    return dnnl_memory_desc_clone(ret, from);
}

static void md_free(md_handle md)
{
    if (md) dnnl_memory_desc_destroy(md);
}

static dnnl_status_t append_sum(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_sum(ops, 1.0f, 0, dnnl_data_type_undef);
}

static dnnl_status_t append_eltwise(dnnl_post_ops_t ops, dnnl_alg_kind_t kind)
{
    return dnnl_post_ops_append_eltwise(ops, kind, 0.0f, 0.0f);
}

static dnnl_status_t conv_pd(dnnl_primitive_desc_t *ret, dnnl_engine_t engine,
                             const md_handle md[4], const dnnl_dim_t *strides,
                             const dnnl_dim_t *dilates, const dnnl_dim_t *pad,
                             const dnnl_dim_t *pad_end, dnnl_primitive_attr_t attr)
{
    return dnnl_convolution_forward_primitive_desc_create(
        ret, engine, dnnl_forward_inference, dnnl_convolution_direct, md[0], md[1], md[2], md[3],
        strides, dilates, pad, pad_end, attr);
}

static dnnl_status_t winograd_pd(dnnl_primitive_desc_t *ret, dnnl_engine_t engine,
                                 const md_handle md[4], const dnnl_dim_t *ones,
                                 dnnl_primitive_attr_t attr)
{
    (void)ret, (void)engine, (void)md, (void)ones, (void)attr;
    return dnnl_unimplemented; /* the processors' code for it is gone */
}

static dnnl_status_t linear_pd(dnnl_primitive_desc_t *ret, dnnl_engine_t engine,
                               const md_handle md[4], dnnl_primitive_attr_t attr)
{
    return dnnl_inner_product_forward_primitive_desc_create(ret, engine, dnnl_forward_inference,
                                                            md[0], md[1], md[2], md[3], attr);
}
#else
typedef dnnl_memory_desc_t *md_handle;
typedef const dnnl_memory_desc_t *md_view;

static dnnl_status_t md_clone(md_handle *ret, md_view from)
{
    *ret = malloc(sizeof **ret);
    if (!*ret) return dnnl_out_of_memory;
    **ret = *from;
    return dnnl_success;
}

static dnnl_status_t md_create(md_handle *ret, int rank, const dnnl_dims_t dims,
                               dnnl_format_tag_t tag)
{
    dnnl_memory_desc_t md;
    dnnl_status_t status = dnnl_memory_desc_init_by_tag(&md, rank, dims, dnnl_f32, tag);
    return status == dnnl_success ? md_clone(ret, &md) : status;
}

static void md_free(md_handle md)
{
    free(md);
}

static dnnl_status_t append_sum(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_sum(ops, 1.0f);
}

static dnnl_status_t append_eltwise(dnnl_post_ops_t ops, dnnl_alg_kind_t kind)
{
    return dnnl_post_ops_append_eltwise(ops, 1.0f, kind, 0.0f, 0.0f);
}

static dnnl_status_t conv_pd(dnnl_primitive_desc_t *ret, dnnl_engine_t engine,
                             const md_handle md[4], const dnnl_dim_t *strides,
                             const dnnl_dim_t *dilates, const dnnl_dim_t *pad,
                             const dnnl_dim_t *pad_end, dnnl_primitive_attr_t attr)
{
    dnnl_convolution_desc_t desc;
    dnnl_status_t status = dnnl_dilated_convolution_forward_desc_init(
        &desc, dnnl_forward_inference, dnnl_convolution_direct, md[0], md[1], md[2], md[3], strides,
        dilates, pad, pad_end);
    if (status != dnnl_success) return status;
    return dnnl_primitive_desc_create(ret, &desc, attr, engine, NULL);
}

/* Of its implementations only F(4x4, 3x3) is faster than the direct one; it is never the first. */
static dnnl_status_t winograd_pd(dnnl_primitive_desc_t *ret, dnnl_engine_t engine,
                                 const md_handle md[4], const dnnl_dim_t *ones,
                                 dnnl_primitive_attr_t attr)
{
    dnnl_convolution_desc_t desc;
    dnnl_primitive_desc_iterator_t each = NULL;
    dnnl_status_t status =
        dnnl_convolution_forward_desc_init(&desc, dnnl_forward_inference, dnnl_convolution_winograd,
                                           md[0], md[1], md[2], md[3], ones, ones, ones);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_iterator_create(&each, &desc, attr, engine, NULL);
    while (status == dnnl_success) {
        const char *name = "";
        dnnl_primitive_desc_t pd = dnnl_primitive_desc_iterator_fetch(each);
        dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, (void *)&name);
        if (strstr(name, "wino_4x3")) {
            *ret = pd;
            break;
        }
        dnnl_primitive_desc_destroy(pd);
        status = dnnl_primitive_desc_iterator_next(each);
    }
    if (each) dnnl_primitive_desc_iterator_destroy(each);
    return status;
}

static dnnl_status_t linear_pd(dnnl_primitive_desc_t *ret, dnnl_engine_t engine,
                               const md_handle md[4], dnnl_primitive_attr_t attr)
{
    dnnl_inner_product_desc_t desc;
    dnnl_status_t status = dnnl_inner_product_forward_desc_init(&desc, dnnl_forward_inference,
                                                                md[0], md[1], md[2], md[3]);
    if (status != dnnl_success) return status;
    return dnnl_primitive_desc_create(ret, &desc, attr, engine, NULL);
}
#endif

#endif
