"""A sweep says which of what it sweeps changes nothing, and a rehearsal has as many trials as what it rehearses."""

from dataclasses import replace

import pytest

from persona_exp.errors import UserError
from persona_exp.launch.sweeps.seal_sweep_rows import TrialRequest, fewer_trials, seal_rows


@pytest.fixture
def requests(config, tmp_path, one_copy_of_the_code):
    def make(common, *swept):
        made = []
        for words in swept:
            pairs = dict(word.split("=") for word in words)
            made.append(TrialRequest(replace(config(*common, *words), runs=str(tmp_path / "runs")), pairs))
        return made

    return make


REHEARSAL = ("model=tiny", "engine=noop")


@pytest.mark.parametrize(
    ("words", "trials"),
    [
        ((["persona=crane"], ["persona=wrexham"]), 2),
        ((["data.seed=0"], ["data.seed=1"]), 2),
        ((["data.size=10"], ["data.size=20"]), 2),
        ((["evaluation.split=test"], ["evaluation.split=validation"]), 2),
        ((["evaluation.generated_items=4"], ["evaluation.generated_items=8"]), 2),
        ((["evaluation.batch_size=4"], ["evaluation.batch_size=8"]), 1),
        ((["method=none"], ["method=lora"]), 2),
        ((["method=none", "model=tiny"], ["method=none", "model=smollm2-135m"]), 2),
    ],
)
def test_a_rehearsal_has_the_trials_of_the_sweep(requests, words, trials):
    common = REHEARSAL if not any("model=" in word for word in words[0]) else REHEARSAL[1:]
    assert len({row.trial.trial_id for row in seal_rows(requests(common, *words), "command")}) == trials


def test_full_fine_tuning_says_why_ranks_are_one_trial(requests):
    asked = requests((*REHEARSAL, "method=full"), ["lora.r=8"], ["lora.r=16"])
    assert fewer_trials(asked, seal_rows(asked, "command")) == "2 combinations are 1 trial: method=full reads no lora.r."


def test_the_same_value_twice_is_said(requests):
    asked = requests(REHEARSAL, ["lora.r=8"], ["lora.r=8"])
    assert fewer_trials(asked, seal_rows(asked, "command")) == "2 combinations are 1 trial: some of them ask for the same."
    different = requests(REHEARSAL, ["lora.r=8"], ["lora.r=16"])
    assert fewer_trials(different, seal_rows(different, "command")) is None


def test_what_a_base_model_does_not_read_is_not_swept_over_it(requests, tmp_path):
    with pytest.raises(UserError, match=r"^method=none trains nothing, so that lora\.r does nothing: leave it out, or choose another"):
        seal_rows(requests(("model=tiny", "method=none"), ["lora.r=8"], ["lora.r=16"]), "command")
    assert not (tmp_path / "runs" / "trials").exists()
