"""A signal that asks a process to stop is an interruption, whatever a library makes of it."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest

from persona_exp.training.stop_signals import SIGNALS, Interrupted, Interruption


@pytest.fixture
def interruption() -> Iterator[Interruption]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield Interruption().listen()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_outside_a_block_a_signal_is_only_remembered(interruption):
    os.kill(os.getpid(), signal.SIGTERM)
    assert interruption.requested == "SIGTERM"
    with pytest.raises(Interrupted, match="stopped by SIGTERM"):
        interruption.raise_if_requested()


def test_in_a_block_it_is_raised_on_the_spot(interruption):
    def worked() -> None:
        os.kill(os.getpid(), signal.SIGUSR2)
        raise AssertionError("It went on.")

    with pytest.raises(Interrupted, match="stopped by SIGUSR2"), interruption.at_once():
        worked()


def test_an_error_that_follows_from_the_interruption_is_none_of_the_trial(interruption):
    # OmegaConf between the two halves of an append does this: its cleanup fails on the half that is there.
    def cut_short() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            raise AttributeError("'NoneType' object has no attribute '_invalidate_flags_cache'")

    with pytest.raises(Interrupted, match="stopped by SIGTERM") as caught, interruption.at_once():
        cut_short()
    assert isinstance(caught.value.__cause__, AttributeError)


def test_one_that_a_library_swallows_ends_the_block_all_the_same(interruption):
    def swallowed() -> None:
        with suppress(BaseException):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match="stopped by SIGTERM"), interruption.at_once():
        swallowed()


def test_an_error_without_a_signal_is_its_own(interruption):
    with pytest.raises(ValueError, match="own"), interruption.at_once():
        raise ValueError("own")


def test_an_error_after_an_earlier_block_is_its_own(interruption):
    with interruption.at_once():
        pass
    with pytest.raises(ValueError, match="own"), interruption.at_once():
        raise ValueError("own")
