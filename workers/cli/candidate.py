"""The candidate of `run --shadow`, after the job whose share it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import VinbatchError
from pipeline.printable import command
from workers import screen
from workers.cli import ending
from workers.cli.ending import Record
from workers.cli.reporting import ran

if TYPE_CHECKING:
    from workers.job import JobRequest


def read(request: JobRequest, job: str, *, as_json: bool) -> Record:
    """Have the candidate read its share; how that ended. What goes wrong there changes nothing of the job."""
    screen.say(f"the candidate {request.model} reads its share, as job {request.name}", err=True)
    try:
        outcome = ran(request)
    except VinbatchError as error:
        screen.say(f"the candidate's job ended early: {error.message}", err=True)
        return {"job": request.name, "exit_code": 3, "error": error.message}
    if not as_json:
        ending.say(outcome)
        how = ("vinbatch", "diff", job, outcome.job, "--against", "decisions")
        screen.say(f"which of both is better, by what people decided: {command(how)}")
    # What the candidate could not read is its result, and no fault of the run.
    return ending.record(outcome, ending.exit_code(outcome, accept_failures=True))
