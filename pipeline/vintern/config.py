"""What a checkpoint's files say about its model: sizes, tiling and chat template.

Two layouts are understood: the published one (`model_type: internvl_chat`) and transformers' native one
(`model_type: internvl`). Nothing is guessed: a size that is not written is an error, save where the layout's
own software has a default. What a config leaves open (the system message, the usable context, the form of
answers) comes from a named template and may be replaced by a file `profile.json` beside config.json.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from pipeline.errors import UsageError
from pipeline.grammar import Form

Layout = Literal["published", "native"]

TILE = 448  # pixels a side; the tiler cuts no other size
MOST_TILES = 40  # of a page, the thumbnail apart
SYSTEM = (
    "Bạn là một mô hình trí tuệ nhân tạo đa phương thức Tiếng Việt có tên gọi là Vintern, được phát triển "
    "bởi người Việt. Bạn là một trợ lý trí tuệ nhân tạo hữu ích và không gây hại."
)
SEPARATORS = {  # what closes a turn; Hermes-2 has no newline, unlike standard ChatML
    "Hermes-2": "<|im_end|>",  # Vintern-1B-v2
    "internvl2_5": "<|im_end|>\n",  # Vintern-1B-v3_5
}
# Tokens of prompt and answer together that a template's authors state, where the files would allow more.
STATED_CONTEXT = {"Hermes-2": 4096}  # the model page of Vintern-1B-v2


@dataclass(frozen=True, slots=True)
class VisionConfig:
    """InternViT."""

    hidden: int
    layers: int
    heads: int
    ffn: int
    patch: int  # pixels a side
    eps: float
    qkv_bias: bool

    @property
    def patches(self) -> int:
        """Patches along one side of a tile."""
        return TILE // self.patch


@dataclass(frozen=True, slots=True)
class LanguageConfig:
    """Qwen2, Qwen2.5 or Qwen3."""

    vocab: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    rope_theta: float
    eps: float
    positions: int  # the longest sequence that the position encoding was made for
    tied: bool | None  # lm_head is the embedding table; None: the files decide (`weights.settled`)
    qkv_bias: bool
    qk_norm: bool  # an RMSNorm over each head of queries and keys


@dataclass(frozen=True, slots=True)
class _Family:
    """What the language model's own software has by itself."""

    qkv_bias: bool
    qk_norm: bool
    head_dim: int | None  # where none is written; None: as many as divide the width


_QWEN2 = _Family(qkv_bias=True, qk_norm=False, head_dim=None)  # Qwen2.5 is of the same structure
_QWEN3 = _Family(qkv_bias=False, qk_norm=True, head_dim=128)
_BY_ARCHITECTURE = {"Qwen2ForCausalLM": _QWEN2, "Qwen3ForCausalLM": _QWEN3}
_BY_MODEL_TYPE = {"qwen2": _QWEN2, "qwen3": _QWEN3}


@dataclass(frozen=True, slots=True)
class Profile:
    """What a checkpoint's config may leave open. `None` means: as the checkpoint says."""

    system: str = SYSTEM
    separator: str = SEPARATORS["internvl2_5"]  # closes a turn
    max_tiles: int | None = None  # tiles of a page without the thumbnail
    context_length: int | None = None  # tokens of prompt and answer together
    answer_form: Form = "objects"  # that of the published checkpoints
    tiles_of: Mapping[str, int] = field(default_factory=dict)  # max_tiles of schemas that have their own


@dataclass(frozen=True, slots=True)
class Config:
    layout: Layout
    vision: VisionConfig
    language: LanguageConfig
    shuffle: int  # patches along one side of a visual token: 2 with downsample_ratio 0.5
    max_tiles: int
    context_length: int
    system: str
    separator: str
    image_token_id: int | None  # only the native layout writes it
    answer_form: Form = "objects"
    tiles_of: Mapping[str, int] = field(default_factory=dict)

    def most_tiles(self, schema: str) -> int:
        """Tiles of a page of a schema by its reference, such as "invoice@1", at most; the thumbnail apart."""
        return self.tiles_of.get(schema, self.max_tiles)

    @property
    def tokens_per_tile(self) -> int:
        return (self.vision.patches // self.shuffle) ** 2


def read(directory: Path, profile: Profile | None = None, context_length: int | None = None) -> Config:
    """config.json, and profile.json unless `profile` is given; `context_length` goes before what they say.

    Raises UsageError naming file and key.
    """
    path = directory / "config.json"
    raw = _json(path)
    kind = raw.get("model_type")
    if kind not in _LAYOUTS:
        raise UsageError(
            f"{path}: model_type is {kind!r}, expected 'internvl_chat' (Vintern as published) or 'internvl'"
        )
    config = _LAYOUTS[kind](_Section(raw, str(path)))
    profile = profile or _profile(directory, raw)
    return replace(
        config,
        system=profile.system,
        separator=profile.separator,
        max_tiles=profile.max_tiles or config.max_tiles,
        context_length=_context(directory, config, profile, raw.get("template"), context_length),
        answer_form=profile.answer_form,
        tiles_of=profile.tiles_of,
    )


def resized(config: Config, vocab: int, max_tiles: int) -> Config:
    """The model with so many tokens, and pages cut into at most so many tiles; schemas that have a number of
    their own keep it.
    """
    return replace(config, language=replace(config.language, vocab=vocab), max_tiles=max_tiles)


def limited(config: Config, max_tiles: int) -> Config:
    """The model with pages of every schema cut into no more tiles than these."""
    own = {schema: min(most, max_tiles) for schema, most in config.tiles_of.items()}
    return replace(config, max_tiles=min(config.max_tiles, max_tiles), tiles_of=own)


class _Section:
    """A JSON object that names file and key when something is missing or not as expected."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values = values
        self.where = where

    def get(self, key: str, default: Any = None) -> Any:
        value = self.values.get(key)
        if value is None:  # null is written for what is not set
            value = default
        if value is None:
            raise UsageError(f"{self.where}: {key!r} is missing")
        return value

    def section(self, key: str) -> _Section:
        return _Section(self.get(key), f"{self.where} {key}")

    def integer(self, key: str, default: int | None = None) -> int:
        value = self.get(key, default)
        if isinstance(value, list) and value and all(side == value[0] for side in value):
            value = value[0]  # native: [448, 448]
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise UsageError(f"{self.where}: {key!r} is {value!r}, expected a positive integer")
        return value

    def must_be(self, key: str, expected: Any, default: Any, hint: str = "") -> None:
        value = self.values.get(key)
        value = default if value is None else value
        if isinstance(value, list) and isinstance(expected, int):
            value = value[0] if len(set(value)) == 1 else value
        if value != expected:
            raise UsageError(f"{self.where}: {key!r} is {value!r}; only {expected!r} is supported{hint}")

    def one_of(self, key: str, known: Mapping[str, _Family]) -> _Family:
        """The family that `key` names, alone or as the one member of a list."""
        value = self.get(key, "qwen2")  # as in transformers
        name = value[0] if isinstance(value, list) and len(value) == 1 else value
        if not isinstance(name, str) or name not in known:
            raise UsageError(f"{self.where}: {key!r} is {value!r}; only {' and '.join(known)} are supported")
        return known[name]


def _published(top: _Section) -> Config:
    vision, language = top.section("vision_config"), top.section("llm_config")
    _not_quantized(top, language)
    for part in ("use_llm_lora", "use_backbone_lora"):
        top.must_be(part, 0, 0, ": merge the LoRA into the weights first")
    top.must_be("ps_version", "v2", "v1")
    top.must_be("select_layer", -1, -1)
    top.must_be("use_thumbnail", True, True)
    top.must_be("downsample_ratio", 0.5, 0.5)
    top.must_be("force_image_size", TILE, TILE)
    top.must_be("pad2square", False, False)
    vision.must_be("norm_type", "layer_norm", "rms_norm", " (InternViT-300M; InternViT-6B has others)")
    vision.must_be("qk_normalization", False, True)
    vision.must_be("use_moe", False, False)
    language.must_be("moe_config", None, None)
    if language.values.get("architectures"):
        family = language.one_of("architectures", _BY_ARCHITECTURE)
    else:
        family = language.one_of("model_type", _BY_MODEL_TYPE)
    return Config(
        layout="published",
        vision=_vision(vision, qkv_bias="qkv_bias", eps=1e-6),
        language=_language(language, family, tied=bool(language.values.get("tie_word_embeddings", False))),
        shuffle=2,
        max_tiles=top.integer("max_dynamic_patch", 12),
        context_length=0,
        system="",
        separator="",
        image_token_id=None,
    )


def _native(top: _Section) -> Config:
    vision, language = top.section("vision_config"), top.section("text_config")
    _not_quantized(top, language)
    top.must_be("downsample_ratio", 0.5, 0.5)
    top.must_be("vision_feature_layer", -1, -1)
    top.must_be("vision_feature_select_strategy", "default", "default")
    top.must_be("projector_hidden_act", "gelu", "gelu")
    vision.must_be("norm_type", "layer_norm", "layer_norm", " (InternViT-300M; InternViT-6B has others)")
    vision.must_be("use_qk_norm", False, False)
    vision.must_be("use_mask_token", False, False)
    vision.must_be("use_mean_pooling", True, True)
    family = language.one_of("model_type", _BY_MODEL_TYPE)
    # transformers writes only what differs from its defaults. Its default here is True, yet it keeps a head
    # that the files hold, as those of InternVL3-1B-hf and InternVL3.5-1B-HF do.
    said = top.values.get("tie_word_embeddings")
    return Config(
        layout="native",
        vision=_vision(vision, qkv_bias="attention_bias", eps=1e-6),
        language=_language(language, family, tied=None if said is None else bool(said)),
        shuffle=2,
        max_tiles=12,
        context_length=0,
        system="",
        separator="",
        image_token_id=top.integer("image_token_id", 151667),
    )


_LAYOUTS: Mapping[object, Callable[[_Section], Config]] = {  # by model_type
    "internvl_chat": _published,
    "internvl": _native,
}


def _vision(section: _Section, qkv_bias: str, eps: float) -> VisionConfig:
    section.must_be("image_size", TILE, TILE)
    section.must_be("hidden_act", "gelu", "gelu")
    section.must_be("num_channels", 3, 3)
    found = VisionConfig(
        hidden=section.integer("hidden_size"),
        layers=section.integer("num_hidden_layers"),
        heads=section.integer("num_attention_heads"),
        ffn=section.integer("intermediate_size"),
        patch=section.integer("patch_size", 14),
        eps=float(section.get("layer_norm_eps", eps)),
        qkv_bias=bool(section.values.get(qkv_bias, False)),
    )
    if found.hidden % found.heads:
        raise UsageError(f"{section.where}: hidden_size {found.hidden} is no multiple of {found.heads} heads")
    if TILE % (2 * found.patch):
        raise UsageError(f"{section.where}: patch_size {found.patch} does not divide a tile of {TILE} pixels")
    return found


def _not_quantized(*sections: _Section) -> None:
    for section in sections:
        for key in ("quantization_config", "quantization"):  # Hugging Face's, MLX's
            if section.values.get(key):
                raise UsageError(
                    f"{section.where}: {key!r} says that the weights are quantized; only float32, bfloat16 "
                    "and float16 are supported: take the checkpoint that it was made from"
                )


def _language(section: _Section, family: _Family, tied: bool | None) -> LanguageConfig:
    section.must_be("hidden_act", "silu", "silu")
    section.must_be("use_sliding_window", False, False)
    if not family.qkv_bias:  # Qwen2 has one whatever is written
        section.must_be("attention_bias", False, False)
    odd = set(section.values.get("layer_types") or ()) - {"full_attention"}
    if odd:
        raise UsageError(
            f"{section.where}: 'layer_types' has {min(odd)!r}; only 'full_attention' is supported"
        )
    hidden, heads = section.integer("hidden_size"), section.integer("num_attention_heads")
    found = LanguageConfig(
        vocab=section.integer("vocab_size"),
        hidden=hidden,
        layers=section.integer("num_hidden_layers"),
        heads=heads,
        kv_heads=section.integer("num_key_value_heads"),
        head_dim=section.integer("head_dim", family.head_dim or hidden // heads),
        ffn=section.integer("intermediate_size"),
        rope_theta=_rope_theta(section),
        eps=float(section.get("rms_norm_eps", 1e-6)),
        positions=section.integer("max_position_embeddings", 32768),
        tied=tied,
        qkv_bias=family.qkv_bias,
        qk_norm=family.qk_norm,
    )
    if heads % found.kv_heads:
        raise UsageError(f"{section.where}: {heads} query heads cannot share {found.kv_heads} key heads")
    return found


def _rope_theta(section: _Section) -> float:
    """The base of rotary positions, of which none is scaled.

    "dynamic" scales nothing up to max_position_embeddings, and no context is longer than that.
    """
    for key, unsaid in (
        ("rope_parameters", "default"),
        ("rope_scaling", None),
    ):  # of transformers 5, and before
        rope = section.values.get(key) or {"type": "default"}
        if rope.get("rope_type", rope.get("type", unsaid)) not in ("default", "dynamic"):
            raise UsageError(
                f"{section.where}: {key!r} is {rope!r}; only 'default' is supported, and 'dynamic', which "
                "scales nothing within max_position_embeddings"
            )
    parameters = section.values.get("rope_parameters") or {}
    return float(parameters.get("rope_theta") or section.get("rope_theta", 10000.0))


def _profile(directory: Path, raw: Mapping[str, Any]) -> Profile:
    """profile.json where there is one, else what config.json says and what is known of the named template."""
    path = directory / "profile.json"
    template, system = raw.get("template"), raw.get("system_message")
    separator = SEPARATORS["internvl2_5"]
    if template is not None and template not in SEPARATORS and not path.is_file():
        raise UsageError(
            f"{directory / 'config.json'}: chat template {template!r} is unknown (known: "
            f"{', '.join(SEPARATORS)}); write {path} with 'system' and 'separator'"
        )
    if isinstance(template, str) and template in SEPARATORS:
        separator = SEPARATORS[template]
    known = {"separator": separator, **({"system": system} if isinstance(system, str) else {})}
    given: dict[str, Any] = _json(path) if path.is_file() else {}
    unknown = set(given) - {one.name for one in fields(Profile)}
    if unknown:
        raise UsageError(f"{path}: unknown key {sorted(unknown)[0]!r}")
    profile = Profile(**{**known, **given})
    if profile.answer_form not in get_args(Form):
        forms = " or ".join(map(repr, get_args(Form)))
        raise UsageError(f"{path}: 'answer_form' is {profile.answer_form!r}, expected {forms}")
    if not isinstance(profile.tiles_of, dict):
        raise UsageError(f"{path}: 'tiles_of' must give tiles by schema, like {{\"invoice@1\": 6}}")
    for schema, most in profile.tiles_of.items():
        if not isinstance(most, int) or not 1 <= most <= MOST_TILES:
            raise UsageError(f"{path}: 'tiles_of' gives {schema} {most!r} tiles, expected 1 to {MOST_TILES}")
    return profile


def _context(directory: Path, config: Config, profile: Profile, template: object, asked: int | None) -> int:
    """Tokens of prompt and answer together.

    What was asked for goes before profile.json, and that before what tokenizer_config.json and the template's
    authors say. None goes beyond the positions that the model was made for.
    """
    most = config.language.positions
    for given, name in (
        (asked, "engine.context_length"),
        (profile.context_length, f"{directory / 'profile.json'}: 'context_length'"),
    ):
        if given is None:
            continue
        if not isinstance(given, int) or isinstance(given, bool) or not 1 <= given <= most:
            raise UsageError(
                f"{name} is {given!r}, expected 1 to {most}: that is how many positions "
                f"{directory / 'config.json'} has (max_position_embeddings); scaled ones are not supported"
            )
        return given
    stated = STATED_CONTEXT.get(template, most) if isinstance(template, str) else most
    return min(most, stated, _tokenizer_limit(directory))


def _tokenizer_limit(directory: Path) -> int:
    """`model_max_length` of tokenizer_config.json; Hugging Face writes 1e30 for "none"."""
    path = directory / "tokenizer_config.json"
    value = _json(path).get("model_max_length") if path.is_file() else None
    return int(value) if isinstance(value, int | float) and 0 < value < 2**31 else 2**31


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path} is missing: is {path.parent} a checkpoint directory?") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UsageError(f"{path} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise UsageError(f"{path}: expected a JSON object")
    return found
