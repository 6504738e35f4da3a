from enum import StrEnum


class PauseProviderName(StrEnum):
    EMAIL = "email"
    PUSH = "push"
    SMS = "sms"
    SOLANA = "solana"
    STRIPE = "stripe"
    UPSTREAM = "upstream"

    def __str__(self) -> str:
        return str(self.value)
