"""Samples drawn on the side: processes of their own write them into memory that the training shares.

Each process has a few slots of each form. It fills one, tells its number through a queue, and may use it
again when the training has taken what is in it. Nothing but numbers goes through the queue, so that one
process that learns keeps up with many that draw.
"""

from __future__ import annotations

import itertools
import mmap
import multiprocessing
import os
import random
import signal
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from infra.demo_model import heldout, samples
from infra.demo_model.sequences import Words
from pipeline.vintern.config import TILE

WITH_TEXT = (
    ("id_card_front", "id_card"),
    ("id_card_back", "id_card"),
    ("receipt", "receipt"),
    ("invoice", "invoice"),
)
AT_ONCE = 8  # crops
PATIENCE = 5.0  # seconds after which a process looks whether anybody still wants its samples

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Form:
    """Samples of one size.

    tiles  of a sample, each of `side` × `side` pixels
    text   tokens of a question and its answer at most
    slots  that each drawing process has
    """

    tiles: int
    side: int
    text: int
    slots: int

    def parts(self) -> Mapping[str, tuple[type[np.generic], tuple[int, ...]]]:
        """Of one sample: pixels, characters by cell, place of a crop in its tile, tokens and their kinds."""
        cells = (self.side // samples.CELL) ** 2
        return {
            "pixels": (np.uint8, (self.tiles, self.side, self.side, 3)),
            "cells": (np.int16, (self.tiles, cells, samples.SLOTS)),
            "offset": (np.int64, (2,)),
            "ids": (np.int16, (self.text,)),
            "kinds": (np.int8, (self.text,)),
        }


FORMS: Mapping[str, Form] = {
    "crop": Form(1, 4 * samples.CELL, 1, 4 * AT_ONCE),
    "one": Form(1, TILE, 640, 6),
    "seven": Form(7, TILE, 1280, 3),
}


class Drawn(NamedTuple):
    """A filled slot. `length`: tokens of question and answer; `heldout`: its set, or "" for training."""

    form: str
    slot: int
    length: int
    kind: str
    heldout: str


class Failed(NamedTuple):
    """What went wrong in a drawing process, which goes on."""

    text: str


class Drawing:
    """The processes. To be made before the GPU is touched: they are forks of this one."""

    def __init__(self, plan: dict[str, Any], directory: Path, workers: int, seed: int) -> None:
        context = multiprocessing.get_context("fork")
        self.shared = {name: _shared(form, workers) for name, form in FORMS.items()}
        self._free = {
            name: [context.Semaphore(form.slots) for _ in range(workers)] for name, form in FORMS.items()
        }
        self._stage = context.Value("i", 0)
        self._queue: Any = context.SimpleQueue()
        self._workers = workers
        self._running = [
            context.Process(target=self._run, args=(plan, directory, number, seed), daemon=True)
            for number in range(workers)
        ]
        for process in self._running:
            process.start()

    def at_stage(self, number: int) -> None:
        """What is drawn from now on is that of this stage."""
        self._stage.value = number

    def ready(self, most: int) -> Iterator[Drawn | Failed]:
        """What has been drawn and not told yet, at most so many."""
        for _ in range(most):
            if self._queue.empty():
                return
            yield self._queue.get()

    def release(self, done: Drawn) -> None:
        """Its slot may be filled again."""
        self._free[done.form][done.slot // FORMS[done.form].slots].release()

    def alive(self) -> int:
        return sum(process.is_alive() for process in self._running)

    def end(self) -> None:
        for process in self._running:
            process.kill()

    def _run(self, plan: dict[str, Any], directory: Path, number: int, seed: int) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run ends us
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        torch.set_num_threads(1)
        parent = os.getppid()
        words = Words(directory)
        rng = random.Random(seed * 1000 + number)
        taken = {name: itertools.cycle(range(form.slots)) for name, form in FORMS.items()}

        def put(form: str, fill: Callable[[Arrays, int], tuple[int, str]], told: str = "") -> None:
            while not self._free[form][number].acquire(timeout=PATIENCE):
                if os.getppid() != parent:
                    raise SystemExit
            slot = number * FORMS[form].slots + next(taken[form])
            length, kind = fill(self.shared[form], slot)
            self._queue.put(Drawn(form, slot, length, kind, told))

        pages = heldout.pages(plan["heldout"]["pages"])
        for name, index in itertools.islice(pages, number, None, self._workers):
            _page(put, words, heldout.page(name, index), name)
        while os.getppid() == parent:
            try:
                _draw(put, words, plan["stage"][self._stage.value], rng)
            except Exception:  # noqa: BLE001 - whatever it was, it is told, and the next sample is drawn
                self._queue.put(Failed(traceback.format_exc()))


def _draw(put: Callable[..., None], words: Words, stage: dict[str, Any], rng: random.Random) -> None:
    """One page, or some crops."""
    if rng.random() < stage["crops"]:
        side = FORMS["crop"].side // samples.CELL
        crops = [samples.dense(rng, side) for _ in range(AT_ONCE)]
        if rng.random() < 0.5:
            kind, schema = rng.choice(WITH_TEXT)
            cut = samples.cut(samples.page(kind, schema, rng.getrandbits(48), blank=0.0), side)
            crops = rng.sample(cut, min(len(cut), AT_ONCE))
        for crop in crops:
            _crop(put, crop)
        return
    pick = rng.choices(list(stage["pages"]), list(stage["pages"].values()))[0]
    kind, _, schema = pick.partition("?")
    share, chance = stage["absent"]
    blank = chance if rng.random() < share else 0.0
    layouts = "varied" if rng.random() < stage["varied"] else None
    own = schema or kind.removesuffix("_front").removesuffix("_back")
    preset = rng.choices(list(stage["presets"]), list(stage["presets"].values()))[0]
    page = samples.page(kind, own, rng.getrandbits(48), blank=blank, preset=preset, layouts=layouts)
    _page(put, words, page, "", pick)


def _page(
    put: Callable[..., None], words: Words, page: samples.PageSample, told: str, kind: str = ""
) -> None:
    ids, kinds = words.asked_and_answered(page.question, page.answer)
    form = {1: "one", 7: "seven"}.get(len(page.tiles))
    if form is None or len(ids) > FORMS[form].text:
        return  # a grid that the training has no place for, or an answer longer than any that it is to learn

    def fill(arrays: Arrays, slot: int) -> tuple[int, str]:
        arrays["pixels"][slot] = page.tiles
        arrays["cells"][slot] = page.cells
        arrays["ids"][slot, : len(ids)] = ids
        arrays["kinds"][slot, : len(ids)] = kinds
        arrays["ids"][slot, len(ids) :] = 0
        arrays["kinds"][slot, len(ids) :] = Words.ASKED
        return len(ids), kind

    put(form, fill, told)


def _crop(put: Callable[..., None], crop: samples.Crop) -> None:
    def fill(arrays: Arrays, slot: int) -> tuple[int, str]:
        arrays["pixels"][slot, 0] = crop.pixels
        arrays["cells"][slot, 0] = crop.cells
        arrays["offset"][slot] = crop.offset
        return 0, "crops"

    put("crop", fill)


def _shared(form: Form, workers: int) -> Arrays:
    """Arrays of all slots of a form, in memory that forks share and that no file system bounds."""
    slots = form.slots * workers
    arrays = {}
    for name, (kind, shape) in form.parts().items():
        size = int(np.prod(shape)) * np.dtype(kind).itemsize
        whole = np.frombuffer(mmap.mmap(-1, slots * size), kind)
        arrays[name] = whole.reshape(slots, *shape)
    return arrays
