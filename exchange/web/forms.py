"""What people fill in: each form names its fields, and its faults stand beside them."""

from typing import TypeVar
from uuid import UUID

from django import forms

BASES = (
    ("fraudulent-identity", "Fraudulent identity"),
    ("stolen-credential", "Stolen credential"),
    ("stolen-payment-instrument", "Stolen payment instrument"),
    ("access-control-circumvention", "Circumvention of an access control"),
    ("geo-or-sanctions-evasion", "Evasion of a geographic or sanctions limit"),
    ("rate-limit-evasion", "Evasion of a rate limit"),
    ("jailbreak-of-output-controls", "Jailbreak of output controls"),
    ("terms-of-service-only", "Terms of service only (will be held)"),
)
BASE_RATES = (
    ("unknown", "Not known (fingerprints will be held)"),
    ("lt-1e-2", "Less than 1 in 100"),
    ("lt-1e-3", "Less than 1 in 1,000"),
    ("lt-1e-4", "Less than 1 in 10,000"),
    ("lt-1e-5", "Less than 1 in 100,000"),
    ("lt-1e-6", "Less than 1 in a million"),
    ("lt-1e-7", "Less than 1 in ten million"),
)
PHASES = (
    ("infrastructure-staging", "Infrastructure staging"),
    ("access-provisioning", "Access provisioning"),
    ("probing-calibration", "Probing and calibration"),
    ("bulk-elicitation", "Bulk elicitation"),
    ("evasion-rotation", "Evasion and rotation"),
    ("resale", "Resale"),
)
ACTS = (("release", "Release"), ("refuse", "Refuse"), ("ask", "Ask back"))
Choices = tuple[tuple[str, str], ...]
Filled = TypeVar("Filled", bound=forms.Form)


def offering(form: Filled, **choices: Choices) -> Filled:
    """The form with what this reader may choose from, on this one answer."""
    for name, offered in choices.items():
        field = form.fields[name]
        if isinstance(field, forms.ChoiceField):
            field.choices = offered
    return form


class SignIn(forms.Form):
    """Address and password."""

    email = forms.EmailField(
        label="E-mail address", widget=forms.EmailInput(attrs={"autocomplete": "username"})
    )
    password = forms.CharField(
        label="Password",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )


class Addressed(forms.Form):
    """To which circle, and on which threat basis."""

    circle = forms.ChoiceField(label="Circle", help_text="Who may receive it at all.")
    basis = forms.MultipleChoiceField(
        label="Threat basis",
        choices=BASES,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="Used for each object that states none. Without one, indicators wait.",
    )

    attributed = forms.BooleanField(
        label="Name us as the contributor",
        required=False,
        help_text="To this circle only. Else nobody is told; what was told cannot be taken back.",
    )

    def circle_id(self) -> UUID:
        """The circle that was chosen."""
        return UUID(self.cleaned_data["circle"])


class File(Addressed):
    """A STIX file, or a table."""

    file = forms.FileField(
        label="STIX file or table",
        help_text="JSON: a bundle, a TAXII envelope, a list, or one object. Or a table (.csv, .tsv)"
        " with a column named value; help says which others are read. Or MISP events. "
        "What is too large for a preview is taken in parts.",
        widget=forms.FileInput(
            attrs={"data-says": "file-said", "accept": ".json,.csv,.tsv,application/json,text/csv"}
        ),
    )


class Values(forms.Form):
    """Pasted values, as they stand in a ticket or a mail."""

    values = forms.CharField(
        label="Values",
        max_length=100_000,
        help_text="Addresses, ranges, domains, client fingerprints: one a line, or with commas. "
        "Written harmless (203[.]0[.]113[.]7) is fine.",
        widget=forms.Textarea(attrs={"class": "mono", "spellcheck": "false", "autofocus": True}),
    )


class ValueList(forms.Form):
    """A list of values that are checked against what is held."""

    values = forms.CharField(
        label="Values",
        max_length=1_000_000,
        required=False,
        help_text="One a line, or with commas, at most 10,000. Written harmless is fine. Values of "
        "people only as tokens: weir-tokenise with --tokens-only makes such a list.",
        widget=forms.Textarea(attrs={"class": "mono", "spellcheck": "false"}),
    )
    file = forms.FileField(
        label="Or a text file",
        required=False,
        help_text="The same, in UTF-8, at most 1 MB.",
        widget=forms.FileInput(attrs={"data-says": "file-said", "accept": ".txt,.csv,text/plain"}),
    )


class Stated(Addressed):
    """What is said of all pasted values together."""

    base_rate = forms.ChoiceField(
        label="Ordinary traffic that also matches",
        choices=BASE_RATES,
        help_text="Asked for client fingerprints.",
    )
    phase = forms.ChoiceField(label="Phase in which they were seen", choices=PHASES)


class Reason(forms.Form):
    """A written reason; the contributor sees it."""

    reason = forms.CharField(
        label="Reason",
        min_length=8,
        max_length=2000,
        help_text="Written down, recorded in the ledger, and shown to the contributor.",
        widget=forms.Textarea(attrs={"rows": 3}),
    )


class Holds(forms.Field):
    """The holds that were marked; which of them this reader may decide, the verb judges."""

    widget = forms.MultipleHiddenInput

    def to_python(self, value: object) -> list[UUID]:
        """Their ids."""
        try:
            return [UUID(str(one)) for one in value] if isinstance(value, list) else []
        except ValueError:
            raise forms.ValidationError("This is no hold.") from None


class Wish(Reason):
    """Which original the forum's officer asks to read, and why."""

    stix_id = forms.CharField(
        label="Id of the object",
        max_length=120,
        help_text="As its recipients know it, such as indicator--1d0b44cc-…",
    )


class Judgement(Reason):
    """What counsel decides, and why."""

    act = forms.ChoiceField(
        label="Decision", choices=ACTS, error_messages={"required": "Choose what you decide."}
    )


class Decision(Judgement):
    """What counsel decides on one hold or several."""

    hold = Holds(error_messages={"required": "Mark at least one hold."})


class Batch(Judgement):
    """What counsel decides on all of a reason: as many as were shown."""

    count = forms.IntegerField(min_value=1, max_value=500)


class Preview(forms.Form):
    """Which policy is tried out, beside which, and over what."""

    document = forms.ChoiceField(label="What if this were the policy")
    against = forms.ChoiceField(label="Compared with", required=False)
    since = forms.DateField(
        label="Contributed from",
        required=False,
        help_text="Empty: the last 30 days.",
        widget=forms.DateInput(attrs={"type": "date"}),
    )
    until = forms.DateField(
        label="Until",
        required=False,
        help_text="Empty: until now.",
        widget=forms.DateInput(attrs={"type": "date"}),
    )


class LetGo(forms.Form):
    """Old objects that are let go under a loosened policy."""

    since = forms.DateField(
        label="Left from", widget=forms.DateInput(attrs={"type": "date"}), help_text="UTC."
    )
    until = forms.DateField(
        label="Left until",
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="That day too.",
    )
    sure = forms.BooleanField(label="I have looked at the preview; let them go.")


class Membership(Reason):
    """What the operator does with a member."""

    act = forms.ChoiceField(label="What happens", widget=forms.RadioSelect)
    circle = forms.ChoiceField(
        label="Circle", required=False, help_text="Where it joins or leaves one."
    )
    reason = forms.CharField(
        label="Reason",
        min_length=8,
        max_length=2000,
        help_text="Recorded in the ledger; the member sees it.",
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    sure = forms.BooleanField(label="This is what the forum has decided; it holds at once.")


class Recall(forms.Form):
    """Why an object is taken back at once."""

    reason = forms.ChoiceField(
        label="Reason",
        choices=(
            ("leak", "Leak: it gives away what must not leave"),
            ("error", "Error: what it says is wrong"),
            ("false-positive", "False positive: it matches the innocent"),
            ("shared-infrastructure", "Shared infrastructure: it hits others too"),
        ),
        widget=forms.RadioSelect,
        help_text="Recipients are told this word, and nothing else.",
    )
    note = forms.CharField(
        label="Note",
        min_length=8,
        max_length=2000,
        help_text="For your company and the forum's counsel. No old values, please.",
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    erases = forms.BooleanField(
        label="Erase the bytes too: it holds personal data or a secret",
        required=False,
        help_text="They cannot be shown to anyone again, not even in an audit. Digests stay.",
    )


class Say(forms.Form):
    """What a recipient says of an object that it holds."""

    said = forms.ChoiceField(
        choices=(
            ("seen", "Seen"),
            ("false-positive", "False positive"),
            ("shared-infrastructure", "Shared infrastructure"),
        )
    )
    circle = forms.ChoiceField()

    def circle_id(self) -> UUID:
        """The circle that was chosen."""
        return UUID(self.cleaned_data["circle"])


class Policy(forms.Form):
    """A policy as its author writes it."""

    text = forms.CharField(
        label="The policy, in YAML",
        strip=False,
        max_length=131_072,
        help_text="Begin with what is in force, and give it a larger version.",
        widget=forms.Textarea(attrs={"class": "mono tall", "spellcheck": "false", "wrap": "off"}),
    )
    note = forms.CharField(
        label="Why",
        max_length=2000,
        required=False,
        help_text="For who approves it, and for who asks in years.",
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    starts_at = forms.DateTimeField(
        label="Takes effect at (UTC)",
        required=False,
        help_text="Empty: as soon as it is approved.",
        input_formats=["%Y-%m-%dT%H:%M"],
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )


class Approval(forms.Form):
    """That exactly this document is to hold, and that its list was seen."""

    digest = forms.CharField(widget=forms.HiddenInput, max_length=64)
    saw = forms.BooleanField(label="I saw the list of what this newly exposes.", required=False)
    reach = forms.ChoiceField(
        label="It applies to",
        choices=(
            ("forward", "New releases only"),
            ("replace", "What was released too: stricter versions take its place"),
        ),
        initial="forward",
        widget=forms.RadioSelect,
    )


class Subscription(forms.Form):
    """Where bundles are to be pushed."""

    name = forms.CharField(label="Name", max_length=80, help_text="For your own lists.")
    url = forms.URLField(
        label="Address", assume_scheme="https", help_text="https, on a public address of yours."
    )
    circle = forms.ChoiceField(label="What is pushed", required=False)


class Credential(forms.Form):
    """A key for a machine."""

    name = forms.CharField(label="Name", max_length=80, help_text="Which machine uses it.")
    scopes = forms.MultipleChoiceField(label="It may", widget=forms.CheckboxSelectMultiple)
    days = forms.IntegerField(label="Days until it expires", min_value=1, max_value=366, initial=90)


class Person(forms.Form):
    """What a person is found by: sealed, and in no address."""

    kind = forms.ChoiceField(
        label="What it is",
        choices=(
            ("email-address", "E-mail address"),
            ("handle", "Handle"),
            ("phone", "Phone number"),
            ("ip-address", "IP address"),
            ("payment-instrument", "Payment instrument"),
        ),
    )
    value = forms.CharField(
        label="The value",
        max_length=500,
        help_text="It is sealed at once: no address and no log shows it.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )


class AsOf(forms.Form):
    """As which member, on which day."""

    member = forms.ChoiceField(label="As")
    on = forms.DateTimeField(
        label="On (UTC)",
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"],
        help_text="What it could have pulled at that moment.",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )


class Attest(forms.Form):
    """What was passed on outside, to whom, under which mark, in the officer's words."""

    object = forms.CharField(
        label="Object", max_length=120, help_text="Its id, as your company holds it."
    )
    whom = forms.ChoiceField(
        label="Passed on to",
        choices=(
            ("own-supplier", "A supplier of ours"),
            ("own-customer", "A customer of ours"),
            ("authority", "An authority"),
            ("other-forum", "Another sharing forum"),
            ("public", "The public"),
        ),
    )
    tlp = forms.ChoiceField(
        label="Under the mark",
        choices=tuple(
            (name, f"TLP:{name.upper()}")
            for name in ("clear", "green", "amber", "amber+strict", "red")
        ),
        initial="amber+strict",
    )
    passed_on = forms.DateField(label="On", widget=forms.DateInput(attrs={"type": "date"}))
    words = forms.CharField(
        label="What you attest",
        min_length=8,
        max_length=2000,
        help_text="Why, and what was agreed with who received it. Name no person.",
        widget=forms.Textarea(attrs={"rows": 3}),
    )
