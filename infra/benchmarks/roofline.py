"""What a card could read: predicted from the metered passes, and at most, from sizes and token counts.

    python -m infra.benchmarks.roofline                                 a prediction for five cards
    python -m infra.benchmarks.roofline --papers                        bounds of an H200, by kind of paper
    python -m infra.benchmarks.roofline --papers --tflops 660 --bandwidth 2.9    another card's
    python -m infra.benchmarks.roofline --papers --tokens FILE          as `tokens --json FILE` writes it

The prediction runs the engine's own passes at Vintern-1B's size on tensors that have no contents
(`infra.meter`) and says what each step of the way is worth: pages of 7 tiles, 250 tokens.

The bounds are computed: nothing is run, and nothing here was measured on a card. Vision and prefill are bound
by arithmetic, decoding by reading the weights once a step and the keys and values of every row. Beside them
stands what the CPU needs for the grammar's masks: the steps of a page at their mean cost, shared by
--threads. At best that is hidden behind the card's own work; the slower of the two then decides.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

# Sizes of Vintern-1B-v3_5 (its base InternVL2.5-1B, as printed): InternViT-300M and Qwen2.5-0.5B.
_TILE_TFLOP = 0.726  # of the vision tower: linear 0.619, attention 0.103
_VISUAL = 256  # tokens of a tile
_BODY = 357_898_112  # parameters of the language model's layers: two operations a parameter and token
_HEAD = 135_882_880  # parameters of lm_head, for decoded tokens only
_KV_BYTES = 12_288  # of a token's keys and values, 16 bits
_SYSTEM = 60  # tokens of system message and template

# question, decoded, forced (infra/benchmarks/README.md), and what masks cost a row and step, µs of CPU, mean:
# by llguidance alone, and remembered.
PAPERS = {
    "ID card": (135, 83, 48, 400, 57),
    "receipt": (138, 155, 55, 514, 22),
    "invoice of 10 lines": (222, 694, 339, 611, 41),
    "invoice of 30 lines": (222, 1641, 818, 548, 58),
}


@dataclass(frozen=True)
class Page:
    """Milliseconds of one page on a card that does nothing else, and of one CPU thread for its masks."""

    vision: float
    prefill: float
    decode: float
    masks_before: float
    masks: float

    @property
    def card(self) -> float:
        return self.vision + self.prefill + self.decode


def page(paper: tuple[int, int, int, float, float], tiles: int, card: argparse.Namespace) -> Page:
    question, decoded, forced, plain, remembered = paper
    flops, bandwidth = card.tflops * 1e12, card.bandwidth * 1e12
    prompt = _SYSTEM + question + _VISUAL * tiles
    read = _KV_BYTES * (prompt + (decoded + forced) / 2)  # by a step, half way through the answer
    weights = 2 * (_BODY + _HEAD) / card.batch
    return Page(
        vision=1e3 * tiles * _TILE_TFLOP * 1e12 / flops,
        prefill=1e3 * 2 * _BODY * (prompt + forced) / flops,
        decode=1e3 * decoded * (read + weights) / bandwidth,
        masks_before=decoded * plain / 1e3,
        masks=decoded * remembered / 1e3,
    )


def main() -> None:
    card = _options()
    if not card.papers:
        _predict()
        return
    papers = dict(PAPERS)
    if card.tokens:
        found = json.loads(Path(card.tokens).read_text("utf-8"))
        papers |= {name: (row["question"], row["decoded"], row["forced"], *papers[name][3:])
                   for name, row in found.items() if name in papers}  # fmt: skip
    print(f"{card.tflops:g} TFLOP/s, {card.bandwidth:g} TB/s, {card.batch} rows, {card.threads} CPU threads")
    heads = (
        "",
        "tiles",
        "vision ms",
        "prefill",
        "decode",
        "pages/s",
        "masks ms: before",
        "now",
        "pages/s with masks",
    )
    print(" | ".join(heads))
    for name, paper in papers.items():
        for tiles in (7, 13):
            one = page(paper, tiles, card)
            before, now = (
                1e3 / max(one.card, masks / card.threads) for masks in (one.masks_before, one.masks)
            )
            print(
                f"{name} | {tiles} | {one.vision:.2f} | {one.prefill:.2f} | {one.decode:.2f}",
                f"{1e3 / one.card:.0f} | {one.masks_before:.0f} | {one.masks:.0f} | {before:.0f} → {now:.0f}",
                sep=" | ",
            )


def _predict() -> None:
    from infra.meter import prediction

    counts = prediction.Counts.metered()
    found = [prediction.ladder(card, counts) for card in prediction.CARDS]
    print("PREDICTED, not measured: pages a second (7 tiles, 250 tokens), each line with those above it")
    print(f"{'':30}" + "".join(f"{card.name:>8}" for card in prediction.CARDS))
    for line in found[0]:
        print(f"{line:30}" + "".join(f"{column[line]:8.1f}" for column in found))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--papers", action="store_true", help="bounds by kind of paper")
    parser.add_argument("--tflops", type=float, default=788.0, help="of 16-bit products, sustained")
    parser.add_argument("--bandwidth", type=float, default=4.3, help="TB/s of the card's memory, sustained")
    parser.add_argument("--batch", type=int, default=256, help="rows decoded together")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads that compute masks")
    parser.add_argument("--tokens", help="JSON of infra.benchmarks.tokens")
    return parser.parse_args()


if __name__ == "__main__":
    main()
