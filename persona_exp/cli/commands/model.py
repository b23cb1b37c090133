"""`persona-exp model check MODEL`: can it be trained, by which engine, and with which settings of conf/model?"""

import argparse
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from persona_exp.cli.config_from_overrides import compose_config
from persona_exp.cli.text.check_lines import print_checks
from persona_exp.errors import UserError
from persona_exp.launch.check_result import Check
from persona_exp.project_folders import CONF, ROOT, is_installed
from persona_exp.study_folder import study_conf

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from persona_exp.modeling.chat_template_inspection import ChatFormat
    from persona_exp.modeling.model_architecture import Architecture
    from persona_exp.training.fused.engine_compatibility import EngineCompatibility

MODELS = CONF / "model"
WIDTH = 130  # Of a comment in a config.
# Of a model with more billions of weights than the number, so many examples go through it at once.
MICRO_BATCH_SIZES = ((20, 1), (10, 2), (0, 4))


@dataclass(frozen=True)
class NamedModel:
    """A model as conf/model names it; `stated` are an existing config's settings that can be checked, `described` those that cannot."""

    name: str
    source: str
    location: str
    revision: str | None = None
    sha256: str | None = None
    chat_template: str | None = None
    stated: dict[str, Any] | None = None
    described: dict[str, Any] | None = None


def add_commands(nouns: Any) -> None:
    """Add the noun `model` and its verb."""
    verbs = nouns.add_parser("model", help="base models: check").add_subparsers(required=True, metavar="VERB")
    check = verbs.add_parser("check", help="whether a model can be trained, by which engine, and the config for it")
    check.add_argument("model", help="a folder, a hub repository (owner/name), or a name of conf/model")
    check.add_argument("--chat-template", metavar="NAME", help="one of ours in the place of the tokenizer's own (plain, chatml, …)")
    check.add_argument("--revision", help="a hub repository's branch, tag or commit")
    check.add_argument("--save", metavar="NAME", help="write the config to conf/model/NAME.yaml")
    check.add_argument("--json", action="store_true", help="print JSON")
    check.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> tuple[int, Any]:
    """Run the checks; return exit code 1 where neither engine can train it."""
    if arguments.save is not None and not re.fullmatch(r"[A-Za-z0-9._-]+", arguments.save):
        raise UserError(f"--save {arguments.save} is no name for a config: give letters, digits, dots, dashes and underscores.")
    named = named_model(arguments.model, arguments.revision)
    if arguments.chat_template is not None:
        named = replace(named, chat_template=arguments.chat_template)
    if arguments.save is not None:
        named = replace(named, name=arguments.save)
    checks, config = examine(named)
    trainable = not any(check.mark == "fail" for check in checks)
    config = config if trainable else None
    text = None if config is None else config_text(named.name, config, checks)
    if not arguments.json:
        print_checks(checks)
        if text is not None and (named.stated is None or arguments.save is not None):
            print(f"\n{text}", end="")
    saved = _save(arguments.save, text) if arguments.save is not None and text is not None else None
    if saved is not None and not arguments.json:
        print(f"\nSaved as {saved}.")
    answer = {"trainable": trainable, "checks": [asdict(check) for check in checks], "config": config, "yaml": text}
    return int(not trainable), {**answer, "saved": None if saved is None else str(saved)}


def named_model(asked: str, revision: str | None) -> NamedModel:
    """Return what `asked` names: a folder, a name of conf/model, or a hub repository. Raise UserError where it can be none."""
    folder = Path(asked).expanduser()
    if (folder / "config.json").is_file():
        return NamedModel(_plain_name(folder.resolve().name), "path", str(folder.resolve()))
    names = sorted(path.stem for configs in (MODELS, *_of_study()) for path in configs.glob("*.yaml"))
    if asked in names:
        model = compose_config([f"model={asked}"]).model
        stated = {"system_role": model.system_role, "end_of_turn": model.end_of_turn, "target_modules": model.target_modules}
        described = {"family": model.family, "parameters_b": model.parameters_b, "tuned": model.tuned}
        revision = revision or model.revision
        return NamedModel(asked, model.source, model.location, revision, model.sha256, model.chat_template, stated, described)
    if folder.exists():
        raise UserError(f"{asked} holds no config.json: it is no model's folder.")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", asked):
        raise UserError(f"{asked} is no folder, no hub repository (owner/name), and none of conf/model: {', '.join(names)}.")
    return NamedModel(_plain_name(asked.rpartition("/")[2]), "hub", asked, revision)


def examine(named: NamedModel) -> tuple[list[Check], dict[str, Any] | None]:
    """Return every check, in the order in which they are read, and the config for conf/model; None where there is nothing to write."""
    from persona_exp.modeling.chat_template_inspection import chat_format
    from persona_exp.modeling.model_architecture import ADAPTER_WITHOUT_EFFECT, architecture
    from persona_exp.training.fused.engine_compatibility import engine_compatibility

    folder = _folder(named)
    try:
        built = architecture(folder)
    except UserError as error:
        return [Check("architecture", "fail", str(error).rstrip("."), "a newer transformers may know it")], None
    tokenizer, template = _tokenizer(folder, named.chat_template)
    form = chat_format(tokenizer)
    engine = engine_compatibility(folder)
    if engine.targets:  # Else nothing could be tried.
        idle = [name for name in built.targets if name not in engine.targets]
        targets = tuple(name for name in built.targets if name not in idle)
        built = replace(built, targets=targets, others={**built.others, **dict.fromkeys(idle, ADAPTER_WITHOUT_EFFECT)})
    checks = [_size_check(built), *_weights_checks(built), _engine_check(engine), Check("attention", "ok", ", ".join(built.attention))]
    checks += [*_template_checks(form, template, named.chat_template), *_target_checks(built)]
    described = named.described or _described(named, built, template)
    config: dict[str, Any] = {"name": named.name, **described}
    config |= {"source": named.source, "location": named.location, "revision": named.revision}
    if named.sha256 is not None:
        config["sha256"] = named.sha256
    config |= {"chat_template": template, "system_role": form.system_role, "end_of_turn": form.end_of_turn}
    config |= {"target_modules": list(built.targets), "micro_batch_size": _micro_batch_size(built)}
    checks.append(_memory_check(folder, built, config["micro_batch_size"]))
    if named.stated is not None:
        checks.append(_config_check(named.stated, config))
    return checks, config if form.end_of_turn is not None and built.targets else None


def config_text(name: str, config: dict[str, Any], checks: list[Check]) -> str:
    """Return the file for conf/model: the command that runs it, what was found, and the settings."""
    import yaml

    found = {check.name: check.found for check in checks if check.name in ("architecture", "engine", "system turn")}
    note = f"{found['architecture']}. Engine {found['engine']}. A system turn is {found['system turn']}."
    lists = {key: f"{key}: [{', '.join(value)}]" for key, value in config.items() if isinstance(value, list)}
    lines = [lists.get(key) or yaml.safe_dump({key: value}, width=1000, allow_unicode=True).strip() for key, value in config.items()]
    return "\n".join([f"# python run.py model={name}", "#", *(f"# {line}" for line in wrap(note, WIDTH)), *lines]) + "\n"


def _save(name: str, text: str) -> Path:
    from persona_exp.atomic_files import create_text

    conf = study_conf()
    if conf is None and is_installed(ROOT):
        raise UserError("--save writes to the conf/ of a study: make one with `persona-exp init DIR`, and give this command in it.")
    path = (conf / "model" if conf else MODELS) / f"{name}.yaml"
    taken = MODELS / path.name
    path.parent.mkdir(parents=True, exist_ok=True)
    if taken.exists() or not create_text(path, text):
        raise UserError(f"{taken if taken.exists() else path} exists: give --save another name, or remove it.")
    return path


def _of_study() -> list[Path]:
    return [conf / "model"] if (conf := study_conf()) else []


def _plain_name(text: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-.") or "model"


def _folder(named: NamedModel) -> Path:
    """Return the folder of its configuration and tokenizer; of a hub repository nothing else is fetched."""
    from persona_exp.modeling.hub_download import fetch_description
    from persona_exp.modeling.model_cache import cache_folder
    from persona_exp.modeling.model_source import fetch

    if named.source == "hub":
        return fetch_description(named.location, named.revision)
    return fetch(named.source, named.location, named.revision, named.sha256, cache_folder())


def _tokenizer(folder: Path, chat_template: str | None) -> "tuple[PreTrainedTokenizerBase, str | None]":
    """Return the tokenizer, and which template of ours it needs: `plain` where it has none of its own."""
    from transformers import AutoTokenizer

    from persona_exp.modeling.tokenizer_loading import load_tokenizer

    if chat_template is None:
        try:
            own = AutoTokenizer.from_pretrained(folder, local_files_only=True).chat_template
        except (OSError, ValueError) as error:
            raise UserError(f"{folder} holds no tokenizer that transformers can read: {str(error).strip().splitlines()[0]}") from error
        chat_template = None if own else "plain"
    return load_tokenizer(folder, chat_template), chat_template


def _size_check(built: "Architecture") -> Check:
    billions = built.parameters / 1e9
    size = f"{billions:,.2f} billion" if billions >= 0.1 else f"{billions * 1000:,.2f} million"
    return Check("architecture", "ok", f"{built.kind}, {built.layers} layers, {size} weights")


def _weights_checks(built: "Architecture") -> list[Check]:
    if built.quantised is None:
        return []
    fix = "take the repository that has them in 16 bits"
    return [Check("weights", "fail", f"quantised ({built.quantised}), on which no adapter was shown to train", fix)]


def _engine_check(found: "EngineCompatibility") -> Check:
    if not found.trainable:
        return Check("engine", "fail", f"neither computes it as plain transformers do: {found.reason}", "choose another model")
    if not found.fused:
        return Check("engine", "warn", f"sft: {found.reason}", "nothing to do: such trials are trained one at a time")
    longest = "" if found.longest is None else f", conversations of up to {found.longest:,} tokens"
    return Check("engine", "ok", f"fused{longest}")


def _template_checks(form: "ChatFormat", template: str | None, asked: str | None) -> list[Check]:
    own = "the tokenizer's own" if template is None else f"{template}, one of ours"
    checks = [Check("template", "ok", own)]
    if template is not None and asked is None:
        found = f"none of its own: {template} marks turns with words and ends them with the end of text"
        checks = [Check("template", "warn", found, "for a model that was taught a format, give that format's template")]
    if form.system == "kept":
        checks.append(Check("system turn", "ok", "kept"))
    else:
        checks.append(Check("system turn", "warn", f"{form.system}: the system prompt opens the first user turn", "model.system_role=user"))
    if form.end_of_turn is not None:
        checks.append(Check("end of turn", "ok", form.end_of_turn))
    if form.dated:
        checks.append(Check("date", "warn", "the template writes today's date", "nothing to do: a fixed one is written instead"))
    checks += [Check("template", "warn", remark.rstrip(".")) for remark in form.remarks]
    advice = "choose another with --chat-template" if template is not None else "try --chat-template plain"
    checks += [Check("template", "fail", fault.rstrip("."), advice) for fault in form.faults]
    return checks


def _target_checks(built: "Architecture") -> list[Check]:
    from persona_exp.modeling.model_architecture import WEIGHT_READ_DIRECTLY

    left_out = "; ".join(f"{name}: {reason}" for name, reason in built.others.items())
    if not built.targets:
        return [Check("targets", "fail", f"no linear layers in its blocks{f' ({left_out})' if left_out else ''}", "choose another model")]
    checks = [Check("targets", "ok", ", ".join(built.targets) + (f" (not {left_out})" if left_out else ""))]
    if WEIGHT_READ_DIRECTLY in built.others.values():
        checks.append(Check("NF4", "warn", "some weights are read where 4 bits cannot be", "method=lora where its kernels are installed"))
    if built.linear < built.parameters / 2:
        share = built.linear / built.parameters
        checks.append(Check("NF4", "warn", f"{share:.0%} of the weights are in linear layers: the rest stays in 16 bits, without adapters"))
    return checks


def _config_check(stated: dict[str, Any], config: dict[str, Any]) -> Check:
    """Check that the existing config states what was found. Fewer targets than there are is a choice."""
    wrong = [f"{key}={stated[key]}, not {config[key]}" for key in ("system_role", "end_of_turn") if stated[key] != config[key]]
    if unknown := sorted(set(stated["target_modules"]) - set(config["target_modules"])):
        wrong.append(f"target_modules with {', '.join(unknown)}")
    if wrong:
        return Check("conf/model", "fail", f"says {'; '.join(wrong)}", "correct it, or save another with --save NAME")
    return Check("conf/model", "ok", "says what was found")


def _described(named: NamedModel, built: "Architecture", template: str | None) -> dict[str, Any]:
    """Return what can be known of a model that no config describes: the weights as counted, and `tuned` as its name or template tells."""
    words = set(re.split(r"[^a-z0-9]+", named.location.rpartition("/")[2].lower()))
    tuned = (
        "instruct"
        if words & {"instruct", "it", "chat"}
        else "base"
        if words & {"base", "pt"} or (named.chat_template is None and template == "plain")
        else None
    )
    return {"family": None, "parameters_b": float(f"{built.parameters / 1e9:.2g}"), "tuned": tuned}


def _micro_batch_size(built: "Architecture") -> int:
    return next(size for billions, size in MICRO_BATCH_SIZES if built.parameters / 1e9 >= billions)


def _memory_check(folder: Path, built: "Architecture", micro_batch_size: int) -> Check:
    """Estimate what a trial with the default settings needs on a GPU, or the weights alone where the shape is not known."""
    from persona_exp.modeling.layer_sizes import read_layer_sizes
    from persona_exp.modeling.training_memory_estimate import GIB, NF4_BYTES, TrialTraining, estimate_training_memory

    shape = read_layer_sizes(folder / "config.json")
    if shape is None or abs(shape.parameters / built.parameters - 1) > 0.01:
        small = built.linear * NF4_BYTES + 2 * (built.parameters - built.linear)
        found = f"weights alone {_gib(2 * built.parameters / GIB)} in 16 bits, {_gib(small / GIB)} with NF4"
        return Check("memory", "warn", f"{found}: what training adds is not known for {built.kind}")
    config = compose_config([])
    lora, train = config.lora, config.train
    needs = [
        estimate_training_memory(
            shape,
            TrialTraining(
                method="lora",
                quantisation=quantisation,
                double_quantisation=config.method.double_quantisation,
                dtype=config.model.dtype,
                attention="sdpa" if "sdpa" in built.attention else "eager",
                r=lora.r,
                target_modules=list(built.targets),
                dropout=lora.dropout,
                optimizer=config.optim.name,
                micro_batch_size=micro_batch_size,
                max_length=train.max_length,
                gradient_checkpointing=False,
                gpu=True,
            ),
        ).total
        / GIB
        for quantisation in ("none", "nf4")
    ]
    batch = f"r={lora.r}, {micro_batch_size} × {train.max_length:,} tokens, without gradient checkpointing"
    return Check("memory", "ok", f"about {_gib(needs[0])} in 16 bits, {_gib(needs[1])} with NF4 ({batch}, on a GPU)")


def _gib(amount: float) -> str:
    return f"{amount:,.1f} GiB" if amount >= 0.1 else f"{amount * 1024:,.1f} MiB"
