"""Durations, times, sizes, rates and energy in units for a reader."""

from datetime import UTC, datetime

UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def duration(seconds: float) -> str:
    """Return `1.5 min` for 90: two figures at most, in the largest unit that fits."""
    for disk_size, name in UNITS:
        if seconds >= disk_size:
            count = seconds / disk_size
            return f"{count:.1f}".removesuffix(".0") + f" {name}" if count < 10 and disk_size > 1 else f"{count:.0f} {name}"
    return f"{max(seconds, 0):.0f} s"


def time_and_age(text: str | None, now: datetime | None = None) -> str:
    """Return a recorded time with its age: `2026-01-02 03:04 UTC (2 h ago)`."""
    recorded = parse_time(text)
    if recorded is None:
        return "an unknown time"
    ago = ((now or datetime.now(UTC)) - recorded).total_seconds()
    return f"{recorded.astimezone(UTC):%Y-%m-%d %H:%M} UTC ({duration(ago)} ago)"


def parse_time(text: str | None) -> datetime | None:
    """Return a recorded time; None where there is none."""
    try:
        recorded = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return recorded if recorded.tzinfo else recorded.replace(tzinfo=UTC)


def disk_size(count: float) -> str:
    """Return bytes in powers of ten: `1.5 GB`."""
    for name in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {name}" if name == "B" else f"{count:.3g} {name}"
        count /= 1000
    return f"{count:,.1f} TB"


def asked_of(asked: int, of: int, what: str = "") -> str:
    """Return `3 of 8 trials asked for`; where a later command wanted fewer than there are, `8 trials asked for, and n_trials=5`."""
    noun = f" {what}" if what else ""
    return f"{asked:,} of {of:,}{noun} asked for" if asked <= of else f"{asked:,}{noun} asked for, and n_trials={of}"


def memory_size(count: float) -> str:
    """Return bytes in powers of two: `1.5 GiB`."""
    return f"{count / (1 << 20):.3g} MiB" if count < 1000 * (1 << 20) else f"{three_figures(count / (1 << 30))} GiB"


def rate(count: float, unit: str) -> str:
    """Return `2.5 TFLOP/s` for `rate(2.5e12, "FLOP/s")`."""
    for prefix in ("", "k", "M", "G"):
        if count < 1000:
            return f"{three_figures(count)} {prefix}{unit}"
        count /= 1000
    return f"{three_figures(count)} T{unit}"


def energy(joules: float) -> str:
    """Return `1.5 Wh` for 5,400 J."""
    watt_hours = joules / 3600
    return f"{three_figures(watt_hours)} Wh" if watt_hours < 1000 else f"{three_figures(watt_hours / 1000)} kWh"


def three_figures(count: float) -> str:
    """Return three figures, or all of them before the point."""
    return f"{count:,.0f}" if count >= 100 else f"{count:.3g}"
