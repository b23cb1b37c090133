"""The Python environment on a node's own disk: importing torch opens thousands of files, which a shared file system serves slowly."""

import logging
import sysconfig
from pathlib import Path

from persona_exp.atomic_files import digest, file_digest
from persona_exp.modeling.node_scratch_copy import copy_checked, file_sizes, is_whole, os_error_reason, scratch_folder

log = logging.getLogger(__name__)


def environment_copy(scratch: str) -> Path | None:
    """Return a copy of this interpreter's site-packages below `scratch`, to be put in front of a child's PYTHONPATH, behind the code's own.

    Made by the first process of a node that asks, shared by the others (see modeling.node_scratch_copy). It is named by pip's records of
    each installed package, so that an environment that has changed is copied anew. None, with one warning, where it cannot be made:
    the child then imports from where this process does.
    """
    packages = Path(sysconfig.get_paths()["purelib"])
    try:
        destination = scratch_folder(scratch)
        name = f"environment-{environment_digest(packages)[:12]}"
        # Listing the shared folder is what takes long: not where the copy is there.
        if is_whole(destination / name):
            return destination / name
        return copy_checked(packages, file_sizes(packages), destination, name)
    except OSError as error:
        log.warning("The Python environment is used where it is, not copied to cluster.scratch=%s: %s.", scratch, os_error_reason(error))
        return None


def environment_digest(packages: Path) -> str:
    """Return the identity of what is installed in a site-packages folder (64 hex digits): the digests of pip's lists of files."""
    records = {path.parent.name: file_digest(path) for path in packages.glob("*.dist-info/RECORD")}
    # Conda's own packages and editable ones may have no RECORD: then their folder's name tells their version.
    records |= {path.name: "" for path in packages.glob("*.*-info") if path.name not in records}
    return digest({"folder": str(packages), "records": records})
