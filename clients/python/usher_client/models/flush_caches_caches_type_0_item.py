from enum import StrEnum


class FlushCachesCachesType0Item(StrEnum):
    CONFIG = "config"
    JWKS = "jwks"
    SCHEMAS = "schemas"

    def __str__(self) -> str:
        return str(self.value)
