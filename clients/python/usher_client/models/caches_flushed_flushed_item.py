from enum import StrEnum


class CachesFlushedFlushedItem(StrEnum):
    CONFIG = "config"
    JWKS = "jwks"
    SCHEMAS = "schemas"

    def __str__(self) -> str:
        return str(self.value)
