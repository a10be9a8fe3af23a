"""What counsel and officers fill in about what is kept and what goes."""

from django import forms

_FORMAT = "%Y-%m-%dT%H:%M"


def _moment() -> forms.DateTimeInput:
    return forms.DateTimeInput(attrs={"type": "datetime-local"}, format=_FORMAT)


class LegalHold(forms.Form):
    """What is to be held, and why."""

    kind = forms.ChoiceField(
        label="What is held",
        choices=(
            ("object", "One object"),
            ("contribution", "One contribution"),
            ("campaign", "A campaign, with all that was contributed with it"),
            ("member", "All of a member"),
            ("period", "A period"),
        ),
        initial="object",
        widget=forms.RadioSelect,
    )
    about = forms.CharField(
        label="Which",
        required=False,
        max_length=250,
        help_text="The id of the object, contribution or campaign, or a member's short name.",
        widget=forms.TextInput(attrs={"class": "mono", "autocomplete": "off"}),
    )
    since = forms.DateTimeField(
        label="From (UTC)", required=False, input_formats=[_FORMAT], widget=_moment()
    )
    until = forms.DateTimeField(
        label="Until (UTC)", required=False, input_formats=[_FORMAT], widget=_moment()
    )
    reason = forms.CharField(
        label="Reason",
        min_length=8,
        max_length=2000,
        help_text="For your own side. Whom it concerns sees that it holds, not why.",
        widget=forms.Textarea(attrs={"rows": 3}),
    )


class PersonRequest(forms.Form):
    """A person's request, as an officer enters it."""

    kind = forms.ChoiceField(
        label="The person asks",
        choices=(("access", "what is held about them"), ("erasure", "that it be erased")),
        initial="access",
        widget=forms.RadioSelect,
    )
    values = forms.CharField(
        label="By what they are found, one a line",
        max_length=6000,
        help_text="Addresses, accounts, numbers, a full name. Sealed, for the search only.",
        widget=forms.Textarea(attrs={"rows": 4, "class": "mono", "spellcheck": "false"}),
    )
    reason = forms.CharField(
        label="Reason",
        min_length=8,
        max_length=2000,
        help_text="How and when they asked, and how you know that it is they.",
        widget=forms.Textarea(attrs={"rows": 3}),
    )
