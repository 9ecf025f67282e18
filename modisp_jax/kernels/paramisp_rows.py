"""The layers of ParamISP's networks over bands of rows, compiled by Numba; see ``paramisp.py`` for the networks.

A ring holds three rows of planes, pixel x at ``BORDER + x``, the border's pixels those of the edge. In the same places
are, for each colour, where a value lies in the table of the soft histograms: ``nodes``, where the row of the node below
it starts, and ``shares``, how far it is on the way to the next.
"""

import numpy as np

from modisp_jax.kernels.convolution import BORDER, CONVOLVED, around, convolve_chunk
from modisp_jax.kernels.rows import CHUNK, copy, index, kernel, mix

PLANES = 12
"""Of the features beside the soft histograms: image 3, slopes 6, over-exposure 3."""

PLACES = 3
"""Pixels that attention over places sees on either side."""

LEAST = np.float32(-20)
"""Under it ``exp(x) - 1`` is -1 in float32."""

LOG2E, LN2 = np.float32(np.log2(np.e)), np.float32(np.log(2))
TAYLOR = tuple(np.float32(1 / np.prod(np.arange(1, n + 1))) for n in range(2, 7))
T2, T3, T4, T5, T6 = TAYLOR


@kernel
def _exponential(x, y, bits, n):
    """``y = exp(min(x, 0))``: a power of two, put together of its ``bits``, times a polynomial of the rest."""
    powers = bits.view(np.float32)
    for p in range(n):
        v = x[p] if x[p] < np.float32(0) else np.float32(0)
        v = LEAST if v < LEAST else v
        bits[p] = np.int32(v * LOG2E - np.float32(0.5))  # rounds: what is cut off points to 0
        r = v - np.float32(bits[p]) * LN2
        y[p] = np.float32(1) + r * (np.float32(1) + r * (T2 + r * (T3 + r * (T4 + r * (T5 + r * T6)))))
    for p in range(n):
        bits[p] = (bits[p] + np.int32(127)) << np.int32(23)
    for p in range(n):
        y[p] *= powers[p]


@kernel
def elu_chunk(planes, x, scratch, bits, n):
    """ELU of the planes of a chunk, in place."""
    for c in range(planes):
        values = x[c * CHUNK : c * CHUNK + n]
        _exponential(values, scratch, bits, n)
        for p in range(n):
            values[p] = values[p] if not values[p] < np.float32(0) else scratch[p] - np.float32(1)


@kernel
def _repeat_edges(row, width):
    """Repeats the first and the last pixel of each plane of a row over its border."""
    for c in range(row.shape[0]):
        row[c, BORDER - 1] = row[c, BORDER]
        row[c, BORDER + width] = row[c, BORDER + width - 1]


@kernel
def feature_row(image, source, row, mask_start, grid, planes, nodes, shares, smooth, steep):
    """Row ``row`` of the features of ``image`` [H, W, 3], the over-exposure of ``source``, into a row of the ring.

    ``grid`` is (nodes in a unit, number of the node at 0, number of the last, numbers at a node).
    """
    height, width = image.shape[:2]
    above, below = max(row - 1, 0), min(row + 1, height - 1)
    steps, zero, last, size = np.float32(grid[0]), np.float32(grid[1]), np.float32(grid[2]), grid[3]
    nothing, quarter, half = np.float32(0), np.float32(0.25), np.float32(0.5)
    per_unit = np.float32(1) / (np.float32(1) - mask_start)
    for c in range(3):
        values = planes[c]
        for p in range(width):
            a, b, d = image[above, p, c], image[row, p, c], image[below, p, c]
            values[BORDER + p] = b
            smooth[p + 1] = quarter * a + half * b + quarter * d
            steep[p + 1] = d - a
            over = source[row, p, c] - mask_start
            planes[9 + c, BORDER + p] = nothing if over < nothing else over * per_unit
        smooth[0], smooth[width + 1] = smooth[1], smooth[width]
        steep[0], steep[width + 1] = steep[1], steep[width]
        across, down = planes[3 + 2 * c], planes[4 + 2 * c]
        for p in range(width):
            across[BORDER + p] = half * (smooth[p + 2] - smooth[p])
            down[BORDER + p] = half * (quarter * steep[p] + half * steep[p + 1] + quarter * steep[p + 2])
        for p in range(width):
            place = values[BORDER + p] * steps + zero
            place = place if place > nothing else nothing  # NaN, too: it spreads through the other planes
            place = place if place < last else last
            node = np.int32(place)
            nodes[c, BORDER + p] = node * size
            shares[c, BORDER + p] = place - np.float32(node)
        nodes[c, BORDER - 1], nodes[c, BORDER + width] = nodes[c, BORDER], nodes[c, BORDER + width - 1]
        shares[c, BORDER - 1], shares[c, BORDER + width] = shares[c, BORDER], shares[c, BORDER + width - 1]
    _repeat_edges(planes, width)


@kernel
def _look_up(table, nodes, shares, slots, start, step, outputs, sums, n):
    """``sums`` [n, outputs]: the soft histograms' part of a 3x3 convolution, from pixel ``start`` on, each ``step``-th.

    ``table`` [3 columns, 3 rows, 3 colours, nodes, 2, outputs], flat: what a tap and colour adds at a node, and how
    much more at the next. The histograms are linear in between, and of their 84 numbers at a pixel few are not zero.
    """
    part = len(table) // 27
    size = index(outputs)
    for p in range(n):
        total = index(p) * size
        for o in range(size):
            sums[total + o] = np.float32(0)
        for j in range(3):
            x = start + step * p + j
            for i in range(3):
                slot = slots[i]
                at = (3 * j + i) * 3 * part
                f0, f1, f2 = shares[slot, 0, x], shares[slot, 1, x], shares[slot, 2, x]
                u = index(at + nodes[slot, 0, x])
                v = index(at + part + nodes[slot, 1, x])
                w = index(at + 2 * part + nodes[slot, 2, x])
                for o in range(size):
                    s = table[u + o] + f0 * table[u + size + o] + table[v + o] + f1 * table[v + size + o]
                    sums[total + o] += s + table[w + o] + f2 * table[w + size + o]


@kernel
def _convolve_features(ring, nodes, shares, slots, start, step, weights, bias, table, x, y, sums, n):
    """``n`` pixels of a 3x3 convolution of the features: ``y`` [outputs, CHUNK]; the first tap is at ``start``."""
    outputs = len(bias)
    size = outputs * PLANES
    nothing = np.zeros(outputs, np.float32)
    for i in range(3):
        for j in range(3):
            for c in range(PLANES):
                line = ring[slots[i], c, start + j :]
                values = x[c * CHUNK : (c + 1) * CHUNK]
                if step == 1:
                    copy(line, values, n)
                else:
                    for p in range(n):
                        values[p] = line[2 * p]
            k = (3 * i + j) * size
            tap = i + j > 0
            mix(weights[k : k + size], nothing if tap else bias, PLANES, outputs, x, y, n, tap)
    _look_up(table, nodes, shares, slots, start, step, outputs, sums, n)
    for o in range(outputs):
        values = y[o * CHUNK : o * CHUNK + n]
        for p in range(n):
            values[p] += sums[p * outputs + o]


@kernel
def _buffers_of_features(width, outputs):
    """A ring, its nodes and its shares; rows between steps, and slots; chunks of planes, of results and of sums."""
    ring = np.zeros((3, PLANES, width + 2 * BORDER), np.float32)
    nodes = np.zeros((3, 3, width + 2 * BORDER), np.int32)
    shares = np.zeros((3, 3, width + 2 * BORDER), np.float32)
    smooth, steep, slots = np.empty(width + 2, np.float32), np.empty(width + 2, np.float32), np.zeros(3, np.int64)
    x, y = np.zeros(PLANES * CHUNK, np.float32), np.empty(outputs * CHUNK, np.float32)
    return ring, nodes, shares, smooth, steep, slots, x, y, np.empty(outputs * CHUNK, np.float32)


@kernel
def head_band(image, source, mask_start, grid, weights, bias, table, target, first, last):
    """3x3 convolution of the features on rows [first, last) of ``target`` [H, outputs, stride]."""
    (height, width), outputs = image.shape[:2], len(bias)
    ring, nodes, shares, smooth, steep, slots, x, y, sums = _buffers_of_features(width, outputs)
    for row in range(first - 1, last + 1):
        slot = (row + 3) % 3
        inside = min(max(row, 0), height - 1)
        feature_row(image, source, inside, mask_start, grid, ring[slot], nodes[slot], shares[slot], smooth, steep)
        done = row - 1
        if done < first:
            continue
        around(done, slots)
        for start in range(0, width, CHUNK):
            n = min(CHUNK, width - start)
            at = BORDER - 1 + start
            _convolve_features(ring, nodes, shares, slots, at, 1, weights, bias, table, x, y, sums, n)
            for c in range(outputs):
                copy(y[c * CHUNK :], target[done, c, BORDER + start :], n)


@kernel
def shrink_band(image, source, mask_start, grid, weights, bias, table, pooled, first, last):
    """3x3 convolution of stride 2 of the features, ELU, maxima of 2x2: rows of ``pooled`` [h, w, outputs]."""
    width, outputs = image.shape[1], len(bias)
    ring, nodes, shares, smooth, steep, slots, x, y, sums = _buffers_of_features(width, outputs)
    scratch, bits = np.empty(CHUNK, np.float32), np.empty(CHUNK, np.int32)
    for row in range(4 * first, 4 * last + 1):
        slot = row % 3
        feature_row(image, source, row, mask_start, grid, ring[slot], nodes[slot], shares[slot], smooth, steep)
        if row == 4 * first or row % 2:
            continue
        around(row - 1, slots)
        target = pooled[(row - 2) // 4]
        for start in range(0, 2 * pooled.shape[1], CHUNK):
            n = min(CHUNK, 2 * pooled.shape[1] - start)
            at = BORDER + 2 * start
            _convolve_features(ring, nodes, shares, slots, at, 2, weights, bias, table, x, y, sums, n)
            elu_chunk(outputs, y, scratch, bits, n)
            for p in range(n // 2):
                values = target[start // 2 + p]
                for c in range(outputs):
                    v = max(y[c * CHUNK + 2 * p], y[c * CHUNK + 2 * p + 1])
                    values[c] = v if row % 4 == 2 else max(v, values[c])


@kernel
def convolutions_band(source, rows, narrow, narrow_bias, wide, wide_bias, target, sums, largest, first, last):
    """A block's two convolutions on rows [first, last), with the sums and maxima [H, C] of its rows.

    They go to ``target`` [H, C, stride], or, of fewer rows, over and over to the same ones. ``rows`` [H + 2]: which
    row is read as -1, 0, .. H.
    """
    width = source.shape[2] - 2 * BORDER
    planes, hidden = source.shape[1], len(narrow_bias)
    ring = np.zeros((3, hidden, source.shape[2]), np.float32)
    slots = np.zeros(3, np.int64)
    x = np.zeros((planes + 1) * CHUNK, np.float32)
    y = np.empty(planes * CHUNK, np.float32)
    peaks = np.empty(planes * CHUNK, np.float32)
    scratch, bits = np.empty(CHUNK, np.float32), np.empty(CHUNK, np.int32)
    for row in range(first - 1, last + 1):
        slot = (row + 3) % 3
        for start in range(0, width, CONVOLVED):
            n = min(CONVOLVED, width - start)
            convolve_chunk(source, rows, rows[row + 1], start, narrow, narrow_bias, x, y, n)
            elu_chunk(hidden, y, scratch, bits, n)
            for c in range(hidden):
                copy(y[c * CHUNK :], ring[slot, c, BORDER + start :], n)
        _repeat_edges(ring[slot], width)
        done = row - 1
        if done < first:
            continue
        around(done, slots)
        for start in range(0, width, CONVOLVED):
            n = min(CONVOLVED, width - start)
            convolve_chunk(ring, slots, 0, start, wide, wide_bias, x, y, n)
            for c in range(planes):
                values, most = y[c * CHUNK : c * CHUNK + n], peaks[c * CHUNK : c * CHUNK + n]
                copy(values, target[done % len(target), c, BORDER + start :], n)
                total = np.float32(0)
                for p in range(n):
                    total += values[p]
                    most[p] = values[p] if start == 0 else max(most[p], values[p])
                sums[done, c] += np.float64(total)
        for c in range(planes):
            largest[done, c] = peaks[c * CHUNK : c * CHUNK + min(CONVOLVED, width)].max()


@kernel
def places_band(y, factor, places, first, last):
    """Mean and maximum over the channels of ``factor * y`` on rows of ``places`` [H, 2, width + 2 PLACES]."""
    width = y.shape[2] - 2 * BORDER
    planes = y.shape[1]
    share = np.float32(1 / planes)
    for row in range(first, last):
        mean, most = places[row, 0, PLACES:], places[row, 1, PLACES:]
        for c in range(planes):
            values = y[row, c, BORDER:]
            f = factor[c]
            if c == 0:
                for p in range(width):
                    v = f * values[p]
                    mean[p] = v * share
                    most[p] = v
            else:
                for p in range(width):
                    v = f * values[p]
                    mean[p] += v * share
                    most[p] = max(most[p], v)
        for k in range(2):
            line = places[row, k]
            line[:PLACES] = line[PLACES]
            line[PLACES + width :] = line[PLACES + width - 1]


@kernel
def attend_band(x, y, places, factor, weights, bias, first, last):
    """``x += factor y sigmoid(conv7x7(places))`` on rows [first, last); ``weights`` [2, 7, 7]."""
    height, planes = x.shape[:2]
    width = x.shape[2] - 2 * BORDER
    seen = np.empty(CHUNK, np.float32)
    scratch, bits = np.empty(CHUNK, np.float32), np.empty(CHUNK, np.int32)
    away = np.empty(CHUNK, np.float32)
    for row in range(first, last):
        for start in range(0, width, CHUNK):
            n = min(CHUNK, width - start)
            for p in range(n):
                seen[p] = bias
            for k in range(2):
                for i in range(7):
                    line = places[min(max(row + i - PLACES, 0), height - 1), k, start : start + n + 2 * PLACES]
                    w = weights[k, i]
                    w0, w1, w2, w3, w4, w5, w6 = w[0], w[1], w[2], w[3], w[4], w[5], w[6]
                    for p in range(n):
                        v = w0 * line[p] + w1 * line[p + 1] + w2 * line[p + 2] + w3 * line[p + 3]
                        seen[p] += v + w4 * line[p + 4] + w5 * line[p + 5] + w6 * line[p + 6]
            # Of -|v|, so that nothing overflows: 1 / (1 + e^-|v|) for v >= 0, e^-|v| / (1 + e^-|v|) else.
            for p in range(n):
                away[p] = -abs(seen[p])
            _exponential(away, scratch, bits, n)
            for p in range(n):
                above = np.float32(1) if seen[p] >= np.float32(0) else scratch[p]
                seen[p] = above / (np.float32(1) + scratch[p])
            for c in range(planes):
                target, values = x[row, c, BORDER + start :], y[row, c, BORDER + start :]
                f = factor[c]
                for p in range(n):
                    target[p] += f * values[p] * seen[p]


@kernel
def tail_band(source, rows, weights, bias, out, first, last):
    """3x3 convolution into rows [first, last) of an image [H, W, 3]; ``bias`` has a fourth number, of no use."""
    width = out.shape[1]
    x = np.zeros((source.shape[1] + 1) * CHUNK, np.float32)
    y = np.empty(len(bias) * CHUNK, np.float32)
    for row in range(first, last):
        for start in range(0, width, CONVOLVED):
            n = min(CONVOLVED, width - start)
            convolve_chunk(source, rows, row, start, weights, bias, x, y, n)
            for p in range(n):
                for c in range(3):
                    out[row, start + p, c] = y[c * CHUNK + p]
