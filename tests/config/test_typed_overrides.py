"""What people type: accents and brackets work as typed, and each mistake is one sentence that names the fix."""

import re
import shlex
from pathlib import Path

import hydra
import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from persona_exp.config.compose import compose_trial, error_sentence, sweep_label
from persona_exp.config.typed_overrides import as_typed
from persona_exp.errors import UserError
from persona_exp.search.hydra_internals import apply_overrides


@pytest.fixture
def typed(composed):
    """`typed("lora.r=8")`: the config of a command's words, as run.py has it."""

    def compose(command):
        try:
            return compose_trial(composed(*(word for word in as_typed(shlex.split(command)) if not word.startswith("-"))))
        except hydra.errors.HydraException as error:
            raise UserError(error_sentence(error)) from error

    return compose


@pytest.mark.parametrize(
    ("command", "setting", "value"),
    [
        ('persona.name="Mrs. O\'Dowd"', "persona.name", "Mrs. O'Dowd"),
        ("persona.name=Émile", "persona.name", "Émile"),
        ('persona.name="Sam (the elder)"', "persona.name", "Sam (the elder)"),
        ('persona.name="Émile ~ Zoë [née Sand]; 1850"', "persona.name", "Émile ~ Zoë [née Sand]; 1850"),
        ("persona.name=1e3", "persona.name", "1e3"),
        ("persona.name=1_000", "persona.name", "1_000"),
        ("persona.name=Emma", "persona.name", "Emma"),
        ("persona.name='\"Emma, or so\"'", "persona.name", "Emma, or so"),
        ("corpus.dir=~/books", "corpus.dir", str(Path("~/books").expanduser())),
        ('corpus.dir="/x/Treasure Island, vol. 1 (1883).txt"', "corpus.dir", "/x/Treasure Island, vol. 1 (1883).txt"),
        ("corpus.dir='C:\\books\\(old)\\'", "corpus.dir", "C:\\books\\(old)\\"),
        ("'persona.system_prompt=You are \"Bob\", and it'\"'\"'s late.'", "persona.system_prompt", 'You are "Bob", and it\'s late.'),
        ("'persona.system_prompt=[stage] You are {name}.'", "persona.system_prompt", "[stage] You are {name}."),
        ("'persona.system_prompt=a=b'", "persona.system_prompt", "a=b"),
        ('persona.aliases="[Émile,Mrs. O\'Dowd, Miss Zoë]"', "persona.aliases", ["Émile", "Mrs. O'Dowd", "Miss Zoë"]),
        ('corpus.books="[~/Émile (1762).txt]"', "corpus.books", [str(Path("~/Émile (1762).txt").expanduser())]),
        ("+persona.facts.inn=\"O'Dowd's (old)\"", "persona.facts.inn", "O'Dowd's (old)"),
        ("model=tiny -p lora lora.r=4", "lora.r", 4),
    ],
)
def test_it_works_as_typed(typed, command, setting, value):
    found = typed(command.replace("-p lora ", ""))
    for part in setting.split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    assert found == value


@pytest.mark.parametrize(
    ("command", "read"),
    [
        ("-m persona.name=Émile,Zoë", ["-m", 'persona.name="Émile","Zoë"']),
        ("-m 'persona.name=choice(Émile,Zoë)'", ["-m", 'persona.name=choice("Émile","Zoë")']),
        ("-m 'lora.r=8, 16'", ["-m", "lora.r=8, 16"]),
        ("-m 'corpus.dir=/a/é,/b/(x)'", ["-m", 'corpus.dir="/a/é","/b/(x)"']),
        ("model=tiny -m lora.r=8,16", ["-m", "model=tiny", "lora.r=8,16"]),
        ("--cfg job lora.r=8", ["--cfg", "job", "lora.r=8"]),
        ("lora.r=8 -i", ["-i", "lora.r=8"]),
        ("'hydra.sweeper.constraints=[a<=1, b>=2]'", ['hydra.sweeper.constraints=["a<=1","b>=2"]']),
        ("-cn own study=x", ["-cn", "own", "study=x"]),
        ("lora.r=8 lora.r=8", ["lora.r=8", "lora.r=8"]),
    ],
)
def test_what_hydra_is_handed(command, read):
    assert as_typed(shlex.split(command)) == read
    assert as_typed(read) == read


# A command as a shell takes it, and what of its sentence names the cause or the fix.
MISUSES = [
    # Words and spaces.
    ("lora.r=8, 16", "write lora.r=8,16, without spaces"),
    ("-m lora.r=8 16 32", "write lora.r=8,16,32, without spaces"),
    ("-m lora.r=8 , 16", "write lora.r=8,16"),
    ("train.max_steps 5", "write train.max_steps=5."),
    ("train.max_steps = 5", "write train.max_steps=5."),
    ("train.max_steps =5", "write train.max_steps=5."),
    ("train.max_steps= 5", "write train.max_steps=5"),
    ("train.max_steps=", "write train.max_steps=VALUE."),
    ("train.max_steps", "write train.max_steps=VALUE."),
    ("lora.r:8", "write lora.r=8."),
    ("=5", "write KEY=VALUE."),
    ("lora.r==8", "write lora.r=8."),
    ("'lora.r =8'", "write lora.r=8."),
    ("persona.name=Emma Woodhouse", "write 'persona.name=Emma Woodhouse', in quotes"),
    ("persona.aliases=[Emma, Miss Woodhouse]", "write 'persona.aliases=[Emma, Miss Woodhouse]', in quotes"),
    ("corpus.books=a.txt b.txt", "write 'corpus.books=[a.txt,b.txt]'"),
    ("tiny", "settings are KEY=VALUE"),
    ("modl", "did you mean model?"),
    # Commas.
    ("-m lora.r=8,,16", "write lora.r=8,16."),
    ("-m lora.r=8,", "write lora.r=8."),
    ("-m lora.r=,8", "write lora.r=8."),
    ("lora.r=8,16", "add -m to sweep over them"),
    ("optim.lr=0,0001", "or optim.lr=0.0001 for one number"),
    ("persona.name='Holmes, Sherlock'", "write 'persona.name=\"Holmes, Sherlock\"' for one text"),
    ("-m persona.name='Holmes, Sherlock'", "'persona.name=\"Holmes, Sherlock\"' for one, persona.name=Holmes,Sherlock for 2"),
    ("-m persona.name='Émile, Zoë'", '\'persona.name="Émile, Zoë"\' for one, \'persona.name="Émile","Zoë"\' for 2'),
    ("persona.name=Émile,Zoë", '-m \'persona.name="Émile","Zoë"\' for a sweep'),
    ("corpus.dir='/x/Emma, vol. 1.txt'", "write 'corpus.dir=\"/x/Emma, vol. 1.txt\"' for one text"),
    ("corpus.books=a.txt,b.txt", "or write [..] for a list"),
    # Brackets, quotation marks and functions.
    ("lora.target_modules=[q_proj", "as in 'lora.target_modules=[q_proj]'"),
    ("'persona.facts={home: London'", "as in 'persona.facts={home: London}'"),
    ("lora.r=8]", "without its other half"),
    ("'persona.name=\"Emma'", "as in 'persona.name=\"Emma\"'"),
    ("persona.name=[Emma]", "write 'persona.name=\"[Emma]\"' for one text"),
    ("-m 'lora.r=rang(8,16)'", "range is written as in lora.r=range(1,9)"),
    ("-m 'lora.r=range(8'", "as in 'lora.r=range(8)'"),
    ("-m 'lora.r=choice()'", "choice is written as in lora.r=choice(8,16)"),
    ("-m 'optim.lr=interval(1e-5)'", "interval is written as in optim.lr=interval(1e-5,1e-3)"),
    ("'lora.r=power(2,3)'", "there is no power(…)"),
    ("'persona.system_prompt=It costs ${price}.'", "write \\${price} for the signs themselves"),
    ("'persona.system_prompt=It costs ${.'", "write \\${ for the signs themselves"),
    # Flags.
    ("--lora.r=8", "settings have no dashes, write lora.r=8."),
    ("--model tiny", "settings have no dashes, write model=tiny."),
    ("-lora.r=8", "write lora.r=8."),
    ("--multrun lora.r=8,16", "did you mean --multirun?"),
    ("--dryrun -m lora.r=8,16", "did you mean --dry-run?"),
    ("--cfg", "--cfg needs a word behind it: job, hydra, all."),
    ("--cfg jobs", "did you mean job?"),
    ("--info confg", "did you mean config?"),
    ("--config-dir", "--config-dir needs a word behind it."),
    # Given twice, added, taken out.
    ("lora.r=8 lora.r=16", "leave out lora.r=8 or lora.r=16."),
    ("model=tiny model=qwen3-4b", "leave out model=tiny or model=qwen3-4b."),
    ("lora.r=8 ++lora.r=16", "leave out lora.r=8 or ++lora.r=16."),
    ("+lora.r=8", "write lora.r=8, without the +."),
    ("~lora", "choose an option, lora=OPTION."),
    ("~lora.r", "set it to another value"),
    ("sweeps=lora_rank", "write -m +sweeps=lora_rank."),
    ("-m +sweep=lora_rank", "did you mean sweeps?"),
    # Names of settings.
    ("lora.rr=8", "did you mean lora.r?"),
    ("lora.rank=8", "did you mean lora.r?"),
    ("Lora.r=8", "did you mean lora.r?"),
    ("loras.r=8", "did you mean lora.r?"),
    ("optimiser.lr=1e-4", "did you mean optim.lr?"),
    ("lr=1e-4", "did you mean optim.lr?"),
    ("epochs=3", "did you mean train.epochs?"),
    ("train.max_step=3", "did you mean train.max_steps?"),
    ("sead=3", "did you mean seed?"),
    ("lora/r=8", "There is no setting lora/r"),
    ("+colour=red", "There is no setting colour"),
    ("pérsona.name=x", "There is no setting pérsona.name"),
    ("persona.facts.inn=London", "write +persona.facts.inn=VALUE to add it"),
    # Names of options.
    ("model=smolm2-135m", "did you mean smollm2-135m?"),
    ("model=SmolLM2-135M", "did you mean smollm2-135m?"),
    ("model=qwen3_4b", "did you mean qwen3-4b?"),
    ("model=HuggingFaceTB/SmolLM2-135M", "model=HuggingFaceTB/SmolLM2-135M does not exist"),
    ("persona=homes", "did you mean holmes?"),
    ("method=lroa", "did you mean lora?"),
    ("modl=tiny", "did you mean model?"),
    ("experiment=sherlok_llm", "did you mean sherlock_llm?"),
    ("cluster=h10", "did you mean h100?"),
    ("model=", "write model=VALUE."),
    ("lora=8", "lora.r, lora.alpha"),
    ("hydra/launcher=slrum", "did you mean slurm?"),
    ("hydra/sweeper=optuna hydra/sweeper/sampler=tpa", "did you mean tpe?"),
    ("persona@other=holmes", "write +persona@other=OPTION to add it"),
    # Types.
    ("lora.r=four", "lora.r=four must be a whole number."),
    ("'lora.r=8;16'", "lora.r=8;16 must be a whole number."),
    ("train.max_steps=1.5", "train.max_steps=1.5 must be a whole number."),
    ("optim.lr=1e", "optim.lr=1e must be a number."),
    ("optim.lr=true", "must be a number."),
    ("lora.rslora=maybe", "lora.rslora=maybe must be true or false."),
    ("seed=[1,2]", "several values are seed=1,2, with -m"),
    ("corpus.books=a.txt", "corpus.books must be a list, as in [a,b]."),
    ("persona.name=null", "persona.name=null must be a text."),
    ("data.mix=dialogue", "set data.mix.dialogue=VALUE"),
    # Ranges.
    ("lora.r=-3", "lora.r=-3 must be above 0."),
    ("lora.dropout=2", "lora.dropout=2"),
    ("seed=-1", "must lie between 0"),
    ("evaluation.split=train", "must be one of validation, test"),
    ("cluster.stage=[modell]", "must be one of model, environment"),
    ("optim.schedule=cosin", "must be one of cosine"),
    ("persona.name=", "must hold a name"),
    ("persona=own", "give persona.name=VALUE"),
    ("search.objective=rouge1", "add -m hydra/sweeper=optuna"),
    # Hydra's own settings.
    ("hydra.launcher.partition=gpu", "add hydra/launcher=slurm."),
    ("hydra.sweeper.n_trials=4", "add hydra/sweeper=optuna."),
    ("hydra/launcher=slurm hydra.launcher.partion=gpu", "did you mean hydra.launcher.partition?"),
    ("hydra/sweeper=optuna hydra.sweeper.ntrials=4", "did you mean hydra.sweeper.n_trials?"),
    ("hydra.run.dir=out", "runs=DIR names another folder"),
    ("hydra.mode=MULTIRUN", "-m sweeps"),
]


@pytest.mark.parametrize(("command", "says"), MISUSES, ids=[command for command, _ in MISUSES])
def test_a_misuse_is_one_sentence_with_its_fix(typed, command, says):
    with pytest.raises(UserError) as refused:
        typed(command)
    sentence = str(refused.value)
    assert says in sentence
    assert "\n" not in sentence
    assert sentence[-1] in ".?"
    assert not re.search(r"Exception|mismatched|expecting|https?:|OmegaConf|NoneType|ListConfig", sentence)


def test_there_are_many_of_them():
    assert len({command for command, _ in MISUSES}) == len(MISUSES) >= 90


# Of whole commands: sweeps, searches and Slurm's options, which are checked where they are read.
COMMANDS = [
    ("-m hydra/sweeper=optuna lora.r=4,8 hydra.sweeper.n_trials=x", "must be a whole number above 0"),
    ("-m hydra/sweeper=optuna lora.r=8", "The search has nothing to draw"),
    ("-m hydra/sweeper=optuna lora.r=4,8 hydra.sweeper.direction=min", "must be minimize or maximize"),
    ("-m hydra/sweeper=optuna lora.r=interval(8,4)", "give the lower end first"),
    ("-m hydra/sweeper=optuna lora.r=4,8 'hydra.sweeper.constraints=memory<=70'", "hydra.sweeper.constraints=memory is not measured"),
    ("-m optim.lr=interval(1e-5,1e-3)", "is a continuous range"),
    ("-m lora.r=range(16,8)", "The sweep holds no trial"),
    ("-m hydra/launcher=slurm lora.r=4,8 hydra.launcher.timeout_min=1h", "hydra.launcher.timeout_min=1h must be a whole number."),
    ("-m hydra/launcher=slurm lora.r=4,8 hydra.launcher.mem_gb=64G", "hydra.launcher.mem_gb=64G must be a number."),
    ("-m hydra/launcher=slurm lora.r=4,8 +hydra.launcher.partion=x", "did you mean partition?"),
    ("-m lora.r=4,8 hydra.launcher.n_jobs=two", "hydra.launcher.n_jobs=two must be a whole number."),
    ("--config-dir /nonexistent", "--config-dir=/nonexistent is no folder"),
    ("-cn mine", "There is no config mine"),
]


@pytest.mark.long
@pytest.mark.parametrize(("command", "says"), COMMANDS, ids=[command for command, _ in COMMANDS])
def test_a_command_that_is_refused_says_so_in_one_sentence(run_py, tmp_path, command, says):
    done = run_py(*shlex.split(command))
    assert done.returncode == 2, done.stdout + done.stderr
    assert says in done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("a,b", "a,b"),
        ("it's", "it's"),
        ("007", "007"),
        ("true", "true"),
        ("[8", "[8"),
        ("a\\", "a\\"),
        ("a\\'", "a\\'"),
        ("'a, b'", "a, b"),
        ("null", None),
        ("", ""),
        ("Émile: ü", "Émile: ü"),
        ("two words", "two words"),
    ],
)
def test_a_note_is_read_as_it_is_typed(typed, read):
    override = OverridesParser.create().parse_override(as_typed([f"sweep.note={typed}"])[0])
    config = OmegaConf.create({"sweep": {}})
    apply_overrides([override], config)
    assert sweep_label(config).note == read


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('name: "Emma\n', "line 2, is no YAML (found unexpected end of stream)"),
        ("name: Emma\n\taliases: []\n", "line 2, is no YAML (found character '\\t'"),
        ("name: Emma: Woodhouse\n", "line 1, is no YAML (mapping values are not allowed here)"),
    ],
)
def test_a_file_of_ones_own_that_is_no_yaml_is_named_with_its_line(tmp_path, text, says):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with path.open() as file, pytest.raises(yaml.YAMLError) as broken:
        yaml.safe_load(file)
    sentence = error_sentence(broken.value)
    assert sentence.startswith(str(path))
    assert says in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("words", "read"),
    [
        (["model=tiny", "~experiment"], ["model=tiny", "~experiment"]),
        (["-m", "lora.r=8,16", "~experiment"], ["-m", "lora.r=8,16", "~experiment"]),
        (["-sc", "install=bash"], ["-sc", "install=bash"]),
        (["--config-name=mine", "foo=1"], ["--config-name=mine", "foo=1"]),
    ],
)
def test_what_hydra_has_beside_settings_stays(words, read):
    assert as_typed(words) == read
