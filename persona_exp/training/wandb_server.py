"""Whether the server of Weights & Biases can be used from here: a key, and an answer. The key itself goes nowhere."""

import netrc
import os
from pathlib import Path
from urllib.parse import urlsplit

from persona_exp.errors import UserError

# So long an answer is waited for.
SECONDS = 10
MODES = ("online", "offline", "disabled", "shared", "dryrun", "run")


def server_url() -> str:
    """Return the address of the server that wandb is set to use."""
    import wandb

    return os.environ.get("WANDB_BASE_URL") or str(wandb.setup().settings.base_url)


def key_at_hand() -> bool:
    """Return whether there is a key in the environment, in wandb's settings or, where `wandb login` puts it, in the netrc file."""
    import wandb

    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    return bool(wandb.setup().settings.api_key) or _in_netrc(urlsplit(server_url()).netloc)


def server_refusal() -> str | None:
    """Return why the server takes nothing with the key at hand, in wandb's words (no answer, a wrong key); None where it does."""
    import wandb

    try:
        # It tries the key.
        wandb.Api(timeout=SECONDS)
    except wandb.Error as error:
        return first_line(error)
    return None


def refuse_unusable() -> None:
    """Raise UserError where WANDB_MODE asks for what cannot be had here: a mode that there is not, or online without key or server."""
    mode = os.environ.get("WANDB_MODE") or ""
    if mode and mode not in MODES:
        raise UserError(f"WANDB_MODE={mode} is no mode of Weights & Biases: set WANDB_MODE to one of {', '.join(MODES)}.")
    if mode != "online":
        return
    if not key_at_hand():
        raise UserError("tracker=wandb with WANDB_MODE=online needs a key: run `wandb login`, or set WANDB_MODE=offline.")
    if refusal := server_refusal():
        raise UserError(f"tracker=wandb cannot be online ({refusal}): run `wandb login`, or set WANDB_MODE=offline.")


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, without its full stop."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _in_netrc(server: str) -> bool:
    places = [Path("~/.netrc").expanduser(), Path("~/_netrc").expanduser()]
    named = os.environ.get("NETRC")
    path = Path(named).expanduser() if named else next((one for one in places if one.exists()), places[0])
    try:
        found = netrc.netrc(path).authenticators(server)
    except (OSError, netrc.NetrcParseError):
        return False
    # The file's `default` entry is no key of this server's.
    return bool(found and found[2])
