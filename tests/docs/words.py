"""Words that were ours alone, and what is said instead; docs/glossary.md has the words of the field."""

import re
from typing import Final

# Each stands for a mechanism that has a standard word: port or endpoint (door), rate limit or token bucket (pace,
# intake, allowance), timeout (patience), last copies (census), recall (retake), background fetch (homebound, homecoming),
# incarnation (life), repair (mend).  "A sign of life" is said everywhere.
PRIVATE_WORDS: Final = re.compile(
    r"\b(?:doors?|knock(?:s|ed|ing)?|whoever|homecoming|homebound|census|retakes?|mend(?:s|ed|ing)?|patience"
    r"|pace[sd]?|intake|standing|overflows?(?! Error)|allowances?|(?<!sign of )(?<!signs of )life)\b",
    re.IGNORECASE,
)
# Between the words of an identifier.
_SEAMS: Final = re.compile(r"_|(?<=[a-z0-9])(?=[A-Z])")


def private_words(text: str) -> list[str]:
    """Return the words of a text that are not the field's, also those inside identifiers."""
    return PRIVATE_WORDS.findall(_SEAMS.sub(" ", text))
