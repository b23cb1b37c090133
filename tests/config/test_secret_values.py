"""What is a secret in a command or a setting, and what only names one; and that none reaches a file."""

import subprocess
import sys

import pytest

from persona_exp.config.secret_values import assignments, refuse_secrets, secret_in
from persona_exp.errors import UserError
from persona_exp.launch.slurm.sbatch_script import script
from persona_exp.trial.seal import seal
from tests.conftest import ROOT, environment
from tests.slurm.site import fake_site

SECRET = "canary51f0c2d97ab4canary51f0c2d97ab4"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (f"+hydra.job.env_set.WANDB_API_KEY={SECRET}", "WANDB_API_KEY"),
        (f"+hydra.job.env_set={{WANDB_API_KEY: {SECRET}}}", "WANDB_API_KEY"),
        (f"+hydra.job.env_set={{a:1,HF_TOKEN:{SECRET}}}", "HF_TOKEN"),
        (f"hydra.launcher.setup=['export WANDB_API_KEY={SECRET}']", "WANDB_API_KEY"),
        (f"hydra.launcher.setup=[\"export SITE_PASSWORD='{SECRET}'\"]", "SITE_PASSWORD"),
        (f"export wandb_api_key={SECRET}", "wandb_api_key"),
        (f"cluster.setup=[export DB_PASSWD={SECRET}]", "DB_PASSWD"),
        (f"export CLIENT_SECRET={SECRET}", "CLIENT_SECRET"),
        (f"+hydra.launcher.additional_parameters.export=ALL,OPENAI_API_KEY={SECRET}", "OPENAI_API_KEY"),
        (f"password={SECRET}", "password"),
        (f"teacher.base_url=https://me:{SECRET}@host/v1", "a password in a URL"),
        (f"export https_proxy=http://me:{SECRET}@proxy:3128", "a password in a URL"),
        (f"curl -H 'Authorization: Bearer {SECRET}' https://host", "Bearer"),
        (f"wandb login {SECRET}", "wandb login"),
        (f"wandb login --relogin {SECRET}", "wandb login"),
        (f"hf auth login --token {SECRET}", "--token"),
        ("model.location=hf_abcdefghijklmnopqrstuv", "an access token"),
        ("git clone https://hf_abcdefghijklmnopqrstuv@huggingface.co/owner/name", "an access token"),
        ("export AWS_SECRET_ACCESS_KEY=/9aBcD/eF0123456789", "AWS_SECRET_ACCESS_KEY"),
        ("export DB_PASSWORD='<9aBcDeF0123'", "DB_PASSWORD"),
        ("export PGPASSWORD=tiger", "PGPASSWORD"),
        ("export MISTRAL_KEY=abcd", "MISTRAL_KEY"),
        (f"+hydra.job.env_set.MYKEY={SECRET}", "MYKEY"),
        (f"export PGPASS={SECRET} MYSQL_PWD=x", "PGPASS"),
        (f"export MYSQL_PWD={SECRET}", "MYSQL_PWD"),
        (f"+tracker.my_key={SECRET}", "my_key"),
    ],
)
def test_a_secret_is_refused_and_never_quoted(text, kind):
    assert secret_in(text) == kind
    with pytest.raises(UserError) as refused:
        refuse_secrets(["lora.r=8", text], "The command")
    assert kind in str(refused.value)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "lora.r=8,16,32",
        "teacher.api_key_variable=MISTRAL_API_KEY",
        "bundle.row_tokens=4096",
        "evaluation.max_new_tokens=64",
        "export WANDB_API_KEY=$MY_WANDB_API_KEY",
        'export WANDB_API_KEY="$(cat ~/.wandb_key)"',
        "export HF_TOKEN=${HF_TOKEN:-}",
        "+hydra.job.env_set.WANDB_API_KEY=${oc.env:WANDB_API_KEY}",
        "unset WANDB_API_KEY",
        "export WANDB_API_KEY=",
        "export HF_TOKEN_PATH=/home/me/.token",
        "wandb login --relogin",
        "export https_proxy=http://proxy:3128",
        "teacher.base_url=http://localhost:8000/v1",
        "The password: he had it from the secretary; the secret: nobody knew.",
        "model.location=owner/name@main",
        "persona.system_prompt=You are the ring bearer travelling east, a man with a past--secret even to friends.",
        "export GOOGLE_APPLICATION_CREDENTIALS=/home/me/project.json",
        "export SSL_KEY=~/site.pem",
        "export PYTHONPATH=lib/secret:tools",
        "model.location=/scratch/sk-smollm2-135m-instruct-v2",
        "+model.pad_token=<pad>",
        "conda activate my_key:env",
        "export TRITON_CACHE_KEY=1",
        "group_key=lr",
        "export MONKEY=1 COMPASS=north-by-northwest BYPASS=true",
        "cd /scratch; OLDPWD=/home/me PWD=/scratch",
    ],
)
def test_what_only_names_a_secret_is_none(text):
    assert secret_in(text) is None


def test_every_setting_that_is_shipped_passes(composed):
    from omegaconf import OmegaConf

    shipped = []
    for overrides in [["teacher=openai", "tracker=wandb", "cluster=template"], ["cluster=h100", "model=qwen3-32b"]]:
        shipped += assignments(OmegaConf.to_container(composed(*overrides), resolve=False))
    assert {"api_key_variable=OPENAI_API_KEY", "location=Qwen/Qwen3-32B"} <= set(shipped)
    assert [one for one in shipped if secret_in(one)] == []


def test_a_setting_of_a_site_file_reaches_no_script(tmp_path):
    given = {"setup": [f"export WANDB_API_KEY={SECRET}"], "partition": "gpu"}
    with pytest.raises(UserError, match="WANDB_API_KEY") as refused:
        script("true", folder=tmp_path, name="x", options=given, array=None, parallelism=1, dependency=None, environment={})
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("where", ["config", "command"])
def test_no_seal_is_written_of_a_secret(config, tmp_path, where):
    given = config("engine=noop", f"runs={tmp_path}/runs")
    if where == "config":
        given.cluster.setup = [f"export WANDB_API_KEY={SECRET}"]
    with pytest.raises(UserError, match="WANDB_API_KEY"):
        seal(given, command=f"python run.py x_WANDB_API_KEY={SECRET}" if where == "command" else "test")
    assert not [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]


@pytest.mark.long
@pytest.mark.parametrize(
    "arguments",
    [
        ["model=tiny", "engine=noop"],
        ["-m", "model=tiny", "engine=noop", "seed=1,2"],
        ["-m", "model=tiny", "engine=noop", "seed=1,2", "hydra/launcher=slurm", "cluster=testbed"],
        ["-m", "model=tiny", "lora.r=choice(4,8)", "hydra/sweeper=optuna", "hydra/launcher=slurm", "cluster=testbed"],
    ],
)
@pytest.mark.parametrize(
    "secret",
    [
        f"+hydra.job.env_set.WANDB_API_KEY={SECRET}",
        f"hydra.launcher.setup=['export WANDB_API_KEY={SECRET}']",
        f"cluster.setup=['export WANDB_API_KEY={SECRET}']",
        f"teacher.base_url=https://me:{SECRET}@host/v1",
    ],
)
def test_a_secret_in_a_command_reaches_no_file_and_no_message(tmp_path, arguments, secret):
    if secret.startswith("hydra.launcher") and "hydra/launcher=slurm" not in arguments:
        pytest.skip("setup is a setting of Slurm's launcher")
    with fake_site(tmp_path / "fake") as site:
        told = {**environment(tmp_path), **site.environment}
        command = [sys.executable, str(ROOT / "run.py"), *arguments, secret]
        done = subprocess.run(command, cwd=ROOT, env=told, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("error: The command holds a secret")
    assert done.stderr.count("\n") == 1
    assert SECRET not in done.stdout + done.stderr
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in written if SECRET.encode() in path.read_bytes()]
