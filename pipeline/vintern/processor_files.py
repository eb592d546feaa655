"""What other software wants beside a native checkpoint: how a page is cut, and the words around a question.

transformers' InternVLProcessor reads these files, and so do the servers that build upon it, such as vLLM. Our
own reader takes none of them, so they are in no hash.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.vintern.config import TILE, Config
from pipeline.vintern.tokenizer import Tokenizer

TEMPLATE = "chat_template.jinja"
FILES = (TEMPLATE, "processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json")
_TOKENIZER = "tokenizer_config.json"
# The processor insists on a token for videos that is in the vocabulary. The second one is for boxes, and no
# prompt of ours holds either.
_VIDEO = ("<video>", "<quad>")
_PIXELS: dict[str, Any] = {
    "size": {"height": TILE, "width": TILE},
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "resample": 3,  # bicubic
}


def write(directory: Path, config: Config, tokenizer: Tokenizer) -> None:
    """Adds them to a checkpoint whose tokenizer is there already."""
    (directory / TEMPLATE).write_text(chat_template(config.system, config.separator), encoding="utf-8")
    most = max(config.max_tiles, *config.tiles_of.values(), 1)
    images = {"image_processor_type": "GotOcr2ImageProcessorFast", **_PIXELS}
    tiles = {"crop_to_patches": True, "min_patches": 1, "max_patches": most}
    _write(directory / "preprocessor_config.json", images | tiles)
    videos = {"video_processor_type": "InternVLVideoProcessor", **_PIXELS}
    _write(directory / "video_preprocessor_config.json", videos)
    processor = {"processor_class": "InternVLProcessor", "image_seq_length": config.tokens_per_tile}
    _write(directory / "processor_config.json", processor)
    _name_tokens(directory / _TOKENIZER, tokenizer)


def chat_template(system: str, separator: str) -> str:
    """Jinja that makes of one user's turn what `prompt_ids` makes of a question, the image's tokens apart.

    The model's own system message is put before a chat that has none.
    """
    close = json.dumps(separator, ensure_ascii=False)
    own = json.dumps(system, ensure_ascii=False)
    return (
        "{%- macro turn(role, content) -%}"
        '{{ "<|im_start|>" + role + "\\n" }}'
        "{%- if content is string %}{{ content }}"
        '{%- else %}{% for part in content %}{% if part["type"] == "text" %}{{ part["text"] }}'
        '{%- else %}{{ "<IMG_CONTEXT>\\n" }}{% endif %}{% endfor %}{% endif %}'
        f"{{{{ {close} }}}}"
        "{%- endmacro -%}"
        f'{{%- if messages[0]["role"] != "system" %}}{{{{ turn("system", {own}) }}}}{{% endif %}}'
        '{%- for message in messages %}{{ turn(message["role"], message["content"]) }}{% endfor %}'
        '{%- if add_generation_prompt %}{{ "<|im_start|>assistant\\n" }}{% endif %}'
    )


def _name_tokens(path: Path, tokenizer: Tokenizer) -> None:
    """Says in the tokenizer's config which of its tokens stand for what."""
    known = tokenizer.backend.get_vocab(with_added_tokens=True)
    names = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": next((token for token in _VIDEO if token in known), _VIDEO[0]),
    }
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    _write(path, {"tokenizer_class": "Qwen2Tokenizer"} | found | {"extra_special_tokens": names})


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
