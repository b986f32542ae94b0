"""Operations that PyTorch itself computes exactly, or in an order that no processor changes.

They move or compare numbers, or do one operation of IEEE 754 for each element. The few with sums
(pooling, gradients of indexing) add one number after another.
"""

from __future__ import annotations

_MOVING = """
    _adaptive_avg_pool2d _adaptive_avg_pool2d_backward
    _conj _copy_from _local_scalar_dense _neg_view _reshape_alias _reshape_copy _shape_as_tensor
    _to_copy _unsafe_view alias alias_copy as_strided as_strided_ as_strided_copy as_strided_scatter
    block_diag broadcast_to cat channel_shuffle chunk clone concat concatenate constant_pad_nd
    contiguous copy copy_ detach detach_ diag diag_embed diagonal diagonal_backward diagonal_copy
    diagonal_scatter dstack embedding embedding_dense_backward
    expand expand_copy fill fill_ flatten flip fliplr
    flipud gather hstack im2col index index_copy index_copy_ index_fill index_fill_ index_put
    index_put_ _index_put_impl_ _unsafe_index _unsafe_index_put index_select lift lift_fresh
    lift_fresh_copy masked_fill masked_fill_
    masked_scatter masked_scatter_ masked_select masked_select_backward moveaxis movedim narrow
    narrow_copy new_empty new_empty_strided new_full new_ones new_zeros nonzero nonzero_static
    permute permute_copy pixel_shuffle pixel_unshuffle put put_ ravel reflection_pad1d
    reflection_pad2d reflection_pad3d repeat
    repeat_interleave replication_pad1d
    replication_pad2d replication_pad3d reshape resize_ resize_as_ resolve_conj resolve_neg roll
    rot90 scatter scatter_ select
    select_backward select_copy select_scatter set_ slice slice_backward slice_copy slice_scatter
    split split_copy split_with_sizes split_with_sizes_copy squeeze squeeze_ squeeze_copy stack t
    t_ t_copy take take_along_dim tile transpose transpose_ transpose_copy tril tril_ tril_indices
    triu triu_ triu_indices unbind unbind_copy unflatten unfold unfold_copy unsafe_chunk
    unsafe_split unsafe_split_with_sizes unsqueeze unsqueeze_ unsqueeze_copy view view_as
    view_copy vstack where zero zero_
"""
_CREATING = """
    _efficientzerotensor empty empty_like empty_permuted empty_strided eye full full_like
    ones ones_like scalar_tensor zeros zeros_like
"""
_COMPARING = """
    all _is_all_true _is_any_true allclose amax amin any argmax argmin argsort bucketize
    clamp clamp_ clamp_max clamp_max_ clamp_min clamp_min_ clip clip_ count_nonzero cummax
    cummin eq eq_ equal fmax fmin ge ge_ gt gt_ heaviside is_nonzero
    is_same_size isfinite isin isinf isnan isneginf
    isposinf kthvalue le le_ lt lt_ max maximum median min minimum mode
    msort nanmedian ne ne_ searchsorted sign
    sign_ signbit sgn sgn_ sort topk unique_consecutive unique_dim _unique _unique2 aminmax
    logical_and logical_and_ logical_not logical_not_ logical_or logical_or_ logical_xor
    relu relu_ hardtanh hardtanh_ hardtanh_backward threshold threshold_ threshold_backward
    relu6 relu6_ _prelu_kernel hardshrink hardshrink_backward softshrink_backward
"""
_ARITHMETIC = """
    abs abs_ bitwise_and bitwise_and_ bitwise_left_shift bitwise_not bitwise_not_ bitwise_or
    bitwise_or_ bitwise_right_shift bitwise_xor bitwise_xor_ ceil ceil_ copysign copysign_ div div_
    __and__ __iand__ __or__ __ior__ __xor__ __ixor__ __lshift__ __rshift__ __ilshift__ __irshift__
    frac frexp.Tensor floor floor_ mul mul_ nan_to_num nan_to_num_ neg neg_
    positive reciprocal reciprocal_ round round_ trunc trunc_ nextafter
"""
_SUMMING = """
    _adaptive_avg_pool3d _adaptive_avg_pool3d_backward adaptive_max_pool2d
    adaptive_max_pool2d_backward adaptive_max_pool3d adaptive_max_pool3d_backward
    avg_pool2d avg_pool2d_backward avg_pool3d avg_pool3d_backward col2im
    max_pool2d_with_indices max_pool2d_with_indices_backward max_pool3d_with_indices
    max_pool3d_with_indices_backward reflection_pad1d_backward reflection_pad2d_backward
    reflection_pad3d_backward replication_pad1d_backward replication_pad2d_backward
    replication_pad3d_backward scatter_add scatter_add_ scatter_reduce scatter_reduce_
    unfold_backward upsample_nearest1d upsample_nearest1d_backward
    upsample_nearest2d upsample_nearest2d_backward upsample_nearest3d upsample_nearest3d_backward
    _upsample_nearest_exact2d _upsample_nearest_exact2d_backward
"""
_WHOLE = """
    add sub rsub sum prod cumsum cumprod mm bmm addmm mv dot fmod remainder floor_divide pow
    index_add bincount histc
"""
_DRAWING = """
    bernoulli bernoulli_ rand rand_like randint randint_like randperm random random_
"""

EXACT = frozenset(
    " ".join((_MOVING, _CREATING, _COMPARING, _ARITHMETIC, _SUMMING, _DRAWING)).split()
)

EXACT_OF_INTEGERS = frozenset(_WHOLE.split())
"""They are exact if all their numbers are integers."""
