"""The GPU's own kernels, by Triton's interpreter, beside the operations that they stand for."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("triton")

BEGIN = """
import math, torch
from pipeline.vintern import fused, language, sampler, values, vision
torch.manual_seed(0)


def near(found, expected):
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


assert fused.available(torch.device("cpu"))
"""


def interpreted(code: str) -> None:
    """In a process of its own: Triton decides when it is imported whether it compiles."""
    run = subprocess.run(
        [sys.executable, "-c", BEGIN + textwrap.dedent(code)],
        env={"TRITON_INTERPRET": "1", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-2000:]


@pytest.mark.slow
def test_norm_rotation_and_gate() -> None:
    interpreted(
        """
        for dtype, near in ((torch.float32, 1e-6), (torch.float16, 2e-3)):
            hidden, added = torch.randn(2, 5, 96, dtype=dtype), torch.randn(2, 5, 96, dtype=dtype)
            weight = torch.randn(96, dtype=dtype)
            plain = language.RMSNorm(96, 1e-6).to(dtype)
            plain.weight.data = weight
            total, normed = fused.add_norm(hidden, added, weight, 1e-6)
            assert torch.equal(total, hidden + added)
            torch.testing.assert_close(normed, plain(hidden + added), atol=near, rtol=near)
            torch.testing.assert_close(fused.norm(hidden, weight, 1e-6), plain(hidden), atol=near, rtol=near)

            states = torch.randn(2, 5, 7, 32, dtype=dtype).transpose(1, 2)[:, :6]
            rotation = language.rotary(torch.arange(10).view(2, 5), 32, 1e4, dtype)
            torch.testing.assert_close(
                fused.rotate(states, rotation), language.rotate(states, rotation), atol=near, rtol=near
            )
            scale, bias = torch.randn(96, dtype=dtype), torch.randn(96, dtype=dtype)
            plain = torch.nn.LayerNorm(96, eps=1e-6, dtype=dtype)
            plain.weight.data, plain.bias.data = weight, bias
            for found, expected in zip(
                fused.scale_add_norm(hidden, added, scale, plain),
                vision.add_norm(hidden, added, scale, plain),
                strict=True,
            ):
                torch.testing.assert_close(found, expected, atol=2 * near, rtol=2 * near)
            torch.testing.assert_close(
                fused.gelu(hidden), torch.nn.functional.gelu(hidden), atol=near, rtol=near
            )
            both = torch.randn(3, 4, 2 * 1500, dtype=dtype)
            torch.testing.assert_close(fused.gate(both), language.gate(both), atol=near, rtol=near)
        """
    )


@pytest.mark.slow
@pytest.mark.parametrize(("splits", "most"), [(1, 3), (4, 3), (2, 40)])
def test_attention_over_slots(splits: int, most: int) -> None:
    """Requests with no token, with some, with all of their slot; what lies behind is no number."""
    interpreted(
        f"""
        most, splits = {most}, {splits}
        heads, kv_heads, width, length = 6, 2, 32, 200
        counts, filled, slots = [3, 0, 1, most], [200, 1, 77, max(most, 64)], [0, 4, 2, 1]
        n = sum(counts) + 2  # and padding
        keys, values = (torch.full((5 * length, kv_heads, width), math.nan) for _ in range(2))
        places = torch.cat([slot * length + torch.arange(full) for slot, full in zip(slots, filled)])
        fused.write(keys, values, places, *torch.randn(2, len(places), kv_heads, width))
        assert not keys[places].isnan().any() and keys.isnan().any()
        query = torch.randn(heads, n, width).transpose(0, 1)
        starts = torch.tensor([0, *torch.tensor(counts).cumsum(0)], dtype=torch.int32)
        where = torch.tensor([slot * length for slot in slots], dtype=torch.int32)
        mixed, sums = fused.attend(
            query, keys, values, starts, where, torch.tensor(filled, dtype=torch.int32), most, splits
        )
        for count, full, slot, start in zip(counts, filled, slots, starts):
            for token in range(count):
                seen = slice(slot * length, slot * length + full - count + token + 1)
                asked = query[start + token]
                shared = heads // kv_heads
                here, carried = (each[seen].repeat_interleave(shared, 1) for each in (keys, values))
                scores = torch.einsum("hd,khd->hk", asked, here) / width**0.5
                found = torch.einsum("hk,khd->hd", scores.softmax(1), carried)
                near(mixed[start + token], found)
                near(sums[start + token], scores.logsumexp(1))

        owners = torch.tensor(slots).repeat_interleave(torch.tensor(counts))
        owners, cells = torch.cat([owners, torch.tensor([0, 0])]), 150
        looked = fused.seen(query, sums, keys.view(5, length, kv_heads, width), owners, 5, cells)
        assert looked.shape == (n, cells)
        for full, slot, start, count in zip(filled, slots, starts, counts):
            last = int(start) + count - 1
            if count and full > 5 + cells:
                there = keys[slot * length + 5 : slot * length + 5 + cells].repeat_interleave(shared, 1)
                scores = torch.einsum("hd,khd->hk", query[last], there) / width**0.5
                expected = (scores - sums[last][:, None]).exp().mean(0)
                near(looked[last], expected)
        assert looked[:, length - 5 :].eq(0).all()
        """
    )


@pytest.mark.slow
def test_choice_and_probabilities() -> None:
    interpreted(
        """
        rows, vocabulary = 7, 9000
        logits = 3 * torch.randn(rows, vocabulary)
        logits[2, 100] = logits[2, 8000] = 50  # of equal ones the lowest
        logits[3, 5] = math.nan
        masks = torch.randint(-(2**31), 2**31, (rows, 282), dtype=torch.int64).int()
        masks[2] = -1
        masks[4] = 0
        masks[4, 3] = 2
        masks[5] = 0  # nothing is allowed
        for given in (None, masks):
            found, expected = fused.choose(logits, given), sampler.choose(logits, given)
            whole = [row for row in range(rows) if row != 3]
            told = whole if given is None else [row for row in whole if row != 5]
            assert torch.equal(found[0, told], expected[0, told])
            near(found[1:3, told], expected[1:, told])
            assert not found[1:3, 3].isfinite().all()
            near(found[3, whole], logits[whole].logsumexp(1).double())
        assert found[1, 5].isnan()

        unmasked = object.__new__(values.Unmasked)
        unmasked._group = torch.randint(0, 40, (vocabulary,), dtype=torch.int32)
        unmasked._counts_alone = torch.rand(vocabulary) < 0.3
        held = torch.tensor([1, 1, 0, 0, 1, 0, 1]).bool()
        beside = fused.together(logits, found, held, unmasked._group, unmasked._counts_alone)
        plain = unmasked.beside(logits, expected.clone(), held)
        told = [0, 1, 2, 4, 6]
        near(beside[:, told], plain[:, told])
        """
    )
