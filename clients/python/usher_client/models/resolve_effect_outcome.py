from enum import StrEnum


class ResolveEffectOutcome(StrEnum):
    HAPPENED = "happened"
    RESEND = "resend"
    VOID = "void"

    def __str__(self) -> str:
        return str(self.value)
