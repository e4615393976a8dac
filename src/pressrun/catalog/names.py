"""Names of people in the two orders: "Given Family", as printed, and "Family, Given", as files of references have them."""

from __future__ import annotations

__all__ = ["direct", "family_given"]

_GENERATIONS = {"Jr", "Jr.", "Sr", "Sr.", "II", "III", "IV"}


def direct(name: str) -> str:
    """ "Given Family" from "Family, Given" or "Family, Jr., Given"; a name without a comma as it is."""
    parts = [part.strip() for part in name.split(",")]
    if len(parts) == 2:
        return f"{parts[1]} {parts[0]}".strip()
    if len(parts) == 3:
        # BibTeX puts the generation in the middle, RIS at the end.
        family, *rest = parts
        generation = next((part for part in rest if part in _GENERATIONS), rest[0])
        given = rest[1] if generation is rest[0] else rest[0]
        return " ".join(filter(None, (given, family, generation)))
    return name


def family_given(name: str) -> tuple[str, str, str]:
    """(family, given, generation) of a printed name; small words such as "van der" belong to the family."""
    words = name.split()
    generation = words.pop() if len(words) > 2 and words[-1] in _GENERATIONS else ""
    first = len(words) - 1
    while first > 1 and words[first - 1][0].islower():
        first -= 1
    return " ".join(words[first:]), " ".join(words[:first]), generation
