"""Measures of one answer beside those that people gave, each 0 to 1 but CIDEr.

They are computed over words as `words.plain` has them, and so as the reference implementations compute them
over the same words: tests hold them against pycocoevalcap 1.2 (BLEU, ROUGE-L, CIDEr), SQuAD's script (EM, F1)
and the package anls.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import LCSseq, Levenshtein

Floats = npt.NDArray[np.float64]
ORDERS = 4  # of n-grams
_BETA = 1.2  # of ROUGE-L, as in the COCO caption evaluation: recall weighs more
_ANLS_LEAST = 0.5
_SIGMA = 6.0  # of CIDEr-D's penalty of another length
_TINY, _SMALL = 1e-15, 1e-9  # by which the COCO caption evaluation keeps BLEU from dividing by nothing


def exact(said: str, answers: Sequence[str]) -> float:
    """1 where it is one of the answers."""
    return float(said in answers)


def f1(said: str, answers: Sequence[str]) -> float:
    """The best agreement of words with one of the answers, as SQuAD counts it: repeated words count."""
    return max(_f1(said.split(), answer.split()) for answer in answers)


def _f1(said: Sequence[str], true: Sequence[str]) -> float:
    if not said or not true:
        return float(said == true)
    common = (Counter(said) & Counter(true)).total()
    return 2 * common / (len(said) + len(true))


def anls(said: str, answers: Sequence[str]) -> float:
    """The best likeness to one of the answers, by edits of characters; 0 below one half (ST-VQA)."""
    best = max(Levenshtein.normalized_similarity(said, answer) for answer in answers)
    return best if best > _ANLS_LEAST else 0.0


def contained(said: str, answers: Sequence[str]) -> float:
    """MTVQA's accuracy: 1 where the answer, without its full stops, holds one of those that people gave."""
    return float(any(answer in said.replace(".", "") for answer in answers))


def rouge_l(said: str, answers: Sequence[str]) -> float:
    """ROUGE-L with β 1.2: the best precision and the best recall of all answers, as COCO does."""
    words = said.split(" ")
    common = [(LCSseq.similarity(words, true), len(true)) for true in (one.split(" ") for one in answers)]
    precision = max(length for length, _ in common) / len(words)
    recall = max(length / whole for length, whole in common)
    if not precision or not recall:
        return 0.0
    return (1 + _BETA**2) * precision * recall / (recall + _BETA**2 * precision)


def bleu_counts(said: Sequence[str], answers: Sequence[Sequence[str]]) -> Floats:
    """What BLEU adds up over all answers, [n, 10]: matches and n-grams of each order, words said and meant.

    sacrebleu counts them. Words are told apart by blanks alone; of several answers the one nearest in length
    counts for the length.
    """
    from sacrebleu.metrics.bleu import BLEU

    counter = BLEU(tokenize="none", effective_order=True)
    rows = [counter.sentence_score(one, list(true)) for one, true in zip(said, answers, strict=True)]
    return np.array([[*row.counts, *row.totals, row.sys_len, row.ref_len] for row in rows], np.float64)


def bleu(sums: Floats) -> Floats:
    """BLEU-1 to BLEU-4 of a whole set, [..., 4], from the sums of `bleu_counts`, [..., 10].

    Corpus BLEU without smoothing, as the COCO caption evaluation has it, the papers' own.
    """
    matches, guesses = sums[..., :ORDERS], sums[..., ORDERS : 2 * ORDERS]
    said, meant = sums[..., -2], sums[..., -1]
    logs = np.cumsum(np.log((matches + _TINY) / (guesses + _SMALL)), axis=-1) / np.arange(1, ORDERS + 1)
    ratio = (said + _TINY) / (meant + _SMALL)
    brevity = np.where(ratio < 1, 1 - 1 / ratio, 0.0)
    scores: Floats = np.exp(logs + brevity[..., None])
    return scores


def cider(said: Sequence[str], answers: Sequence[Sequence[str]]) -> Floats:
    """CIDEr-D of each answer, 0 to 10 (Vedantam et al., 2015), as pycocoevalcap computes it.

    How telling an n-gram is follows from the answers that people gave to all questions of the set; of a set
    of one question nothing is. Lengths are compared in pairs of words.
    """
    true = [[_grams(one) for one in several] for several in answers]
    spread = Counter(gram for several in true for gram in {gram for one in several for gram in one})
    whole = math.log(len(said)) if said else 0.0
    return np.array(
        [
            _consensus(_weighed(_grams(one), spread, whole), [_weighed(g, spread, whole) for g in several])
            for one, several in zip(said, true, strict=True)
        ],
        np.float64,
    )


_Grams = Counter[tuple[str, ...]]
_Weighed = tuple[list[dict[tuple[str, ...], float]], int]  # of each order, and the length in pairs


def _grams(text: str) -> _Grams:
    words = text.split()
    return Counter(tuple(words[i : i + n]) for n in range(1, ORDERS + 1) for i in range(len(words) - n + 1))


def _weighed(grams: _Grams, spread: _Grams, whole: float) -> _Weighed:
    weights: list[dict[tuple[str, ...], float]] = [{} for _ in range(ORDERS)]
    for gram, count in grams.items():
        weights[len(gram) - 1][gram] = count * (whole - math.log(max(1, spread[gram])))
    return weights, sum(count for gram, count in grams.items() if len(gram) == 2)


def _consensus(said: _Weighed, answers: Sequence[_Weighed]) -> float:
    total = 0.0
    for true in answers:
        penalty = math.exp(-((said[1] - true[1]) ** 2) / (2 * _SIGMA**2))
        total += penalty * sum(_cosine(a, b) for a, b in zip(said[0], true[0], strict=True)) / ORDERS
    return 10 * total / len(answers)


def _cosine(said: dict[tuple[str, ...], float], true: dict[tuple[str, ...], float]) -> float:
    """What is said too often counts only as often as it is meant."""
    norm = math.sqrt(sum(w * w for w in said.values())) * math.sqrt(sum(w * w for w in true.values()))
    dot = sum(min(weight, true[gram]) * true[gram] for gram, weight in said.items() if gram in true)
    return dot / norm if norm else dot
