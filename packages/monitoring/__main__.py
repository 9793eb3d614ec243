"""`python -m packages.monitoring`: write all files that watch a cluster."""

from packages.monitoring.files import files
from packages.release import ROOT

if __name__ == "__main__":
    for name, text in files().items():
        (ROOT / name).write_text(text)
