"""`python -m reference_pages` writes the pages of docs/reference that follow from the code; a test holds that they are up to date."""

from pathlib import Path

from reference_pages.command_tables import commands_page
from reference_pages.memory_table import memory_page
from reference_pages.setting_tables import settings_page

ROOT = Path(__file__).parents[1]
PAGES = {
    "docs/reference/settings.md": settings_page,
    "docs/reference/commands.md": commands_page,
    "docs/reference/gpu_memory.md": memory_page,
}


def main() -> None:
    """Write each page of PAGES."""
    for path, page in PAGES.items():
        (ROOT / path).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
