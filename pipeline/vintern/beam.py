"""Beam search, as the model card generates: for fidelity with published outputs, one request at a time.

Equal to transformers' `generate` from embeddings, with `length_penalty` 1 and `early_stopping` off.
Its repetition penalty then works on log probabilities, not on logits as in greedy decoding. Under a grammar a
hypothesis is followed by its forced tokens, at no cost in score.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.vintern.answer import Answer
from pipeline.vintern.constrain import Grammars, unpack
from pipeline.vintern.kv_cache import KVCache
from pipeline.vintern.runner import Runner
from pipeline.vintern.sampler import Choice, Penalties


class Hypothesis(NamedTuple):
    score: float  # sum of log probabilities; of a finished one divided by its length
    answer: Answer


def search(
    answer: Answer, beams: int, runner: Runner, cache: KVCache, grammars: Grammars, end: int
) -> Answer:
    """The best finished answer. `answer` is admitted and its tiles are seen; `end` is the end-of-turn token.

    Needs `beams` slots, its own included; when it returns, all but the one of the result are free again.
    """
    alive, done = [Hypothesis(0.0, answer)], list[Hypothesis]()
    hidden = runner.prefill([answer])
    answer.fed(len(answer.pending))
    while True:
        best: list[Hypothesis] = []
        for rank, (score, parent, choice) in enumerate(
            _candidates(alive, runner.logits(hidden), beams, grammars)
        ):
            child = parent.fork()
            child.take(choice)
            if child.finish is None:
                best.append(Hypothesis(score, child))
            elif rank < beams and child.finish in ("stop", "length"):
                length = len(child.tokens) + (choice.token == end)
                done.append(Hypothesis(score / length, child))
        best = best[:beams]
        done = sorted(done, key=lambda found: -found.score)[:beams]
        if not best or (len(done) == beams and best[0].score / len(best[0].answer.tokens) <= done[-1].score):
            break
        _move(alive, best, cache)
        hidden = _feed([found.answer for found in best], runner)
        alive = best
    for found in alive[1:]:
        cache.give(found.answer.slot)
    result = done[0].answer if done else alive[0].answer
    result.slot = alive[0].answer.slot
    if result.finish is None:  # nothing ended, and nothing could go on but loops
        result.finish = "loop"
    return result


def _candidates(
    alive: Sequence[Hypothesis], logits: Tensor, beams: int, grammars: Grammars
) -> list[tuple[float, Answer, Choice]]:
    """The best 2 · beams continuations of all hypotheses, best first."""
    answers = [found.answer for found in alive]
    plain = logits.float().log_softmax(-1)
    scores = Penalties([answer.penalty for answer in answers], [answer.tokens for answer in answers]).apply(
        plain
    )
    masks = torch.zeros(len(alive), grammars.words, dtype=torch.int32)
    grammars.fill([answer.constraint for answer in answers], masks)
    forbidden = ~unpack(masks.to(logits.device), logits.shape[1])
    under = (plain - plain.masked_fill(forbidden, -torch.inf).logsumexp(-1, keepdim=True)).exp()
    totals = scores.masked_fill(forbidden, -torch.inf)
    totals = totals + torch.tensor([[found.score] for found in alive], device=logits.device)
    found = []
    for score, index in zip(*(part.tolist() for part in totals.flatten().topk(2 * beams)), strict=True):
        row, token = divmod(index, logits.shape[1])
        if score > -torch.inf:
            choice = Choice(token, float(under[row, token]), float(plain[row, token].exp()))
            found.append((score, answers[row], choice))
    return found


def _move(alive: Sequence[Hypothesis], best: Sequence[Hypothesis], cache: KVCache) -> None:
    """Give every surviving hypothesis a slot with its past: the first child keeps its parent's."""
    parents = {found.answer.slot for found in alive}
    kept: set[int] = set()
    copies = []
    for found in best:
        if found.answer.slot in kept:
            copies.append(found.answer)
        kept.add(found.answer.slot)
    for slot in parents - kept:
        cache.give(slot)
    for answer in copies:
        slot = cache.take()
        cache.copy(answer.slot, slot, answer.cached)
        answer.slot = slot


def _feed(answers: Sequence[Answer], runner: Runner) -> Tensor:
    """Feed everything that is pending; the last hidden state of each, [b, hidden]."""
    last: dict[int, Tensor] = {}
    while len(last) < len(answers):
        fed = [
            (answer, min(len(answer.pending), runner.rows // len(answers)))
            for answer in answers
            if answer.pending
        ]
        for (answer, count), hidden in zip(fed, runner.decode(fed), strict=True):
            answer.fed(count)
            if not answer.pending:
                last[answer.slot] = hidden
    return torch.stack([last[answer.slot] for answer in answers])
