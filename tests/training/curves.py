"""What trackers have written to their files, read back."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Of a file in LevelDB's log format, which is what wandb writes: the file's own header, a block, a piece's header.
HEADER, BLOCK, PIECE = 7, 32768, 7
WHOLE, LAST = 1, 4

Curves = dict[str, list[tuple[int, float]]]


def of_tensorboard(folder: Path) -> Curves:
    """(step, value) of each scalar."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(one.step, one.value) for one in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def hyperparameters_of_tensorboard(folder: Path) -> dict[str, Any]:
    """Those of the run's own line in the table."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    events = EventAccumulator(str(folder))
    events.Reload()
    data = HParamsPluginData.FromString(events.summary_metadata["_hparams_/session_start_info"].plugin_data.content)
    return {key: getattr(value, str(value.WhichOneof("kind"))) for key, value in data.session_start_info.hparams.items()}


def of_wandb(folder: Path, kind: str = "*run") -> tuple[Any, list[dict[str, Any]]]:
    """The one run that is described below `folder` and its lines of history, once wandb's own process has written its end."""
    from wandb.proto.wandb_internal_pb2 import Record

    deadline, records = time.monotonic() + 300, list[Any]()
    while not any(one.WhichOneof("record_type") == "exit" for one in records):
        assert time.monotonic() < deadline, f"no run has ended in {folder}"
        time.sleep(0.02)
        records = [Record.FromString(one) for path in folder.glob(f"wandb/{kind}-*-*/*.wandb") for one in _records(path.read_bytes())]
    (run,) = [one.run for one in records if one.WhichOneof("record_type") == "run"]
    lines = [one.history for one in records if one.WhichOneof("record_type") == "history"]
    return run, [{item.key or item.nested_key[0]: json.loads(item.value_json) for item in line.item} for line in lines]


def summary_of_wandb(folder: Path) -> dict[str, Any]:
    """The summary of the one run that is described below `folder`, which has ended."""
    from wandb.proto.wandb_internal_pb2 import Record

    files = folder.glob("wandb/*run-*-*/*.wandb")
    records = [Record.FromString(one) for path in files for one in _records(path.read_bytes())]
    summaries = [one.summary for one in records if one.WhichOneof("record_type") == "summary"]
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for one in summaries for item in one.update}


def _records(data: bytes) -> Iterator[bytes]:
    at, record = HEADER, b""
    while at + PIECE <= len(data):
        if BLOCK - at % BLOCK < PIECE:
            at += BLOCK - at % BLOCK
            continue
        size, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        at += PIECE + size
        if at > len(data):
            return
        record += data[at - size : at]
        if kind in (WHOLE, LAST):
            yield record
            record = b""
