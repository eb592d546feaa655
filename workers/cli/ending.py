"""How a run ended: in sentences, as JSON, as an exit code, and told to whom `--on-finish` names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from pipeline.errors import Unbalanced, UsageError, VinbatchError
from pipeline.printable import command
from workers import screen

if TYPE_CHECKING:
    from pipeline.store.export import Exported
    from workers.job import Outcome
    from workers.on_finish import OnFinish
    from workers.profile import Profile

Record = dict[str, Any]
_STATES = ("submitted", "done", "review", "partial", "quarantined", "pending", "leased")


def code_of(error: VinbatchError) -> int:
    """The exit code of a command that this error ended."""
    return 2 if isinstance(error, UsageError) else 3 if isinstance(error, Unbalanced) else 4


def exit_code(outcome: Outcome, *, accept_failures: bool = False) -> int:
    """`accept_failures`: 0 also where documents failed for good, as long as every one came to an end, and of
    a job that was cancelled: another try would undo that.
    """
    if outcome.cancelled:
        return 0 if accept_failures else 130
    if outcome.interrupted:
        return 130
    ended = not outcome.balance.unfinished and outcome.listing_failed is None
    return 0 if outcome.all_done or (accept_failures and ended) else 3


def record(outcome: Outcome, code: int, written: Sequence[Exported] = ()) -> Record:
    """For machines: counts, names and reasons, never a value that was read."""
    last = outcome.last
    return {
        "job": outcome.job,
        "exit_code": code,
        "error": outcome.listing_failed or outcome.refused,
        "cancelled": outcome.cancelled,
        "seconds": round(last.seconds, 1),
        "documents": {state: getattr(outcome.balance, state) for state in _STATES},
        "failed": dict(last.reasons),
        "pages": {"read": last.pages, "known_before": last.pages_known},
        "tokens": last.tokens,
        "model_calls_a_page": last.calls_a_page,
        "second_looks": last.second_looks,
        "trust": outcome.trust,
        "lanes_replaced": last.lanes_replaced,
        "left_out": outcome.left_out,
        "written": [{"path": path, "rows": rows} for one in written for path, rows in one.files],
    }


def refuse_empty(outcome: Outcome) -> None:
    """Raises UsageError where the job's sources hold no document."""
    if not outcome.balance.submitted:
        why = f"; {_left_out(outcome)}" if outcome.left_out else ""
        raise UsageError(f"job {outcome.job}: there is no document in its sources{why}")


def say(outcome: Outcome, written: Sequence[Exported] = (), *, err: bool = False) -> None:
    """The balance of the whole job, and what to type next."""
    books = outcome.balance
    ended = ("done", books.done), ("review", books.review), ("partial", books.partial)
    left = ("quarantined", books.quarantined), ("pending", books.pending), ("leased", books.leased)
    sums = " + ".join(f"{number} {name}" for name, number in (*ended, *left))
    lines = [f"job {outcome.job}: {books.submitted} documents = {sums}"]
    last = outcome.last
    calls = "" if last.calls_a_page is None else f", {last.calls_a_page:.3f} model calls a page"
    looks = f", second looks: {last.second_looks}" if last.second_looks else ""
    lines.append(
        f"{last.pages} pages read, {last.pages_known} known before, {last.tokens} tokens{calls}{looks}"
    )
    lines.append(outcome.trust)
    lines += [f"{path}: {rows} rows" for one in written for path, rows in one.files]
    if outcome.left_out:
        lines.append(_left_out(outcome))
    if outcome.listing_failed is not None:
        lines.append(outcome.listing_failed)
    if outcome.refused is not None:
        lines.append(outcome.refused)
    if books.quarantined or books.partial:
        lines.append(f"what failed and why: {command(('vinbatch', 'failures', '--job', outcome.job))}")
    if outcome.cancelled:
        lines.append(
            "the job was cancelled: what is left stays as it is, until the same command takes it up again"
        )
    elif books.unfinished:
        lines.append("the same command goes on where this one stopped")
    for line in lines:
        screen.say(line, err=err)


def say_profile(profile: Profile) -> None:
    """Where the time went, and what was waited for most of it."""
    found = profile.bottleneck
    if found is None:
        screen.say("nothing was left to do: no time went anywhere")
        return
    screen.table(*profile.table())
    screen.say(f"bottleneck, {found.share:.0%} of the time: {found.words}")
    if found.then is not None:
        screen.say(f"then, {found.then.share:.0%} of the time: {found.then.words}")


def _left_out(outcome: Outcome) -> str:
    files = "1 file was" if outcome.left_out == 1 else f"{outcome.left_out} files were"
    return f"{files} left out by their names: vinbatch plan tells which and why"


@contextmanager
def told(to: OnFinish | None, job: str) -> Iterator[Callable[[Record], None]]:
    """Around a run: `to` is told of the record that the block gives, or of the error that ends it."""
    given: list[Record] = []

    def tell(one: Record) -> None:
        if to is not None:
            to.tell(one, partial(screen.say, err=True))

    try:
        yield given.append
    except VinbatchError as error:
        tell({"job": job, "exit_code": code_of(error), "error": error.message})
        raise
    except Exception as error:  # a fault of ours, whose text may hold what was read
        tell({"job": job, "exit_code": 4, "error": type(error).__name__})
        raise
    for one in given:
        tell(one)
