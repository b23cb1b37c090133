"""Who speaks: our rules against a nearest-cue baseline, scored on novels annotated in the format of PDNC.

    python benchmarks/attribution.py --pdnc DIR --json [--novels Emma,OliverTwist]

DIR holds a folder a novel: novel_text.txt, quotation_info.csv, character_info.csv. First with gold spans and gold cast, all quotations of
each novel; then end to end, with our own quotations and cast. A speaker is right when it is, by main name or else by alias and without
regard to case, the gold speaker; rows whose speaker is a group or unknowable count, and are never right. All shares are micro-averages
over quotations, `persona_precision` and `persona_coverage` are means over characters with 100 quotations or more, at the default
confidence. `ratio` is the baseline's error rate divided by ours.
"""

import argparse
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.pdnc import KINDS, Novel, nearest_cue, novels_in  # noqa: E402
from persona_exp.corpus.book import Book  # noqa: E402
from persona_exp.corpus.quotation.quotes import Quote  # noqa: E402
from persona_exp.corpus.quotes_with_speakers import find_quotes_with_speakers  # noqa: E402
from persona_exp.corpus.reading.chapters import find_chapters  # noqa: E402
from persona_exp.corpus.speaker_attribution.attribute_quotes import attribute_quotes  # noqa: E402
from persona_exp.corpus.speaker_attribution.attribution_confidence import DEFAULT_CONFIDENCE  # noqa: E402
from persona_exp.errors import UserError  # noqa: E402

# A character with so many quotations is a persona one could train.
MAJOR = 100
# Published, over all 28 novels of PDNC with gold spans and cast.
REFERENCE = {"rules of 122 lines": 0.681, "trained ranker": 0.823, "best": 0.945}


def main() -> None:
    """Print one JSON object, or a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pdnc", type=Path, required=True, help="folder with a folder a novel")
    parser.add_argument("--novels", default="", help="names of folders, parted by commas; default: all")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--no-end-to-end", action="store_true", help="leave out the part with our own quotations and cast")
    arguments = parser.parse_args()
    try:
        novels = novels_in(arguments.pdnc, [name.strip() for name in arguments.novels.split(",") if name.strip()])
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    result = score(novels, end_to_end=not arguments.no_end_to_end)
    print(json.dumps(result) if arguments.json else table(result))


def score(novels: Sequence[Novel], end_to_end: bool) -> dict:
    """Return the benchmark's object for `novels`."""
    seconds = baseline_seconds = 0.0
    ours: dict[str, list[Quote]] = {}
    baseline: dict[str, list[str | None]] = {}
    for novel in novels:
        started = time.perf_counter()
        ours[novel.name] = attribute_quotes(novel.quotes, novel.text, novel.paragraphs, novel.cast, split=False)
        between = time.perf_counter()
        baseline[novel.name] = nearest_cue(novel)
        seconds += between - started
        baseline_seconds += time.perf_counter() - between
    words = sum(novel.words for novel in novels)
    mine = _figures(novels, {name: [quote.speaker for quote in quotes] for name, quotes in ours.items()})
    theirs = {**_figures(novels, baseline), "seconds": round(baseline_seconds, 3)}
    personas = [row for novel in novels for row in _personas(novel, ours[novel.name])]
    figures = {
        **mine,
        "persona_precision": _mean([row["precision"] for row in personas]),
        "persona_coverage": _mean([row["recall"] for row in personas]),
        "confidence": DEFAULT_CONFIDENCE,
        "personas": personas,
        "seconds": round(seconds, 3),
        "seconds_per_100k_words": round(seconds / max(words, 1) * 100_000, 3),
    }
    if end_to_end:
        figures["end_to_end"] = _end_to_end(novels)
    wrong = 1 - mine["overall"]
    return {
        "name": "attribution",
        "setting": {"spans": "gold", "cast": "gold", "novels": [novel.name for novel in novels], "words": words, "reference": REFERENCE},
        "ours": figures,
        "baseline": theirs,
        "ratio": round((1 - theirs["overall"]) / wrong, 3) if wrong else None,
        "unit": "fraction of quotations given to the right speaker",
        "n": sum(len(novel.quotes) for novel in novels),
    }


def _figures(novels: Sequence[Novel], speakers: Mapping[str, Sequence[str | None]]) -> dict:
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for novel in novels:
        for gold, kind, speaker in zip(novel.gold, novel.kinds, speakers[novel.name], strict=True):
            for key in ("overall", kind, novel.name):
                total[key] += 1
                right[key] += novel.same(speaker, gold)
    share = {key: round(right[key] / total[key], 4) for key in total}
    return {
        "overall": share.get("overall", 0.0),
        "by_type": {kind: share[kind] for kind in KINDS if kind in share},
        "by_novel": {novel.name: share[novel.name] for novel in novels if novel.name in share},
    }


def _personas(novel: Novel, quotes: Sequence[Quote]) -> list[dict]:
    """Return precision and recall of the characters with at least MAJOR quotations, at the default confidence."""
    rows = []
    for character, count in Counter(novel.gold).most_common():
        if count >= MAJOR and character in novel.names:
            given = [
                gold == character
                for gold, quote in zip(novel.gold, quotes, strict=True)
                if quote.confidence >= DEFAULT_CONFIDENCE and novel.same(quote.speaker, character)
            ]
            row = {"novel": novel.name, "character": character, "quotations": count}
            rows.append({**row, "precision": round(sum(given) / max(len(given), 1), 4), "recall": round(sum(given) / count, 4)})
    return rows


def _end_to_end(novels: Sequence[Novel]) -> dict:
    """Return the scores of own quotations and own cast. A gold quotation is found, a piece of ours is one, when more than half of it (of
    the gold one's first piece) is; the gold quotation's speaker is then that of our quotation in its middle, compared with
    `Novel.same_person`."""
    pieces = hits = found = right = sure = surely_right = count = 0
    for novel in novels:
        book = Book(novel.name, novel.name, novel.text, find_chapters(novel.text), "")
        quotes = find_quotes_with_speakers(book).quotes
        ours, gold = _covered(novel.text, quotes), _covered(novel.text, novel.quotes)
        pieces += sum(len(quote.spans) for quote in quotes)
        hits += sum(gold.count(1, start, end) * 2 > end - start for quote in quotes for start, end in quote.spans)
        owner = {offset: quote for quote in quotes for start, end in quote.spans for offset in range(start, end)}
        for quote, speaker in zip(novel.quotes, novel.gold, strict=True):
            start, end = quote.spans[0]
            count += 1
            found += ours.count(1, start, end) * 2 > end - start
            held = owner.get((start + end) // 2)
            if held is not None:
                good = novel.same_person(held.speaker, speaker)
                right += good
                sure += held.confidence >= DEFAULT_CONFIDENCE
                surely_right += good and held.confidence >= DEFAULT_CONFIDENCE
    return {
        "quotes_precision": round(hits / max(pieces, 1), 4),
        "quotes_recall": round(found / max(count, 1), 4),
        "accuracy": round(right / max(count, 1), 4),
        "precision_at_confidence": round(surely_right / max(sure, 1), 4),
        "coverage_at_confidence": round(surely_right / max(count, 1), 4),
    }


def _covered(text: str, quotes: Sequence[Quote]) -> bytearray:
    covered = bytearray(len(text))
    for quote in quotes:
        for start, end in quote.spans:
            covered[start:end] = b"\1" * (end - start)
    return covered


def _mean(values: Sequence[float]) -> float | None:
    return round(statistics.mean(values), 4) if values else None


def table(result: dict) -> str:
    """Return the object as a table for people."""
    ours, theirs = result["ours"], result["baseline"]
    rows = [("overall", ours["overall"], theirs["overall"])]
    rows += [(name, share, theirs[part][name]) for part in ("by_type", "by_novel") for name, share in ours[part].items()]
    lines = [f"{'':34}{'ours':>8}{'baseline':>10}"]
    lines += [f"{name:34}{mine:>8.3f}{other:>10.3f}" for name, mine, other in rows]
    if ours["personas"]:
        lines.append(f"\nAt confidence {ours['confidence']}, characters with {MAJOR} quotations or more: precision, recall")
    for row in ours["personas"]:
        lines.append(f"{row['novel'][:28]:30}{row['character'][:24]:26}{row['quotations']:>5}{row['precision']:>8.3f}{row['recall']:>8.3f}")
    if ours["personas"]:
        lines.append(f"{'mean':61}{ours['persona_precision']:>8.3f}{ours['persona_coverage']:>8.3f}")
    lines.append("")
    lines += [f"end to end, {key.replace('_', ' ')}: {value:.3f}" for key, value in ours.get("end_to_end", {}).items()]
    lines.append(
        f"{ours['seconds_per_100k_words']} s per 100,000 words; {result['ratio']} times fewer errors than the baseline, n = {result['n']}"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
