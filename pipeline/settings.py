"""Every setting with its default and unit: defaults < vinbatch.toml < VINBATCH_* < flags.

A nested setting is VINBATCH_RENDER__DPI in the environment and `[render] dpi` in vinbatch.toml. A bad or
unknown value is an error before anything starts.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from pipeline.errors import UsageError
from schemas.law import Law

_FILE = "vinbatch.toml"


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceSettings(Section):
    s3_endpoint: str | None = None  # None: boto3's own chain
    max_bytes: int = Field(200 * 2**20, gt=0, description="largest document, bytes")
    max_archive_bytes: int = Field(20 * 2**30, gt=0, description="largest zip or tar, bytes")
    archive_ratio: float = Field(200.0, gt=0, description="largest unpacked / packed of an archive member")
    timeout_seconds: float = Field(60.0, gt=0)
    attempts: int = Field(4, ge=1, description="tries of one object before the document is released")
    request_payer: Literal["requester"] | None = Field(
        None, description="requester: your account pays for reading a bucket whose owner does not"
    )
    checksum: Literal["etag", "stored", "none"] = Field(
        "etag",
        description="what fetched bytes must agree with. etag: the checksum stored with an object, else an "
        "ETag that looks like an MD5; stored: only the former, where ETags are no MD5; none: neither",
    )
    include: tuple[str, ...] = Field(
        (), description="globs of names, or of paths below the source: only such documents are listed"
    )
    exclude: tuple[str, ...] = Field((), description="the same of what is not listed")
    group: tuple[str, ...] = Field(
        (),
        description="files that are one document, beside a PDF and an XML of one name, which always are: "
        "patterns like {id}-front.jpg,{id}-back.jpg; archive: all that is in one zip or tar; "
        "none: not even those of one name",
    )
    allowed_roots: tuple[str, ...] = Field(
        (), description="folders and s3:// prefixes that any manifest may name and any link may lead to"
    )
    trust_manifests: bool = Field(
        False, description="manifests and links may name whatever this user may read"
    )


class RenderSettings(Section):
    # the other one is tried when this one cannot open a file
    renderer: Literal["pdfium", "poppler"] = "pdfium"
    dpi: int = Field(200, ge=36, le=600)
    max_pages: int = Field(5000, ge=1)
    max_pixels: int = Field(64_000_000, ge=1, description="pixels of one page, before and after decoding")
    seconds: float = Field(30.0, gt=0, description="wall time for one page")
    document_seconds: float = Field(
        3600.0, gt=0, description="wall time for the pages of one document; those left over fail"
    )
    memory_bytes: int = Field(2 * 2**30, gt=0, description="address space of the rendering process")
    require_sandbox: bool = Field(
        False, description="refuse to read documents where the kernel cannot confine their decoder in full"
    )


class TileSettings(Section):
    max_tiles: int | None = Field(None, ge=1, le=40, description="None: as the checkpoint was trained")


class EngineSettings(Section):
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="computed in, whatever the weights are stored in"
    )
    weights: Literal["auto", "bfloat16", "int8"] = Field(
        "auto",
        description="auto: as dtype says; bfloat16: on any machine; int8: 8-bit weights and activations, on "
        "CPUs with AVX-512 VNNI: half the memory, half as fast again, and other answers now and then",
    )
    device: str = "auto"
    max_batch: int | None = Field(
        None,
        ge=1,
        description="requests decoded together; None: on a GPU up to 256, as its memory allows, else 16",
    )
    kv_tokens: int | None = Field(
        None, ge=256, description="size of the KV cache in tokens; None: from free memory"
    )
    context_length: int | None = Field(
        None, ge=256, description="tokens of a page and its answer; None: as the checkpoint's files say"
    )
    max_new_tokens: int | None = Field(
        None, ge=1, description="of one answer, all its passes together; None: what they come to"
    )
    max_passes: int = Field(
        64, ge=1, description="over one page, where a table does not fit beside it in the context"
    )
    max_waiting: int | None = Field(
        None,
        ge=1,
        description="requests accepted but not yet running; None: half as many as are decoded together, at "
        "least 32",
    )
    threads: int | None = Field(None, ge=1, description="CPU threads of a replica; None: cores / replicas")
    place: bool = Field(
        True, description="keep where on the page each token looked: the boxes of values are made of it"
    )
    retry_penalty: float = Field(
        1.2,
        ge=1.0,
        le=10.0,
        description="repetition penalty of the second try after a loop; 1.0: no second try",
    )
    repetition_penalty: float = Field(1.0, ge=1.0, le=10.0, description="over generated tokens; 1.0: none")
    kernels: bool = Field(
        True,
        description="CPU: our own, compiled at the first start (a second), where the processor suits them",
    )
    warmup: Literal["auto", "none", "graphs", "compile"] = Field(
        "auto",
        description="GPU: record CUDA graphs (seconds; what auto means) or also compile (minutes) at start",
    )

    @model_validator(mode="after")
    def _one_type(self) -> EngineSettings:
        if self.weights == "bfloat16" and self.dtype not in ("auto", "bfloat16"):
            raise ValueError(f"weights are bfloat16 and dtype is {self.dtype}: give one of them")
        if self.weights == "int8" and self.dtype == "float16":
            raise ValueError("weights are int8 and dtype is float16: it must be auto, bfloat16 or float32")
        return self

    @property
    def computed_in(self) -> str:
        """The dtype that the checkpoint is loaded in, or auto."""
        return "bfloat16" if self.weights == "bfloat16" else self.dtype


class ServerSettings(Section):
    url: str | None = Field(
        None,
        description="an OpenAI-compatible server that reads pages in place of our own engine, like "
        "http://HOST:8000/v1; its key, if it wants one, is in VINBATCH_SERVER_KEY",
    )
    system: str | None = Field(
        None,
        description="the system message of each question; None: what the server has for a chat without one",
    )
    requests: int = Field(32, ge=1, le=1024, description="pages that a lane asks it about at once")
    seconds: float = Field(
        300.0, gt=0, description="wall time of one request, its waiting at the server included"
    )


class SecondReaderSettings(Section):
    on: bool = False
    readers: tuple[Literal["rapidocr", "tesseract"], ...] = Field(
        ("rapidocr", "tesseract"), min_length=1, description="who reads a page's letters beside the model"
    )
    seconds: float = Field(180.0, gt=0, description="wall time of each of them for one page")
    memory_bytes: int = Field(4 * 2**30, gt=0, description="address space of each one's process")


class LaneSettings(Section):
    readers: int | None = Field(
        None,
        ge=1,
        description="reader processes beside each replica; None: on a GPU one for each core of its share but "
        "one, at most 8, else 1",
    )
    label_selector: dict[str, str] = Field(
        {},
        description="labels of the Ray nodes that lanes may stand on, as Ray's label selectors are written: "
        '"ray.io/accelerator-type" = "L4", "ray.io/market-type" = "spot"',
    )
    pages_in_flight: int | None = Field(
        None, ge=1, description="prepared pages a lane may hold; None: on a GPU 384, else 64"
    )
    bytes_in_flight: int | None = Field(
        None,
        ge=1,
        description="half of documents, half of pages; None: on a GPU as its pages need, else 512 MiB",
    )
    lease_seconds: float = Field(120.0, gt=0)
    grace_seconds: float = Field(20.0, gt=0, description="time to finish or give back after SIGTERM")
    attempts: int = Field(3, ge=1, description="tries of a document before it is quarantined")
    refusals: int = Field(
        100, ge=1, description="documents in a row that their source refuses, before the lane stops"
    )
    stall_seconds: float = Field(1800.0, gt=0, description="still for so long while busy: is replaced")
    patience_seconds: float = Field(600.0, gt=0, description="how long to wait for an absent store or server")
    machine_seconds: float | None = Field(
        None,
        gt=0,
        description="how long a run waits while the cluster has no machine for any lane. None: 1800 once it "
        "had one or where an autoscaler brings them; else a cluster without room is refused at once",
    )


class ShareSettings(Section):
    weight: float = Field(
        1.0, gt=0, description="of this job among those of its priority that share a cluster and a store"
    )
    priority: int = Field(
        0,
        ge=-(2**31),
        lt=2**31,
        description="jobs of a higher one get lanes first, and lower ones yield them",
    )


class LogSettings(Section):
    level: Literal["info", "warning"] = "info"
    format: Literal["plain", "json"] = Field(
        "plain", description="json: standard error is JSON lines, progress included"
    )


def _absolute(path: Path) -> Path:
    """Workers have working directories of their own."""
    return path.expanduser().absolute()


class Settings(BaseSettings):
    """All settings of a run. Frozen: a run never changes its own rules."""

    model_config = SettingsConfigDict(
        env_prefix="VINBATCH_",
        env_nested_delimiter="__",
        toml_file=_FILE,
        extra="forbid",
        frozen=True,
    )

    store: str = "sqlite:///vinbatch.db"
    source: SourceSettings = SourceSettings()
    render: RenderSettings = RenderSettings()
    second_reader: SecondReaderSettings = SecondReaderSettings()
    tiles: TileSettings = TileSettings()
    engine: EngineSettings = EngineSettings()
    server: ServerSettings = ServerSettings()
    review_below: float = Field(
        0.9,
        ge=0,
        le=1,
        description="a field less sure than this sends its document to review (uncalibrated); "
        "`vinbatch judge` applies another one to a job that has been read",
    )
    second_look: float = Field(
        0.9,
        ge=0,
        le=1,
        description="a page with a value less sure than this is read once more, moved by some pixels: "
        "whether both agree tells much; 0: none is",
    )
    accept_at: float = Field(
        0.99,
        gt=0.5,
        lt=1,
        description="where scores are calibrated: the share of right values that is promised of documents "
        "that pass without a person; `vinbatch accept` promises another one for what has been read",
    )
    trust_anchors: Annotated[Path, AfterValidator(_absolute)] | None = Field(
        None,
        description="folder with certificates (.pem, .crt, .cer, .der, .p7b) of the issuers whose signatures "
        "on e-invoices are trusted; on every machine of a cluster",
    )
    sources_of_authority: tuple[str, ...] | None = Field(
        None,
        description="xml, qr, mrz …: sources whose values are chosen before what was read, in this order; "
        "others are witnesses. None: those that the schema names; `vinbatch judge` applies others",
    )
    law: Law = Field(
        Law(), description="periods that are added to those of schemas/law.toml: VAT rates and forms by date"
    )
    query_seconds: float = Field(300.0, gt=0, description="longest time that `vinbatch query` may take")
    lane: LaneSettings = LaneSettings()
    share: ShareSettings = ShareSettings()
    log: LogSettings = LogSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load(**flags: object) -> Settings:
    """Settings with the given flags on top; `flags` are top-level names with dicts for sections.

    Raises UsageError in one line that names each bad value and where it stands.
    """
    try:
        return Settings(**flags)  # type: ignore[arg-type]
    except ValidationError as error:
        raise UsageError("bad setting: " + "; ".join(map(_complaint, error.errors()))) from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{_FILE} is not TOML: {error}") from None
    except OSError as error:
        raise UsageError(f"{_FILE} cannot be read: {error.strerror}") from None


def _complaint(error: ErrorDetails) -> str:
    path = tuple(map(str, error["loc"]))
    where = f"{'.'.join(path)}{_origin(path)}"
    if error["type"] != "extra_forbidden":
        return f"{where}: {error['msg']} (got {error['input']!r})"
    keys = list(names())
    near = [key for key in keys if key.rpartition(".")[2] == path[-1]]  # right, but for its section
    near = near or get_close_matches(".".join(path), keys, n=1)
    return f"{where}: there is no such setting" + (f"; did you mean {near[0]}?" if near else "")


def _origin(path: tuple[str, ...]) -> str:
    """Where a setting was given, as far as that is in a file or the environment."""
    variable = f"VINBATCH_{'__'.join(path)}".upper()
    if variable in map(str.upper, os.environ):
        return f" (in the environment, {variable})"
    section: Any = tomllib.loads(Path(_FILE).read_text("utf-8")) if Path(_FILE).exists() else {}
    for key in path:
        section = section.get(key) if isinstance(section, dict) else None
    return f" (in {_FILE})" if section is not None else ""


def names(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    """Every setting, sections included: "render", "render.dpi" …"""
    for name, field in model.model_fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from names(field.annotation, f"{prefix}{name}.")
