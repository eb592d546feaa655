"""Everything in a checkpoint is used, or the checkpoint is refused with a line that names what is wrong."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline import vintern
from pipeline.errors import Unavailable, UsageError
from pipeline.settings import EngineSettings
from pipeline.vintern import Profile
from pipeline.vintern import checkpoint as checkpoint_files
from pipeline.vintern import config as configs
from pipeline.vintern.config import SYSTEM
from pipeline.vintern.constrain import Grammars, unpack
from pipeline.vintern.facts import earlier
from tests.vintern import checkpoints
from tests.vintern.pages import WORDS

QKV = "vision_model.encoder.layers.1.attn.qkv.bias"
HEAD = "language_model.lm_head.weight"
EMBED = "language_model.model.embed_tokens.weight"


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("original")
    checkpoints.write(directory, "v2")
    return directory


@pytest.fixture
def checkpoint(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "checkpoint"))


def change(directory: Path, edit) -> None:
    """Edit the tensors of model.safetensors."""
    tensors = load_file(directory / "model.safetensors")
    edit(tensors)
    save_file(tensors, directory / "model.safetensors")


def refusal(directory: Path, kind=UsageError, **options) -> str:
    with pytest.raises(kind) as caught:
        vintern.load(directory, device="cpu", **options)
    assert "\n" not in caught.value.message
    return caught.value.message


def test_what_the_files_say(checkpoint):
    model = vintern.load(checkpoint, device="cpu", dtype="float32")
    assert (model.max_tiles, model.context_length, model.dtype) == (6, 4096, torch.float32)
    assert model.config.system == SYSTEM
    assert len(model.checkpoint_hash) == 64


def test_shards_are_one_checkpoint(checkpoint, tmp_path):
    checkpoints.write(tmp_path / "sharded", "v2", shards=3)
    whole, parts = vintern.load(checkpoint), vintern.load(tmp_path / "sharded")
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, parts.network.state_dict()[name]), name


def test_the_native_layout_in_the_spelling_of_its_modules(tmp_path):
    model = checkpoints.write(tmp_path, "native")
    expected = vintern.load(tmp_path).network.state_dict()
    save_file({name: t.clone() for name, t in model.state_dict().items()}, tmp_path / "model.safetensors")
    for name, tensor in vintern.load(tmp_path).network.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_a_missing_tensor(checkpoint):
    change(checkpoint, lambda tensors: tensors.pop(QKV))
    assert f"{QKV} is missing" in refusal(checkpoint)


def test_an_extra_tensor(checkpoint):
    change(checkpoint, lambda tensors: tensors.update({"vision_model.head.weight": torch.ones(3)}))
    assert "vision_model.head.weight is not part of this model" in refusal(checkpoint)


def test_a_misshapen_tensor(checkpoint):
    change(checkpoint, lambda tensors: tensors.update({QKV: torch.ones(95)}))
    assert f"{QKV} is [95], config.json says [96]" in refusal(checkpoint)


@pytest.mark.medium
def test_a_tensor_of_integers(checkpoint):
    change(checkpoint, lambda tensors: tensors.update({QKV: tensors[QKV].to(torch.int8)}))
    assert f"{QKV} holds no floating-point numbers" in refusal(checkpoint)


def test_a_head_that_the_config_does_not_expect(checkpoint):
    checkpoints.edit(checkpoint, llm_config={"tie_word_embeddings": True})
    message = refusal(checkpoint)
    assert HEAD in message and "tie_word_embeddings" in message


def test_a_head_that_is_not_there(checkpoint):
    change(checkpoint, lambda tensors: tensors.pop(HEAD))
    message = refusal(checkpoint)
    assert f"{HEAD} is missing" in message and "tie_word_embeddings" in message


def test_another_vocabulary_size_than_the_weights(checkpoint):
    checkpoints.edit(checkpoint, llm_config={"vocab_size": 400})
    assert EMBED in refusal(checkpoint)


def test_more_tokens_than_the_vocabulary(checkpoint):
    size = load_file(checkpoint / "model.safetensors")[EMBED].shape[0]
    path = checkpoint / "added_tokens.json"
    added = json.loads(path.read_text())
    path.write_text(json.dumps({**added, "<extra>": size}))
    assert f"{size + 1} tokens, config.json's vocab_size is {size}" in refusal(checkpoint)


def test_a_tokenizer_without_the_image_token(checkpoint):
    for name in ("added_tokens.json", "tokenizer_config.json"):
        path = checkpoint / name
        path.write_text(path.read_text().replace("<IMG_CONTEXT>", "<PICTURE>"))
    assert "<IMG_CONTEXT>" in refusal(checkpoint)


def test_an_image_token_id_that_is_another_token(tmp_path):
    checkpoints.write(tmp_path, "native")
    checkpoints.edit(tmp_path, image_token_id=7)
    assert "image_token_id is 7" in refusal(tmp_path)


def test_an_added_token_with_an_id_that_leaves_a_gap(checkpoint):
    (checkpoint / "tokenizer_config.json").unlink()
    path = checkpoint / "added_tokens.json"
    added = json.loads(path.read_text())
    path.write_text(json.dumps({**added, "</quad>": added["</quad>"] + 1}))
    assert "</quad>" in refusal(checkpoint)


def test_added_tokens_on_which_two_files_disagree(checkpoint):
    path = checkpoint / "tokenizer_config.json"
    path.write_text(path.read_text().replace("<quad>", "<other>"))
    message = refusal(checkpoint)
    assert "<quad>" in message and "<other>" in message


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model_type": "llava"}, "model_type is 'llava'"),
        ({"template": "vicuna"}, "chat template 'vicuna'"),
        ({"ps_version": "v1"}, "ps_version"),
        ({"select_layer": -4}, "select_layer"),
        ({"vision_config": {"norm_type": "rms_norm"}}, "norm_type"),
        ({"vision_config": {"qk_normalization": True}}, "qk_normalization"),
        ({"vision_config": {"hidden_size": None}}, "'hidden_size' is missing"),
        ({"llm_config": {"architectures": ["LlamaForCausalLM"]}}, "LlamaForCausalLM"),
        (
            {"llm_config": {"architectures": None, "model_type": "llama"}},
            "'model_type' is 'llama'; only qwen2",
        ),
        (
            {"llm_config": {"rope_scaling": {"type": "yarn"}}},
            "'rope_scaling' is {'type': 'yarn'}; only 'default'",
        ),
        (
            {"llm_config": {"rope_scaling": {"factor": 2.0}}},
            "'rope_scaling' is {'factor': 2.0}; only 'default'",
        ),
        ({"llm_config": {"rope_parameters": {"rope_type": "llama3"}}}, "'rope_parameters' is"),
        (
            {"llm_config": {"layer_types": ["full_attention", "sliding_attention"]}},
            "'sliding_attention'; only",
        ),
        ({"llm_config": {"moe_config": {"num_experts": 8}}}, "'moe_config'"),
        (
            {"llm_config": {"architectures": ["Qwen3ForCausalLM"], "attention_bias": True}},
            "'attention_bias' is True; only False is supported",
        ),
        ({"llm_config": {"num_hidden_layers": "2"}}, "num_hidden_layers"),
        ({"vision_config": {"use_moe": True}}, "'use_moe'"),
        ({"use_llm_lora": 16}, "'use_llm_lora' is 16; only 0 is supported: merge the LoRA into the weights"),
        ({"pad2square": True}, "'pad2square' is True"),
        ({"quantization_config": {"quant_method": "awq"}}, "'quantization_config' says that the weights are"),
        ({"quantization": {"bits": 4}}, "'quantization' says that the weights are quantized"),
    ],
)
def test_a_model_of_another_kind(checkpoint, changes, named):
    checkpoints.edit(checkpoint, **changes)
    assert named in refusal(checkpoint)


def test_what_a_vision_config_leaves_out_is_as_its_own_software_has_it(checkpoint):
    config = json.loads((checkpoint / "config.json").read_text())
    del config["vision_config"]["norm_type"]
    (checkpoint / "config.json").write_text(json.dumps(config))
    assert "'norm_type' is 'rms_norm'; only 'layer_norm' is supported (InternViT-300M;" in refusal(checkpoint)


def test_null_is_what_is_not_said(checkpoint):
    expected = vintern.load(checkpoint).config
    checkpoints.edit(
        checkpoint,
        system_message=None,
        image_fold=None,
        llm_config={"head_dim": None, "rope_scaling": None, "sliding_window": None, "layer_types": None},
        vision_config={"use_moe": None},
    )
    assert vintern.load(checkpoint).config == expected


def test_scaling_that_begins_beyond_the_context_is_none(checkpoint):
    expected = vintern.load(checkpoint).config
    checkpoints.edit(checkpoint, llm_config={"rope_scaling": {"type": "dynamic", "factor": 2.0}})
    assert vintern.load(checkpoint).config == expected
    assert vintern.load(checkpoint, context_length=4096).context_length == 4096
    message = refusal(checkpoint, context_length=4097)
    assert "is 4097, expected 1 to 4096" in message and "scaled ones are not supported" in message


def test_a_system_message_of_the_config_goes_before_the_templates(checkpoint):
    checkpoints.edit(checkpoint, system_message="Của riêng nó.")
    assert vintern.load(checkpoint).config.system == "Của riêng nó."
    (checkpoint / "profile.json").write_text(json.dumps({"system": "Ngắn."}))
    assert vintern.load(checkpoint).config.system == "Ngắn."


def test_a_tied_head_that_was_saved_beside_the_embeddings(tmp_path):
    """The same twice, as DeepSpeed leaves it; another one is refused."""
    checkpoints.write(tmp_path, "v2", tied=True)
    expected = vintern.load(tmp_path).network.state_dict()
    change(tmp_path, lambda tensors: tensors.update({HEAD: tensors[EMBED].clone()}))
    found = vintern.load(tmp_path).network.state_dict()
    assert found.keys() == expected.keys()
    change(tmp_path, lambda tensors: tensors[HEAD].mul_(2))
    assert f"{HEAD} is not part of this model" in refusal(tmp_path)


@pytest.mark.parametrize(("said", "tied"), [(None, False), (False, False), (True, True)])
def test_what_a_native_config_leaves_open_of_its_head_the_files_decide(tmp_path, said, tied):
    checkpoints.write(tmp_path, "native", tied=tied)
    config = json.loads((tmp_path / "config.json").read_text())
    config.pop("tie_word_embeddings", None)
    config |= {} if said is None else {"tie_word_embeddings": said}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert vintern.load(tmp_path).config.language.tied is tied


def test_a_native_config_that_says_nothing_of_a_head_has_none_where_there_is_none(tmp_path):
    checkpoints.write(tmp_path, "native", tied=True)
    config = json.loads((tmp_path / "config.json").read_text())
    config.pop("tie_word_embeddings", None)
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert vintern.load(tmp_path).language.lm_head is None


def test_a_token_for_videos_needs_no_row_in_the_model(checkpoint):
    """As the converted InternVL3 have it. A grammar finds its tokens as before; no other token may pass."""
    expected = vintern.load(checkpoint).prompt_ids("Số <video>?", 1)
    size = load_file(checkpoint / "model.safetensors")[EMBED].shape[0]
    path = checkpoint / "added_tokens.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "<video>": size}))
    model = vintern.load(checkpoint, device="cpu")
    assert torch.equal(model.prompt_ids("Số <video>?", 1), expected)
    grammars = Grammars(model.tokenizer, model.config.language.vocab)
    mask = torch.zeros(1, grammars.words, dtype=torch.int32)
    grammars.fill([grammars.start(WORDS)], mask)
    allowed = unpack(mask, size)[0].nonzero().flatten().tolist()
    assert "S" in model.tokenizer.decode(allowed)
    path.write_text(path.read_text().replace("<video>", "<film>"))
    assert f"{size + 1} tokens, config.json's vocab_size is {size}" in refusal(checkpoint)


def test_pickles_are_refused(checkpoint):
    (checkpoint / "model.safetensors").rename(checkpoint / "pytorch_model.bin")
    assert "pytorch_model.bin, a pickle" in refusal(checkpoint)


def test_no_weights(checkpoint):
    (checkpoint / "model.safetensors").unlink()
    assert "no model.safetensors" in refusal(checkpoint)


def test_a_shard_that_is_not_there(tmp_path):
    checkpoints.write(tmp_path, "v2", shards=2)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    assert "model-00002-of-00002.safetensors" in refusal(tmp_path)


def test_an_index_that_points_elsewhere(tmp_path):
    checkpoints.write(tmp_path, "v2", shards=2)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(index.read_text().replace("model-00002-of-00002", "../model-00002-of-00002"))
    assert "not a file beside it" in refusal(tmp_path)


def test_a_file_that_was_cut_short(checkpoint):
    path = checkpoint / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    assert str(path) in refusal(checkpoint)


def test_a_config_that_is_no_json(checkpoint):
    (checkpoint / "config.json").write_text("{")
    assert "is no JSON" in refusal(checkpoint)


def test_a_directory_without_a_checkpoint(tmp_path):
    assert "config.json is missing" in refusal(tmp_path)


def test_a_name_that_is_nothing():
    with pytest.raises(UsageError, match="neither a directory, nor a hub id"):
        vintern.load("/no/such/directory")


def test_without_a_network_a_hub_id_says_how_to_fetch_it(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    message = refusal("5CD-AI/Vintern-1B-v3_5", Unavailable)
    assert "5CD-AI/Vintern-1B-v3_5" in message and "hf download" in message and "--local-dir" in message


def test_a_checkpoint_names_the_schemas_that_it_reads(tmp_path):
    checkpoint_files.check_schema("mine", tmp_path, "invoice@1")  # it names none: nobody knows
    (tmp_path / "schemas.json").write_text('["receipt@1"]')
    checkpoint_files.check_schema("mine", tmp_path, "receipt@1")
    with pytest.raises(UsageError, match=r"mine reads receipt@1, not receipt@2.*--any-schema"):
        checkpoint_files.check_schema("mine", tmp_path, "receipt@2")
    for written in ('{"receipt@1": true}', "[1]", "receipt@1"):
        (tmp_path / "schemas.json").write_text(written)
        with pytest.raises(UsageError, match=r"schemas\.json"):
            checkpoint_files.check_schema("mine", tmp_path, "receipt@1")


def test_an_unknown_dtype(checkpoint):
    assert "int4" in refusal(checkpoint, dtype="int4")


def test_a_profile_replaces_what_the_template_says(checkpoint):
    (checkpoint / "profile.json").write_text(
        json.dumps({"system": "Ngắn.", "max_tiles": 2, "context_length": 512, "answer_form": "rows"})
    )
    model = vintern.load(checkpoint)
    assert (model.config.system, model.max_tiles, model.context_length) == ("Ngắn.", 2, 512)
    assert model.config.answer_form == "rows"
    assert model.config.separator == "<|im_end|>"  # still that of the named template
    given = vintern.load(checkpoint, profile=Profile(system="", separator="\n", max_tiles=1))
    assert (given.config.system, given.config.separator, given.max_tiles) == ("", "\n", 1)


def test_a_schema_may_have_a_number_of_tiles_of_its_own(checkpoint):
    (checkpoint / "profile.json").write_text(json.dumps({"max_tiles": 2, "tiles_of": {"invoice@1": 6}}))
    config = configs.read(checkpoint)
    assert [config.most_tiles(name) for name in ("invoice@1", "receipt@1")] == [6, 2]
    limited = configs.limited(config, 4)
    assert [limited.most_tiles(name) for name in ("invoice@1", "receipt@1")] == [4, 2]
    facts = earlier(checkpoint, "c", EngineSettings(), "invoice@1", "cpu float32")
    assert facts is not None
    assert facts.max_tiles == 6  # and so its pages have other keys than those cut into two
    for wrong in ({"invoice@1": 0}, {"invoice@1": "6"}, ["invoice@1"]):
        (checkpoint / "profile.json").write_text(json.dumps({"tiles_of": wrong}))
        assert re.match(r".*/profile.json: 'tiles_of' ", refusal(checkpoint))


@pytest.mark.parametrize(
    ("template", "positions", "limit", "profile", "asked", "context"),
    [
        ("Hermes-2", 32768, None, None, None, 4096),  # as the authors of v2 state it
        ("Hermes-2", 2048, None, None, None, 2048),
        ("Hermes-2", 32768, 1024, None, None, 1024),
        ("Hermes-2", 32768, None, 8192, None, 8192),
        ("Hermes-2", 32768, None, 8192, 16384, 16384),
        ("internvl2_5", 32768, 12288, None, None, 12288),  # as InternVL3-1B is printed
        ("internvl2_5", 32768, 1_000_000, None, None, 32768),  # and -Pretrained
        ("internvl2_5", 32768, 1e30, None, None, 32768),  # as Hugging Face writes "none"
        ("internvl2_5", 32768, None, None, None, 32768),
        ("internvl2_5", 32768, 12288, None, 20000, 20000),
        ("internvl2_5", 32768, 12288, 32768, 4096, 4096),
    ],
)
def test_the_context_is_the_checkpoints_unless_it_is_set(
    checkpoint, template, positions, limit, profile, asked, context
):
    checkpoints.edit(checkpoint, template=template, llm_config={"max_position_embeddings": positions})
    path = checkpoint / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_max_length": limit}))
    if profile is not None:
        (checkpoint / "profile.json").write_text(json.dumps({"context_length": profile}))
    assert configs.read(checkpoint, context_length=asked).context_length == context
    if asked is None and profile is None:
        assert configs.read(checkpoint, Profile(system="Ngắn.")).context_length == context


@pytest.mark.parametrize("length", [4097, 0, "4096", True])
def test_no_context_goes_beyond_the_positions(checkpoint, length):
    with pytest.raises(UsageError, match=r"^engine.context_length is .*config.json.*max_position_embeddings"):
        configs.read(checkpoint, context_length=length)
    (checkpoint / "profile.json").write_text(json.dumps({"context_length": length}))
    assert re.match(r".*/profile.json: 'context_length' is .*, expected 1 to 4096", refusal(checkpoint))


def test_what_is_asked_for_is_the_context_of_the_model(checkpoint):
    assert vintern.load(checkpoint, context_length=700).context_length == 700


def test_answers_have_the_published_form_unless_a_profile_names_another(checkpoint):
    assert configs.read(checkpoint).answer_form == "objects"
    assert configs.read(checkpoint_files.DEMO).answer_form == "objects"
    for wrong in ("table", None, ["rows"]):
        (checkpoint / "profile.json").write_text(json.dumps({"answer_form": wrong}))
        assert re.match(
            r".*/profile.json: 'answer_form' is .*, expected 'objects' or 'rows'", refusal(checkpoint)
        )


def test_a_profile_with_an_unknown_key(checkpoint):
    (checkpoint / "profile.json").write_text('{"sytem": ""}')
    assert "sytem" in refusal(checkpoint)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "vocab.json", "merges.txt", "added_tokens.json"]
)
def test_the_hash_names_every_file_that_counts(checkpoint, name):
    before = vintern.load(checkpoint).checkpoint_hash
    (checkpoint / "README.md").write_text("a card does not count")
    assert vintern.load(checkpoint).checkpoint_hash == before
    path = checkpoint / name
    if name == "model.safetensors":
        change(checkpoint, lambda tensors: tensors[QKV].add_(1e-3))
    else:
        path.write_text(path.read_text() + "\n")
    assert vintern.load(checkpoint).checkpoint_hash != before


@pytest.mark.slow
def test_a_loaded_model_brings_no_compiler() -> None:
    """PyTorch's, with sympy and Triton, is 150 MB in each replica and a second of its start."""
    program = (
        "import sys; from pipeline.vintern import load; load('demo', device='cpu'); "
        "print([name for name in ('torch._dynamo', 'sympy', 'triton') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert said.strip() == "[]"
