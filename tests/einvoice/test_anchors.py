"""The folder of trust anchors: every usual form of a certificate, and one clear line for what is none."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from pipeline.einvoice import anchors
from pipeline.errors import UsageError
from pipeline.specimens import authority


def test_every_form_of_a_file_gives_the_certificates(tmp_path: Path) -> None:
    first, second = authority.root().certificate, authority.tax_authority().certificate
    together = anchors.of([one.public_bytes(Encoding.DER) for one in (first, second)])
    for suffix, data in {
        ".pem": first.public_bytes(Encoding.PEM) + second.public_bytes(Encoding.PEM),
        ".p7b": pkcs7.serialize_certificates([first, second], Encoding.DER),
        ".P7C": pkcs7.serialize_certificates([first, second], Encoding.PEM),
    }.items():
        folder = tmp_path / suffix[1:]
        folder.mkdir()
        (folder / f"anchors{suffix}").write_bytes(data)
        (folder / "README.txt").write_text("of the two authorities")
        assert anchors.load(folder) == together
    folder = tmp_path / "single"
    folder.mkdir()
    (folder / "root.cer").write_bytes(first.public_bytes(Encoding.DER))
    (folder / "tax.crt").write_bytes(base64.encodebytes(second.public_bytes(Encoding.DER)))
    (folder / "._root.cer").write_bytes(b"\0\5\x16\7 of a Mac")
    (folder / "old.pem").mkdir()
    assert anchors.load(folder) == together
    assert anchors.load(folder).digest == together.digest != anchors.of([]).digest


def test_what_holds_no_certificate_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder of trust anchors at"):
        anchors.load(tmp_path / "absent")
    with pytest.raises(UsageError, match="holds no certificate"):
        anchors.load(tmp_path)
    (tmp_path / "other.crt").write_text("not one")
    with pytest.raises(UsageError, match=r"other\.crt: it holds none as PEM, DER or PKCS#7"):
        anchors.load(tmp_path)
    (tmp_path / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nzzz\n-----END CERTIFICATE-----")
    with pytest.raises(UsageError, match=r"no certificate can be read from .*broken\.pem"):
        anchors.load(tmp_path)
