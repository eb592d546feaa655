"""A witness that has a claim for each field it knows: a code, or a machine-readable zone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pipeline.records import Box, Field, Testimony, Verdict
from schemas.evidence import Claim


class Claimant:
    """`page` and `box` are where the code or the zone stands, which is where its claims stand."""

    def __init__(
        self, source: str, name: str, claims: Iterable[Claim], page: int | None, box: Box | None
    ) -> None:
        self.source = source
        self.name = name
        self._claims = {claim.path: claim for claim in claims}
        self._page, self._box = page, box

    def testify(self, field: Field) -> Testimony:
        claim = self._claims.get(field.path)
        if claim is None or field.value is None:
            return Testimony(field.path, self.source, "silent")
        if not claim.sound:
            return Testimony(field.path, self.source, "silent", claim.raw, None, self._page, self._box)
        verdict: Verdict = "agrees" if claim.bears_out(field.value) else "differs"
        return Testimony(field.path, self.source, verdict, claim.raw, claim.value, self._page, self._box)

    def offers(self, fields: Sequence[Field]) -> Iterator[Testimony]:
        for field in fields:
            claim = self._claims.get(field.path)
            if field.value is None and claim is not None and claim.sound and claim.value is not None:
                yield Testimony(
                    field.path, self.source, "offers", claim.raw, claim.value, self._page, self._box
                )
