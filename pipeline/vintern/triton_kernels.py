"""The GPU's own kernels, in Triton. `fused` calls them; for tests Triton's interpreter runs them on a CPU.

Each rounds where the operations that it replaces round (`language`, `vision`, `sampler`, `values`): sums
differ by their order alone. Attention keeps a running maximum and a running sum of exponentials for each
query row, as Flash Attention does (Dao et al. 2022, arXiv:2205.14135); the query heads that share a key head
are rows of one product, so that keys and values are read once for all of them.
"""

from __future__ import annotations

from collections.abc import Callable

import triton
import triton.language as tl

power: Callable[[int], int] = triton.next_power_of_2  # blocks are as long
FORBIDDEN = tl.constexpr(-1e30)  # as `sampler.FORBIDDEN`
_LEAST = tl.constexpr(-3e38)


@triton.jit
def add_norm(
    hidden, added, weight, total, normed, width, eps, ADD: tl.constexpr, BLOCK: tl.constexpr
):  # one row of `width` numbers a program
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    there = at < width
    found = tl.load(hidden + row * width + at, mask=there, other=0.0)
    kind = found.dtype
    if ADD:
        more = tl.load(added + row * width + at, mask=there, other=0.0)
        found = (found.to(tl.float32) + more.to(tl.float32)).to(kind)
        tl.store(total + row * width + at, found, mask=there)
    wide = found.to(tl.float32)
    scale = tl.rsqrt(tl.sum(wide * wide, 0) / width + eps)
    weights = tl.load(weight + at, mask=there, other=0.0).to(tl.float32)
    scaled = (wide * scale).to(kind).to(tl.float32)
    tl.store(normed + row * width + at, (weights * scaled).to(kind), mask=there)


@triton.jit
def scale_add_norm(
    hidden, added, scale, weight, bias, total, normed, width, eps, BLOCK: tl.constexpr
):  # of vision: LayerNorm of hidden + added · scale, one row a program
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    there = at < width
    found = tl.load(hidden + row * width + at, mask=there, other=0.0)
    kind = found.dtype
    more = tl.load(added + row * width + at, mask=there, other=0.0).to(tl.float32)
    found = (found.to(tl.float32) + more * tl.load(scale + at, mask=there, other=0.0).to(tl.float32)).to(kind)
    tl.store(total + row * width + at, found, mask=there)
    wide = found.to(tl.float32)
    apart = tl.where(there, wide - tl.sum(wide, 0) / width, 0.0)
    spread = tl.rsqrt(tl.sum(apart * apart, 0) / width + eps)
    weights = tl.load(weight + at, mask=there, other=0.0).to(tl.float32)
    shift = tl.load(bias + at, mask=there, other=0.0).to(tl.float32)
    tl.store(normed + row * width + at, (apart * spread * weights + shift).to(kind), mask=there)


@triton.jit
def gelu(given, out, count, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = at < count
    found = tl.load(given + at, mask=there, other=0.0)
    wide = found.to(tl.float32)
    tl.store(out + at, (0.5 * wide * (1.0 + tl.erf(wide * 0.7071067811865476))).to(found.dtype), mask=there)


@triton.jit
def rotate(
    states, cosine, sine, turned, heads, row_stride, head_stride, HALF: tl.constexpr, BLOCK: tl.constexpr
):  # one token a program: [heads, 2 · HALF] of it
    row = tl.program_id(0).to(tl.int64)
    head = tl.arange(0, BLOCK)[:, None]
    at = tl.arange(0, HALF)[None, :]
    there = head < heads
    given = states + row * row_stride + head * head_stride + at
    first, second = tl.load(given, mask=there), tl.load(given + HALF, mask=there)
    angle = row * 2 * HALF + at
    cos_first, cos_second = tl.load(cosine + angle), tl.load(cosine + angle + HALF)
    sin_first, sin_second = tl.load(sine + angle), tl.load(sine + angle + HALF)
    kind = first.dtype
    one, other = first.to(tl.float32), second.to(tl.float32)
    kept_first = (one * cos_first.to(tl.float32)).to(kind).to(tl.float32)
    kept_second = (other * cos_second.to(tl.float32)).to(kind).to(tl.float32)
    to = turned + row * heads * 2 * HALF + head * 2 * HALF + at
    tl.store(to, (kept_first + other * sin_first.to(tl.float32)).to(kind), mask=there)
    tl.store(to + HALF, (kept_second + one * sin_second.to(tl.float32)).to(kind), mask=there)


@triton.jit
def gate(both, out, width, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    there = at < width
    first = tl.load(both + row * 2 * width + at, mask=there, other=0.0)
    second = tl.load(both + row * 2 * width + width + at, mask=there, other=0.0)
    wide = first.to(tl.float32)
    silu = (wide / (1.0 + tl.exp(-wide))).to(first.dtype).to(tl.float32)
    tl.store(out + row * width + at, (silu * second.to(tl.float32)).to(first.dtype), mask=there)


@triton.jit
def write(
    keys, values, places, key, value,
    key_row, key_head, value_row, value_head, kv_heads,
    WIDTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    head, at = tl.arange(0, BLOCK)[:, None], tl.arange(0, WIDTH)[None, :]
    there = (head < kv_heads) & (at < WIDTH)
    to = tl.load(places + row) * kv_heads * WIDTH + head * WIDTH + at
    tl.store(keys + to, tl.load(key + row * key_row + head * key_head + at, mask=there), mask=there)
    tl.store(values + to, tl.load(value + row * value_row + head * value_head + at, mask=there), mask=there)


@triton.jit
def attend(
    query, keys, values, out, sums, starts, slots, filled,
    scale, tokens, query_row, query_head, kv_heads,
    SHARED: tl.constexpr, WIDTH: tl.constexpr, SPLITS: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr,
):  # fmt: skip
    """ROWS query rows of one request and key head, over one of SPLITS parts of the request's keys.

    out [SPLITS, tokens, heads, WIDTH], sums float32 [SPLITS, tokens, heads].
    """
    request, tile = tl.program_id(0), tl.program_id(1)
    kv_head, split = tl.program_id(2) // SPLITS, tl.program_id(2) % SPLITS
    start = tl.load(starts + request)
    count = tl.load(starts + request + 1) - start
    if tile * ROWS >= count * SHARED:
        return
    full = tl.load(filled + request)
    slot = tl.load(slots + request).to(tl.int64)
    row = tile * ROWS + tl.arange(0, ROWS)
    token, head = row // SHARED, kv_head * SHARED + row % SHARED
    real = token < count
    last = full - count + token  # the last key that a row sees
    width = tl.arange(0, WIDTH)
    at = (start + token).to(tl.int64)
    asked = tl.load(
        query + at[:, None] * query_row + head[:, None] * query_head + width[None, :],
        mask=real[:, None],
        other=0.0,
    )
    end = tl.minimum(full, full - count + (tile * ROWS + ROWS - 1) // SHARED + 1)
    part = tl.cdiv(tl.cdiv(full, SPLITS), KEYS) * KEYS
    low, high = split * part, tl.minimum(split * part + part, end)
    best = tl.full([ROWS], _LEAST, tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    mixed = tl.zeros([ROWS, WIDTH], tl.float32)
    step = tl.arange(0, KEYS)
    base = slot * kv_heads * WIDTH + kv_head * WIDTH
    for first in range(low, high, KEYS):
        place = first + step
        inside = place < high
        where = base + place[:, None].to(tl.int64) * kv_heads * WIDTH + width[None, :]
        key = tl.load(keys + where, mask=inside[:, None], other=0.0)
        score = tl.dot(asked, tl.trans(key), input_precision="ieee") * (scale * 1.4426950408889634)
        score = tl.where(inside[None, :] & (place[None, :] <= last[:, None]), score, float("-inf"))
        above = tl.maximum(best, tl.max(score, 1))
        weight = tl.exp2(score - above[:, None])
        shrink = tl.exp2(best - above)
        total = total * shrink + tl.sum(weight, 1)
        value = tl.load(values + where, mask=inside[:, None], other=0.0)
        mixed = mixed * shrink[:, None] + tl.dot(weight.to(value.dtype), value, input_precision="ieee")
        best = above
    some = total > 0
    mixed = mixed / tl.where(some, total, 1.0)[:, None]
    log = tl.where(some, (best + tl.log2(tl.where(some, total, 1.0))) * 0.6931471805599453, float("-inf"))
    cell = (split * tokens + at) * kv_heads * SHARED + head
    tl.store(out + cell[:, None] * WIDTH + width[None, :], mixed.to(out.dtype.element_ty), mask=real[:, None])
    tl.store(sums + cell, log, mask=real)


@triton.jit
def combine(
    parts, part_sums, out, sums, rows, SPLITS: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr
):
    """parts float32 [SPLITS, rows, WIDTH], each a mean by weights whose sums' logarithms are part_sums."""
    row = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = row < rows
    width = tl.arange(0, WIDTH)
    best = tl.full([BLOCK], _LEAST, tl.float32)
    for split in tl.static_range(SPLITS):
        best = tl.maximum(best, tl.load(part_sums + split * rows + row, mask=there, other=0.0))
    total = tl.zeros([BLOCK], tl.float32)
    mixed = tl.zeros([BLOCK, WIDTH], tl.float32)
    for split in tl.static_range(SPLITS):
        weight = tl.exp(tl.load(part_sums + split * rows + row, mask=there, other=0.0) - best)
        part = tl.load(
            parts + (split * rows + row)[:, None] * WIDTH + width[None, :], mask=there[:, None], other=0.0
        )
        # A part that no token of this row looks at was not computed where the row itself is not.
        mixed += tl.where(weight[:, None] > 0, part * weight[:, None], 0.0)
        total += weight
    tl.store(
        out + row[:, None] * WIDTH + width[None, :],
        (mixed / total[:, None]).to(out.dtype.element_ty),
        mask=there[:, None],
    )
    tl.store(sums + row, best + tl.log(total), mask=there)


@triton.jit
def seen(
    query, sums, keys, owners, out,
    scale, query_row, query_head, kv_heads, length, start, cells,
    SHARED: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """How much a token looked at BLOCK cells of its slot from `start`, the mean over heads."""
    row = tl.program_id(0).to(tl.int64)
    cell = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    place = start + cell
    there = (cell < cells) & (place < length)
    slot = tl.load(owners + row).to(tl.int64)
    width = tl.arange(0, WIDTH)
    shared = tl.arange(0, ROWS)
    real = shared < SHARED
    found = tl.zeros([BLOCK], tl.float32)
    for kv_head in range(kv_heads):
        head = kv_head * SHARED + shared
        asked = tl.load(
            query + row * query_row + head[:, None] * query_head + width[None, :],
            mask=real[:, None],
            other=0.0,
        )
        where = ((slot * length + place[:, None]) * kv_heads + kv_head) * WIDTH + width[None, :]
        key = tl.load(keys + where, mask=there[:, None], other=0.0)
        score = tl.dot(asked, tl.trans(key), input_precision="ieee") * scale
        total = tl.load(sums + row * kv_heads * SHARED + head, mask=real, other=0.0)
        found += tl.sum(tl.where(real[:, None], tl.exp(score - total[:, None]), 0.0), 0)
    found = tl.where(there, found / (kv_heads * SHARED), 0.0)
    tl.store(out + row * cells + cell, found, mask=cell < cells)


@triton.jit
def choose(
    logits, masks, out, row_stride, rows, vocabulary, words, MASKED: tl.constexpr, BLOCK: tl.constexpr
):
    """One row a program; out float64 [4, rows]: token, its probability under the mask and among all, and the
    logarithm of the sum of all exponentials. Each lane keeps the best of the tokens that it saw.
    """
    row = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    best = tl.full([BLOCK], _LEAST, tl.float32)
    token = tl.full([BLOCK], 0, tl.int32)
    allowed_sum = tl.zeros([BLOCK], tl.float32)
    top = tl.full([BLOCK], _LEAST, tl.float32)
    every_sum = tl.zeros([BLOCK], tl.float32)
    for first in range(0, vocabulary, BLOCK):
        at = first + lane
        there = at < vocabulary
        plain = tl.load(logits + row * row_stride + at, mask=there, other=float("-inf")).to(tl.float32)
        above = tl.maximum(top, plain)
        every_sum = every_sum * tl.exp(top - above) + tl.exp(plain - above)
        top = above
        score = plain
        if MASKED:
            word = tl.load(masks + row * words + at // 32, mask=there, other=0)
            score = tl.where(((word >> (at % 32)) & 1) == 1, plain, plain + FORBIDDEN)
            score = tl.where(there, score, float("-inf"))
        higher = score > best
        above = tl.where(higher, score, best)
        allowed_sum = allowed_sum * tl.exp(best - above) + tl.exp(score - above)
        token = tl.where(higher, at, token)
        best = above
    winner, highest = tl.max(best, 0), tl.max(top, 0)
    chosen = tl.min(tl.where(best == winner, token, vocabulary), 0)
    chosen = tl.where(chosen < vocabulary, chosen, 0)
    allowed = tl.sum(allowed_sum * tl.exp(best - winner), 0)
    log_sum = highest + tl.log(tl.sum(every_sum * tl.exp(top - highest), 0))
    probability = tl.where(winner > FORBIDDEN / 2, 1.0 / allowed, float("nan"))
    raw = tl.load(logits + row * row_stride + chosen).to(tl.float32)
    tl.store(out + row, chosen.to(tl.float64))
    tl.store(out + rows + row, probability.to(tl.float64))
    tl.store(out + 2 * rows + row, tl.exp(raw - log_sum).to(tl.float64))
    tl.store(out + 3 * rows + row, log_sum.to(tl.float64))


@triton.jit
def together(logits, chosen, held, group, alone, out, row_stride, rows, vocabulary, BLOCK: tl.constexpr):
    """Into out's third row, of rows that are `held`: the probability among all of all tokens of the chosen
    one's group, unless it counts alone. chosen and out as of `choose`.
    """
    row = tl.program_id(0).to(tl.int64)
    token = tl.load(chosen + row).to(tl.int64)
    if tl.load(held + row) == 0:
        return
    if tl.load(alone + token) != 0:
        return
    own = tl.load(group + token)
    log_sum = tl.load(chosen + 3 * rows + row).to(tl.float32)
    lane = tl.arange(0, BLOCK)
    found = tl.zeros([BLOCK], tl.float32)
    for first in range(0, vocabulary, BLOCK):
        at = first + lane
        there = at < vocabulary
        mine = there & (tl.load(group + at, mask=there, other=-1) == own)
        plain = tl.load(logits + row * row_stride + at, mask=mine, other=float("-inf")).to(tl.float32)
        found += tl.where(mine, tl.exp(plain - log_sum), 0.0)
    share = tl.sum(found, 0)
    # Of two sums that are equal but for rounding the part may come out as the greater one.
    tl.store(out + 2 * rows + row, tl.minimum(share, 1.0).to(tl.float64))
