"""Logging by subsystem, as masklog did: `ramster.net`, `ramster.nbd` and so on, each with a level of its own."""

import logging
import sys

from config.model import LogConfig

FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def set_up_logging(config: LogConfig) -> None:
    """Log to standard error, at the levels that the config names."""
    logging.basicConfig(stream=sys.stderr, format=FORMAT, level=config.level.upper())
    for subsystem, level in config.subsystems.items():
        logging.getLogger(f"ramster.{subsystem}").setLevel(level.upper())
