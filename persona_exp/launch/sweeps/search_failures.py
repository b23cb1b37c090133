"""A search of which too much fails is held."""

from pathlib import Path

from persona_exp.launch.recovery import sweep_hold
from persona_exp.search.ask_files import read_asks
from persona_exp.search.ask_results import read_result
from persona_exp.search.study_settings import read_settings

# Of fewer asks a fraction says little.
FEWEST = 4


def hold_if_too_much_failed(sweep_folder: Path) -> bool:
    """Hold the search where more than max_failure_rate of its settled asks, of at least FEWEST, have failed; return whether it did.

    What had failed when an earlier hold was taken back counts no more. Raise UserError where a record is damaged.
    """
    settings, runs = read_settings(sweep_folder), sweep_folder.parent.parent
    known = set(sweep_hold.trials_accounted_for(sweep_folder))
    asks = [ask for ask in read_asks(sweep_folder) if not {one.trial_id for one in ask.trials} & known]
    results = {ask.number: read_result(runs, sweep_folder.name, ask, (), losses=False) for ask in asks}
    settled = [ask for ask in asks if results[ask.number].state not in ("open", "running", "refused", "damaged")]
    failed = [ask for ask in settled if results[ask.number].state == "failed"]
    if len(settled) < FEWEST or len(failed) <= settings.max_failure_rate * len(settled):
        return False
    trials = [one.trial_id for ask in failed for one in ask.trials]
    rate = f"hydra.sweeper.max_failure_rate={settings.max_failure_rate:g}"
    message = f"{len(failed)} of {len(settled)} asks have failed, more than {rate}; the last: {results[failed[-1].number].why}"
    return sweep_hold.create(sweep_folder, cause="failures", message=message, trials=trials, attempts=dict.fromkeys(trials, 0))
