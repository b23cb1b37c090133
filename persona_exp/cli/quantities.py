"""Times and sizes as a person reads them."""

from datetime import UTC, datetime

UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def span(seconds: float) -> str:
    """`90` → `1.5 min`: two figures at most, in the largest unit that fits."""
    for size, name in UNITS:
        if seconds >= size:
            count = seconds / size
            return f"{count:.1f}".removesuffix(".0") + f" {name}" if count < 10 and size > 1 else f"{count:.0f} {name}"
    return f"{max(seconds, 0):.0f} s"


def moment(text: str | None, now: datetime | None = None) -> str:
    """A recorded time with how long ago it was: `2026-01-02 03:04 UTC (2 h ago)`."""
    told = time(text)
    if told is None:
        return "an unknown time"
    ago = ((now or datetime.now(UTC)) - told).total_seconds()
    return f"{told.astimezone(UTC):%Y-%m-%d %H:%M} UTC ({span(ago)} ago)"


def time(text: str | None) -> datetime | None:
    """A recorded time; None where there is none."""
    try:
        told = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return told if told.tzinfo else told.replace(tzinfo=UTC)


def size(count: float) -> str:
    """Bytes: `1.5 GB`."""
    for name in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {name}" if name == "B" else f"{count:.3g} {name}"
        count /= 1000
    return f"{count:,.1f} TB"


def several(count: int, what: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def memory(count: float) -> str:
    """Bytes of memory, in powers of two: `1.5 GiB`."""
    return f"{count / (1 << 20):.3g} MiB" if count < 1000 * (1 << 20) else f"{figures(count / (1 << 30))} GiB"


def rate(count: float, unit: str) -> str:
    """`rate(2.5e12, "FLOP/s")` → `2.5 TFLOP/s`."""
    for prefix in ("", "k", "M", "G"):
        if count < 1000:
            return f"{figures(count)} {prefix}{unit}"
        count /= 1000
    return f"{figures(count)} T{unit}"


def energy(joules: float) -> str:
    """Energy: `1.5 Wh`."""
    watt_hours = joules / 3600
    return f"{figures(watt_hours)} Wh" if watt_hours < 1000 else f"{figures(watt_hours / 1000)} kWh"


def figures(count: float) -> str:
    """Three figures, or all of them before the point."""
    return f"{count:,.0f}" if count >= 100 else f"{count:.3g}"
