"""Encoded conversations on disk: made once, mapped into memory by all who read them. Imports no torch."""

import json
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from persona_exp.atomic_files import digest, file_digest
from persona_exp.modeling.supervised_token_mask import IGNORED_LABEL, Encoded

if TYPE_CHECKING:
    from numpy.typing import NDArray

INDEX, NAMES, TABLE, IDS, SUPERVISED = "index.json", "names.json", "table.npy", "ids.npy", "supervised.npy"

# Of each conversation: its tokens as long as it is, those that are left, of these the supervised ones and the ends of turns.
COLUMNS = np.dtype([("whole", "i4"), ("length", "i4"), ("supervised", "i4"), ("ends", "i4"), ("shortened", "?"), ("cut", "?")])


class DamagedFiles(Exception):
    """The files are not what was written."""


@dataclass(frozen=True)
class TokenisedConversation:
    """A conversation in tokens; `encoded` is None where it did not fit, or where `fault` is the reason that it cannot be encoded.

    `whole` is the number of its tokens before anything was taken away.
    """

    name: str
    whole: int
    encoded: Encoded | None
    fault: str | None = None


@dataclass(frozen=True, eq=False)
class TokenisedDataset(Sequence[Encoded]):
    """Some conversations of a file, in an order of their own; ValueError is raised for one without tokens (see `fitting`).

    `ids` [tokens] and `supervised` [tokens] hold all conversations of the file one behind the other, `table` [conversations] has the
    columns of COLUMNS, `numbers` are those of these conversations, `faults` the reasons that some could not be encoded, by number.
    """

    names: Sequence[str]
    table: "NDArray[Any]"
    ids: "NDArray[np.int32]"
    supervised: "NDArray[np.bool_]"
    faults: Mapping[int, str]
    starts: "NDArray[np.int64]"
    numbers: "NDArray[np.int64]"

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, place: int) -> Encoded: ...

    @overload
    def __getitem__(self, place: slice) -> "TokenisedDataset": ...

    def __getitem__(self, place: int | slice) -> "Encoded | TokenisedDataset":
        if isinstance(place, slice):
            return self._of(self.numbers[place])
        number = self.numbers[place]
        row, start = self.table[number], self.starts[number]
        if not row["length"]:
            # An IndexError would end an iteration as if nothing came behind it.
            raise ValueError(f"{self.names[number]} has no tokens.")
        ids, supervised = (part[start : start + row["length"]] for part in (self.ids, self.supervised))
        labels = np.where(supervised, ids, np.int32(IGNORED_LABEL))
        return Encoded(ids.tolist(), labels.tolist(), shortened=bool(row["shortened"]), cut=bool(row["cut"]))

    @property
    def rows(self) -> "NDArray[Any]":
        """The rows of `table` that belong to these conversations."""
        return self.table[self.numbers]

    def named(self, names: Iterable[str]) -> "TokenisedDataset":
        """Return those of these names, in that order, as often as they are named. Raise KeyError if there is none of a name."""
        known = {self.names[number]: number for number in self.numbers}
        return self._of(np.array([known[name] for name in names], dtype=np.int64))

    def fitting(self) -> tuple["TokenisedDataset", list[str]]:
        """Return those that have tokens, and the names of those that have none."""
        fits = self.rows["length"] > 0
        return self._of(self.numbers[fits]), [self.names[number] for number in self.numbers[~fits]]

    def fault(self) -> tuple[str, str] | None:
        """Return name and fault of the first that could not be encoded."""
        return next(((self.names[number], self.faults[number]) for number in self.numbers.tolist() if number in self.faults), None)

    def _of(self, numbers: "NDArray[np.int64]") -> "TokenisedDataset":
        return TokenisedDataset(self.names, self.table, self.ids, self.supervised, self.faults, self.starts, numbers)


def gather(rows: Iterable[TokenisedConversation], end_of_turn_id: int) -> TokenisedDataset:
    """Return `rows` in memory, whose replies end with the token `end_of_turn_id`. Raise ValueError if a label is not
    its token, or two have one name."""
    names, table, faults, ids, supervised = [], [], {}, array("i"), bytearray()
    for number, row in enumerate(rows):
        names.append(row.name)
        if row.fault is not None:
            faults[number] = row.fault
        if row.encoded is None:
            table.append((row.whole, 0, 0, 0, False, False))
            continue
        kept = [label for label in row.encoded.labels if label != IGNORED_LABEL]
        mask = [label != IGNORED_LABEL for label in row.encoded.labels]
        if any(label not in (IGNORED_LABEL, token) for token, label in zip(row.encoded.input_ids, row.encoded.labels, strict=True)):
            raise ValueError(f"{row.name} has a label that is not its token.")
        ids.extend(row.encoded.input_ids)
        supervised.extend(mask)
        length = len(row.encoded.input_ids)
        table.append((row.whole, length, len(kept), kept.count(end_of_turn_id), row.encoded.shortened, row.encoded.cut))
    if len(set(names)) < len(names):
        raise ValueError("Two conversations have one name.")
    flat, mask_of_all = np.array(ids, dtype=np.int32), np.frombuffer(bytes(supervised), dtype=np.bool_)
    return _dataset(names, np.array(table, dtype=COLUMNS), flat, mask_of_all, faults)


def _dataset(names: Sequence[str], table: "NDArray[Any]", ids: Any, supervised: Any, faults: Mapping[int, str]) -> TokenisedDataset:
    ends = np.cumsum(table["length"], dtype=np.int64)
    return TokenisedDataset(names, table, ids, supervised, faults, ends - table["length"], np.arange(len(table), dtype=np.int64))


def write_tokenised(folder: Path, dataset: TokenisedDataset, facts: Mapping[str, Any]) -> None:
    """Write all of the conversations that `dataset` was gathered from into `folder`, which exists; `facts` are all that they depend on."""
    (folder / NAMES).write_text(json.dumps(list(dataset.names), ensure_ascii=False) + "\n", encoding="utf-8")
    for name, values in ((TABLE, dataset.table), (IDS, dataset.ids), (SUPERVISED, dataset.supervised)):
        np.save(folder / name, values, allow_pickle=False)
    sums = {name: file_digest(folder / name) for name in (NAMES, TABLE, IDS, SUPERVISED)}
    index = {"facts": dict(facts), "faults": {str(number): fault for number, fault in dataset.faults.items()}, "files": sums}
    (folder / INDEX).write_text(json.dumps({**index, "digest": digest(index)}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_tokenised(folder: Path, facts: Mapping[str, Any]) -> TokenisedDataset:
    """Return what `write_tokenised` wrote for these `facts`, mapped and not copied. Raise DamagedFiles if files or
    facts are others."""
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        written = index.pop("digest")
        if written != digest(index) or index["facts"] != dict(facts):
            raise DamagedFiles(f"{folder / INDEX} is not what was written")
        for name in (NAMES, TABLE, IDS, SUPERVISED):
            if file_digest(folder / name) != index["files"][name]:
                raise DamagedFiles(f"{folder / name} is not what was written")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedFiles(f"{folder} cannot be read ({error})") from error
    names = json.loads((folder / NAMES).read_text(encoding="utf-8"))
    table = np.load(folder / TABLE, allow_pickle=False)
    ids, supervised = (np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in (IDS, SUPERVISED))
    return _dataset(names, table, ids, supervised, {int(number): fault for number, fault in index["faults"].items()})
