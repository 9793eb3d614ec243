"""Makes the image of a release, when its version is set: `python -m tests.kept_images`.

It is written to images/VERSION.zip.  From the release on it stays as it is: every release to come attaches it, or
refuses it by name.  Before that, a change of the layout makes it anew: delete the file first.
"""

import sys

import click

from ramsterd import __version__
from tests.kept_images.making import make_image
from tests.kept_images.packed_image import IMAGES


@click.command(help=__doc__)
def main() -> None:
    """Refuse to replace an image."""
    path = IMAGES / f"{__version__}.zip"
    if path.exists():
        click.echo(f"{path} is there already: an image of a release stays as it is", err=True)
        sys.exit(1)
    make_image(path)
    click.echo(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
