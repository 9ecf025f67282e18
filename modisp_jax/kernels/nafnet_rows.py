"""The layers of a NAFNet over bands of rows, compiled by Numba; see ``nafnet.py`` for how they make the network."""

import numpy as np

from modisp_jax.kernels.rows import (
    CHUNK,
    copy,
    gate,
    gated_depthwise,
    kernel,
    load,
    mix,
    normalise,
    store,
    three_by_three,
)


@kernel
def _zero_border(planes, ring, slot, width):
    """Zeroes what lies left of the first pixel and right of the last in a row of the ring [3, planes, .]."""
    for c in range(planes):
        ring[slot, c, 0] = np.float32(0)
        ring[slot, c, width + 1 :] = np.float32(0)


@kernel
def to_ring(chunk, ring, slot, planes, to, n):
    """Copies a chunk into a row of the ring, from ``to`` on."""
    for c in range(planes):
        copy(chunk[c * CHUNK : c * CHUNK + n], ring[slot, c, to : to + n], n)


@kernel
def _expand(source, at, stride, planes, weights, bias, ring, slot, to, n, x, normal, wide, mean, scale):
    """Norm and 1x1 expansion of ``n`` pixels, into ``2 planes`` planes of a row of the ring."""
    load(source, at, stride, planes, x, n)
    normalise(planes, x, normal, mean, scale, n)
    mix(weights, bias, planes, 2 * planes, normal, wide, n, False)
    to_ring(wide, ring, slot, 2 * planes, to, n)


@kernel
def block_band(
    state, height, width, stride, planes, first, last, above, below, panel, sums, finish,
    expand1_k, expand1_b, depthwise_k, depthwise_b, project1_k, project1_b,
    expand2_k, expand2_b, project2_k, project2_b,
):  # fmt: skip
    """One NAF block on rows [first, last) of ``state`` [height, planes, stride], as far as the attention's sums or all.

    Pass one (``finish`` false) writes the sums over each row of the gated planes to ``sums`` [height, planes]; pass
    two computes them again, with the attention folded into ``project1``, and replaces the rows. Three expanded rows
    are kept in a ring, so that a row is replaced only after its neighbours have read it; ``above`` and ``below`` are
    the rows beyond the band, which another thread may have replaced already. So that the ring stays in cache, wide
    rows are worked on in panels of ``panel`` columns, of which the next one needs the last column as it was.
    """
    ring_stride = min(panel, width) + 2
    ring = np.zeros((3, 2 * planes, ring_stride), np.float32)
    slot_size = 2 * planes * ring_stride
    x = np.empty(planes * CHUNK, np.float32)
    normal = np.empty(planes * CHUNK, np.float32)
    gated = np.empty(planes * CHUNK, np.float32)
    wide = np.empty(2 * planes * CHUNK, np.float32)
    mean = np.empty(CHUNK, np.float32)
    scale = np.empty(CHUNK, np.float32)
    kept = np.empty((last - first + 2, planes), state.dtype)
    row_size = planes * stride
    for left in range(0, width, panel):
        right = min(left + panel, width)
        end = min(right + 1, width)  # the column behind the panel has not been replaced yet
        for row in range(first - 1, last + 1):
            slot = (row + 3) % 3
            if row < 0 or row >= height:
                ring[slot] = np.float32(0)
            else:
                source, at = state, row * row_size
                if row < first:
                    source, at = above, 0
                elif row >= last:
                    source, at = below, 0
                _zero_border(2 * planes, ring, slot, end - left)
                edge = kept[row - first + 1]
                if left > 0:
                    _expand(edge, 0, 1, planes, expand1_k, expand1_b, ring, slot, 0, 1, x, normal, wide, mean, scale)
                for c in range(planes):
                    edge[c] = source[at + c * stride + right - 1]
                for start in range(left, end, CHUNK):
                    n = min(CHUNK, end - start)
                    _expand(
                        source, at + start, stride, planes, expand1_k, expand1_b,
                        ring, slot, 1 + start - left, n, x, normal, wide, mean, scale,
                    )  # fmt: skip
            done = row - 1
            if done < first:
                continue
            for start in range(left, right, CHUNK):
                n = min(CHUNK, right - start)
                offset = start - left
                gated_depthwise(
                    depthwise_k, depthwise_b, planes, ring.reshape(-1),
                    (done + 2) % 3 * slot_size + offset, done % 3 * slot_size + offset,
                    (done + 1) % 3 * slot_size + offset, ring_stride, gated, n,
                )  # fmt: skip
                if not finish:
                    for c in range(planes):
                        sums[done * planes + c] += _total(gated[c * CHUNK : c * CHUNK + n])
                    continue
                at = done * row_size + start
                load(state, at, stride, planes, x, n)
                mix(project1_k, project1_b, planes, planes, gated, x, n, True)
                normalise(planes, x, normal, mean, scale, n)
                mix(expand2_k, expand2_b, planes, 2 * planes, normal, wide, n, False)
                gate(planes, wide, gated, n)
                mix(project2_k, project2_b, planes, planes, gated, x, n, True)
                store(x, planes, state, at, stride, n)


@kernel
def _total(values):
    total = np.float32(0)
    for p in range(len(values)):
        total += values[p]
    return np.float64(total)


@kernel
def _convolve(weights, bias, outputs, ring, done, start, y, n):
    """``n`` pixels from ``start`` of a 3x3 convolution of row ``done``; ``weights`` [outputs, the ring's planes, 9]."""
    planes = ring.shape[1]
    for o in range(outputs):
        for c in range(planes):
            k = (o * planes + c) * 9
            three_by_three(
                weights[k : k + 9],
                bias[o] if c == 0 else np.float32(0),
                ring[(done + 2) % 3, c, start : start + n + 2],
                ring[done % 3, c, start : start + n + 2],
                ring[(done + 1) % 3, c, start : start + n + 2],
                y[o * CHUNK : o * CHUNK + n],
                n,
                c > 0,
            )


@kernel
def in_conv_band(image, state, height, width, stride, planes, first, last, weights, bias):
    """3x3 convolution of ``image`` [h, w, 3], zero beyond it, on rows [first, last) of ``state``.

    ``weights`` [planes, 3 colours, 9 taps].
    """
    image_height, image_width = image.shape[:2]
    ring = np.zeros((3, 3, stride + 2), np.float32)
    y = np.empty(planes * CHUNK, np.float32)
    for row in range(first - 1, last + 1):
        slot = (row + 3) % 3
        if row < 0 or row >= image_height:
            ring[slot] = np.float32(0)
        else:
            for i in range(3):
                plane = ring[slot, i, 1 : image_width + 1]
                for p in range(image_width):
                    plane[p] = image[row, p, i]
        done = row - 1
        if done < first:
            continue
        for start in range(0, width, CHUNK):
            n = min(CHUNK, stride - start)
            _convolve(weights, bias, planes, ring, done, start, y, n)
            store(y, planes, state, done * planes * stride + start, stride, n)


@kernel
def out_conv_band(state, height, width, stride, planes, first, last, weights, bias, image, out, strength, low, high):
    """``out = (1 - s) image + s clip(image + conv3x3(state))`` on rows [first, last) of ``out`` [h, w, 3].

    ``weights`` [3 colours, planes, 9]. ``out`` may be ``image`` itself.
    """
    out_width = out.shape[1]
    ring = np.zeros((3, planes, stride + 2), np.float32)
    x = np.empty(planes * CHUNK, np.float32)
    y = np.empty(3 * CHUNK, np.float32)
    for row in range(first - 1, last + 1):
        slot = (row + 3) % 3
        if row < 0 or row >= height:
            ring[slot] = np.float32(0)
        else:
            for start in range(0, width, CHUNK):
                n = min(CHUNK, stride - start)
                load(state, row * planes * stride + start, stride, planes, x, n)
                to_ring(x, ring, slot, planes, 1 + start, n)
            _zero_border(planes, ring, slot, width)
        done = row - 1
        if done < first:
            continue
        for start in range(0, out_width, CHUNK):
            n = min(CHUNK, out_width - start)
            _convolve(weights, bias, 3, ring, done, start, y, n)
            for o in range(3):
                residual = y[o * CHUNK : o * CHUNK + n]
                for p in range(n):
                    before = image[done, start + p, o]
                    after = before + residual[p]
                    after = low if after < low else high if after > high else after
                    out[done, start + p, o] = (np.float32(1) - strength) * before + strength * after


@kernel
def down_band(source, source_stride, planes, target, width, stride, first, last, weights, bias):
    """2x2 convolution of stride 2 on rows [first, last) of ``target``.

    ``weights`` [outputs, (row, column, plane) of the window], ``bias`` [outputs].
    """
    outputs = len(bias)
    pairs = np.empty(2 * CHUNK * planes, np.float32)
    window = np.empty(4 * planes * CHUNK, np.float32)
    y = np.empty(outputs * CHUNK, np.float32)
    for row in range(first, last):
        for start in range(0, width, CHUNK):
            n = min(CHUNK, width - start)
            for i in range(2):
                at = (2 * row + i) * planes * source_stride + 2 * start
                for half in range(2):
                    # A chunk of pairs is two chunks of pixels.
                    m = min(CHUNK, 2 * n - half * CHUNK)
                    if m > 0:
                        load(source, at + half * CHUNK, source_stride, planes, pairs, m)
                        for c in range(planes):
                            to = (2 * i * planes + c) * CHUNK + half * CHUNK // 2
                            even = window[to : to + m // 2]
                            odd = window[to + planes * CHUNK : to + planes * CHUNK + m // 2]
                            pair = pairs[c * CHUNK : c * CHUNK + m]
                            for p in range(m // 2):
                                even[p] = pair[2 * p]
                                odd[p] = pair[2 * p + 1]
            mix(weights, bias, 4 * planes, outputs, window, y, n, False)
            store(y, outputs, target, row * outputs * stride + start, stride, n)


@kernel
def up_band(source, source_stride, planes, target, width, stride, first, last, weights, bias):
    """Adds the pixel shuffle of a 1x1 convolution of rows [first, last) of ``source`` [., planes, .] to ``target``.

    ``target`` has twice the rows; ``width`` is the source's. ``weights`` [4 outputs, planes] and ``bias`` in the order
    (row in the pair, plane, column in the pair).
    """
    outputs = len(bias) // 4
    x = np.empty(planes * CHUNK, np.float32)
    y = np.empty(4 * outputs * CHUNK, np.float32)
    pairs = np.empty(outputs * CHUNK, np.float32)
    for row in range(first, last):
        for start in range(0, width, CHUNK // 2):
            n = min(CHUNK // 2, width - start)
            load(source, row * planes * source_stride + start, source_stride, planes, x, n)
            mix(weights, bias, planes, 4 * outputs, x, y, n, False)
            for i in range(2):
                at = (2 * row + i) * outputs * stride + 2 * start
                load(target, at, stride, outputs, pairs, 2 * n)
                for c in range(outputs):
                    left = y[(i * outputs + c) * 2 * CHUNK : ((i * outputs + c) * 2 + 1) * CHUNK]
                    right = y[((i * outputs + c) * 2 + 1) * CHUNK : ((i * outputs + c) * 2 + 2) * CHUNK]
                    pair = pairs[c * CHUNK : (c + 1) * CHUNK]
                    for p in range(n):
                        pair[2 * p] += left[p]
                        pair[2 * p + 1] += right[p]
                store(pairs, outputs, target, at, stride, 2 * n)
