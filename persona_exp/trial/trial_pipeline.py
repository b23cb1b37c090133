"""One trial from top to bottom: compose → seal → data → train → evaluate → publish.

Trials are composed and sealed where they are asked for, in search.resolve_points and launch.sweeps.seal_sweep_rows; `run_trial` runs in a
job, which reads what was sealed alone. Trials that share a base model take its stages together, in bundle_run.
"""

from typing import TYPE_CHECKING

from persona_exp.training.stop_signals import Interruption
from persona_exp.trial.claimed_trial import ClaimedTrial

if TYPE_CHECKING:
    from persona_exp.training.experiment_trackers import Tracker


def run_trial(trial: ClaimedTrial, interruption: Interruption, micro_batch_size: int | None = None) -> None:
    """Train, unless the adapter is there; make and publish the evaluations still owed. Raise Interrupted when asked to leave.

    `micro_batch_size` takes the place of the config's, for a trial that ran out of memory with that.
    """
    from persona_exp.trial.encoded_examples import encode_examples
    from persona_exp.trial.evaluate_trial import evaluate_trial, missing_evaluations
    from persona_exp.trial.publish_results import publish_evaluation, publish_model
    from persona_exp.trial.tracked_run import close_tracker
    from persona_exp.trial.train_trial import train_trial
    from persona_exp.trial.trial_base_model import fetch_model

    if not trial.trains and not missing_evaluations(trial):
        return
    with interruption.at_once():
        trial.attempt.progress("loading")
        model_folder = fetch_model(trial.config)
    tracker: Tracker | None = None
    try:
        if trial.trains:
            with interruption.at_once():
                data = encode_examples(trial, model_folder)
            model, tracker = train_trial(trial, data, model_folder, interruption, micro_batch_size)
            publish_model(trial, model)
            # The evaluation needs their memory.
            del model, data
        with interruption.at_once():
            for evaluation in evaluate_trial(trial, model_folder):
                publish_evaluation(trial, evaluation)
    except BaseException:
        close_tracker(trial, tracker, 1)
        raise
    close_tracker(trial, tracker, 0)
