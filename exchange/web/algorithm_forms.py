"""What people fill in about algorithms: the document, counsel's points, a written reason."""

from django import forms

POINTS = (
    (
        "thresholds",
        "It shows no limit of a member's own detection that was not meant to be shared (C12).",
    ),
    ("company", "It neither names one company nor in effect selects one."),
    ("country", "It neither names one country nor in effect selects one."),
    ("language", "It neither names one language nor in effect selects one."),
    ("words", "The names and reasons of its cases say nothing about anybody."),
)


class Document(forms.Form):
    """An algorithm as its author writes it."""

    text = forms.CharField(
        label="The algorithm, in YAML",
        strip=False,
        max_length=131_072,
        help_text="One document: what to look for, its parameters with their ranges, the "
        "look-alikes that it must not take, and cases that show both.",
        widget=forms.Textarea(attrs={"class": "mono tall", "spellcheck": "false", "wrap": "off"}),
    )


class Approval(forms.Form):
    """That exactly this document was read."""

    digest = forms.CharField(widget=forms.HiddenInput, max_length=64)


class Review(forms.Form):
    """Counsel answers for each point, and writes why."""

    digest = forms.CharField(widget=forms.HiddenInput, max_length=64)
    points = forms.MultipleChoiceField(
        label="You have read it, and you answer for each of these",
        choices=POINTS,
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    reason = forms.CharField(
        label="Reason",
        min_length=8,
        max_length=2000,
        help_text="Written down, recorded in the ledger, and shown to its member.",
        widget=forms.Textarea(attrs={"rows": 3}),
    )

    def clean_points(self) -> list[str]:
        """Every point, or it does not go on."""
        points: list[str] = self.cleaned_data["points"]
        if len(points) < len(POINTS):
            raise forms.ValidationError("Each point is answered, or send it back with the reason.")
        return points


class Reason(forms.Form):
    """A written reason."""

    reason = forms.CharField(
        label="Reason",
        min_length=8,
        max_length=2000,
        help_text="Written down, recorded in the ledger, and shown to its member.",
        widget=forms.Textarea(attrs={"rows": 2}),
    )
