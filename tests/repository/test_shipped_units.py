"""The doctor knows the units of this version by digests: they are those of `systemd/`."""

from ramsterd.doctor.shipped import UNITS, digest_of
from tests.docs.pages import ROOT

FOLDER = ROOT / "systemd"


def test_the_digests_are_those_of_the_files() -> None:
    """After a change of a unit copy what is printed to ramsterd/doctor/shipped.py."""
    names = {path.name for path in FOLDER.iterdir() if path.suffix in {".service", ".slice"}}
    found = {name: digest_of((FOLDER / name).read_text()) for name in UNITS}
    lines = "\n".join(f'    "{name}": "{digest}",' for name, digest in found.items())
    assert found == UNITS, f"UNITS is to be:\n{lines}"
    assert set(UNITS) == names
