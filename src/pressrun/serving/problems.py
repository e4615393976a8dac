"""What is refused, in the shape that clients of OpenAI read."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

__all__ = ["Refused", "of_validation"]


class Refused(Exception):
    """One sentence for whoever asked.

    Attributes:
        status: of the HTTP answer.
        param: the field that is wrong, if it is one.
        code: a word for programs, as OpenAI uses them.
    """

    def __init__(self, sentence: str, *, status: int = 400, param: str | None = None, code: str | None = None) -> None:
        super().__init__(sentence)
        self.status, self.param, self.code = status, param, code

    def body(self) -> dict[str, Any]:
        kind = "invalid_request_error" if self.status < 500 and self.status != 429 else "server_error"
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


def of_validation(error: ValidationError) -> Refused:
    """The first thing that is wrong with a request, with the field and what was given."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(step) for step in first["loc"]) or None
    if first["type"] == "extra_forbidden":
        return Refused(f"This server does not know the parameter {where}.", param=where, code="unknown_parameter")
    if first["type"] == "missing":
        return Refused(f"The parameter {where} is missing.", param=where, code="missing_required_parameter")
    if first["type"] == "json_invalid":
        return Refused("The request must be JSON.", code="invalid_json")
    said = first["msg"].removeprefix("Value error, ")
    given = "" if isinstance(first["input"], dict) else f", got {repr(first['input'])[:80]}"
    return Refused(f"{where or 'The request'}: {said}{given}.", param=where, code="invalid_value")
