"""What is asked of the model."""

from __future__ import annotations

from typing import Any

from django import forms

__all__ = ["AskForm"]


class AskForm(forms.Form):
    """A prompt, and one vector with its strength."""

    prompt = forms.CharField(max_length=8000)
    vector = forms.CharField(max_length=200)  # whether there is such a one the model server knows
    strength = forms.FloatField(min_value=-100, max_value=100)
    tokens = forms.IntegerField(min_value=1, max_value=512)

    @property
    def steer(self) -> list[dict[str, Any]]:
        """For the field `steer` of the model server, once valid."""
        return [{"vector": self.cleaned_data["vector"], "strength": self.cleaned_data["strength"]}]

    def sentence(self) -> str:
        """What is wrong, in one."""
        return " ".join(f"{name.capitalize()}: {errors[0]}" for name, errors in self.errors.items())
