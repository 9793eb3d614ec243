"""The one part of the package that is compiled, and that it can do without: docs/design/0022."""

import os
import sys
import zlib
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# `no`: do not build it.  `require`: without it there is no installation.
CHOICE = os.environ.get("RAMSTER_EXTENSION", "")
SOURCES = sorted(Path("ramsterd/compiled").glob("*.[ch]"))
# As ramsterd.compiled has it: what was built of other sources is not used.
SUM = zlib.crc32(b"".join(source.read_bytes() for source in SOURCES))
LOOPS = Extension(
    "ramsterd.compiled._loops",
    sources=[str(source) for source in SOURCES if source.suffix == ".c"],
    depends=[str(source) for source in SOURCES],
    define_macros=[("RAMSTER_SOURCES_SUM", f"{SUM}L")],
    libraries=["lz4", "xxhash"],
    extra_compile_args=["-std=c11", "-g0", "-Wall", "-Wextra"],
    optional=CHOICE != "require",
)


class BuildOrSay(build_ext):
    """Says in one line that what is optional was not built, and why."""

    def build_extension(self, ext: Extension) -> None:
        """Build one."""
        try:
            super().build_extension(ext)
        except Exception as error:
            if not ext.optional:
                raise
            sys.stderr.write(
                f"ramster: {ext.name} is not built, and Python does its work: it needs a C compiler, "
                f"python3-dev, liblz4-dev and libxxhash-dev ({error})\n"
            )


setup(ext_modules=[] if CHOICE == "no" else [LOOPS], cmdclass={"build_ext": BuildOrSay})
