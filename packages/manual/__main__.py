"""`python -m packages.manual FOLDER`: write all manual pages."""

import sys
from pathlib import Path

from packages.manual.pages import pages
from packages.release import release

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    found = release()
    for name, text in pages(found.version, found.date).items():
        (folder / name).write_text(text)
