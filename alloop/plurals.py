"""Numbers with their nouns, as a sentence has them."""

__all__ = ["counted"]


def counted(number: int, noun: str) -> str:
    """For example "1 sample", "2 samples"; the plural of `noun` ends with s."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
