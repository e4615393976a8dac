"""The forms of the account pages and of the owner's page."""

from __future__ import annotations

import zoneinfo
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib.auth.models import User

from pressrun.web.people.models import SCOPES, Profile
from pressrun.web.people.roles import Role
from pressrun.web.people.tokens import LONGEST_DAYS, allowed_scopes

if TYPE_CHECKING:
    _OfProfile = forms.ModelForm[Profile]
else:
    _OfProfile = forms.ModelForm

DAYS = {"7": "7 days", "30": "30 days", "90": "90 days", "365": "a year", "": "never"}


@cache
def zones() -> list[tuple[str, str]]:
    """The time zones that this system knows, in the order of their names."""
    return [(name, name.replace("_", " ")) for name in sorted(zoneinfo.available_timezones()) if "/" in name or name == "UTC"]


class ProfileForm(_OfProfile):
    timezone = forms.ChoiceField(label="Time zone", choices=zones)

    class Meta:
        model = Profile
        fields = ("display_name", "timezone")
        labels: ClassVar = {"display_name": "Name shown to others"}

    def clean_display_name(self) -> str:
        """On one line, and nothing that could pass for another sign of the site."""
        return " ".join("".join(c if c.isprintable() else " " for c in self.cleaned_data["display_name"]).split())


class TokenForm(forms.Form):
    name = forms.CharField(label="What it is for", max_length=80)
    scopes = forms.MultipleChoiceField(label="What it may do", widget=forms.CheckboxSelectMultiple, required=False)
    days = forms.ChoiceField(label="Runs out after", choices=list(DAYS.items()), required=False, initial="90")

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:  # noqa: ANN401  what a form takes
        super().__init__(*args, **kwargs)
        scopes = self.fields["scopes"]
        assert isinstance(scopes, forms.MultipleChoiceField)  # noqa: S101  as declared above
        scopes.choices = [(scope, f"{scope}: {SCOPES[scope]}") for scope in allowed_scopes(user)]
        scopes.initial = ["read"]

    def clean_days(self) -> int | None:
        text = self.cleaned_data["days"]
        return min(int(text), LONGEST_DAYS) if text else None


class InvitationForm(forms.Form):
    note = forms.CharField(label="Who it is for (only you see this)", max_length=120, required=False)
    role = forms.ChoiceField(label="Role", choices=[(role.value, role.value) for role in Role], initial=Role.MEMBER.value)
    days = forms.IntegerField(label="Works for how many days", min_value=1, max_value=90, initial=14)


class DeleteForm(forms.Form):
    name = forms.CharField(label="Your account's name, to make sure", max_length=150)

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:  # noqa: ANN401  what a form takes
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_name(self) -> str:
        given: str = self.cleaned_data["name"]
        if given.strip().casefold() != self.user.get_username().casefold():
            raise forms.ValidationError(f"This account is called {self.user.get_username()}.")
        return given
