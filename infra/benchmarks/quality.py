"""How well a page's quality is told from its pixels, and what it costs.

    python -m infra.benchmarks.quality --seed 7 --count 40 [--fonts held-out]

Fresh specimens come in by each tier. On cards each defect is planted by itself; a verdict is missed where it
is not given then, and false where nothing was planted. Other papers (receipts, letters in a job of cards,
empty sheets, pictures without print) must get no verdict at all. Milliseconds are of CPU time of one thread.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

import numpy as np
from PIL import Image, ImageFilter

from pipeline.evaluation.metrics import wilson
from pipeline.quality.measuring import measure
from pipeline.quality.verdicts import VERDICTS
from pipeline.records import Pixels, Quality, Tier
from pipeline.specimens import make
from pipeline.specimens.defects import plant
from pipeline.specimens.tiers import TIERS
from schemas.spec import Paper

_CARDS = ("id_card_front", "id_card_back")
_OTHERS = ("receipt", "invoice", "other", "blank")


@dataclass
class Seen:
    """What was told of the pages."""

    tiers: Counter[tuple[str, str]] = field(default_factory=Counter)  # (true, told)
    found: Counter[tuple[str, str, bool]] = field(default_factory=Counter)  # (verdict, tier, given)
    false: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # (verdict, kind, tier)
    pages: Counter[tuple[str, str]] = field(default_factory=Counter)  # (kind, tier) without a defect
    wrong: list[str] = field(default_factory=list)  # a line for each mistake
    costs: dict[str, list[float]] = field(default_factory=dict)  # milliseconds by kind

    def measured(self, kind: str, pixels: Pixels, paper: Paper | None) -> Quality:
        began = time.thread_time()
        quality = measure(pixels, paper)
        self.costs.setdefault(kind, []).append(1000 * (time.thread_time() - began))
        if quality is None:
            raise SystemExit(f"a specimen of {kind} is too small to be a page")
        return quality


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--count", type=int, default=40, help="of each kind and tier")
    parser.add_argument("--fonts", default="both", choices=("both", "standard", "held-out"))
    parser.add_argument("--wrong", action="store_true", help="a line for each mistake as well")
    options = parser.parse_args()
    seen = Seen()
    for tier in TIERS:
        for number in range(options.count):
            seed = options.seed * 1_000_000 + number
            fonts = options.fonts if options.fonts != "both" else ("standard", "held-out")[number % 2]
            _look_at_cards(seen, tier, seed, fonts)
            _look_at_others(seen, tier, seed, fonts, number)
    for number in range(options.count):
        for name, picture in _pictures(Random(f"picture:{options.seed}:{number}")):
            _count_false(seen, name, "photo", seen.measured(name, picture, "card"), f"number {number}")
    _tell(seen)
    if options.wrong:
        print("", *seen.wrong, sep="\n")


def _look_at_cards(seen: Seen, tier: Tier, seed: int, fonts: str) -> None:
    for kind in _CARDS:
        pixels = make(kind, seed, preset=tier, fonts=fonts).pages[0].pixels
        quality = seen.measured(kind, pixels, "card")
        seen.tiers[tier, quality.tier] += 1
        _count_false(seen, kind, tier, quality, f"seed {seed} {fonts}")
        for verdict in VERDICTS:
            planted = plant(pixels, verdict, Random(f"{verdict}:{kind}:{tier}:{seed}"))
            quality = seen.measured(f"{kind} with a defect", planted, "card")
            seen.found[verdict, tier, verdict in quality.verdicts] += 1
            if verdict not in quality.verdicts:
                seen.wrong.append(f"missed {verdict}: {kind} {tier} seed {seed} {fonts}")


def _look_at_others(seen: Seen, tier: Tier, seed: int, fonts: str, number: int) -> None:
    for kind in _OTHERS:
        if kind == "invoice" and number % 4:
            continue  # they take as long to draw as all the others together
        paper: Paper | None = "card" if kind in ("other", "blank") else None
        pixels = make(kind, seed, preset=tier, fonts=fonts).pages[0].pixels
        quality = seen.measured(kind, pixels, paper)
        if kind != "blank":
            seen.tiers[tier, quality.tier] += 1
        _count_false(seen, kind, tier, quality, f"seed {seed} {fonts}")


def _count_false(seen: Seen, kind: str, tier: str, quality: Quality, which: str) -> None:
    seen.pages[kind, tier] += 1
    for verdict in quality.verdicts:
        seen.false[verdict, kind, tier] += 1
        seen.wrong.append(f"false {verdict}: {kind} {tier} {which}")


def _pictures(rng: Random) -> Iterator[tuple[str, Pixels]]:
    """What a camera sees where there is no paper: clouds of several sizes, and soft blots before them."""
    random = np.random.Generator(np.random.PCG64(rng.randrange(2**32)))
    width, height = rng.choice(((1280, 960), (960, 1280), (1012, 638)))
    total = np.zeros((height, width, 3), np.float32)
    for octave in range(1, 7):
        coarse = random.normal(0, 60 / octave, (2**octave + 1, 2**octave + 1, 3)).astype(np.float32)
        total += np.dstack(
            [
                np.asarray(
                    Image.fromarray(coarse[..., band]).resize((width, height), Image.Resampling.BICUBIC)
                )
                for band in range(3)
            ]
        )
    image = Image.fromarray(np.clip(total + rng.uniform(80, 170), 0, 255).astype(np.uint8))
    for _ in range(rng.randint(0, 12)):
        blot = Image.new("L", image.size, 0)
        x, y, side = rng.randrange(width), rng.randrange(height), rng.randint(20, 300)
        blot.paste(255, (x, y, x + side, y + rng.randint(20, 300)))
        colour = (rng.randrange(256), rng.randrange(256), rng.randrange(256))
        image.paste(colour, mask=blot.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 12))))
    yield "picture", np.asarray(image)


def _tell(seen: Seen) -> None:
    print("verdict        right where planted                by tier                          false on cards")
    for verdict in VERDICTS:
        by_tier = {
            tier: (seen.found[verdict, tier, True], seen.found[verdict, tier, False]) for tier in TIERS
        }
        right, missed = (sum(counts[at] for counts in by_tier.values()) for at in (0, 1))
        shares = ", ".join(f"{tier} {hit / max(1, hit + miss):.1%}" for tier, (hit, miss) in by_tier.items())
        false = sum(seen.false[verdict, kind, tier] for kind in _CARDS for tier in TIERS)
        pages = sum(seen.pages[kind, tier] for kind in _CARDS for tier in TIERS)
        print(f"{verdict:<12} {_share(right, right + missed)}   {shares}   {_share(false, pages)}")
    print("\nfalse on other pages (of no verdict at all)")
    for kind in (*_OTHERS, "picture"):
        pages = sum(count for (name, _), count in seen.pages.items() if name == kind)
        false = {v: n for v in VERDICTS if (n := sum(seen.false[v, kind, tier] for tier in TIERS))}
        print(f"{kind:<12} {pages} pages: {false or 'none'}")
    print("\ntier, told across")
    for true in TIERS:
        row = {told: seen.tiers[true, told] for told in TIERS}
        right = _share(row[true], sum(row.values()))
        print(f"{true:<8} {'  '.join(f'{told} {count}' for told, count in row.items())}   {right}")
    print("\nmilliseconds a page, median and 95th percentile")
    for kind, costs in seen.costs.items():
        median, high = np.percentile(costs, (50, 95))
        print(f"{kind:<28} {median:.1f}  {high:.1f}")


def _share(part: int, whole: int) -> str:
    found = wilson(part, whole)
    return (
        "none" if found is None else f"{part}/{whole} = {found.share:.1%} [{found.low:.1%}, {found.high:.1%}]"
    )


if __name__ == "__main__":
    main()
