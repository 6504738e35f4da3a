from enum import StrEnum


class RateLimitSource(StrEnum):
    CONFIG = "config"
    SET = "set"

    def __str__(self) -> str:
        return str(self.value)
